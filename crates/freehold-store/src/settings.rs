//! Where the store lives and how much it may hold.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Database;

/// When records reach the disk itself, and not only the kernel.
///
/// A killed process loses nothing either way: the kernel has every record. This is about power
/// failures and kernel crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// In the background, this long after a record at the latest. A power failure loses at most
    /// this much.
    Every(Duration),
    /// Before `record` returns. Costs one disk flush per record, or per group of records that
    /// arrive together; blocks the calling thread for as long.
    Always,
}

/// The spool's place and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory. One process at a time.
    pub dir: PathBuf,
    /// All segments together, in bytes. Beyond it `record` says [`Full`].
    ///
    /// [`Full`]: freehold_ports::LedgerError::Full
    pub limit_bytes: u64,
    /// A segment is closed at this size, in bytes; closed segments are deleted once drained.
    /// At most a quarter of `limit_bytes` is used.
    pub segment_bytes: u64,
    /// Disk space held back for outcomes of requests that are under way when the disk fills up,
    /// in bytes. At most an eighth of `limit_bytes` is used; 0 holds nothing back.
    pub reserve_bytes: u64,
    /// When records reach the disk itself.
    pub sync: SyncPolicy,
}

impl SpoolSettings {
    /// The usual bounds: 1 GiB in segments of 8 MiB, 4 MiB held back, flushed every 100 ms.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            limit_bytes: 1 << 30,
            segment_bytes: 8 << 20,
            reserve_bytes: 4 << 20,
            sync: SyncPolicy::Every(Duration::from_millis(100)),
        }
    }

    pub(crate) fn segment_limit(&self) -> u64 {
        self.segment_bytes.min(self.limit_bytes / 4).max(1)
    }

    pub(crate) fn reserve_limit(&self) -> u64 {
        self.reserve_bytes.min(self.limit_bytes / 8)
    }
}

/// Everything the ledger needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where the rows are kept.
    pub database: Database,
    /// The spool in front of it.
    pub spool: SpoolSettings,
    /// How long the drainer lets records gather before it writes them in one transaction.
    pub gather: Duration,
    /// At most so many records in one transaction.
    pub batch_records: usize,
    /// How long a statement waits for another process's lock on a SQLite file.
    pub busy_timeout: Duration,
    /// How long a PostgreSQL server may take to be connected to, and to take a batch. One that
    /// hangs is left then, and tried again.
    pub answer_timeout: Duration,
    /// First and longest pause before the database is tried again.
    pub retry: (Duration, Duration),
}

impl StoreSettings {
    /// `ledger.db` and `spool/` in the data directory, with the usual bounds.
    pub fn new(data_dir: impl AsRef<Path>) -> Self {
        let data_dir = data_dir.as_ref();
        Self {
            database: Database::Sqlite(data_dir.join("ledger.db")),
            spool: SpoolSettings::new(data_dir.join("spool")),
            gather: Duration::from_millis(200),
            batch_records: 1_024,
            busy_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(30),
            retry: (Duration::from_millis(100), Duration::from_secs(5)),
        }
    }
}
