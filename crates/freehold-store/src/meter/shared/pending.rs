//! What is still to be told to the server.

use std::collections::VecDeque;

use freehold_ports::Used;
use freehold_types::RequestId;

/// Reservations without an answer that are given back. While the server is away, each request makes
/// one; beyond so many, those that were taken all the same lapse, and the record of the refused
/// request settles them.
const GIVEN_BACK_MAX: usize = 10_000;

/// What a request used.
#[derive(Clone, Debug)]
pub(super) struct Settlement {
    pub(super) id: RequestId,
    pub(super) used: Used,
    /// The budgets of a request that was admitted without the accounts.
    pub(super) charged: Option<Vec<String>>,
}

/// Settlements in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: VecDeque<Settlement>,
}

impl Pending {
    pub(super) fn push(&mut self, settlement: Settlement) {
        self.waiting.push_back(settlement);
    }

    /// Gives back what may have been taken for a request that got no answer.
    pub(super) fn give_back(&mut self, id: RequestId) {
        if self.waiting.len() < GIVEN_BACK_MAX {
            let used = Used::default();
            let charged = None;
            self.push(Settlement { id, used, charged });
        }
    }

    /// Those that have waited longest. They wait on until they are [`Pending::told`].
    pub(super) fn first(&self, count: usize) -> Vec<Settlement> {
        self.waiting.iter().take(count).cloned().collect()
    }

    /// Which of the first the server has understood. The others are the next to be tried.
    pub(super) fn told(&mut self, told: &[bool]) {
        let first: Vec<_> = self.waiting.drain(..told.len()).collect();
        let failed = first.into_iter().zip(told).filter(|(_, told)| !**told);
        for (settlement, _) in failed.rev() {
            self.waiting.push_front(settlement);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_first_and_in_order() {
        let mut pending = Pending::default();
        let ids: Vec<_> = (0..5).map(RequestId::at).collect();
        for id in &ids[..3] {
            pending.give_back(*id);
        }
        let first: Vec<_> = pending.first(3).iter().map(|first| first.id).collect();
        assert_eq!(first, ids[..3]);
        // More comes while they are being told.
        pending.give_back(ids[3]);
        pending.told(&[false, true, false]);
        let left: Vec<_> = pending.first(9).iter().map(|left| left.id).collect();
        assert_eq!(left, [ids[0], ids[2], ids[3]]);
        pending.told(&[true, true, true]);
        assert!(pending.is_empty());
    }

    #[test]
    fn an_outage_does_not_fill_the_memory() {
        let mut pending = Pending::default();
        for number in 0..2 * GIVEN_BACK_MAX as u64 {
            pending.give_back(RequestId::at(number));
        }
        assert_eq!(pending.waiting.len(), GIVEN_BACK_MAX);
        // What was used is never left out.
        let used = Used {
            tokens: 1,
            ..Used::default()
        };
        let id = RequestId::at(1);
        let charged = None;
        pending.push(Settlement { id, used, charged });
        assert_eq!(pending.waiting.len(), GIVEN_BACK_MAX + 1);
    }
}
