//! Where the audit trail lives and how often it is signed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::SyncPolicy;

/// The trail's place and pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The directory. One process at a time.
    pub dir: PathBuf,
    /// The signing key's file: PKCS #8 in PEM, made for the owner only when it is not there. The
    /// public key lies beside it with the ending `.pub`.
    pub key_file: PathBuf,
    /// A new segment is begun at this size, in bytes.
    pub segment_bytes: u64,
    /// Disk space held back for requests that are under way when the disk fills up, in bytes; 0
    /// holds nothing back.
    pub reserve_bytes: u64,
    /// When records reach the disk itself.
    pub sync: SyncPolicy,
    /// A checkpoint is signed after so many records at the latest (plus those that come while it
    /// is being made).
    pub checkpoint_records: u64,
    /// A checkpoint is signed this long after a record at the latest. Nothing is signed while
    /// nothing happens.
    pub checkpoint_interval: Duration,
}

impl AuditSettings {
    /// `audit/` and `audit.key` in the data directory; segments of 16 MiB, 1 MiB held back,
    /// flushed every 100 ms, signed every 1,000 records or 10 s.
    pub fn new(data_dir: impl AsRef<Path>) -> Self {
        let data_dir = data_dir.as_ref();
        Self {
            dir: data_dir.join("audit"),
            key_file: data_dir.join("audit.key"),
            segment_bytes: 16 << 20,
            reserve_bytes: 1 << 20,
            sync: SyncPolicy::Every(Duration::from_millis(100)),
            checkpoint_records: 1_000,
            checkpoint_interval: Duration::from_secs(10),
        }
    }
}
