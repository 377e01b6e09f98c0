//! An outcome as JSON, as it lies in the spool and in the database.

use freehold_ports::LedgerError;
use freehold_types::Outcome;
use serde_json::Value;

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
pub(crate) fn parse(json: &[u8]) -> Result<Outcome, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| {
        let mut value: Value = serde_json::from_slice(json)?;
        match value.get_mut("decision") {
            Some(decision) if !decision.is_null() => *decision = Value::Null,
            _ => return Err(error),
        }
        serde_json::from_value(value)
    })
}
