//! A connection for reading, to whichever home: statements with values, rows with cells.

use freehold_types::RequestId;
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection};
use uuid::Uuid;

use crate::columns::integer;
use crate::{Database, StoreError, postgres};

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
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        Value::Integer(value) => query.bind(value),
                        Value::Text(value) => query.bind(value),
                        Value::Id(id) => query.bind(id.as_bytes().to_vec()),
                    };
                }
                let mut rows = query.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Cells::new(AnyRow::Sqlite(&row)))?;
                }
            }
            Self::Postgres(connection) => {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        Value::Integer(value) => query.bind(value),
                        // No text in PostgreSQL has this character, so none equals this one.
                        Value::Text(value) => query.bind(postgres::storable(&value).into_owned()),
                        Value::Id(id) => query.bind(Uuid::from_bytes(*id.as_bytes())),
                    };
                }
                let mut rows = query.fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Cells::new(AnyRow::Postgres(&row)))?;
                }
            }
        }
        Ok(())
    }
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
