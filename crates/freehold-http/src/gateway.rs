//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_pipeline::Pipeline;
use freehold_ports::{Accounts, Clock, Feedbacks};
use metrics_exporter_prometheus::PrometheusHandle;

/// Bounds on what a client may send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds on the body and its structure.
    pub decode: freehold_wire::Limits,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// Seconds since the epoch at which the models' list claims they were created.
    pub started_unix_s: u64,
}

/// What every handler shares.
pub struct Gateway {
    /// The request function.
    pub pipeline: Arc<Pipeline>,
    /// Who may ask; swapped whole when the configuration is reloaded.
    pub accounts: ArcSwap<Box<dyn Accounts>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub settings: Settings,
    /// Renders the metrics; `None` when metrics are off.
    pub metrics: Option<PrometheusHandle>,
    /// Takes what users say of answers; `None` where nobody keeps it.
    pub feedbacks: Option<Box<dyn Feedbacks>>,
}
