//! Requests that are handed to an upstream and have not ended.

use freehold_types::Outcome;

use crate::LedgerError;

/// A request that [`UnderWay`] knows of; to be given back when its outcome is recorded.
#[derive(Debug)]
#[must_use = "a request that never ends is found again at the next start"]
pub struct Slot(u32);

impl Slot {
    /// The slot of this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(&self) -> u32 {
        self.0
    }
}

/// Remembers, beyond the death of the process, what is under way.
pub trait UnderWay: Send + Sync {
    /// A request is about to reach an upstream. `provisional` is what is recorded if nobody ever
    /// tells how it ended: the most it can have used.
    ///
    /// # Errors
    /// When it could not be remembered; the request must not be sent then.
    fn begin(&self, provisional: &Outcome) -> Result<Slot, LedgerError>;

    /// Its outcome is recorded.
    fn end(&self, slot: Slot);
}
