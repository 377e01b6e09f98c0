//! Metrics, all from outcomes, with label values that only the configuration can add to: names that
//! clients invent never become a series.
//!
//! Looking a series up by its labels costs more than counting in it, so handles are kept.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use freehold_types::{Dialect, ErrorKind, Outcome, OutcomeStatus};
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::{Mutex, RwLock};

use crate::snapshot::Snapshot;

/// The series that outcomes count in.
#[derive(Default)]
pub(crate) struct Meters {
    deployments: RwLock<HashMap<String, Arc<DeploymentMeters>>>,
    overhead_seconds: OnceLock<Histogram>,
}

/// How a request ended, as far as its counter knows.
type Ending = (Dialect, OutcomeStatus, Option<ErrorKind>);

/// The series of one deployment. Each begins when there is something to count.
#[derive(Default)]
struct DeploymentMeters {
    requests: Mutex<HashMap<Ending, Counter>>,
    input_tokens: OnceLock<Counter>,
    cached_input_tokens: OnceLock<Counter>,
    output_tokens: OnceLock<Counter>,
    cost: OnceLock<Counter>,
    fallbacks: OnceLock<Counter>,
    request_seconds: OnceLock<Histogram>,
    first_token_seconds: OnceLock<Histogram>,
}

impl Meters {
    /// Counts an outcome.
    pub(crate) fn count(&self, outcome: &Outcome, snapshot: &Snapshot) {
        let name = outcome
            .attempts
            .last()
            .map_or("none", |attempt| snapshot.metric_name(&attempt.deployment));
        self.of(name).count(outcome, name);
        self.overhead_seconds
            .get_or_init(|| histogram!("freehold_overhead_seconds"))
            .record(seconds(outcome.timing.overhead_us));
        for attempt in outcome.attempts.iter().rev().skip(1) {
            let name = snapshot.metric_name(&attempt.deployment);
            let start = || counter!("freehold_fallbacks_total", "from" => name.to_owned());
            self.of(name).fallbacks.get_or_init(start).increment(1);
        }
    }

    /// The series of a deployment: as many as the configurations since the start have named.
    fn of(&self, name: &str) -> Arc<DeploymentMeters> {
        if let Some(known) = self.deployments.read().get(name) {
            return Arc::clone(known);
        }
        let mut deployments = self.deployments.write();
        Arc::clone(deployments.entry(name.to_owned()).or_default())
    }
}

impl DeploymentMeters {
    fn count(&self, outcome: &Outcome, name: &str) {
        self.count_request(outcome, name);
        let usage = &outcome.usage;
        for (series, kind, tokens) in [
            (&self.input_tokens, "input", usage.input_tokens),
            (
                &self.cached_input_tokens,
                "cached_input",
                usage.cached_input_tokens,
            ),
            (&self.output_tokens, "output", usage.output_tokens),
        ] {
            if tokens > 0 {
                let start = || {
                    counter!(
                        "freehold_tokens_total",
                        "deployment" => name.to_owned(),
                        "kind" => kind,
                    )
                };
                series.get_or_init(start).increment(tokens);
            }
        }
        let nanos = outcome.cost.map(freehold_types::NanoUsd::nanos);
        if let Some(nanos) = nanos.and_then(|nanos| u64::try_from(nanos).ok()) {
            let start =
                || counter!("freehold_cost_nano_usd_total", "deployment" => name.to_owned());
            self.cost.get_or_init(start).increment(nanos);
        }
        self.request_seconds
            .get_or_init(|| histogram!("freehold_request_seconds", "deployment" => name.to_owned()))
            .record(seconds(outcome.timing.total_us));
        if let Some(first_token_us) = outcome.timing.first_token_us {
            let start =
                || histogram!("freehold_first_token_seconds", "deployment" => name.to_owned());
            self.first_token_seconds
                .get_or_init(start)
                .record(seconds(first_token_us));
        }
    }

    fn count_request(&self, outcome: &Outcome, name: &str) {
        let status = match outcome.status {
            OutcomeStatus::Completed => "completed",
            OutcomeStatus::Cancelled => "cancelled",
            OutcomeStatus::Failed => "failed",
            OutcomeStatus::Refused => "refused",
        };
        let error = outcome.error.as_ref().map(|error| error.kind);
        self.requests
            .lock()
            .entry((outcome.dialect, outcome.status, error))
            .or_insert_with(|| {
                counter!(
                    "freehold_requests_total",
                    "dialect" => outcome.dialect.as_str(),
                    "deployment" => name.to_owned(),
                    "status" => status,
                    "error" => error.map_or("none", ErrorKind::as_str),
                )
            })
            .increment(1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "histograms take floats")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Counts an outcome that the ledger could not take.
pub(crate) fn unrecorded() {
    counter!("freehold_unrecorded_outcomes_total").increment(1);
}
