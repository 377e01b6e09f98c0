//! One batch, one transaction: outcomes, their sums, and the cursor.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres, query_scalar};
use uuid::Uuid;

use super::{is_about_the_row, storable};
use crate::StoreError;
use crate::columns::{
    Cell, DIMENSION_COLUMNS, Kind, OUTCOME_COLUMNS, SUMS, UsageCells, UsageTable, outcome_cells,
    sum_columns,
};
use crate::home::{Committed, Cursor, Entry, SET_CURSOR, cursor_cells};
use crate::rollup::{DimensionBound, Rollup, add_outcome, by_day};

type Bound = Query<'static, Postgres, PgArguments>;

/// Takes all rows of a batch at once, one array a column, and tells which were new.
static INSERT: LazyLock<&'static str> = LazyLock::new(|| {
    let arrays = OUTCOME_COLUMNS
        .iter()
        .enumerate()
        .map(|(index, (_, kind))| {
            let sql = match kind {
                Kind::Id => "uuid",
                Kind::Integer => "bigint",
                Kind::Real => "double precision",
                Kind::Boolean => "boolean",
                Kind::Text => "text",
            };
            format!("${}::{sql}[]", index + 1)
        });
    format!(
        "INSERT INTO outcomes ({}) SELECT * FROM UNNEST({})
         ON CONFLICT (id) DO NOTHING RETURNING id",
        OUTCOME_COLUMNS.map(|(name, _)| name).join(","),
        arrays.collect::<Vec<_>>().join(","),
    )
    .leak()
});

/// Adds rows of sums to one of the [`UsageTable`]s.
static UPSERTS: LazyLock<[&'static str; 2]> =
    LazyLock::new(|| UsageTable::ALL.map(|table| &*upsert_statement(table).leak()));

fn upsert_statement(table: UsageTable) -> String {
    let (name, time) = (table.name(), table.time_column());
    let kinds = std::iter::once("bigint")
        .chain(["bytea"])
        .chain([("text"); DIMENSION_COLUMNS.len()])
        .chain(["bigint"; SUMS]);
    let arrays = kinds
        .enumerate()
        .map(|(index, kind)| format!("${}::{kind}[]", index + 1));
    format!(
        "INSERT INTO {name} ({time},digest,{},{}) SELECT * FROM UNNEST({})
         ON CONFLICT ({time},digest) DO UPDATE SET {}",
        DIMENSION_COLUMNS.join(","),
        sum_columns().collect::<Vec<_>>().join(","),
        arrays.collect::<Vec<_>>().join(","),
        table.updates("LEAST", "GREATEST"),
    )
}

/// Inserts a batch. Nearly always the database takes all of it; when it objects to a row, that one
/// is looked for.
pub(super) async fn commit(
    connection: &mut PgConnection,
    entries: &[Entry],
    cursor: Cursor,
    now_unix_ms: i64,
    bound: &mut DimensionBound,
) -> Result<Committed, StoreError> {
    // What the database's default is does not matter: a batch sees what others have committed.
    const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";
    let mut committed = Committed::default();
    let mut new = HashSet::new();
    let mut transaction = connection.begin_with(BEGIN).await?;
    match insert(&mut transaction, entries).await {
        Ok(ids) => new.extend(ids),
        Err(error) if is_about_the_row(&error) => {
            transaction.rollback().await?;
            transaction = connection.begin_with(BEGIN).await?;
            committed.rejected = insert_in_parts(&mut transaction, entries, &mut new).await?;
        }
        Err(error) => return Err(error.into()),
    }
    committed.inserted = new.len() as u64;
    committed.duplicates = (entries.len() - new.len() - committed.rejected.len()) as u64;
    let mut rollup = Rollup::default();
    for entry in entries {
        // Of an outcome that is in the batch twice, the first was taken.
        if new.remove(&Uuid::from_bytes(*entry.bill.outcome.id.as_bytes())) {
            add_outcome(&mut rollup, &entry.bill.outcome);
        }
    }
    let hours = bound.fold(rollup);
    let days = by_day(&hours);
    for (rows, statement) in [hours, days].iter().zip(*UPSERTS) {
        if !rows.is_empty() {
            upsert(statement, rows).execute(&mut *transaction).await?;
        }
    }
    set_cursor(cursor, now_unix_ms)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(committed)
}

/// Inserts rows; returns the ids of those that are new.
async fn insert(
    connection: &mut PgConnection,
    entries: &[Entry],
) -> Result<Vec<Uuid>, sqlx::Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns: Vec<Column<'_>> = OUTCOME_COLUMNS
        .iter()
        .map(|(_, kind)| Column::new(*kind, entries.len()))
        .collect();
    for entry in entries {
        for (column, cell) in columns.iter_mut().zip(outcome_cells(entry)) {
            column.push(cell);
        }
    }
    let mut query = query_scalar(*INSERT);
    for column in columns {
        query = match column {
            Column::Ids(values) => query.bind(values),
            Column::Integers(values) => query.bind(values),
            Column::Reals(values) => query.bind(values),
            Column::Booleans(values) => query.bind(values),
            Column::Texts(values) => query.bind(values),
        };
    }
    query.fetch_all(connection).await
}

