//! Reading: sums from the hourly rows, single outcomes by id and by time.

use std::collections::HashSet;

use freehold_types::{NanoUsd, Outcome, RequestId};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::schema::{LATENCY_COLUMNS, SUM_COLUMNS, integer};
use crate::StoreError;
use crate::latency::Latency;
use crate::names;
use crate::query::{GroupBy, Range, RecentQuery, Sums, UsageQuery, day_text, hour_text, model_of};
use crate::record;
use crate::rollup::Measures;

/// True when the schema is there.
pub(crate) async fn is_migrated(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('outcomes', 'usage_hourly', 'spool_cursors')",
    )
    .fetch_one(connection)
    .await?;
    Ok(tables == 3)
}

/// Which of the ids are in the database. At most a few hundred at once.
pub(crate) async fn known_ids(
    connection: &mut SqliteConnection,
    ids: impl Iterator<Item = RequestId>,
) -> Result<Vec<RequestId>, StoreError> {
    let ids: Vec<RequestId> = ids.collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut builder = QueryBuilder::<Sqlite>::new("SELECT id FROM outcomes WHERE id IN (");
    let mut list = builder.separated(",");
    for id in &ids {
        list.push_bind(id.as_bytes().to_vec());
    }
    builder.push(")");
    let found: Vec<Vec<u8>> = builder.build_query_scalar().fetch_all(connection).await?;
    let found: HashSet<Vec<u8>> = found.into_iter().collect();
    Ok(ids
        .into_iter()
        .filter(|id| found.contains(id.as_bytes().as_slice()))
        .collect())
}

/// Adds up the hourly rows of a range.
pub(crate) async fn sums(
    connection: &mut SqliteConnection,
    query: &UsageQuery,
    range: Range,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    let mut columns: Vec<&str> = query
        .group_by
        .iter()
        .flat_map(|by| columns_of(*by))
        .copied()
        .collect();
    columns.push("status");
    let mut builder = QueryBuilder::<Sqlite>::new("SELECT ");
    builder.push(columns.join(","));
    for column in SUM_COLUMNS.into_iter().chain(LATENCY_COLUMNS) {
        builder.push(",SUM(").push(column).push(")");
    }
    builder.push(" FROM usage_hourly WHERE TRUE");
    push_range(&mut builder, "hour_unix_ms", range);
    for (column, value) in query.filters.columns() {
        builder.push(" AND ").push(column).push(" = ");
        builder.push_bind(value);
    }
    builder.push(" GROUP BY ").push(columns.join(","));
    let mut rows = builder.build().fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let mut row = Cells { row: &row, next: 0 };
        let mut key = Vec::with_capacity(query.group_by.len());
        for by in &query.group_by {
            key.push(row.group(*by)?);
        }
        let status = row.text()?.unwrap_or_default();
        let measures = row.measures()?;
        sums.add(key, names::status_of(&status), &measures);
    }
    Ok(())
}

fn columns_of(by: GroupBy) -> &'static [&'static str] {
    match by {
        GroupBy::Flow => &["flow"],
        GroupBy::Key => &["key_name"],
        GroupBy::Route => &["route"],
        GroupBy::Deployment => &["deployment"],
        GroupBy::Model => &["deployment", "backend"],
        GroupBy::Backend => &["backend"],
        GroupBy::Perimeter => &["perimeter"],
        GroupBy::Sensitivity => &["sensitivity"],
        GroupBy::Status => &["status"],
        GroupBy::Day => &["hour_unix_ms / 86400000 * 86400000"],
        GroupBy::Hour => &["hour_unix_ms"],
    }
}

fn push_range(builder: &mut QueryBuilder<Sqlite>, column: &str, range: Range) {
    let bounds = [(" >= ", range.since), (" < ", range.until)];
    for (operator, bound) in bounds {
        if let Some(bound) = bound {
            builder.push(" AND ").push(column).push(operator);
            builder.push_bind(integer(bound));
        }
    }
}

