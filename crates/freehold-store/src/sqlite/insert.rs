//! One batch, one transaction: outcomes, their sums, and the cursor.

use std::collections::HashSet;
use std::sync::Arc;

use freehold_types::{Outcome, Usage};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection, Sqlite, SqliteConnection};

use super::schema::{CHUNKS, UPSERT_USAGE, insert_statement, integer};
use crate::StoreError;
use crate::home::{Committed, Cursor, Entry};
use crate::names;
use crate::rollup::{DimensionBound, Dimensions, Measures, Rollup, add_outcome};

type Bound = Query<'static, Sqlite, SqliteArguments>;

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
    for (dimensions, measures) in bound.fold(rollup) {
        upsert(&dimensions, &measures)
            .execute(&mut *transaction)
            .await?;
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

    fn some(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.map(|text| self.get(text))
    }
}

/// Binds the columns in the order of [`super::schema::OUTCOME_COLUMNS`].
fn bind_outcome(query: Bound, entry: &Entry, texts: &mut Texts) -> Bound {
    let outcome = &entry.bill.outcome;
    let error = outcome.error.as_ref();
    let query = query
        .bind(outcome.id.as_bytes().to_vec())
        .bind(integer(outcome.started_unix_ms))
        .bind(texts.get(outcome.dialect.as_str()))
        .bind(texts.get(outcome.route.as_str()))
        .bind(texts.get(outcome.key.as_str()))
        .bind(texts.some(outcome.flow.as_ref().map(|flow| flow.as_str())))
        .bind(texts.get(outcome.sensitivity.as_str()))
        .bind(texts.get(names::status(outcome.status)))
        .bind(i64::from(outcome.http_status))
        .bind(texts.some(error.map(|error| error.kind.as_str())))
        .bind(texts.some(error.map(|error| names::side(error.side))))
        .bind(outcome.streamed);
    let query = bind_serving(query, outcome, texts);
    let query = bind_usage(query, &outcome.usage, texts);
    query
        .bind(outcome.cost.map(|cost| cost.nanos()))
        .bind(integer(outcome.timing.total_us))
        .bind(outcome.timing.first_token_us.map(integer))
        .bind(integer(outcome.timing.overhead_us))
        .bind(entry.bill.difficulty)
        .bind(Arc::clone(&entry.detail))
}

fn bind_serving(query: Bound, outcome: &Outcome, texts: &mut Texts) -> Bound {
    let served = outcome.attempts.last();
    let region = served.and_then(|attempt| attempt.region.as_ref());
    query
        .bind(integer(outcome.attempts.len() as u64))
        .bind(texts.some(served.map(|attempt| attempt.deployment.as_str())))
        .bind(texts.some(served.map(|attempt| attempt.backend.as_str())))
        .bind(texts.some(served.and_then(|attempt| attempt.reported_model.as_deref())))
        .bind(texts.some(served.map(|attempt| names::perimeter(attempt.perimeter))))
        .bind(texts.some(region.map(|region| region.as_str())))
}

fn bind_usage(query: Bound, usage: &Usage, texts: &mut Texts) -> Bound {
    query
        .bind(integer(usage.input_tokens))
        .bind(integer(usage.cached_input_tokens))
        .bind(integer(usage.cache_write_tokens))
        .bind(integer(usage.cache_write_1h_tokens))
        .bind(integer(usage.input_audio_tokens))
        .bind(integer(usage.output_tokens))
        .bind(integer(usage.reasoning_tokens))
        .bind(integer(usage.output_audio_tokens))
        .bind(texts.get(names::basis(usage.basis)))
}

fn upsert(dimensions: &Dimensions, measures: &Measures) -> Bound {
    let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
    let mut query = sqlx::query(*UPSERT_USAGE)
        .bind(integer(dimensions.hour_unix_ms))
        .bind(dimensions.key.as_str())
        .bind(text(dimensions.flow.as_ref().map(|name| name.as_str())))
        .bind(dimensions.route.as_str())
        .bind(text(dimensions.deployment.as_ref().map(|id| id.as_str())))
        .bind(text(dimensions.backend.as_ref().map(|id| id.as_str())))
        .bind(text(dimensions.perimeter.map(names::perimeter)))
        .bind(dimensions.sensitivity.as_str())
        .bind(names::status(dimensions.status))
        .bind(integer(measures.requests))
        .bind(integer(measures.attempts))
        .bind(integer(measures.input_tokens))
        .bind(integer(measures.cached_input_tokens))
        .bind(integer(measures.cache_write_tokens))
        .bind(integer(measures.output_tokens))
        .bind(integer(measures.reasoning_tokens))
        .bind(integer(measures.estimated_requests))
        .bind(measures.cost.nanos())
        .bind(integer(measures.unknown_cost_requests));
    for count in measures.latency.counts {
        query = query.bind(integer(count));
    }
    query
}

fn set_cursor(cursor: Cursor, now_unix_ms: i64) -> Bound {
    sqlx::query(
        "INSERT INTO spool_cursors (epoch, segment, offset_bytes, updated_unix_ms)
         VALUES (?, ?, ?, ?)
         ON CONFLICT (epoch) DO UPDATE SET segment = excluded.segment,
             offset_bytes = excluded.offset_bytes, updated_unix_ms = excluded.updated_unix_ms",
    )
    .bind(cursor.segment.epoch.simple().to_string())
    .bind(integer(cursor.segment.number))
    .bind(integer(cursor.offset))
    .bind(now_unix_ms)
}
