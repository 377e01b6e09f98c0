//! Answers from the database and from what still waits in the spool, together as of one moment.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use freehold_types::{Outcome, RequestId};

use crate::columns::UsageTable;
use crate::connected::Connected;
use crate::home::Cursor;
use crate::query::{Edges, GroupBy, Range, RecentQuery, Sums, UsageQuery, UsageReport};
use crate::rollup::{DAY_MS, HOUR_MS, Rollup, add_outcome, day_of, hour_of};
use crate::spool::frame::VERSION_JSON;
use crate::spool::{Segment, read_batch, segment};
use crate::{Database, StoreError, record, select};

/// Reads the ledger, from any process, while the gateway runs or not. Never writes.
///
/// Records that wait in the spool are read from there, so that an answer is complete also when
/// the database is behind; a record that is in both counts once. Of several gateways that share a
/// database, only this one's spool is looked at.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Database,
    spool: PathBuf,
}

impl Reader {
    /// A reader of the database and of the spool's directory. Nothing is opened before it is asked
    /// something; a file or schema that is missing then is empty.
    pub fn open(database: impl Into<Database>, spool_dir: impl AsRef<Path>) -> Self {
        Self {
            database: database.into(),
            spool: spool_dir.as_ref().to_owned(),
        }
    }

    /// Whether the database answers, and has a schema that can be read, or none yet.
    ///
    /// # Errors
    /// Why not.
    pub async fn reach(&self) -> Result<(), StoreError> {
        if let Some(connection) = self.connect().await? {
            connection.close().await;
        }
        Ok(())
    }

    /// Tokens and money in a range of time.
    ///
    /// # Errors
    /// When the database or the spool cannot be read.
    pub async fn usage(&self, query: &UsageQuery) -> Result<UsageReport, StoreError> {
        let range = effective_range(query);
        let (waiting, connection) = self
            .read_waiting(move |waiting, mut outcome| {
                if range.holds(outcome.started_unix_ms) {
                    // The larger part of an outcome, and of no use here.
                    outcome.decision = None;
                    waiting.push(outcome);
                }
            })
            .await?;
        let mut seen = HashSet::new();
        let mut sums = Sums::default();
        if let Some(mut connection) = connection {
            connection.snapshot().await?;
            for some in waiting.chunks(256) {
                let ids = some.iter().map(|outcome: &Outcome| outcome.id);
                seen.extend(select::known_ids(&mut connection, ids).await?);
            }
            let parts = split(range, query.edges);
            for part in parts
                .whole_hours
                .map_or_else(Vec::new, |range| tables(range, query))
            {
                select::sums(&mut connection, query, part, &mut sums).await?;
            }
            for edge in parts.edges.into_iter().flatten() {
                let mut rollup = Rollup::default();
                select::each_between(&mut connection, edge, |outcome| {
                    add_outcome(&mut rollup, &outcome);
                })
                .await?;
                sums.add_rollup(query, &rollup);
            }
            connection.close().await;
        }
        let mut rollup = Rollup::default();
        // What the database has is counted there; what the spool has twice counts once.
        for outcome in waiting.iter().filter(|outcome| seen.insert(outcome.id)) {
            add_outcome(&mut rollup, outcome);
        }
        sums.add_rollup(query, &rollup);
        Ok(sums.into_report(query, range))
    }

    /// One outcome, whole.
    ///
    /// # Errors
    /// When the database or the spool cannot be read.
    pub async fn outcome(&self, id: RequestId) -> Result<Option<Outcome>, StoreError> {
        let (mut waiting, connection) = self
            .read_waiting(move |waiting, outcome| {
                if outcome.id == id && waiting.is_empty() {
                    waiting.push(outcome);
                }
            })
            .await?;
        let Some(mut connection) = connection else {
            return Ok(waiting.pop());
        };
        let stored = select::outcome(&mut connection, id).await?;
        connection.close().await;
        Ok(stored.or(waiting.pop()))
    }

    /// Those of these outcomes that there are, in no order: in the database, or in the spool on their
    /// way there.
    ///
    /// # Errors
    /// When the database or the spool cannot be read.
    pub async fn outcomes(&self, ids: &[RequestId]) -> Result<Vec<Outcome>, StoreError> {
        let wanted: HashSet<RequestId> = ids.iter().copied().collect();
        let (mut found, connection) = self
            .read_waiting(move |found, outcome| {
                if wanted.contains(&outcome.id) {
                    found.push(outcome);
                }
            })
            .await?;
        found.sort_by_key(|outcome| outcome.id);
        found.dedup_by_key(|outcome| outcome.id);
        let Some(mut connection) = connection else {
            return Ok(found);
        };
        for id in ids {
            if let Some(stored) = select::outcome(&mut connection, *id).await? {
                found.retain(|waiting| waiting.id != *id);
                found.push(stored);
            }
        }
        connection.close().await;
        Ok(found)
    }

