//! Where outcomes go.

use freehold_types::Outcome;

/// Why an outcome could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The spool has reached its bound: the database has been away for too long.
    #[error(
        "the ledger's spool is full ({limit_bytes} bytes); free space or bring the database back"
    )]
    Full {
        /// The bound.
        limit_bytes: u64,
    },
    /// Writing failed.
    #[error("the ledger could not write: {0}")]
    Io(String),
}

/// The durable record of outcomes.
pub trait Ledger: Send + Sync {
    /// Keeps an outcome. When this returns `Ok`, the outcome survives a crash of the process; it
    /// reaches the database later. Fast enough for the request path: one buffered write, no fsync.
    ///
    /// # Errors
    /// When the outcome could not be kept.
    fn record(&self, outcome: &Outcome) -> Result<(), LedgerError>;

    /// Whether an outcome could be kept now. The gateway asks before it starts work that it could
    /// not account for.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), LedgerError>;
}
