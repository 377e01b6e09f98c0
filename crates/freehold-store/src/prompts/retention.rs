//! Expiry: the keys of an hour that is over are shredded at once, rows go in small batches later.
//!
//! Everything of a tenant that expires in the same hour needs one key more, the hour's. When the hour
//! is over, that one row is overwritten, and all of it is unreadable, however many rows there are and
//! however long their deletion takes.

use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use super::database::{begin, checkpoint, end, integer, now_unix_ms, run, shred};
use super::keys::KeyId;
use super::{PromptError, PromptSettings};

const HOUR_MS: u64 = 3_600_000;
/// So many keys are shredded in one transaction.
const KEYS: i64 = 500;
/// A key of a subject or conversation without rows is kept so long: rows may be on their way.
const UNUSED_KEPT_MS: u64 = HOUR_MS;
/// The file is shrunk when more than this share of it is free, by so many pages at a time.
const FREE_SHARE: i64 = 4;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Shred the keys of hours that are over.
    Keys,
    /// Delete rows that have expired.
    Rows,
    /// Delete rows whose keys are gone, from this sequence on: an erasure was killed on its way.
    Orphans(i64),
    /// Forget keys that no row needs.
    Unused,
    /// Give pages back.
    Shrink,
    /// Nothing until then.
    Rest(Instant),
}

/// Deletes what has expired, one small step at a time.
#[derive(Debug)]
pub(crate) struct Retention {
    task: Task,
    rows: i64,
    interval: Duration,
    /// Whether rows whose keys are gone are to be looked for.
    orphans: bool,
}

impl Retention {
    /// Begins at once.
    pub(crate) fn new(settings: &PromptSettings) -> Self {
        Self {
            task: Task::Keys,
            rows: settings.purge_rows.max(1).into(),
            interval: settings.purge_interval,
            orphans: true,
        }
    }

    /// True in the middle of a round.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.task, Task::Rest(_))
    }

    pub(crate) fn is_due(&self) -> bool {
        match self.task {
            Task::Rest(until) => Instant::now() >= until,
            _ => true,
        }
    }

    pub(crate) fn look_for_orphans(&mut self) {
        self.orphans = true;
    }

    /// One small step; returns how many rows it deleted.
    pub(crate) async fn step(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<u64, PromptError> {
        let (next, deleted) = match self.task {
            Task::Keys | Task::Rest(_) => (expire_keys(connection).await?, 0),
            Task::Rows => {
                let deleted = delete_expired(connection, self.rows).await?;
                let more = deleted == self.rows.unsigned_abs();
                let next = match more {
                    true => Task::Rows,
                    false if std::mem::take(&mut self.orphans) => Task::Orphans(0),
                    false => Task::Unused,
                };
                (next, deleted)
            }
            Task::Orphans(from) => {
                let deleted = delete_orphans(connection, from, self.rows).await?;
                let (last,): (i64,) =
                    sqlx::query_as("SELECT coalesce(max(sequence), 0) FROM prompts")
                        .fetch_one(&mut *connection)
                        .await?;
                let to = from + self.rows;
                let next = if to > last {
                    Task::Unused
                } else {
                    Task::Orphans(to)
                };
                (next, deleted)
            }
            Task::Unused => {
                let forgotten = forget_unused(connection).await?;
                let next = if forgotten < KEYS.unsigned_abs() {
                    Task::Shrink
                } else {
                    Task::Unused
                };
                (next, 0)
            }
            Task::Shrink => {
                let next = if shrink(connection).await? {
                    Task::Shrink
                } else {
                    Task::Rest(Instant::now() + self.interval)
                };
                (next, 0)
            }
        };
        self.task = next;
        Ok(deleted)
    }
}

async fn expire_keys(connection: &mut SqliteConnection) -> Result<Task, PromptError> {
    let hour = now_unix_ms() / HOUR_MS;
    let keys = ids(sqlx::query_as(
        "SELECT id FROM keys WHERE kind = 'expiry' AND name <= ? LIMIT ?",
    )
    .bind(hour.to_be_bytes().as_slice())
    .bind(KEYS)
    .fetch_all(&mut *connection)
    .await?);
    if keys.is_empty() {
        return Ok(Task::Rows);
    }
    begin(connection).await?;
    let done = shred(connection, &keys).await;
    end(connection, done).await?;
    // A reader may hold the log; the next round tries again.
    checkpoint(connection).await?;
    Ok(if keys.len() < usize::try_from(KEYS).unwrap_or_default() {
        Task::Rows
    } else {
        Task::Keys
    })
}

async fn delete_expired(connection: &mut SqliteConnection, rows: i64) -> Result<u64, PromptError> {
    let deleted = sqlx::query(
        "DELETE FROM prompts WHERE sequence IN \
         (SELECT sequence FROM prompts WHERE expires_unix_ms <= ? LIMIT ?)",
    )
    .bind(integer(now_unix_ms()))
    .bind(rows)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes rows of a range of sequences whose keys are gone.
pub(crate) async fn delete_orphans(
    connection: &mut SqliteConnection,
    from: i64,
    rows: i64,
) -> Result<u64, PromptError> {
    let deleted = sqlx::query(
        "DELETE FROM prompts WHERE sequence > ? AND sequence <= ? AND ( \
         expiry_key NOT IN (SELECT id FROM keys) \
         OR (subject_key IS NOT NULL AND subject_key NOT IN (SELECT id FROM keys)) \
         OR (conversation_key IS NOT NULL AND conversation_key NOT IN (SELECT id FROM keys)))",
    )
    .bind(from)
    .bind(from.saturating_add(rows))
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

async fn forget_unused(connection: &mut SqliteConnection) -> Result<u64, PromptError> {
    let before = integer(now_unix_ms().saturating_sub(UNUSED_KEPT_MS));
    let unused = ids(sqlx::query_as(
        "SELECT id FROM keys k WHERE created_unix_ms < ? AND ( \
             (kind = 'subject' AND NOT EXISTS (SELECT 1 FROM prompts WHERE subject_key = k.id)) \
             OR (kind = 'conversation' AND NOT EXISTS \
             (SELECT 1 FROM prompts WHERE conversation_key = k.id))) LIMIT ?",
    )
    .bind(before)
    .bind(KEYS)
    .fetch_all(&mut *connection)
    .await?);
    begin(connection).await?;
    let done = shred(connection, &unused).await;
    end(connection, done).await?;
    Ok(unused.len() as u64)
}

/// Gives some pages back to the file system; false when there are few.
async fn shrink(connection: &mut SqliteConnection) -> Result<bool, PromptError> {
    let (pages,): (i64,) = sqlx::query_as("PRAGMA page_count")
        .fetch_one(&mut *connection)
        .await?;
    let (free,): (i64,) = sqlx::query_as("PRAGMA freelist_count")
        .fetch_one(&mut *connection)
        .await?;
    if free < 256 || free < pages / FREE_SHARE {
        return Ok(false);
    }
    run(connection, "PRAGMA incremental_vacuum(256)").await?;
    Ok(true)
}

fn ids(rows: Vec<(Vec<u8>,)>) -> Vec<KeyId> {
    let ids = rows.into_iter();
    ids.filter_map(|(id,)| KeyId::from_slice(&id)).collect()
}
