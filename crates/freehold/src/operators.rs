//! The operator's surface of a gateway that serves, and what of it a new configuration changes.

use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use freehold_config::Settings;
use freehold_http::{Desk, Door, Gateway, SessionKey};
use freehold_store::audit::AuditLog;
use freehold_store::{KeySettings, Reader};
use tokio::sync::mpsc;

use crate::administration::{Office, ReloadWish};
use crate::login::OidcLogin;

/// The operator's surface, and what it shares with whoever reloads the configuration.
pub(crate) struct Operators {
    desk: Arc<Desk>,
    keys: Arc<ArcSwap<Vec<KeySettings>>>,
    wishes: mpsc::Receiver<ReloadWish>,
}

impl Operators {
    /// The surface of this gateway.
    pub(crate) fn open(
        settings: &Settings,
        gateway: &Arc<Gateway>,
        reader: Reader,
        trail: Option<&Arc<AuditLog>>,
    ) -> Result<Self> {
        let keys = Arc::new(ArcSwap::from_pointee(settings.keys.clone()));
        let (reload, wishes) = mpsc::channel(1);
        let office = Office {
            reader,
            keys: Arc::clone(&keys),
            audit: settings.audit.clone(),
            trail: trail.cloned(),
            prompts: settings.prompts.clone(),
            reload,
        };
        let desk = Desk {
            gateway: Arc::clone(gateway),
            administration: Arc::new(office),
            door: ArcSwap::from_pointee(door(settings, None)?),
            open_metrics: settings.admin.is_some_and(|admin| admin.ip().is_loopback()),
        };
        Ok(Self {
            desk: Arc::new(desk),
            keys,
            wishes,
        })
    }

    /// What the handlers share.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Waits until somebody wants another configuration.
    pub(crate) async fn wish(&mut self) -> Option<ReloadWish> {
        self.wishes.recv().await
    }

    /// How people sign in by other settings. Sessions outlive the change.
    pub(crate) fn door(&self, settings: &Settings) -> Result<Option<Door>> {
        door(settings, self.desk.door.load().as_ref().as_ref())
    }

    /// Takes over what other settings say.
    pub(crate) fn renew(&self, door: Option<Door>, keys: Vec<KeySettings>) {
        self.desk.door.store(Arc::new(door));
        self.keys.store(Arc::new(keys));
    }
}

/// How people sign in. Sessions outlive a reload of the configuration.
fn door(settings: &Settings, before: Option<&Door>) -> Result<Option<Door>> {
    let Some(login) = &settings.login else {
        return Ok(None);
    };
    let key = login.session_key.clone();
    let key = key.or_else(|| before.map(|door| door.key.clone()));
    let key = key.or_else(SessionKey::random);
    Ok(Some(Door {
        login: Arc::new(OidcLogin::new(login.clone())?),
        origin: login.origin.clone(),
        session: login.session,
        key: key.context("the operating system gives no random bytes")?,
    }))
}
