//! What a run found.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::client::Failure;

/// Quantiles of a time, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Summary {
    /// Reads a histogram of nanoseconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a minute in nanoseconds is below 2^52"
    )]
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
        }
    }
}

/// The measured window of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Seconds measured, warm-up left out.
    pub(crate) seconds: f64,
    /// Complete answers.
    pub(crate) requests: u64,
    pub(crate) requests_per_s: f64,
    /// Stream events in complete answers.
    pub(crate) events: u64,
    /// Failed requests by reason.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Until the end of the answer; in the open loop from the intended start.
    pub(crate) latency: Summary,
    /// Until the first byte of the body.
    pub(crate) first_byte: Summary,
    /// Between frames of a stream.
    pub(crate) inter_token: Option<Summary>,
    /// The server's CPU time over the window, divided.
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) cpu_us_per_event: Option<f64>,
    pub(crate) server_cores_used: Option<f64>,
    /// At the end of the window.
    pub(crate) server_resident_mib: Option<f64>,
}

impl Report {
    /// Failed requests.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
