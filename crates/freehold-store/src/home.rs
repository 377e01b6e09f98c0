//! What the drainer asks of a database, so that every home of the ledger behaves alike.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType};
use uuid::Uuid;

use crate::StoreError;
use crate::columns::integer;
use crate::record::Bill;
use crate::spool::SegmentId;

/// Cursors of spools that have not been heard of for so long are dropped: 90 days.
const CURSOR_KEPT_MS: i64 = 90 * 24 * 3_600_000;

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

/// How far each spool has been drained. In the words of both databases, as what follows.
pub(crate) const GET_CURSORS: &str = "SELECT epoch, segment, offset_bytes FROM spool_cursors";

/// A row of [`GET_CURSORS`].
pub(crate) type CursorRow = (String, i64, i64);

/// The rows that can be cursors.
pub(crate) fn cursors(rows: Vec<CursorRow>) -> Vec<Cursor> {
    let cursors = rows.into_iter().filter_map(|(epoch, number, offset)| {
        Some(Cursor {
            segment: SegmentId {
                epoch: Uuid::try_parse(&epoch).ok()?,
                number: u64::try_from(number).ok()?,
            },
            offset: u64::try_from(offset).ok()?,
        })
    });
    cursors.collect()
}

/// Moves a cursor; bound to [`cursor_cells`].
pub(crate) const SET_CURSOR: &str = "
    INSERT INTO spool_cursors (epoch, segment, offset_bytes, updated_unix_ms)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (epoch) DO UPDATE SET segment = excluded.segment,
        offset_bytes = excluded.offset_bytes, updated_unix_ms = excluded.updated_unix_ms";

/// The cells of a cursor: its epoch, segment, offset, and when it was moved.
pub(crate) fn cursor_cells(cursor: Cursor, now_unix_ms: i64) -> (String, [i64; 3]) {
    let (segment, offset) = (integer(cursor.segment.number), integer(cursor.offset));
    let epoch = cursor.segment.epoch.simple().to_string();
    (epoch, [segment, offset, now_unix_ms])
}

/// Forgets a spool's cursor, and those that nobody moved after a time; bound to
/// [`forgotten_cells`].
pub(crate) const FORGET_CURSOR: &str =
    "DELETE FROM spool_cursors WHERE epoch = $1 OR updated_unix_ms < $2";

/// Which cursor to forget, and the time.
pub(crate) fn forgotten_cells(epoch: Uuid) -> (String, i64) {
    let before = integer(now_unix_ms()).saturating_sub(CURSOR_KEPT_MS);
    (epoch.simple().to_string(), before)
}
