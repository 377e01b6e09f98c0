//! A ledger in memory, for tests.

use freehold_ports::{Ledger, LedgerError};
use freehold_types::Outcome;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Keeps outcomes in memory, and can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    outcomes: Mutex<Vec<Outcome>>,
    failure: Mutex<Option<String>>,
    recorded: Notify,
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on nothing can be kept, for this reason; `None` ends it.
    pub fn fail_with(&self, reason: Option<&str>) {
        *self.failure.lock() = reason.map(str::to_owned);
    }

    /// What was recorded, in order.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().clone()
    }

    /// Waits until at least `count` outcomes were recorded; returns all of them.
    pub async fn wait_for(&self, count: usize) -> Vec<Outcome> {
        loop {
            let recorded = self.recorded.notified();
            tokio::pin!(recorded);
            recorded.as_mut().enable();
            let outcomes = self.outcomes();
            if outcomes.len() >= count {
                return outcomes;
            }
            recorded.await;
        }
    }
}

impl Ledger for MemoryLedger {
    fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        self.ready()?;
        self.outcomes.lock().push(outcome.clone());
        self.recorded.notify_waiters();
        Ok(())
    }

    fn ready(&self) -> Result<(), LedgerError> {
        match &*self.failure.lock() {
            None => Ok(()),
            Some(reason) => Err(LedgerError::Io(reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[tokio::test]
    async fn outcomes_are_kept_until_it_is_told_to_fail() {
        let golden = include_bytes!("../tests/golden/format-1.spool");
        let json = &golden[13..];
        let end = json
            .windows(4)
            .position(|four| four == [0xF5, 0xFE, 0xC0, 0xFF]);
        let outcome = record::parse(std::str::from_utf8(&json[..end.unwrap()]).unwrap()).unwrap();

        let ledger = MemoryLedger::new();
        ledger.record(&outcome).unwrap();
        assert_eq!(ledger.wait_for(1).await, std::slice::from_ref(&outcome));
        ledger.fail_with(Some("the disk is full"));
        assert!(ledger.ready().is_err());
        let error = ledger.record(&outcome).unwrap_err();
        assert!(error.to_string().contains("the disk is full"));
        ledger.fail_with(None);
        ledger.ready().unwrap();
        assert_eq!(ledger.outcomes().len(), 1);
    }
}
