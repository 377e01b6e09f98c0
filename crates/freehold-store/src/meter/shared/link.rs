//! The connection to Valkey or Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::SharedSettings;
use super::ask::{Call, Reply};
use crate::meter::MeterError;

/// Requests whose gateway died are remembered for so long: 30 days.
const LAPSED_S: u64 = 30 * 24 * 3_600;

/// One connection that is made anew when it breaks.
pub(super) struct Link {
    manager: ConnectionManager,
    script: redis::Script,
    prefix: String,
    lease: Duration,
    timeout: Duration,
    offset_ms: AtomicU64,
}

/// A call with what every call has.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    call: &'a Call,
    offset_ms: u64,
    lease_ms: u128,
    lapsed_s: u64,
}

impl Link {
    pub(super) fn new(settings: SharedSettings) -> Result<Self, MeterError> {
        let unusable = |error: redis::RedisError| MeterError::Address {
            reason: error.category().to_owned(),
        };
        let client = redis::Client::open(settings.url.expose_secret()).map_err(unusable)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(settings.timeout);
        let manager = ConnectionManager::new_lazy_with_config(client, config).map_err(unusable)?;
        Ok(Self {
            manager,
            script: redis::Script::new(include_str!("accounts.lua")),
            // All in braces is hashed: a cluster keeps it on one node.
            prefix: format!("{{{}}}:", settings.namespace),
            lease: settings.lease,
            timeout: settings.timeout,
            offset_ms: AtomicU64::new(0),
        })
    }

    /// Asks, and says in words why there is no answer.
    pub(super) async fn ask(&self, call: &Call) -> Result<Reply, String> {
        let asked = Asked {
            call,
            offset_ms: self.offset_ms.load(Ordering::Relaxed),
            lease_ms: self.lease.as_millis(),
            lapsed_s: LAPSED_S,
        };
        let asked = serde_json::to_string(&asked).map_err(|error| error.to_string())?;
        let mut manager = self.manager.clone();
        let mut invocation = self.script.key(&self.prefix);
        let invocation = invocation.arg(call.name()).arg(asked);
        let answer = invocation.invoke_async::<String>(&mut manager);
        // The manager's own limits are for a connection and for an answer; this is for both.
        let answer = tokio::time::timeout(self.timeout * 2, answer).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_str(&answer).map_err(|error| format!("an unreadable answer: {error}"))
    }

    #[cfg(feature = "testing")]
    pub(super) fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
    }
}
