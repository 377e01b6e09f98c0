//! Reading: sums from the rows of hours and days, single outcomes by id and by time.

use std::collections::HashSet;

use freehold_types::{NanoUsd, Outcome, RequestId};

use crate::StoreError;
use crate::columns::{LATENCY_COLUMNS, SUM_COLUMNS, UsageTable};
use crate::connected::{Cells, Connected, Statement};
use crate::home::Cursor;
use crate::latency::Latency;
use crate::names;
use crate::query::{
    AgentTotals, Filters, GroupBy, Range, RecentQuery, Sums, UsageQuery, day_text, hour_text,
    model_of,
};
use crate::record;
use crate::rollup::Measures;
use crate::spool::SegmentId;

/// What the schema of this program has.
const TABLES: [&str; 4] = ["outcomes", "usage_hourly", "usage_daily", "spool_cursors"];

/// True when the schema is there; false when the database is empty.
///
/// # Errors
/// `OlderSchema` when it is that of an earlier version.
pub(crate) async fn is_migrated(connection: &mut Connected) -> Result<bool, StoreError> {
    let names = TABLES.map(|name| format!("('{name}')")).join(",");
    let found = if connection.is_postgres() {
        format!(
            "SELECT count(*) FROM (VALUES {names}) AS tables (name) WHERE to_regclass(name) IS NOT NULL"
        )
    } else {
        format!("SELECT count(*) FROM sqlite_master WHERE name IN (VALUES {names})")
    };
    let tables = count(connection, &found).await?;
    if tables == TABLES.len() as u64 && count(connection, newest_column(connection)).await? > 0 {
        return Ok(true);
    }
    // A gateway that makes a new database takes one step after the other: there is nothing yet.
    let some = "SELECT count(*) FROM (SELECT id FROM outcomes LIMIT 1) AS first";
    if tables == 0 || count(connection, some).await? == 0 {
        return Ok(false);
    }
    Err(StoreError::OlderSchema)
}

/// Counts the column that the last migration added.
fn newest_column(connection: &Connected) -> &'static str {
    if connection.is_postgres() {
        "SELECT count(*) FROM pg_attribute
         WHERE attrelid = to_regclass('usage_daily') AND attname = 'retried_requests'"
    } else {
        "SELECT count(*) FROM pragma_table_info('usage_daily') WHERE name = 'retried_requests'"
    }
}

async fn count(connection: &mut Connected, sql: &str) -> Result<u64, StoreError> {
    let mut count = 0;
    connection
        .each(connection.statement(sql), |row| {
            count = row.count()?;
            Ok(())
        })
        .await?;
    Ok(count)
}

/// How far each spool has been drained.
pub(crate) async fn cursors(connection: &mut Connected) -> Result<Vec<Cursor>, StoreError> {
    let statement = connection.statement("SELECT epoch, segment, offset_bytes FROM spool_cursors");
    let mut cursors = Vec::new();
    connection
        .each(statement, |row| {
            let epoch = row.text()?.and_then(|epoch| epoch.parse().ok());
            let (number, offset) = (row.count()?, row.count()?);
            cursors.extend(epoch.map(|epoch| Cursor {
                segment: SegmentId { epoch, number },
                offset,
            }));
            Ok(())
        })
        .await?;
    Ok(cursors)
}

/// Which of the ids are in the database. At most a few hundred at once.
pub(crate) async fn known_ids(
    connection: &mut Connected,
    ids: impl Iterator<Item = RequestId>,
) -> Result<Vec<RequestId>, StoreError> {
    let ids: Vec<RequestId> = ids.collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = connection.statement("SELECT id FROM outcomes WHERE id IN (");
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            statement.push(",");
        }
        statement.bind_id(*id);
    }
    statement.push(")");
    let mut found = HashSet::new();
    connection
        .each(statement, |row| {
            found.insert(row.id()?.into_bytes());
            Ok(())
        })
        .await?;
    Ok(ids
        .into_iter()
        .filter(|id| found.contains(id.as_bytes()))
        .collect())
}

