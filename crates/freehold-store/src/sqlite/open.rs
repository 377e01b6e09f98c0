//! Opening a database file that others open at the same moment.
//!
//! SQLite's own patience (`busy_timeout`) does not cover that: where two connections turn the same
//! new file to write-ahead logging, or one closes it as the last, the loser is told "database is
//! locked" at once, as waiting could be a deadlock
//! (<https://www.sqlite.org/c3ref/busy_handler.html>). Nor has it a lock for migrations: what one
//! of two has made is in the way of the other, and seen the next time.

use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

/// No other attempt begins later than this after the first. An attempt that waited out its
/// `busy_timeout` met somebody who keeps the file, and is the last when that is longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between attempts; as much again is added by chance, so that losers part.
const PAUSE: Duration = Duration::from_millis(25);

/// Opens the database file and brings its tables up to date.
///
/// # Errors
///
/// Where it stays locked, cannot be opened, or a migration fails for good.
pub(crate) async fn open<E>(
    options: &SqliteConnectOptions,
    migrations: &Migrator,
) -> Result<SqliteConnection, E>
where
    E: From<sqlx::Error> + From<MigrateError>,
{
    let begun = Instant::now();
    let attempt = || async {
        let mut connection = options.connect().await?;
        migrations.run(&mut connection).await?;
        Ok(connection)
    };
    let pauses = ConstantBuilder::new()
        .with_delay(PAUSE)
        .with_jitter()
        .without_max_times();
    let opened: Result<_, Failure> = attempt
        .retry(pauses)
        .when(|failure: &Failure| failure.may_pass() && begun.elapsed() < PATIENCE)
        .notify(|failure, _| tracing::debug!(?failure, "a database file is opened again"))
        .await;
    opened.map_err(|failure| match failure {
        Failure::Connect(error) => error.into(),
        Failure::Migrate(error) => error.into(),
    })
}

#[derive(Debug)]
enum Failure {
    Connect(sqlx::Error),
    Migrate(MigrateError),
}

impl Failure {
    /// Whether another connection was in the way.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => code(error) == Some(SQLITE_BUSY),
            Self::Migrate(
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
            ) => {
                // It has made the table, or noted the migration, between our look and our step.
                matches!(
                    code(error),
                    Some(SQLITE_BUSY | SQLITE_ERROR | SQLITE_CONSTRAINT)
                )
            }
            Self::Migrate(_) => false,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Connect(error)
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(error)
    }
}

const SQLITE_ERROR: u32 = 1;
const SQLITE_BUSY: u32 = 5;
const SQLITE_CONSTRAINT: u32 = 19;

/// The primary result code, which extended ones have in their lowest byte
/// (<https://www.sqlite.org/rescode.html>).
fn code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    let code: u32 = code.parse().ok()?;
    Some(code & 0xff)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Barrier;
    use std::thread;

    use sqlx::Connection;
    use sqlx::sqlite::SqliteJournalMode;

    use super::*;
    use crate::StoreError;
    use crate::home::migration;

    const AT_ONCE: usize = 8;

    fn open_and_close(path: &Path, together: &Barrier) -> Result<(), StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let migrations = Migrator::with_migrations(vec![
            migration(1, "one", "CREATE TABLE one (id INTEGER)"),
            migration(2, "two", "CREATE TABLE two (id INTEGER)"),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        together.wait();
        runtime.block_on(async {
            let connection = open::<StoreError>(&options, &migrations).await?;
            connection.close().await?;
            Ok(())
        })
    }

    #[test]
    fn a_new_file_opens_for_all_who_come_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = dir.path().join(format!("{round}.db"));
            let together = Barrier::new(AT_ONCE);
            thread::scope(|scope| {
                let opening: Vec<_> = (0..AT_ONCE)
                    .map(|_| scope.spawn(|| open_and_close(&path, &together)))
                    .collect();
                for one in opening {
                    one.join().unwrap().unwrap();
                }
            });
        }
    }

    #[tokio::test]
    async fn what_nobody_else_does_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no.db");
        std::fs::write(
            &path,
            "no database at all, but long enough to be taken for one",
        )
        .unwrap();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal);
        let failure = Failure::from(options.connect().await.unwrap_err());
        assert!(!failure.may_pass(), "{failure:?}");
        let options = SqliteConnectOptions::new().filename(dir.path());
        let failure = Failure::from(options.connect().await.unwrap_err());
        assert!(!failure.may_pass(), "{failure:?}");
    }
}