/// The cells of a row, one after the other.
struct Cells<'a> {
    row: &'a SqliteRow,
    next: usize,
}

impl Cells<'_> {
    fn at(&mut self) -> usize {
        let at = self.next;
        self.next += 1;
        at
    }

    /// `''` stands for "none".
    fn text(&mut self) -> Result<Option<String>, sqlx::Error> {
        let text: String = self.row.try_get(self.at())?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn count(&mut self) -> Result<u64, sqlx::Error> {
        let count: i64 = self.row.try_get(self.at())?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn group(&mut self, by: GroupBy) -> Result<Option<String>, sqlx::Error> {
        Ok(match by {
            GroupBy::Day => Some(day_text(self.count()?)),
            GroupBy::Hour => Some(hour_text(self.count()?)),
            GroupBy::Model => {
                let deployment = self.text()?;
                let backend = self.text()?.unwrap_or_default();
                deployment.map(|deployment| model_of(&deployment, &backend).to_owned())
            }
            _ => self.text()?,
        })
    }

    fn measures(&mut self) -> Result<Measures, sqlx::Error> {
        let mut measures = Measures {
            requests: self.count()?,
            attempts: self.count()?,
            input_tokens: self.count()?,
            cached_input_tokens: self.count()?,
            cache_write_tokens: self.count()?,
            output_tokens: self.count()?,
            reasoning_tokens: self.count()?,
            estimated_requests: self.count()?,
            cost: NanoUsd::from_nanos(self.row.try_get(self.at())?),
            unknown_cost_requests: self.count()?,
            latency: Latency::default(),
        };
        for count in &mut measures.latency.counts {
            *count = self.count()?;
        }
        Ok(measures)
    }
}

/// One outcome.
pub(crate) async fn outcome(
    connection: &mut SqliteConnection,
    id: RequestId,
) -> Result<Option<Outcome>, StoreError> {
    let detail: Option<String> = sqlx::query_scalar("SELECT detail FROM outcomes WHERE id = ?")
        .bind(id.as_bytes().to_vec())
        .fetch_optional(connection)
        .await?;
    detail.map(|detail| parse(&detail)).transpose()
}

/// The newest outcomes.
pub(crate) async fn recent(
    connection: &mut SqliteConnection,
    query: &RecentQuery,
) -> Result<Vec<Outcome>, StoreError> {
    let mut builder = QueryBuilder::<Sqlite>::new("SELECT detail FROM outcomes WHERE TRUE");
    let range = Range {
        since: query.since_unix_ms,
        until: query.until_unix_ms,
    };
    push_range(&mut builder, "started_unix_ms", range);
    for (column, value) in query.filters.columns() {
        builder.push(" AND ").push(column).push(" = ");
        builder.push_bind(value);
    }
    builder.push(" ORDER BY started_unix_ms DESC, id DESC LIMIT ");
    builder.push_bind(integer(query.limit as u64));
    let details: Vec<String> = builder.build_query_scalar().fetch_all(connection).await?;
    details.iter().map(|detail| parse(detail)).collect()
}

/// Every outcome admitted at or after `from` and before `to`, in no order, without its decision.
pub(crate) async fn each_between(
    connection: &mut SqliteConnection,
    (from, to): (u64, u64),
    mut take: impl FnMut(Outcome),
) -> Result<(), StoreError> {
    let mut details = sqlx::query_scalar::<_, String>(
        "SELECT detail FROM outcomes WHERE started_unix_ms >= ? AND started_unix_ms < ?",
    )
    .bind(integer(from))
    .bind(integer(to))
    .fetch(connection);
    while let Some(detail) = details.try_next().await? {
        let bill = record::parse_bill(&detail);
        take(
            bill.map_err(|source| StoreError::Unreadable { source })?
                .outcome,
        );
    }
    Ok(())
}

fn parse(detail: &str) -> Result<Outcome, StoreError> {
    record::parse(detail).map_err(|source| StoreError::Unreadable { source })
}
