//! One batch, one transaction: outcomes, their sums, and the cursor.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection, Sqlite, SqliteConnection};

use crate::StoreError;
use crate::columns::{
    Cell, DIMENSION_COLUMNS, OUTCOME_COLUMNS, SUMS, UsageCells, UsageTable, outcome_cells,
    sum_columns,
};
use crate::home::{Committed, Cursor, Entry, SET_CURSOR, cursor_cells};
use crate::rollup::{DimensionBound, Rollup, add_outcome, by_day};

type Bound = Query<'static, Sqlite, SqliteArguments>;

/// Rows per statement: large ones for speed, and the remainder in small ones. Few sizes, so that
/// every statement is prepared once. The larger they are, the longer requests on the same core wait.
const CHUNKS: [usize; 3] = [16, 4, 1];

static INSERTS: LazyLock<[&'static str; 3]> =
    LazyLock::new(|| CHUNKS.map(|rows| &*insert_outcomes(rows).leak()));

/// The insert for one of the [`CHUNKS`].
fn insert_statement(chunk: usize) -> Option<&'static str> {
    INSERTS.get(chunk).copied()
}

fn insert_outcomes(rows: usize) -> String {
    let row = format!("({})", vec!["?"; OUTCOME_COLUMNS.len()].join(","));
    format!(
        "INSERT INTO outcomes ({}) VALUES {} ON CONFLICT (id) DO NOTHING",
        OUTCOME_COLUMNS.map(|(name, _)| name).join(","),
        vec![row; rows].join(","),
    )
}

/// Adds one row of sums to one of the [`UsageTable`]s.
static UPSERTS: LazyLock<[&'static str; 2]> =
    LazyLock::new(|| UsageTable::ALL.map(|table| &*upsert_statement(table).leak()));

fn upsert_statement(table: UsageTable) -> String {
    let (name, time) = (table.name(), table.time_column());
    let dimensions = DIMENSION_COLUMNS.join(",");
    let sums: Vec<_> = sum_columns().collect();
    let marks = vec!["?"; 1 + DIMENSION_COLUMNS.len() + SUMS].join(",");
    format!(
        "INSERT INTO {name} ({time},{dimensions},{}) VALUES ({marks})
         ON CONFLICT ({time},{dimensions}) DO UPDATE SET {}",
        sums.join(","),
        table.updates("min", "max"),
    )
}

/// Inserts a batch. Nearly always all of it is new, and then many rows go in one statement; when
/// some are there already, or the database objects to one, it is done again row by row.
pub(crate) async fn commit(
    connection: &mut SqliteConnection,
    entries: &[Entry],
    cursor: Cursor,
    now_unix_ms: i64,
    bound: &mut DimensionBound,
) -> Result<Committed, StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let all_new = match insert_chunks(&mut transaction, entries).await {
        Err(error) if is_about_the_row(&error) => false,
        other => other?,
    };
    let (committed, rollup) = if all_new {
        let committed = Committed {
            inserted: entries.len() as u64,
            ..Committed::default()
        };
        (committed, sum(entries.iter()))
    } else {
        transaction.rollback().await?;
        transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        insert_rows(&mut transaction, entries).await?
    };
    let hours = bound.fold(rollup);
    let days = by_day(&hours);
    for (rows, statement) in [hours, days].iter().zip(*UPSERTS) {
        let mut rows: Vec<_> = rows
            .iter()
            .map(|(at, sums)| UsageCells::new(at, sums))
            .collect();
        // Neighbours in the table are written one after the other.
        rows.sort_unstable();
        for row in &rows {
            upsert(statement, row).execute(&mut *transaction).await?;
        }
    }
    set_cursor(cursor, now_unix_ms)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(committed)
}

/// True when every row was new.
async fn insert_chunks(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<bool, sqlx::Error> {
    let mut texts = Texts::default();
    let mut rest = entries;
    for (chunk, rows) in CHUNKS.into_iter().enumerate() {
        while let Some((now, later)) = rest.split_at_checked(rows) {
            let Some(mut query) = insert_statement(chunk).map(sqlx::query) else {
                break;
            };
            for entry in now {
                query = bind_outcome(query, entry, &mut texts);
            }
            let done = query.execute(&mut *connection).await?;
            if done.rows_affected() != rows as u64 {
                return Ok(false);
            }
            rest = later;
        }
    }
    Ok(true)
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(Committed, Rollup), StoreError> {
    let mut texts = Texts::default();
    let mut committed = Committed::default();
    let mut rollup = Rollup::default();
    let Some(statement) = insert_statement(CHUNKS.len() - 1) else {
        return Ok((committed, rollup));
    };
    for (index, entry) in entries.iter().enumerate() {
        let done = bind_outcome(sqlx::query(statement), entry, &mut texts)
            .execute(&mut *connection)
            .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => committed.duplicates += 1,
            Ok(_) => {
                committed.inserted += 1;
                add_outcome(&mut rollup, &entry.bill.outcome);
            }
            Err(error) if is_about_the_row(&error) => {
                committed.rejected.push((index, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((committed, rollup))
}

fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> Rollup {
    let mut rollup = Rollup::default();
    for entry in entries {
        add_outcome(&mut rollup, &entry.bill.outcome);
    }
    rollup
}

/// True when another row may well be taken: too big, or against a constraint.
fn is_about_the_row(error: &sqlx::Error) -> bool {
    const TOO_BIG: i64 = 18;
    const CONSTRAINT: i64 = 19;
    const MISMATCH: i64 = 20;
    let Some(code) = error.as_database_error().and_then(|error| error.code()) else {
        return false;
    };
    let primary = code.parse::<i64>().map(|code| code & 0xff);
    matches!(primary, Ok(TOO_BIG | CONSTRAINT | MISMATCH))
}

/// Texts that many rows of a batch share, each allocated once.
#[derive(Default)]
struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

fn bind_outcome(mut query: Bound, entry: &Entry, texts: &mut Texts) -> Bound {
    for cell in outcome_cells(entry) {
        query = match cell {
            Cell::Id(id) => query.bind(id.as_bytes().to_vec()),
            Cell::Integer(value) => query.bind(value),
            Cell::Real(value) => query.bind(value),
            Cell::Boolean(value) => query.bind(value),
            Cell::Text(text) => query.bind(text.map(|text| texts.get(text))),
            Cell::Detail(detail) => query.bind(Arc::clone(detail)),
        };
    }
    query
}

fn upsert(statement: &'static str, row: &UsageCells<'_>) -> Bound {
    let mut query = sqlx::query(statement).bind(row.time_unix_ms);
    for text in row.texts {
        query = query.bind(text.to_owned());
    }
    for sum in row.sums {
        query = query.bind(sum);
    }
    query
}

fn set_cursor(cursor: Cursor, now_unix_ms: i64) -> Bound {
    let (epoch, [segment, offset, now_unix_ms]) = cursor_cells(cursor, now_unix_ms);
    let query = sqlx::query(SET_CURSOR).bind(epoch).bind(segment);
    query.bind(offset).bind(now_unix_ms)
}