/// Adds up the rows of a range that is whole hours, or whole days.
pub(crate) async fn sums(
    connection: &mut Connected,
    query: &UsageQuery,
    (table, range): (UsageTable, Range),
    sums: &mut Sums,
) -> Result<(), StoreError> {
    // Added up exactly, SQLite refuses what does not fit; then the sum is as large as can be.
    let statement = sums_statement(connection, query, (table, range), true);
    let added = add_sums(connection, query, statement, sums).await;
    match added {
        Err(StoreError::Database(error)) if is_overflow(&error) => {
            let statement = sums_statement(connection, query, (table, range), false);
            add_sums(connection, query, statement, sums).await
        }
        added => added,
    }
}

fn is_overflow(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.message().contains("integer overflow"))
}

fn sums_statement(
    connection: &Connected,
    query: &UsageQuery,
    (table, range): (UsageTable, Range),
    exact: bool,
) -> Statement {
    let time = table.time_column();
    let mut columns: Vec<String> = query
        .group_by
        .iter()
        .flat_map(|by| columns_of(*by, time))
        .collect();
    columns.push("status".to_owned());
    let columns = columns.join(",");
    let mut statement = connection.statement("SELECT ");
    statement.push(&columns);
    for column in SUM_COLUMNS.into_iter().chain(LATENCY_COLUMNS) {
        let sum = match (connection.is_postgres(), exact) {
            (true, _) => format!(
                ",GREATEST(LEAST(SUM({column}),{}),{})::BIGINT",
                i64::MAX,
                -i64::MAX
            ),
            (false, true) => format!(",SUM({column})"),
            (false, false) => format!(",CAST(TOTAL({column}) AS INTEGER)"),
        };
        statement.push(&sum);
    }
    statement
        .push(" FROM ")
        .push(table.name())
        .push(" WHERE TRUE");
    push_range(&mut statement, time, range);
    push_filters(&mut statement, &query.filters);
    statement.push(" GROUP BY ").push(&columns);
    statement
}

async fn add_sums(
    connection: &mut Connected,
    query: &UsageQuery,
    statement: Statement,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    // Taken over only when all of it was read.
    let mut rows = Vec::new();
    connection
        .each(statement, |row| {
            let mut key = Vec::with_capacity(query.group_by.len());
            for by in &query.group_by {
                key.push(group(row, *by)?);
            }
            let status = row.text()?.unwrap_or_default();
            rows.push((key, names::status_of(&status), measures(row)?));
            Ok(())
        })
        .await?;
    for (key, status, measures) in rows {
        sums.add(key, status, &measures);
    }
    Ok(())
}

fn columns_of(by: GroupBy, time: &str) -> Vec<String> {
    let columns: &[&str] = match by {
        GroupBy::Flow => &["flow"],
        GroupBy::Key => &["key_name"],
        GroupBy::Team => &["team"],
        GroupBy::Route => &["route"],
        GroupBy::Deployment => &["deployment"],
        GroupBy::Model => &["deployment", "backend"],
        GroupBy::Backend => &["backend"],
        GroupBy::Perimeter => &["perimeter"],
        GroupBy::Sensitivity => &["sensitivity"],
        GroupBy::Status => &["status"],
        GroupBy::Day => return vec![format!("{time} / 86400000 * 86400000")],
        GroupBy::Hour => return vec![time.to_owned()],
    };
    columns.iter().map(|column| (*column).to_owned()).collect()
}

fn push_range(statement: &mut Statement, column: &str, range: Range) {
    let bounds = [(" >= ", range.since), (" < ", range.until)];
    for (operator, bound) in bounds {
        if let Some(bound) = bound {
            statement.push(" AND ").push(column).push(operator);
            statement.bind_integer(bound);
        }
    }
}

fn push_filters(statement: &mut Statement, filters: &Filters) {
    for (column, value) in filters.columns() {
        statement.push(" AND ").push(column).push(" = ");
        statement.bind_text(value);
    }
    if let Some(team) = &filters.team {
        let parts = format!("{team}/");
        statement.push(" AND (team = ").bind_text(team.to_string());
        // Not LIKE: a name may have its wildcards.
        statement.push(" OR substr(team, 1, ");
        statement.push(&parts.chars().count().to_string());
        statement.push(") = ").bind_text(parts).push(")");
    }
}

