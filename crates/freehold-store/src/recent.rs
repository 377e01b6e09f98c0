//! Outcomes that were recorded a moment ago, as they were before they became bytes: the drainer need not read those
//! again. Whatever is missing here is read from the spool.

use std::collections::VecDeque;

use freehold_types::Outcome;
use parking_lot::Mutex;

use crate::record::Bill;
use crate::spool::SegmentId;

/// So many are kept; then the oldest is dropped.
const OUTCOMES_MAX: usize = 2_048;

/// Where a record's payload begins.
pub(crate) type Place = (SegmentId, u64);

/// Nearly in the order of their places: who writes at the same time may swap.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<(Place, Bill)>>);

impl Recent {
    /// Keeps what a bill says of an outcome.
    pub(crate) fn keep(&self, place: Place, outcome: &Outcome) {
        let bill = Bill::of(outcome);
        let mut recent = self.0.lock();
        if recent.len() >= OUTCOMES_MAX {
            recent.pop_front();
        }
        recent.push_back((place, bill));
    }

    /// What was kept of the record at this place, once. Places before it are not asked for any more.
    pub(crate) fn take(&self, place: Place) -> Option<Bill> {
        let mut recent = self.0.lock();
        while recent.front().is_some_and(|(known, _)| *known < place) {
            recent.pop_front();
        }
        recent
            .pop_front_if(|(known, _)| *known == place)
            .map(|(_, bill)| bill)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::record::{parse, parse_bill};
    use crate::spool::frame::{Found, look};

    fn outcomes() -> Vec<Outcome> {
        let golden = include_bytes!("../tests/golden/format-1.spool");
        let (mut at, mut outcomes) = (0, vec![]);
        while let Found::Record { payload, .. } = look(golden, at, true) {
            at = payload.end;
            outcomes.push(parse(std::str::from_utf8(&golden[payload]).unwrap()).unwrap());
        }
        outcomes
    }

    fn place(number: u64, offset: u64) -> Place {
        let epoch = Uuid::nil();
        (SegmentId { epoch, number }, offset)
    }

    #[test]
    fn a_bill_is_what_would_be_read() {
        for outcome in outcomes() {
            let json = serde_json::to_string(&outcome).unwrap();
            let (kept, read) = (Bill::of(&outcome), parse_bill(&json).unwrap());
            assert_eq!(
                (kept.outcome, kept.difficulty),
                (read.outcome, read.difficulty)
            );
        }
    }

    #[test]
    fn what_is_out_of_order_or_too_old_is_left_to_be_read() {
        let recent = Recent::default();
        let outcome = &outcomes()[0];
        for at in [place(1, 0), place(1, 200), place(1, 100), place(2, 0)] {
            recent.keep(at, outcome);
        }
        let taken = |at| recent.take(at).is_some();
        assert!(taken(place(1, 0)));
        assert!(!taken(place(1, 0)), "once");
        assert!(!taken(place(1, 100)), "behind a later one");
        assert!(taken(place(1, 200)));
        assert!(!taken(place(1, 300)));
        assert!(taken(place(2, 0)));
        for offset in 0..3_000 {
            recent.keep(place(3, offset), outcome);
        }
        assert!(!taken(place(3, 3_000 - 2_049)), "bounded");
        assert!(taken(place(3, 3_000 - 2_048)));
    }
}