    /// The newest outcomes, newest first.
    ///
    /// # Errors
    /// When the database or the spool cannot be read.
    pub async fn recent(&self, query: &RecentQuery) -> Result<Vec<Outcome>, StoreError> {
        let slack = query.limit.saturating_mul(2).saturating_add(64);
        let wanted = query.clone();
        let (mut found, connection) = self
            .read_waiting(move |found, outcome| {
                if wanted.accepts(&outcome) {
                    found.push(outcome);
                    if found.len() > slack {
                        newest(found, wanted.limit);
                    }
                }
            })
            .await?;
        if let Some(mut connection) = connection {
            let stored = select::recent(&mut connection, query).await?;
            connection.close().await;
            let known: HashSet<RequestId> = stored.iter().map(|outcome| outcome.id).collect();
            found.retain(|outcome| !known.contains(&outcome.id));
            found.extend(stored);
        }
        newest(&mut found, query.limit);
        Ok(found)
    }

    /// Takes what is wanted of what waits in the spool, then leaves a connection to the database;
    /// `None` when there is no database yet.
    ///
    /// The spool comes first: what the drainer moves meanwhile is then met twice (and recognised
    /// by its id), never missed.
    async fn read_waiting(
        &self,
        mut take: impl FnMut(&mut Vec<Outcome>, Outcome) + Send + 'static,
    ) -> Result<(Vec<Outcome>, Option<Connected>), StoreError> {
        let mut connection = self.connect().await?;
        let drained = match &mut connection {
            Some(connection) => select::cursors(connection).await?,
            None => Vec::new(),
        };
        let spool = self.spool.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut taken = Vec::new();
            read_spool(&spool, &drained, &mut |outcome| take(&mut taken, outcome)).map(|()| taken)
        });
        let taken = read.await.map_err(|error| {
            StoreError::io("cannot read", &self.spool)(io::Error::other(error))
        })??;
        if connection.is_none() {
            // The first records may have been drained into a new database since.
            connection = self.connect().await?;
        }
        Ok((taken, connection))
    }

    async fn connect(&self) -> Result<Option<Connected>, StoreError> {
        let Some(mut connection) = Connected::open(&self.database).await? else {
            return Ok(None);
        };
        // The gateway may be creating it at this moment.
        let migrated = select::is_migrated(&mut connection).await?;
        Ok(migrated.then_some(connection))
    }
}

fn newest(outcomes: &mut Vec<Outcome>, limit: usize) {
    outcomes.sort_by_key(|outcome| Reverse((outcome.started_unix_ms, outcome.id)));
    outcomes.dedup_by_key(|outcome| outcome.id);
    outcomes.truncate(limit);
}

fn read_spool(
    dir: &Path,
    drained: &[Cursor],
    take: &mut dyn FnMut(Outcome),
) -> Result<(), StoreError> {
    let segments = match segment::list(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("cannot read", dir)(error)),
    };
    for segment in &segments {
        let cursor = drained
            .iter()
            .find(|cursor| cursor.segment.epoch == segment.id.epoch);
        let from = match cursor {
            Some(cursor) if cursor.segment.number > segment.id.number => continue,
            Some(cursor) if cursor.segment.number == segment.id.number => cursor.offset,
            _ => 0,
        };
        match read_segment(segment, from, take) {
            Ok(()) => {}
            // Drained and deleted since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("cannot read", &segment.path)(error)),
        }
    }
    Ok(())
}

/// Damage is the drainer's business; the last record may also just be in the middle of being
/// written.
fn read_segment(segment: &Segment, mut from: u64, take: &mut dyn FnMut(Outcome)) -> io::Result<()> {
    while from < segment.end {
        let batch = read_batch(segment, from, 1_000)?;
        for record in batch.records().filter(|r| r.version == VERSION_JSON) {
            let text = std::str::from_utf8(record.payload);
            if let Some(Ok(outcome)) = text.ok().map(record::parse) {
                take(outcome);
            }
        }
        if batch.next == from {
            break;
        }
        from = batch.next;
    }
    Ok(())
}

/// The range that the answer will be about.
fn effective_range(query: &UsageQuery) -> Range {
    let (since, until) = (query.since_unix_ms, query.until_unix_ms);
    match query.edges {
        Edges::Exact => Range { since, until },
        Edges::WholeHours => Range {
            since: since.map(hour_of),
            until: until.map(ceil_hour),
        },
    }
}

/// A range in parts: whole hours for the sums, and the cut hours at its ends.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    whole_hours: Option<Range>,
    edges: [Option<(u64, u64)>; 2],
}

