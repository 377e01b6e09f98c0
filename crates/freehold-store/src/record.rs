//! An outcome as JSON, as it lies in the spool and in the database.

use std::collections::BTreeMap;

use freehold_ports::LedgerError;
use freehold_types::outcome::{ErrorSummary, Timing};
use freehold_types::{
    AgentSignals, AttemptRecord, Dialect, FlowName, KeyName, NanoUsd, Outcome, OutcomeStatus,
    RequestId, RolloutPart, RouteName, Sensitivity, TeamName, Usage,
};
use serde::Deserialize;

use crate::spool::frame;

/// A larger record is kept without its decision: what a bill needs is small.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Writes the outcome's frame into `buffer`, replacing what was there.
///
/// # Errors
/// When the outcome is too large even without its decision.
pub(crate) fn encode(outcome: &Outcome, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
    serialise(outcome, buffer)?;
    if buffer.len() > RECORD_BYTES_MAX && outcome.decision.is_some() {
        tracing::warn!(
            id = %outcome.id,
            bytes = buffer.len(),
            "an outcome's decision is too large for the ledger; the outcome is kept without it",
        );
        let bare = Outcome {
            decision: None,
            ..outcome.clone()
        };
        serialise(&bare, buffer)?;
    }
    Ok(())
}

fn serialise(outcome: &Outcome, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
    buffer.clear();
    let start = frame::begin(buffer);
    serde_json::to_writer(&mut *buffer, outcome)
        .map_err(|error| LedgerError::Io(format!("the outcome cannot be serialised: {error}")))?;
    frame::finish(buffer, start, frame::VERSION_JSON)
        .ok_or_else(|| LedgerError::Io("the outcome is too large for the ledger".to_owned()))
}

/// Reads an outcome. A decision that this version cannot read (the router has changed, or a number
/// was none) is left out: who asked, what it took and what it cost must stay readable for ever.
///
/// # Errors
/// When the rest is no outcome either.
pub(crate) fn parse(json: &str) -> Result<Outcome, serde_json::Error> {
    serde_json::from_str(json).or_else(|_| parse_bill(json).map(|bill| bill.outcome))
}

/// An outcome without the decision, which is the larger part of most records.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    /// Its `decision` is left out.
    pub(crate) outcome: Outcome,
    pub(crate) difficulty: Option<f64>,
}

impl Bill {
    /// The bill of an outcome, decision and all: what [`parse_bill`] makes of its record.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let difficulty = outcome.decision.as_ref().map(|one| one.difficulty);
        let outcome = Outcome {
            id: outcome.id,
            started_unix_ms: outcome.started_unix_ms,
            dialect: outcome.dialect,
            route: outcome.route.clone(),
            key: outcome.key.clone(),
            team: outcome.team.clone(),
            flow: outcome.flow.clone(),
            agent: outcome.agent,
            sensitivity: outcome.sensitivity,
            findings: outcome.findings.clone(),
            redacted: outcome.redacted.clone(),
            status: outcome.status,
            http_status: outcome.http_status,
            error: outcome.error.clone(),
            streamed: outcome.streamed,
            attempts: outcome.attempts.clone(),
            usage: outcome.usage,
            cost: outcome.cost,
            timing: outcome.timing,
            decision: None,
            rollout: outcome.rollout.clone(),
        };
        Self {
            outcome,
            difficulty,
        }
    }
}

/// Reads what columns and sums are made of, in half the time.
///
/// # Errors
/// When it is no outcome.
pub(crate) fn parse_bill(json: &str) -> Result<Bill, serde_json::Error> {
    let stored: Stored = serde_json::from_str(json)?;
    let difficulty = stored.decision.and_then(|decision| decision.difficulty);
    let outcome = Outcome {
        id: stored.id,
        started_unix_ms: stored.started_unix_ms,
        dialect: stored.dialect,
        route: stored.route,
        key: stored.key,
        team: stored.team,
        flow: stored.flow,
        sensitivity: stored.sensitivity,
        findings: stored.findings,
        redacted: stored.redacted,
        status: stored.status,
        http_status: stored.http_status,
        error: stored.error,
        streamed: stored.streamed,
        attempts: stored.attempts,
        usage: stored.usage,
        cost: stored.cost,
        timing: stored.timing,
        decision: None,
        rollout: stored.rollout,
        agent: stored.agent,
    };
    Ok(Bill {
        outcome,
        difficulty,
    })
}

/// An [`Outcome`], of whose decision only the difficulty is looked at.
#[derive(Deserialize)]
struct Stored {
    id: RequestId,
    started_unix_ms: u64,
    dialect: Dialect,
    route: RouteName,
    key: KeyName,
    #[serde(default)]
    team: Option<TeamName>,
    flow: Option<FlowName>,
    sensitivity: Sensitivity,
    findings: BTreeMap<String, u32>,
    #[serde(default)]
    redacted: BTreeMap<String, u32>,
    status: OutcomeStatus,
    http_status: u16,
    error: Option<ErrorSummary>,
    streamed: bool,
    attempts: Vec<AttemptRecord>,
    usage: Usage,
    cost: Option<NanoUsd>,
    timing: Timing,
    decision: Option<Difficulty>,
    #[serde(default)]
    rollout: Option<RolloutPart>,
    #[serde(default)]
    agent: AgentSignals,
}

#[derive(Deserialize)]
struct Difficulty {
    #[serde(default)]
    difficulty: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::frame::{Found, look};

    #[test]
    fn a_bill_is_the_outcome_without_its_decision() {
        let golden = include_bytes!("../tests/golden/format-1.spool");
        let (mut at, mut bills, mut decisions) = (0, 0, 0);
        while let Found::Record { payload, .. } = look(golden, at, true) {
            at = payload.end;
            let json = std::str::from_utf8(&golden[payload]).unwrap();
            let mut whole = parse(json).unwrap();
            let bill = parse_bill(json).unwrap();
            if let Some(decision) = whole.decision.take() {
                assert_eq!(bill.difficulty, Some(decision.difficulty));
                decisions += 1;
            }
            assert_eq!(bill.outcome, whole);
            bills += 1;
        }
        assert_eq!((bills, decisions), (3, 1));
        assert!(parse("{}").is_err() && parse_bill("{}").is_err());
    }
}
