//! Another configuration for a gateway that serves: when a signal, a changed file or an operator asks
//! for it, and only whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use freehold_config::{Overrides, Source};
use freehold_http::{Gateway, Tls};
use freehold_ports::Audit as _;
use freehold_store::audit::AuditLog;
use freehold_types::audit::{Administration, AdministrativeAct, AuditEvent, AuditName};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};

use crate::budgets::Past;
use crate::home;
use crate::operators::Operators;
use crate::reports::Reports;
use crate::wiring::{Engines, wire};

/// Who did what nobody wished.
const GATEWAY: &str = "gateway";
/// How often the configuration file is looked at.
const FILE_LOOK: Duration = Duration::from_secs(2);

/// Keeps an act in the audit trail.
fn note(audit: Option<&Arc<AuditLog>>, act: AdministrativeAct, actor: AuditName, source: &Source) {
    let Some(audit) = audit else {
        return;
    };
    let event = AuditEvent::Administration(Administration {
        act,
        actor,
        after: Some(source.digest()),
        before: None,
        object: AuditName::new(source.name()),
    });
    if let Err(error) = audit.record(&event) {
        tracing::error!(%error, "an act could not be audited");
    }
}

/// Keeps an act of the gateway's own in the audit trail.
pub(super) fn note_own(audit: Option<&Arc<AuditLog>>, act: AdministrativeAct, source: &Source) {
    note(audit, act, AuditName::new(GATEWAY), source);
}

/// Waits for signals and for changes of the configuration file.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) overrides: Overrides,
    pub(super) gateway: Arc<Gateway>,
    pub(super) engines: Engines,
    pub(super) audit: Option<Arc<AuditLog>>,
    pub(super) tls: Option<Tls>,
    /// Files of certificates.
    pub(super) files: Vec<PathBuf>,
    pub(super) past: Arc<Past>,
    pub(super) operators: Operators,
    pub(super) reports: Reports,
}

impl Reloader {
    pub(super) async fn until_stopped(&mut self, metrics: &PrometheusHandle) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut look = tokio::time::interval(FILE_LOOK);
        let mut seen = self.modified();
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hang_up.recv() => {
                    seen = self.modified();
                    // The log says what came of it.
                    let _ = self.reload(AuditName::new(GATEWAY)).await;
                }
                Some(wish) = self.operators.wish() => {
                    seen = self.modified();
                    let reloaded = self.reload(wish.actor).await;
                    // Whoever wished it may have gone.
                    let _ = wish.answer.send(reloaded.map_err(|error| brief(&error)));
                }
                _ = look.tick() => {
                    metrics.run_upkeep();
                    let now = self.modified();
                    if changed(&seen, &now) {
                        let _ = self.reload(AuditName::new(GATEWAY)).await;
                        // Files that the reload named are new; the others may change meanwhile.
                        seen = self.modified();
                        seen.extend(now);
                    }
                }
            }
        }
    }

    /// When the configuration's files were changed last.
    fn modified(&self) -> Times {
        let path = self.source.path.iter();
        let time = |path: &PathBuf| Some((path.clone(), modified(path)?));
        path.chain(&self.files).filter_map(time).collect()
    }

    /// Replaces the configuration, or says why not and keeps the old one. Returns the number of
    /// deployments.
    async fn reload(&mut self, actor: AuditName) -> miette::Result<usize> {
        let reloaded = self.try_reload().await;
        let act = match &reloaded {
            Ok(deployments) => {
                tracing::info!(deployments, "configuration reloaded");
                AdministrativeAct::ConfigReloaded
            }
            Err(error) => {
                metrics::counter!("freehold_failed_reloads_total").increment(1);
                tracing::error!("the configuration was NOT reloaded, the old one stays: {error:?}");
                AdministrativeAct::ConfigRejected
            }
        };
        note(self.audit.as_ref(), act, actor, &self.source);
        reloaded
    }

    async fn try_reload(&mut self) -> miette::Result<usize> {
        let told = |error: anyhow::Error| miette::miette!("{error:#}");
        let source = Source::read(self.source.path.as_deref())?;
        let settings = source.settings(&self.overrides, &home::environment())?;
        let wired = wire(&settings, &mut self.engines).await.map_err(told)?;
        match (&self.tls, &settings.tls) {
            (Some(tls), Some(new)) => tls
                .replace(&new.settings)
                .map_err(|error| told(error.into()))?,
            (None, None) => {}
            _ => tracing::warn!("server.tls begins or ends with the next start"),
        }
        for warning in &wired.warnings {
            tracing::warn!("{warning}");
        }
        let door = self.operators.door(&settings).map_err(told)?;
        let deployments = wired.snapshot.deployments().len();
        self.past.restore(&settings).await;
        self.reports.know(&settings);
        self.files = settings.files;
        self.operators.renew(door, settings.keys);
        self.gateway.accounts.store(Arc::new(wired.accounts));
        self.gateway.pipeline.reload(wired.snapshot);
        self.source = source;
        Ok(deployments)
    }
}

/// What is wrong, without the lines of the file: they may hold secrets.
fn brief(error: &miette::Report) -> String {
    match error.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}

/// When files were changed last. One that is away for the moment, as when an editor replaces it, is
/// not in it.
type Times = BTreeMap<PathBuf, SystemTime>;

/// Whether a file has another time than when it was seen last. Files that a reload named for the
/// first time were read by it.
fn changed(seen: &Times, now: &Times) -> bool {
    let other = |(path, time): (_, _)| seen.get(path).is_some_and(|seen| seen != time);
    now.iter().any(other)
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
