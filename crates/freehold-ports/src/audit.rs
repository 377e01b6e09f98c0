//! Where decisions and administrative acts are proved.

use freehold_types::audit::AuditEvent;

/// Why an event could not be kept in the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Writing failed, for instance because the disk is full.
    #[error("the audit trail cannot be written: {0}")]
    Unwritable(String),
    /// The trail has been closed: the gateway is shutting down.
    #[error("the audit trail is closed")]
    Closed,
    /// The event is larger than any that the gateway makes.
    #[error("an audit record of {bytes} bytes exceeds the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
}

/// The audit trail: a chain of records that cannot be changed unseen.
///
/// What an error means is the gateway's affair: where the trail is required, a request that cannot
/// be recorded is refused; elsewhere it is counted.
pub trait Audit: Send + Sync {
    /// Keeps an event; returns its sequence in the trail. When this returns `Ok`, the event
    /// survives a crash of the process. Fast enough for the request path: one buffered write,
    /// flushed to the disk in the background.
    ///
    /// # Errors
    /// When the event could not be kept, or it is not certain that it was.
    fn record(&self, event: &AuditEvent) -> Result<u64, AuditError>;

    /// Whether an event could be kept now. The gateway asks before it sends anything that it could
    /// not account for.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), AuditError>;
}