/// Inserts rows to some of which the database objects: halves what it does not take until only
/// those are left. Returns their indices, with the database's reasons.
async fn insert_in_parts(
    connection: &mut PgConnection,
    entries: &[Entry],
    new: &mut HashSet<Uuid>,
) -> Result<Vec<(usize, String)>, StoreError> {
    let mut rejected = Vec::new();
    // The first part is on top, so that rows are taken in their order.
    let mut parts = vec![(0, entries)];
    while let Some((start, part)) = parts.pop() {
        let mut savepoint = connection.begin().await?;
        match insert(&mut savepoint, part).await {
            Ok(ids) => {
                savepoint.commit().await?;
                new.extend(ids);
            }
            Err(error) if is_about_the_row(&error) => {
                savepoint.rollback().await?;
                if part.len() == 1 {
                    rejected.push((start, error.to_string()));
                } else {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.push((start + left.len(), right));
                    parts.push((start, left));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rejected)
}

/// The values of one column.
enum Column<'a> {
    Ids(Vec<Uuid>),
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Booleans(Vec<bool>),
    Texts(Vec<Option<Cow<'a, str>>>),
}

impl<'a> Column<'a> {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Id => Self::Ids(Vec::with_capacity(rows)),
            Kind::Integer => Self::Integers(Vec::with_capacity(rows)),
            Kind::Real => Self::Reals(Vec::with_capacity(rows)),
            Kind::Boolean => Self::Booleans(Vec::with_capacity(rows)),
            Kind::Text => Self::Texts(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, cell: Cell<'a>) {
        match (self, cell) {
            (Self::Ids(values), Cell::Id(id)) => values.push(Uuid::from_bytes(*id.as_bytes())),
            (Self::Integers(values), Cell::Integer(value)) => values.push(value),
            (Self::Reals(values), Cell::Real(value)) => values.push(value),
            (Self::Booleans(values), Cell::Boolean(value)) => values.push(value),
            (Self::Texts(values), Cell::Text(text)) => values.push(text.map(storable)),
            (Self::Texts(values), Cell::Detail(detail)) => values.push(Some(storable(detail))),
            // A column of another kind than its cells: a mistake that every test of a batch meets.
            _ => debug_assert!(false, "a cell in the wrong column"),
        }
    }
}

fn upsert(statement: &'static str, rollup: &Rollup) -> Bound {
    let cells = rollup.iter().map(|(at, sums)| UsageCells::new(at, sums));
    let mut rows: Vec<_> = cells
        .map(|row| (row.time_unix_ms, row.digest(), row))
        .collect();
    // All gateways lock rows in this order, so none waits for one that waits for it.
    rows.sort_unstable();
    let times: Vec<i64> = rows.iter().map(|(time, ..)| *time).collect();
    let digests: Vec<&[u8]> = rows
        .iter()
        .map(|(_, digest, _)| digest.as_slice())
        .collect();
    let mut query = sqlx::query(statement).bind(times).bind(digests);
    for column in 0..DIMENSION_COLUMNS.len() {
        let texts = rows.iter().map(|(.., row)| storable(row.texts[column]));
        query = query.bind(texts.collect::<Vec<_>>());
    }
    for column in 0..SUMS {
        let sums: Vec<i64> = rows.iter().map(|(.., row)| row.sums[column]).collect();
        query = query.bind(sums);
    }
    query
}

fn set_cursor(cursor: Cursor, now_unix_ms: i64) -> Bound {
    let (epoch, [segment, offset, now_unix_ms]) = cursor_cells(cursor, now_unix_ms);
    let query = sqlx::query(SET_CURSOR).bind(epoch).bind(segment);
    query.bind(offset).bind(now_unix_ms)
}
