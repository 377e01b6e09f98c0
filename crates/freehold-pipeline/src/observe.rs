//! Metrics, all from outcomes, with label values that only the configuration can add to: names that
//! clients invent never become a series.

use freehold_types::{Outcome, OutcomeStatus};
use metrics::{counter, histogram};

use crate::snapshot::Snapshot;

/// Counts an outcome.
#[expect(clippy::cast_precision_loss, reason = "histograms take floats")]
pub(crate) fn outcome(outcome: &Outcome, snapshot: &Snapshot) {
    let status = match outcome.status {
        OutcomeStatus::Completed => "completed",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::Refused => "refused",
    };
    let deployment = outcome
        .attempts
        .last()
        .map_or("none", |attempt| snapshot.metric_name(&attempt.deployment))
        .to_owned();
    let error = outcome
        .error
        .as_ref()
        .map_or("none", |error| error.kind.as_str());
    counter!(
        "freehold_requests_total",
        "dialect" => outcome.dialect.as_str(),
        "deployment" => deployment.clone(),
        "status" => status,
        "error" => error,
    )
    .increment(1);
    for (kind, tokens) in [
        ("input", outcome.usage.input_tokens),
        ("cached_input", outcome.usage.cached_input_tokens),
        ("output", outcome.usage.output_tokens),
    ] {
        if tokens > 0 {
            counter!("freehold_tokens_total", "deployment" => deployment.clone(), "kind" => kind)
                .increment(tokens);
        }
    }
    if let Some(nanos) = outcome
        .cost
        .and_then(|cost| u64::try_from(cost.nanos()).ok())
    {
        counter!("freehold_cost_nano_usd_total", "deployment" => deployment.clone())
            .increment(nanos);
    }
    let seconds = |micros: u64| micros as f64 / 1e6;
    histogram!("freehold_request_seconds", "deployment" => deployment.clone())
        .record(seconds(outcome.timing.total_us));
    histogram!("freehold_overhead_seconds").record(seconds(outcome.timing.overhead_us));
    if let Some(first_token_us) = outcome.timing.first_token_us {
        histogram!("freehold_first_token_seconds", "deployment" => deployment)
            .record(seconds(first_token_us));
    }
    for attempt in outcome.attempts.iter().rev().skip(1) {
        let deployment = snapshot.metric_name(&attempt.deployment).to_owned();
        counter!("freehold_fallbacks_total", "from" => deployment).increment(1);
    }
}

/// Counts an outcome that the ledger could not take.
pub(crate) fn unrecorded() {
    counter!("freehold_unrecorded_outcomes_total").increment(1);
}
