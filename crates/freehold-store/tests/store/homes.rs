//! The same tests for both homes of the ledger, each with a database of its own.

use std::path::{Path, PathBuf};

use freehold_store::{Database, DurableLedger, Reader, StoreSettings, UsageQuery};
use freehold_testkit::postgres::Server;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::common::settings;

/// Makes of every function a test with a SQLite file and a test with a PostgreSQL server.
macro_rules! on_both_homes {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::homes::Home::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::homes::Home::postgres()).await;
            })+
        }
    };
}
pub(crate) use on_both_homes;

/// An empty database, and directories for the spools of gateways.
pub(crate) struct Home {
    dir: TempDir,
    /// Of the database on the shared server.
    server: Option<(&'static Server, String)>,
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            server: None,
        }
    }

    pub(crate) fn postgres() -> Self {
        let server = Server::shared();
        Self {
            dir: tempfile::tempdir().unwrap(),
            server: Some((server, server.database().unwrap())),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self) -> PathBuf {
        self.dir().join("ledger.db")
    }

    /// What names the database on a command line.
    pub(crate) fn url(&self) -> String {
        match &self.server {
            None => format!("sqlite:{}", self.file().display()),
            Some((server, name)) => server.url(name),
        }
    }

    pub(crate) fn database(&self) -> Database {
        self.url().parse().unwrap()
    }

    /// Settings of the only gateway.
    pub(crate) fn settings(&self) -> StoreSettings {
        self.settings_of("gateway")
    }

    /// Settings of one gateway of several, with a spool of its own.
    pub(crate) fn settings_of(&self, gateway: &str) -> StoreSettings {
        let mut settings = settings(&self.dir().join(gateway));
        settings.database = self.database();
        settings
    }

    pub(crate) fn open(&self) -> DurableLedger {
        DurableLedger::open(self.settings()).unwrap()
    }

    /// Answers from the spool alone.
    pub(crate) fn only_spool(&self) -> Reader {
        Reader::open(self.dir().join("none.db"), &self.settings().spool.dir)
    }

    /// Makes a database that is not used yet one that cannot be used.
    pub(crate) fn take_away(&self) {
        match &self.server {
            // Nothing can be opened or created at a directory's place.
            None => std::fs::create_dir(self.file()).unwrap(),
            Some((server, name)) => {
                let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
                server.sql("postgres", &sql).unwrap();
            }
        }
    }

    /// What the ledger says of a database that was taken away.
    pub(crate) fn complaint(&self) -> &'static str {
        match self.server {
            None => "unable to open",
            Some(_) => "not currently accepting connections",
        }
    }

    pub(crate) fn bring_back(&self) {
        match &self.server {
            None => std::fs::remove_dir(self.file()).unwrap(),
            Some((server, name)) => {
                let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
                server.sql("postgres", &sql).unwrap();
            }
        }
    }

    /// A connection of another program.
    pub(crate) async fn connect(&self) -> Other {
        match &self.server {
            None => Other::Sqlite(
                SqliteConnectOptions::new()
                    .filename(self.file())
                    .connect()
                    .await
                    .unwrap(),
            ),
            Some(_) => Other::Postgres(PgConnection::connect(&self.url()).await.unwrap()),
        }
    }

    /// The number that a statement answers, asked by the driver alone.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.connect().await {
            Other::Sqlite(mut other) => {
                sqlx::query_scalar(sql).fetch_one(&mut other).await.unwrap()
            }
            Other::Postgres(mut other) => {
                sqlx::query_scalar(sql).fetch_one(&mut other).await.unwrap()
            }
        }
    }

    /// How many outcomes the database itself holds.
    pub(crate) async fn rows(&self) -> u64 {
        let rows = self.number("SELECT count(*) FROM outcomes").await;
        u64::try_from(rows).unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.server.is_some()
    }
}

/// Another program's connection to the database.
pub(crate) enum Other {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Other {
    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => drop(sql.execute(connection).await.unwrap()),
            Self::Postgres(connection) => drop(sql.execute(connection).await.unwrap()),
        }
    }
}

/// How many outcomes a SQLite file holds.
pub(crate) async fn rows_in(file: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM outcomes")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// How many requests the whole ledger counts.
pub(crate) async fn requests(ledger: &DurableLedger) -> u64 {
    let report = ledger.reader().usage(&UsageQuery::default()).await.unwrap();
    report.totals.requests
}

/// The sums by hour and by day must say what the outcomes say.
pub(crate) async fn assert_sums_are_of_the_outcomes(home: &Home) {
    let outcomes = home
        .number("SELECT CAST(count(*) * 1000000 + sum(input_tokens) AS BIGINT) FROM outcomes")
        .await;
    for table in ["usage_hourly", "usage_daily"] {
        let sums = format!(
            "SELECT CAST(sum(requests) * 1000000 + sum(input_tokens) AS BIGINT) FROM {table}"
        );
        assert_eq!(home.number(&sums).await, outcomes, "{table}");
    }
}
