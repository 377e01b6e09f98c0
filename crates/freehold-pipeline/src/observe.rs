//! Metrics, all from outcomes, with label values that only the configuration can add to: names that
//! clients invent never become a series.
//!
//! Looking a series up by its labels costs more than counting in it, so handles are kept.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use freehold_types::{AttemptRecord, Dialect, ErrorKind, Outcome, OutcomeStatus, Usage};
use metrics::{
    Counter, Histogram, Label, counter, describe_counter, describe_histogram, histogram,
};
use parking_lot::{Mutex, RwLock};

use crate::snapshot::Snapshot;

/// What is counted, and what it means; docs/metrics.md says more.
const COUNTERS: &[(&str, &str)] = &[
    ("freehold_requests_total", "Requests by how they ended"),
    (
        "freehold_tokens_total",
        "Tokens by kind; parts are contained in their whole",
    ),
    (
        "freehold_cost_nano_usd_total",
        "Known cost in billionths of a US dollar",
    ),
    (
        "freehold_unknown_cost_requests_total",
        "Requests part of whose cost is unknown",
    ),
    (
        "freehold_fallbacks_total",
        "Attempts that failed and were followed by another",
    ),
    (
        "freehold_limit_refusals_total",
        "Requests refused by a limit or a budget",
    ),
    (
        "freehold_unrecorded_outcomes_total",
        "Outcomes that the ledger could not take",
    ),
    (
        "freehold_unaudited_decisions_total",
        "Decisions that could not be audited",
    ),
];

/// What is measured.
const HISTOGRAMS: &[(&str, &str)] = &[
    (
        "freehold_overhead_seconds",
        "Time spent in the gateway itself",
    ),
    (
        "gen_ai_client_operation_duration_seconds",
        "Time of one attempt, from its begin to its end",
    ),
    (
        "gen_ai_server_request_duration_seconds",
        "Time from admission to the answer's end",
    ),
    (
        "gen_ai_server_time_to_first_token_seconds",
        "Time from admission to the first token",
    ),
    (
        "gen_ai_server_time_per_output_token_seconds",
        "Time between tokens behind the first",
    ),
    (
        "gen_ai_client_token_usage",
        "Tokens of one request, by type",
    ),
];

/// Tells the installed recorder what the pipeline's metrics mean.
pub fn describe_metrics() {
    for (name, meaning) in COUNTERS {
        describe_counter!(*name, *meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(*name, *meaning);
    }
}

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
    tokens: [OnceLock<Counter>; TOKEN_KINDS],
    cost: OnceLock<Counter>,
    unknown_cost: OnceLock<Counter>,
    fallbacks: OnceLock<Counter>,
    chat: OperationMeters,
    completion: OperationMeters,
}

/// The histograms of one deployment and one of the operations of the GenAI conventions.
#[derive(Default)]
struct OperationMeters {
    attempt_seconds: Mutex<HashMap<Option<ErrorKind>, Histogram>>,
    request_seconds: OnceLock<Histogram>,
    first_token_seconds: OnceLock<Histogram>,
    token_seconds: OnceLock<Histogram>,
    input_tokens: OnceLock<Histogram>,
    output_tokens: OnceLock<Histogram>,
}

