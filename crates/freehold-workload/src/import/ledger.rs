//! Outcomes of the gateway's own ledger.

use freehold_types::{Outcome, OutcomeStatus};

use super::gather::Gather;
use super::report::Trouble;
use super::request::{Owned, Taken};
use super::times::Moment;

/// The request that an outcome tells of: as long as its last attempt, and as costly as all.
pub(super) fn take(outcome: &Outcome, _gather: &mut Gather) -> Result<Taken, Trouble> {
    if outcome.status == OutcomeStatus::Refused {
        return Ok(Taken::LeftOut("refused by policy"));
    }
    let last = outcome.attempts.last();
    let usage = last.map_or(&outcome.usage, |attempt| &attempt.usage);
    let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    if usage.input_tokens == 0 && usage.output_tokens == 0 {
        return Ok(Taken::LeftOut("used no tokens"));
    }
    if usage.input_tokens.max(usage.output_tokens) > 100_000_000 {
        let reason = "is absurd: more than 100,000,000 tokens in one request";
        return Err(Trouble::at("usage", reason));
    }
    let unix_us = i64::try_from(outcome.started_unix_ms.saturating_mul(1_000));
    let unix_us = unix_us.map_err(|_| Trouble::at("started_unix_ms", "is absurd"))?;
    let features = outcome.decision.as_ref().map(|made| &made.inputs.features);
    let bucket = features.map(|features| features.affinity_bucket);
    let model = last.map(|attempt| {
        let deployment = attempt.deployment.as_str();
        let rest = deployment.strip_prefix(attempt.backend.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix('/'));
        rest.unwrap_or(deployment).to_owned()
    });
    Ok(Taken::Request(Box::new(Owned {
        at: Some(Moment::Unix(unix_us)),
        input_tokens: tokens(usage.input_tokens),
        output_tokens: tokens(usage.output_tokens),
        cached_tokens: tokens(usage.cached_input_tokens.min(usage.input_tokens)),
        flow: outcome.flow.as_ref().map(ToString::to_string),
        model,
        session: bucket
            .filter(|bucket| *bucket != 0)
            .map(|bucket| bucket.to_string()),
        cost_nano_usd: outcome.cost.map(freehold_types::NanoUsd::nanos),
        blocks: Vec::new(),
    })))
}
