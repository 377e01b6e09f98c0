//! Outcomes of a range of time, page by page: memory does not grow with the ledger.

use std::collections::HashSet;

use freehold_store::{Filters, Reader, RecentQuery, StoreError};
use freehold_types::{Outcome, RequestId};

/// So many outcomes are in memory at once.
pub(crate) const PAGE: usize = 2_000;

/// Goes through the outcomes from the newest to the oldest.
///
/// Each page is a question of its own, so the database is never held. What is recorded meanwhile is
/// newer than the range's end, or was admitted before it and ended late: it may be missed, never
/// met twice.
pub(crate) struct Pages<'a> {
    reader: &'a Reader,
    query: RecentQuery,
    page: usize,
    /// Outcomes of the oldest millisecond so far.
    seen: HashSet<RequestId>,
    done: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(
        reader: &'a Reader,
        since_unix_ms: Option<u64>,
        until_unix_ms: u64,
        filters: Filters,
        page: usize,
    ) -> Self {
        Self {
            reader,
            query: RecentQuery {
                limit: page,
                since_unix_ms,
                until_unix_ms: Some(until_unix_ms),
                filters,
            },
            page,
            seen: HashSet::new(),
            done: false,
        }
    }

    /// The next outcomes; `None` after the last.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Outcome>>, StoreError> {
        while !self.done {
            let mut found = self.reader.recent(&self.query).await?;
            self.done = found.len() < self.query.limit;
            let oldest = found.last().map(|outcome| outcome.started_unix_ms);
            found.retain(|outcome| !self.seen.contains(&outcome.id));
            if let Some(oldest) = oldest {
                self.go_on_at(oldest, &found);
            }
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The next page begins in the millisecond in which this one ends: others may share it.
    fn go_on_at(&mut self, oldest: u64, found: &[Outcome]) {
        let until = Some(oldest.saturating_add(1));
        if self.query.until_unix_ms == until {
            // A whole page of one millisecond.
            self.query.limit = self.query.limit.saturating_add(self.page);
        } else {
            self.query.until_unix_ms = until;
            self.query.limit = self.page;
            self.seen.clear();
        }
        let last = found
            .iter()
            .filter(|outcome| outcome.started_unix_ms == oldest);
        self.seen.extend(last.map(|outcome| outcome.id));
    }
}
