//! The ledger's home in one SQLite file.

mod insert;
mod open;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use crate::StoreError;
use crate::columns::integer;
use crate::home::{
    Committed, Connector, Cursor, Entry, FORGET_CURSOR, GET_CURSORS, Home, cursors,
    forgotten_cells, migration, now_unix_ms,
};
use crate::rollup::DimensionBound;

pub(crate) use open::open;

/// In order, and never changed once released: databases remember what was applied.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let ledger = include_str!("../../migrations/sqlite/0001_ledger.sql");
    let teams = include_str!("../../migrations/sqlite/0002_teams_and_days.sql");
    let doubts = include_str!("../../migrations/sqlite/0003_doubts.sql");
    let rollouts = include_str!("../../migrations/sqlite/0004_rollouts.sql");
    let agents = include_str!("../../migrations/sqlite/0005_agents.sql");
    Migrator::with_migrations(vec![
        migration(1, "ledger", ledger),
        migration(2, "teams and days", teams),
        migration(3, "doubts", doubts),
        migration(4, "rollouts", rollouts),
        migration(5, "agents", agents),
    ])
});

/// Opens the database file, and creates it when it is missing.
#[derive(Clone, Debug)]
pub(crate) struct SqliteConnector {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct SqliteHome {
    connection: SqliteConnection,
    path: PathBuf,
    identity: Option<Identity>,
    bound: DimensionBound,
}

impl Connector for SqliteConnector {
    type Home = SqliteHome;

    async fn connect(&self) -> Result<SqliteHome, StoreError> {
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)
                .map_err(StoreError::io("cannot create the directory", dir))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .busy_timeout(self.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is followed by the deletion of the spool segment that it drained, so it
            // must survive a power failure. One flush per batch, off the request path.
            .synchronous(SqliteSynchronous::Full)
            // A long report must not leave a log file that stays large for ever.
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-8192")
            // Of a new database: a row of outcomes takes about 2 KiB.
            .page_size(8_192)
            .thread_name(|_| "ledger-sqlite".to_owned())
            .disable_statement_logging();
        let connection = open::<StoreError>(&options, &MIGRATIONS).await?;
        let identity = Identity::of(&self.path);
        Ok(SqliteHome {
            connection,
            path: self.path.clone(),
            identity,
            bound: DimensionBound::default(),
        })
    }
}

impl SqliteHome {
    /// SQLite goes on writing happily to a file that was deleted or renamed.
    fn check_identity(&self) -> Result<(), StoreError> {
        if Identity::of(&self.path) == self.identity {
            return Ok(());
        }
        Err(StoreError::Replaced {
            path: self.path.clone(),
        })
    }
}

impl Home for SqliteHome {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, StoreError> {
        let rows = sqlx::query_as(GET_CURSORS).fetch_all(&mut self.connection);
        Ok(cursors(rows.await?))
    }

    async fn commit(&mut self, entries: &[Entry], cursor: Cursor) -> Result<Committed, StoreError> {
        self.check_identity()?;
        let now = integer(now_unix_ms());
        let connection = &mut self.connection;
        let committed = insert::commit(connection, entries, cursor, now, &mut self.bound).await?;
        // Replaced while the batch was written: the batch may be in the old file only.
        self.check_identity()?;
        Ok(committed)
    }

    async fn forget(&mut self, epoch: Uuid) -> Result<(), StoreError> {
        let (epoch, before) = forgotten_cells(epoch);
        let query = sqlx::query(FORGET_CURSOR).bind(epoch).bind(before);
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the ledger's database did not close cleanly");
        }
    }
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Elsewhere an open file can be neither deleted nor replaced.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }
}
