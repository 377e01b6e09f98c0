//! An audit trail in memory, for tests.

use freehold_ports::{Audit, AuditError};
use freehold_types::audit::AuditEvent;
use parking_lot::Mutex;

/// Keeps events in memory, and can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    events: Mutex<Vec<AuditEvent>>,
    failure: Mutex<Option<String>>,
}

impl MemoryAudit {
    /// An empty trail.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on nothing can be kept, for this reason; `None` ends it.
    pub fn fail_with(&self, reason: Option<&str>) {
        *self.failure.lock() = reason.map(str::to_owned);
    }

    /// What was recorded, in order.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().clone()
    }
}

impl Audit for MemoryAudit {
    fn record(&self, event: &AuditEvent) -> Result<u64, AuditError> {
        self.ready()?;
        let mut events = self.events.lock();
        events.push(event.clone());
        Ok(events.len() as u64)
    }

    fn ready(&self) -> Result<(), AuditError> {
        match &*self.failure.lock() {
            None => Ok(()),
            Some(reason) => Err(AuditError::Unwritable(reason.clone())),
        }
    }
}
