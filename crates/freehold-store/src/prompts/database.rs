//! The SQLite file: how it is opened, and the statements that several parts share.
//!
//! Deleted content is overwritten (`secure_delete`), also in pages that stay. What was deleted can
//! still stand in the write-ahead log until it is checkpointed; whoever erases does that and looks.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::PromptError;
use super::keys::{Address, KeyId, KeyKind, Secret};
use super::master::{Keyring, Wrapped};
use crate::home::migration;
use crate::sqlite;

/// In order, and never changed once released.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let prompts = include_str!("../../migrations/prompts/0001_prompts.sql");
    let remarks = include_str!("../../migrations/prompts/0002_remarks.sql");
    Migrator::with_migrations(vec![
        migration(1, "prompts", prompts),
        migration(2, "remarks", remarks),
    ])
});

/// Opens the file, and makes it when it is missing and may be.
pub(crate) async fn open(
    path: &Path,
    busy_timeout: Duration,
    create: bool,
) -> Result<SqliteConnection, PromptError> {
    if create {
        make(path).map_err(PromptError::io("cannot make", path))?;
    } else if !path.exists() {
        return Err(PromptError::Nothing {
            path: path.to_owned(),
        });
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(busy_timeout)
        .journal_mode(SqliteJournalMode::Wal)
        // Samples may be lost with the machine; what was erased must not come back with it, which
        // whoever erases sees to.
        .synchronous(SqliteSynchronous::Normal)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        // Remarks go with the request that they are about.
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        // Sorting must not write text's surroundings to temporary files.
        .pragma("temp_store", "MEMORY")
        .pragma("journal_size_limit", "16777216")
        .pragma("cache_size", "-4096")
        .thread_name(|_| "prompts-sqlite".to_owned())
        .disable_statement_logging();
    sqlite::open(&options, &MIGRATIONS).await
}

/// The log and the index that SQLite keeps beside the file take its mode.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// The files in which SQLite keeps content.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    vec![
        path.to_owned(),
        beside("-wal"),
        beside("-shm"),
        beside("-journal"),
    ]
}

pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// As SQLite's integers.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Runs statements as one: all of them happen, or none. The lock for writing is taken at once.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<(), PromptError> {
    run(connection, "BEGIN IMMEDIATE").await
}

/// Ends what [`begin`] began, in the way that `done` says.
pub(crate) async fn end<T>(
    connection: &mut SqliteConnection,
    done: Result<T, PromptError>,
) -> Result<T, PromptError> {
    let done = match done {
        Ok(value) => run(connection, "COMMIT").await.map(|()| value),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // A failed commit may have rolled back by itself.
        let _ = run(connection, "ROLLBACK").await;
    }
    done
}

pub(crate) async fn run(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), PromptError> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

/// A key as it stands in the table.
pub(crate) struct StoredKey {
    pub(crate) id: KeyId,
    pub(crate) wrapped: Wrapped,
}

impl StoredKey {
    /// The key, under its tenant's.
    pub(crate) fn open(&self, address: &Address, tenant: &Secret) -> Result<Secret, PromptError> {
        let opened = tenant.open(&address.about(self.id), &self.wrapped.bytes);
        let key = opened.and_then(|key| Secret::from_slice(&key));
        key.ok_or_else(|| PromptError::ChangedKey {
            key: self.id.to_string(),
        })
    }

    /// A tenant's key, under the master key.
    pub(crate) fn open_tenant(
        &self,
        address: &Address,
        keyring: &Keyring,
    ) -> Result<Secret, PromptError> {
        keyring.unwrap(address, self.id, &self.wrapped)
    }
}

pub(crate) async fn find_key(
    connection: &mut SqliteConnection,
    address: &Address,
) -> Result<Option<StoredKey>, PromptError> {
    let row: Option<(Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, wrapped_by, wrapped FROM keys WHERE tenant = ? AND kind = ? AND name = ?",
    )
    .bind(&address.tenant)
    .bind(address.kind.as_str())
    .bind(&address.name)
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|(id, by, bytes)| {
        Some(StoredKey {
            id: KeyId::from_slice(&id)?,
            wrapped: Wrapped { by, bytes },
        })
    }))
}

pub(crate) async fn insert_key(
    connection: &mut SqliteConnection,
    address: &Address,
    id: KeyId,
    wrapped: &Wrapped,
) -> Result<(), PromptError> {
    sqlx::query(
        "INSERT INTO keys (id, kind, tenant, name, wrapped_by, wrapped, created_unix_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0.as_slice())
    .bind(address.kind.as_str())
    .bind(&address.tenant)
    .bind(&address.name)
    .bind(&wrapped.by)
    .bind(&wrapped.bytes)
    .bind(integer(now_unix_ms()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Overwrites keys where they stand, and removes them.
pub(crate) async fn shred(
    connection: &mut SqliteConnection,
    keys: &[KeyId],
) -> Result<(), PromptError> {
    for key in keys {
        sqlx::query("UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE id = ?")
            .bind(key.0.as_slice())
            .execute(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM keys WHERE id = ?")
            .bind(key.0.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Moves the write-ahead log into the file and cuts it off. False when a reader holds it.
pub(crate) async fn checkpoint(connection: &mut SqliteConnection) -> Result<bool, PromptError> {
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await?;
    Ok(busy == 0)
}

/// How often something was erased, and when last.
pub(crate) async fn erasures(connection: &mut SqliteConnection) -> Result<(i64, u64), PromptError> {
    let (count, last): (i64, i64) =
        sqlx::query_as("SELECT count, last_unix_ms FROM erasures WHERE id = 1")
            .fetch_one(connection)
            .await?;
    Ok((count, u64::try_from(last).unwrap_or_default()))
}

/// Every tenant's key.
pub(crate) async fn tenants(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, StoredKey)>, PromptError> {
    let rows: Vec<(String, Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "SELECT tenant, id, wrapped_by, wrapped FROM keys WHERE kind = ? ORDER BY tenant",
    )
    .bind(KeyKind::Tenant.as_str())
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(tenant, id, by, bytes)| {
            let key = StoredKey {
                id: KeyId::from_slice(&id)?,
                wrapped: Wrapped { by, bytes },
            };
            Some((tenant, key))
        })
        .collect())
}