impl Meters {
    /// Counts an outcome.
    pub(crate) fn count(&self, outcome: &Outcome, snapshot: &Snapshot) {
        let name = outcome
            .attempts
            .last()
            .map_or("none", |attempt| snapshot.metric_name(&attempt.deployment));
        self.of(name).count(outcome, name);
        for attempt in &outcome.attempts {
            let name = snapshot.metric_name(&attempt.deployment);
            let meters = self.of(name);
            let (operation, meters) = meters.operation(outcome.dialect);
            meters.count_attempt(attempt, name, operation);
        }
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

/// How many kinds of tokens are counted.
const TOKEN_KINDS: usize = 5;

/// The tokens of each kind.
fn tokens(usage: &Usage) -> [(&'static str, u64); TOKEN_KINDS] {
    [
        ("input", usage.input_tokens),
        ("cached_input", usage.cached_input_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("output", usage.output_tokens),
        ("reasoning", usage.reasoning_tokens),
    ]
}

impl DeploymentMeters {
    fn count(&self, outcome: &Outcome, name: &str) {
        self.count_request(outcome, name);
        for (series, (kind, tokens)) in self.tokens.iter().zip(tokens(&outcome.usage)) {
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
        if outcome.cost.is_none() {
            let start = || {
                counter!(
                    "freehold_unknown_cost_requests_total",
                    "deployment" => name.to_owned(),
                )
            };
            self.unknown_cost.get_or_init(start).increment(1);
        }
        let (operation, meters) = self.operation(outcome.dialect);
        meters.count(outcome, name, operation);
    }

    /// The operation of a dialect's requests, and its series.
    fn operation(&self, dialect: Dialect) -> (&'static str, &OperationMeters) {
        match dialect {
            Dialect::OpenaiCompletions => ("text_completion", &self.completion),
            Dialect::OpenaiChat | Dialect::AnthropicMessages => ("chat", &self.chat),
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

impl OperationMeters {
    fn count_attempt(&self, attempt: &AttemptRecord, name: &str, operation: &'static str) {
        let error = attempt.error.as_ref().map(|error| error.kind);
        self.attempt_seconds
            .lock()
            .entry(error)
            .or_insert_with(|| {
                let mut labels = labels(name, operation);
                let error = error.map_or("", ErrorKind::as_str);
                labels.push(Label::new("error_type", error));
                histogram!("gen_ai_client_operation_duration_seconds", labels)
            })
            .record(seconds(attempt.duration_us));
    }

    fn count(&self, outcome: &Outcome, name: &str, operation: &'static str) {
        let labels = || labels(name, operation);
        let timing = &outcome.timing;
        self.request_seconds
            .get_or_init(|| histogram!("gen_ai_server_request_duration_seconds", labels()))
            .record(seconds(timing.total_us));
        if let Some(first_token_us) = timing.first_token_us {
            self.first_token_seconds
                .get_or_init(|| histogram!("gen_ai_server_time_to_first_token_seconds", labels()))
                .record(seconds(first_token_us));
            let behind_first = outcome.usage.output_tokens.saturating_sub(1);
            let took_us = timing.total_us.saturating_sub(first_token_us);
            if let Some(each_us) = took_us.checked_div(behind_first) {
                self.token_seconds
                    .get_or_init(|| {
                        histogram!("gen_ai_server_time_per_output_token_seconds", labels())
                    })
                    .record(seconds(each_us));
            }
        }
        let usage = &outcome.usage;
        for (series, kind, tokens) in [
            (&self.input_tokens, "input", usage.input_tokens),
            (&self.output_tokens, "output", usage.output_tokens),
        ] {
            if tokens > 0 {
                let start = || {
                    let mut labels = labels();
                    labels.push(Label::new("gen_ai_token_type", kind));
                    histogram!("gen_ai_client_token_usage", labels)
                };
                series.get_or_init(start).record(float(tokens));
            }
        }
    }
}

/// Labels by the GenAI conventions, all of which the deployment decides.
fn labels(name: &str, operation: &'static str) -> Vec<Label> {
    let (backend, model) = name.split_once('/').unwrap_or((name, name));
    vec![
        Label::new("deployment", name.to_owned()),
        Label::new("gen_ai_operation_name", operation),
        Label::new("gen_ai_provider_name", backend.to_owned()),
        Label::new("gen_ai_request_model", model.to_owned()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "histograms take floats")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "histograms take floats")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Counts a request that a limit refused: why, and whether a key's, a team's or a flow's.
pub(crate) fn refused(reason: &'static str, scope: &'static str) {
    counter!("freehold_limit_refusals_total", "reason" => reason, "scope" => scope).increment(1);
}

/// Counts an outcome that the ledger could not take.
pub(crate) fn unrecorded() {
    counter!("freehold_unrecorded_outcomes_total").increment(1);
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
