//! A connection for reading, to whichever home: statements with values, rows with cells.

use std::time::Duration;

use freehold_types::RequestId;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Postgres, Row, Sqlite,
    SqliteConnection,
};
use uuid::Uuid;

use crate::columns::integer;
use crate::home::{Connector as _, Home as _};
use crate::postgres::PostgresConnector;
use crate::sqlite::SqliteConnector;
use crate::{Database, StoreError, postgres};

/// How long somebody else may write, or a server take.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// An open database, read only.
#[derive(Debug)]
pub(crate) enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A statement under way. Only text of this program goes into it; everything else is bound.
#[derive(Debug)]
pub(crate) struct Statement {
    sql: String,
    values: Vec<Value>,
    numbered: bool,
}

#[derive(Debug)]
enum Value {
    Integer(i64),
    Text(String),
    Id(RequestId),
}

impl Statement {
    /// Appends SQL.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(crate) fn bind_integer(&mut self, value: u64) -> &mut Self {
        self.bind(Value::Integer(integer(value)))
    }

    pub(crate) fn bind_text(&mut self, value: String) -> &mut Self {
        self.bind(Value::Text(value))
    }

    pub(crate) fn bind_id(&mut self, value: RequestId) -> &mut Self {
        self.bind(Value::Id(value))
    }

    fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        if self.numbered {
            self.sql.push('$');
            self.sql.push_str(&self.values.len().to_string());
        } else {
            self.sql.push('?');
        }
        self
    }
}

impl Connected {
    /// Connects; `None` when there is no SQLite file.
    pub(crate) async fn open(database: &Database) -> Result<Option<Self>, StoreError> {
        match database {
            Database::Sqlite(path) if !path.exists() => Ok(None),
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .read_only(true)
                    .thread_name(|_| "ledger-reader".to_owned())
                    .disable_statement_logging();
                Ok(Some(Self::Sqlite(options.connect().await?)))
            }
            Database::Postgres(address) => {
                let connection = postgres::connect(address).await?;
                Ok(Some(Self::Postgres(connection)))
            }
        }
    }

    /// Connects to read and to write; makes what is missing.
    pub(crate) async fn open_for_writing(database: &Database) -> Result<Self, StoreError> {
        // Migrations run as the drainer runs them: on a thread of their own.
        let prepared = tokio::task::spawn_blocking({
            let database = database.clone();
            move || prepare(&database)
        });
        prepared.await.unwrap_or(Err(StoreError::TimedOut {
            action: "preparing the database",
            within_s: 0,
        }))?;
        match database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .busy_timeout(WAIT_MAX)
                    .thread_name(|_| "rollouts".to_owned())
                    .disable_statement_logging();
                Ok(Self::Sqlite(options.connect().await?))
            }
            Database::Postgres(address) => {
                let connection = postgres::connect(address).await?;
                Ok(Self::Postgres(connection))
            }
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        // SQLite would otherwise find out late that somebody else writes.
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.execute(self.statement(begin)).await?;
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.execute(self.statement("COMMIT")).await?;
        Ok(())
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        let Statement { sql, values, .. } = statement;
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => {
                let query = bound_to_sqlite(sqlx::query(sql), values);
                Ok(query.execute(connection).await?.rows_affected())
            }
            Self::Postgres(connection) => {
                let query = bound_to_postgres(sqlx::query(sql), values);
                Ok(query.execute(connection).await?.rows_affected())
            }
        }
    }

    /// From now on everything is read as of one moment.
    pub(crate) async fn snapshot(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::query("BEGIN").execute(connection).await?;
            }
            Self::Postgres(connection) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                sqlx::query(begin).execute(connection).await?;
            }
        }
        Ok(())
    }

    /// Lets go of the database.
    pub(crate) async fn close(self) {
        let closed = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a connection to the ledger's database did not close cleanly");
        }
    }

    /// A statement in this database's manner.
    pub(crate) fn statement(&self, sql: &str) -> Statement {
        Statement {
            sql: sql.to_owned(),
            values: Vec::new(),
            numbered: matches!(self, Self::Postgres(_)),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Runs a statement and hands over its rows, one after the other.
    pub(crate) async fn each(
        &mut self,
        statement: Statement,
        mut take: impl FnMut(&mut Cells<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        let Statement { sql, values, .. } = statement;
        // Only `push` and `bind` above make the text.
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => {
                let query = bound_to_sqlite(sqlx::query(sql), values);
                let mut rows = query.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Cells::new(AnyRow::Sqlite(&row)))?;
                }
            }
            Self::Postgres(connection) => {
                let query = bound_to_postgres(sqlx::query(sql), values);
                let mut rows = query.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Cells::new(AnyRow::Postgres(&row)))?;
                }
            }
        }
        Ok(())
    }
}