fn group(row: &mut Cells<'_>, by: GroupBy) -> Result<Option<String>, sqlx::Error> {
    Ok(match by {
        GroupBy::Day => Some(day_text(row.count()?)),
        GroupBy::Hour => Some(hour_text(row.count()?)),
        GroupBy::Model => {
            let deployment = row.text()?;
            let backend = row.text()?.unwrap_or_default();
            deployment.map(|deployment| model_of(&deployment, &backend).to_owned())
        }
        _ => row.text()?,
    })
}

fn measures(row: &mut Cells<'_>) -> Result<Measures, sqlx::Error> {
    let mut measures = Measures {
        requests: row.count()?,
        attempts: row.count()?,
        input_tokens: row.count()?,
        cached_input_tokens: row.count()?,
        cache_write_tokens: row.count()?,
        output_tokens: row.count()?,
        reasoning_tokens: row.count()?,
        estimated_requests: row.count()?,
        cost: NanoUsd::from_nanos(row.integer()?.unwrap_or(0)),
        unknown_cost_requests: row.count()?,
        cost_gap_requests: row.count()?,
        doubtful_usage_requests: row.count()?,
        agent: AgentTotals {
            tool_results: row.count()?,
            tool_errors: row.count()?,
            repeated_calls: row.count()?,
            looping_requests: row.count()?,
            retried_requests: row.count()?,
        },
        latency: Latency::default(),
    };
    for count in &mut measures.latency.counts {
        *count = row.count()?;
    }
    Ok(measures)
}

/// One outcome.
pub(crate) async fn outcome(
    connection: &mut Connected,
    id: RequestId,
) -> Result<Option<Outcome>, StoreError> {
    let mut statement = connection.statement("SELECT detail FROM outcomes WHERE id = ");
    statement.bind_id(id);
    let mut found = None;
    connection
        .each(statement, |row| {
            found = Some(parse(row)?);
            Ok(())
        })
        .await?;
    Ok(found)
}

/// The newest outcomes.
pub(crate) async fn recent(
    connection: &mut Connected,
    query: &RecentQuery,
) -> Result<Vec<Outcome>, StoreError> {
    let mut statement = connection.statement("SELECT detail FROM outcomes WHERE TRUE");
    let range = Range {
        since: query.since_unix_ms,
        until: query.until_unix_ms,
    };
    push_range(&mut statement, "started_unix_ms", range);
    push_filters(&mut statement, &query.filters);
    statement.push(" ORDER BY started_unix_ms DESC, id DESC LIMIT ");
    statement.bind_integer(query.limit as u64);
    let mut found = Vec::new();
    connection
        .each(statement, |row| {
            found.push(parse(row)?);
            Ok(())
        })
        .await?;
    Ok(found)
}

/// Every outcome admitted at or after `from` and before `to`, in no order, without its decision.
pub(crate) async fn each_between(
    connection: &mut Connected,
    (from, to): (u64, u64),
    mut take: impl FnMut(Outcome) + Send,
) -> Result<(), StoreError> {
    let mut statement = connection.statement("SELECT detail FROM outcomes WHERE TRUE");
    let range = Range {
        since: Some(from),
        until: Some(to),
    };
    push_range(&mut statement, "started_unix_ms", range);
    connection
        .each(statement, |row| {
            let detail = row.text()?.unwrap_or_default();
            let bill = record::parse_bill(&detail);
            take(bill.map_err(unreadable)?.outcome);
            Ok(())
        })
        .await
}

fn parse(row: &mut Cells<'_>) -> Result<Outcome, StoreError> {
    let detail = row.text()?.unwrap_or_default();
    record::parse(&detail).map_err(unreadable)
}

fn unreadable(source: serde_json::Error) -> StoreError {
    StoreError::Unreadable { source }
}
