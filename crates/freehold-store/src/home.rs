//! What the drainer asks of a database, so that every home of the ledger behaves alike.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType};
use uuid::Uuid;

use crate::StoreError;
use crate::record::Bill;
use crate::spool::SegmentId;

/// Cursors of spools that have not been heard of for so long are dropped: 90 days.
pub(crate) const CURSOR_KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// An outcome on its way from the spool into a database.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) bill: Bill,
    /// The record as it lay in the spool: the whole outcome as JSON.
    pub(crate) detail: Arc<str>,
    /// Where the record lay, to set it aside if the database does not take it.
    pub(crate) offset: u64,
}

/// How far a spool has been drained: everything before is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) inserted: u64,
    /// Already there.
    pub(crate) duplicates: u64,
    /// Indices of entries that the database will never take, with its reason.
    pub(crate) rejected: Vec<(usize, String)>,
}

/// A way to a database that may be away.
pub(crate) trait Connector: Send + 'static {
    type Home: Home;

    /// Connects, and brings the schema up to date. Safe when several processes do it at once.
    async fn connect(&self) -> Result<Self::Home, StoreError>;
}

/// A connected database.
pub(crate) trait Home {
    /// How far each spool has been drained.
    async fn cursors(&mut self) -> Result<Vec<Cursor>, StoreError>;

    /// Takes a batch and the cursor behind it in one transaction; outcomes that are there already
    /// are left alone. On an error nothing has happened, or everything: the cursor tells.
    async fn commit(&mut self, entries: &[Entry], cursor: Cursor) -> Result<Committed, StoreError>;

    /// Forgets the cursor of a spool that is gone.
    async fn forget(&mut self, epoch: Uuid) -> Result<(), StoreError>;

    /// Disconnects in order.
    async fn close(self);
}

/// One step of a schema. What it is told by (version, description, checksum of the text) is what
/// `sqlx::migrate!` would make of the file.
pub(crate) fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    let kind = MigrationType::Simple;
    Migration::new(version, description.into(), kind, sql.into_sql_str(), false)
}

pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
