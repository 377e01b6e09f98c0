//! The audit trail: a chain of records in append-only files, with signed checkpoints.
//!
//! # Format
//! A directory holds segments `audit-0000000001.jsonl`, `audit-0000000002.jsonl`, ... and
//! `head.json`. Each line of a segment is
//!
//! ```text
//! {"hash":"<64 hex digits>","previous":"<64 hex digits>","record":<canonical bytes>}
//! ```
//!
//! where `record` is an [`AuditRecord`](freehold_types::audit::AuditRecord) in the canonical form
//! that its module describes (RFC 8785), `previous` is the hash of the line before (zeros for the
//! first), and `hash` is the SHA-256 of the 32 bytes of `previous` followed by the canonical bytes.
//! Every byte of a line is determined by the record and the line before.
//!
//! Every so many records, every so many seconds in which there were records, at the start, at the
//! end and at the begin of each segment there is a record that is a checkpoint: an Ed25519 signature
//! over the hash, the sequence, the count and the time. `head.json` is a copy of the last
//! checkpoint's line, replaced atomically after the segments are on the disk; a copy kept
//! elsewhere is an [`Anchor`] and proves the trail up to there even against somebody who holds the
//! machine, though not the signing key.
//!
//! # What can be proved
//! Without the signing key nothing at or before the last checkpoint can be changed, added, moved or
//! removed unseen. Records after the last checkpoint are chained but not signed: whoever can write
//! the directory can replace them. Whoever removes the end of the trail together with its
//! checkpoints must also replace `head.json` by an older checkpoint; against that only an anchor
//! kept elsewhere helps. [`verify()`](verify()) says which of this holds.
//!
//! # Crashes
//! `record` returns after the kernel has the whole line, so a killed process loses nothing that it
//! was told is kept. A line cut short by the kill is cut off at the next opening, which says so in
//! the log and in its first checkpoint. Files are flushed to the disk in the background or before
//! `record` returns, as [`SyncPolicy`](crate::SyncPolicy) says.

mod anchor;
mod error;
mod export;
mod keeper;
mod keys;
mod line;
mod log;
#[cfg(feature = "testing")]
mod memory;
mod read;
mod recover;
mod report;
mod settings;
mod show;
mod verify;
mod walk;
mod writer;

pub use anchor::{Anchor, NotAnAnchor};
pub use error::AuditLogError;
pub use export::{Edge, ExportSummary, Span, export, verify_export};
pub use keys::{NotAPublicKey, PublicKey};
pub use log::{AuditLog, AuditStatus};
#[cfg(feature = "testing")]
pub use memory::MemoryAudit;
pub use report::{Fault, FaultKind, Place, Proof, Report};
pub use settings::AuditSettings;
pub use show::{AuditFilter, Shown, show};
pub use verify::{Progress, VerifyOptions, verify};
