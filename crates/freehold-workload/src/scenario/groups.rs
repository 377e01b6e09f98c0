//! Which requests belong together.

use std::collections::{HashMap, HashSet};

use crate::{NO_SESSION, Workload};

/// Blocks that one request in so many has are common to all.
const COMMON_ONE_IN: usize = 100;
/// And so many requests have them at least.
const COMMON_MIN: usize = 10;

/// Requests that are kept and dropped together.
pub(super) struct Groups {
    pub(super) of_arrival: Vec<u32>,
    /// When each group begins.
    pub(super) starts_us: Vec<u64>,
    pub(super) count: usize,
    common: HashSet<u64>,
}

impl Groups {
    pub(super) fn of(workload: &Workload) -> Self {
        let common = common(workload);
        let mut sets = Sets::new(workload.arrivals.len());
        let mut by_session: HashMap<u32, usize> = HashMap::new();
        let mut by_block: HashMap<u64, usize> = HashMap::new();
        for (index, arrival) in workload.arrivals.iter().enumerate() {
            if arrival.session != NO_SESSION {
                let first = *by_session.entry(arrival.session).or_insert(index);
                sets.join(first, index);
                continue;
            }
            for block in workload.prefix_of(arrival) {
                if !common.contains(block) {
                    let first = *by_block.entry(*block).or_insert(index);
                    sets.join(first, index);
                }
            }
        }
        let mut numbers: HashMap<usize, u32> = HashMap::new();
        let mut of_arrival = Vec::with_capacity(workload.arrivals.len());
        let mut starts_us = Vec::new();
        for (index, arrival) in workload.arrivals.iter().enumerate() {
            let next = u32::try_from(starts_us.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(sets.root(index)).or_insert(next);
            if number == next {
                starts_us.push(arrival.at_us);
            }
            of_arrival.push(number);
        }
        Self {
            of_arrival,
            count: starts_us.len(),
            starts_us,
            common,
        }
    }

    /// Whether a block is of everybody, such as a part of instructions.
    pub(super) fn is_common(&self, block: u64) -> bool {
        self.common.contains(&block)
    }
}

/// Blocks of more than one conversation; without conversations, of one request in a hundred.
fn common(workload: &Workload) -> HashSet<u64> {
    let mut of_one: HashMap<u64, u32> = HashMap::new();
    let mut common = HashSet::new();
    let mut requests: HashMap<u64, usize> = HashMap::new();
    for arrival in &workload.arrivals {
        for block in workload.prefix_of(arrival) {
            if arrival.session == NO_SESSION {
                *requests.entry(*block).or_default() += 1;
            } else if *of_one.entry(*block).or_insert(arrival.session) != arrival.session {
                common.insert(*block);
            }
        }
    }
    let least = (workload.arrivals.len() / COMMON_ONE_IN).max(COMMON_MIN);
    let many = requests
        .into_iter()
        .filter(|(_, requests)| *requests >= least);
    common.extend(many.map(|(block, _)| block));
    common
}

/// Disjoint sets (union-find with path halving; Cormen et al., chapter 19).
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The earlier is the root: what follows does not depend on the order of joining.
        let (first, second) = (a.min(b), a.max(b));
        self.0[second] = first;
    }
}