/// Makes the database and its tables, where they are missing.
fn prepare(database: &Database) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Database(sqlx::Error::Io(error)))?;
    runtime.block_on(async {
        match database {
            Database::Sqlite(path) => {
                let connector = SqliteConnector {
                    path: path.clone(),
                    busy_timeout: WAIT_MAX,
                };
                connector.connect().await?.close().await;
            }
            Database::Postgres(address) => {
                let connector = PostgresConnector {
                    address: address.clone(),
                    answer_timeout: WAIT_MAX,
                };
                connector.connect().await?.close().await;
            }
        }
        Ok(())
    })
}

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;
type PostgresQuery<'q> = Query<'q, Postgres, PgArguments>;

fn bound_to_sqlite(mut query: SqliteQuery<'_>, values: Vec<Value>) -> SqliteQuery<'_> {
    for value in values {
        query = match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Id(id) => query.bind(id.as_bytes().to_vec()),
        };
    }
    query
}

fn bound_to_postgres(mut query: PostgresQuery<'_>, values: Vec<Value>) -> PostgresQuery<'_> {
    for value in values {
        query = match value {
            Value::Integer(value) => query.bind(value),
            // No text in PostgreSQL has this character, so none equals this one.
            Value::Text(value) => query.bind(postgres::storable(&value).into_owned()),
            Value::Id(id) => query.bind(Uuid::from_bytes(*id.as_bytes())),
        };
    }
    query
}

/// The cells of a row, one after the other.
pub(crate) struct Cells<'a> {
    row: AnyRow<'a>,
    next: usize,
}

enum AnyRow<'a> {
    Sqlite(&'a SqliteRow),
    Postgres(&'a PgRow),
}

impl<'a> Cells<'a> {
    fn new(row: AnyRow<'a>) -> Self {
        Self { row, next: 0 }
    }

    fn at(&mut self) -> usize {
        let at = self.next;
        self.next += 1;
        at
    }

    /// A text; `None` for NULL and for `''`, which stands for "none" in sums.
    pub(crate) fn text(&mut self) -> Result<Option<String>, sqlx::Error> {
        let at = self.at();
        let text: Option<String> = match self.row {
            AnyRow::Sqlite(row) => row.try_get(at)?,
            AnyRow::Postgres(row) => row.try_get(at)?,
        };
        Ok(text.filter(|text| !text.is_empty()))
    }

    pub(crate) fn integer(&mut self) -> Result<Option<i64>, sqlx::Error> {
        let at = self.at();
        match self.row {
            AnyRow::Sqlite(row) => row.try_get(at),
            AnyRow::Postgres(row) => row.try_get(at),
        }
    }

    /// A number that is never negative; NULL counts as nothing.
    pub(crate) fn count(&mut self) -> Result<u64, sqlx::Error> {
        let count = self.integer()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(crate) fn id(&mut self) -> Result<Uuid, sqlx::Error> {
        let at = self.at();
        match self.row {
            AnyRow::Sqlite(row) => row.try_get(at),
            AnyRow::Postgres(row) => row.try_get(at),
        }
    }
}