fn split(range: Range, edges: Edges) -> Parts {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    // Nothing was admitted in the future: the hour that is under way need not be cut.
    let until = range.until.map(|until| match edges {
        Edges::Exact if until >= now => ceil_hour(until),
        _ => until,
    });
    split_at_hours(Range { until, ..range })
}

fn split_at_hours(range: Range) -> Parts {
    let first = range.since.map(ceil_hour);
    let last = range.until.map(hour_of);
    if let (Some(since), Some(until), Some(first), Some(last)) =
        (range.since, range.until, first, last)
        && first > last
    {
        return Parts {
            whole_hours: None,
            edges: [(since < until).then_some((since, until)), None],
        };
    }
    let edge = |from: Option<u64>, to: Option<u64>| from.zip(to).filter(|(from, to)| from < to);
    Parts {
        whole_hours: Some(Range {
            since: first,
            until: last,
        }),
        edges: [edge(range.since, first), edge(last, range.until)],
    }
}

/// Which sums answer for whole hours: those of days where nobody asks for hours, else one row an
/// hour and workload makes a month's report slow.
fn tables(hours: Range, query: &UsageQuery) -> Vec<(UsageTable, Range)> {
    let first = hours.since.map(ceil_day);
    let last = hours.until.map(day_of);
    let no_day = first.zip(last).is_some_and(|(first, last)| first >= last);
    if no_day || query.group_by.contains(&GroupBy::Hour) {
        return vec![(UsageTable::Hourly, hours)];
    }
    let range = |since, until| Range { since, until };
    let mut tables = vec![(UsageTable::Daily, range(first, last))];
    for (since, until) in [(hours.since, first), (last, hours.until)] {
        if since.zip(until).is_some_and(|(since, until)| since < until) {
            tables.push((UsageTable::Hourly, range(since, until)));
        }
    }
    tables
}

fn ceil_hour(unix_ms: u64) -> u64 {
    hour_of(unix_ms.saturating_add(HOUR_MS - 1))
}

fn ceil_day(unix_ms: u64) -> u64 {
    day_of(unix_ms.saturating_add(DAY_MS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: u64 = HOUR_MS;

    fn parts(since: Option<u64>, until: Option<u64>) -> Parts {
        split_at_hours(Range { since, until })
    }

    #[test]
    fn a_range_is_whole_hours_and_what_is_cut() {
        let whole = |since, until| Some(Range { since, until });
        let cases = [
            ((None, None), whole(None, None), [None, None]),
            (
                (Some(H), Some(3 * H)),
                whole(Some(H), Some(3 * H)),
                [None, None],
            ),
            (
                (Some(H + 1), Some(3 * H + 2)),
                whole(Some(2 * H), Some(3 * H)),
                [Some((H + 1, 2 * H)), Some((3 * H, 3 * H + 2))],
            ),
            (
                (Some(H + 1), Some(H + 9)),
                None,
                [Some((H + 1, H + 9)), None],
            ),
            (
                (Some(H + 1), Some(2 * H + 9)),
                whole(Some(2 * H), Some(2 * H)),
                [Some((H + 1, 2 * H)), Some((2 * H, 2 * H + 9))],
            ),
            ((Some(H + 9), Some(H + 1)), None, [None, None]),
        ];
        for ((since, until), whole_hours, edges) in cases {
            assert_eq!(
                parts(since, until),
                Parts { whole_hours, edges },
                "{since:?}..{until:?}"
            );
        }
    }
    #[test]
    fn days_answer_for_hours_where_nobody_asks_for_hours() {
        use UsageTable::{Daily, Hourly};
        const D: u64 = DAY_MS;
        let range = |since, until| Range { since, until };
        let asked = |hours, by: &[GroupBy]| {
            let group_by = by.to_vec();
            tables(
                hours,
                &UsageQuery {
                    group_by,
                    ..UsageQuery::default()
                },
            )
        };
        let cases = [
            (range(None, None), vec![(Daily, range(None, None))]),
            (
                range(Some(H), Some(2 * D + H)),
                vec![
                    (Daily, range(Some(D), Some(2 * D))),
                    (Hourly, range(Some(H), Some(D))),
                    (Hourly, range(Some(2 * D), Some(2 * D + H))),
                ],
            ),
            (
                range(Some(D), Some(2 * D)),
                vec![(Daily, range(Some(D), Some(2 * D)))],
            ),
            (
                range(Some(H), Some(D + H)),
                vec![(Hourly, range(Some(H), Some(D + H)))],
            ),
            (
                range(Some(H), None),
                vec![
                    (Daily, range(Some(D), None)),
                    (Hourly, range(Some(H), Some(D))),
                ],
            ),
        ];
        for (hours, expected) in cases {
            assert_eq!(asked(hours, &[GroupBy::Day]), expected, "{hours:?}");
            assert_eq!(asked(hours, &[GroupBy::Hour]), [(Hourly, hours)]);
        }
    }
}
