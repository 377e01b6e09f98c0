//! The requests of a workload, in the order in which they come.

use serde::{Deserialize, Serialize};

/// The session of an [`Arrival`] that belongs to none.
pub const NO_SESSION: u32 = u32::MAX;

/// Which of [`Workload::flows`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FlowIndex(pub u32);

/// Which of [`Workload::models`]; [`ModelIndex::NONE`] when nobody told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelIndex(pub u32);

impl ModelIndex {
    /// The record does not say which model served.
    pub const NONE: Self = Self(u32::MAX);
}

impl Default for ModelIndex {
    fn default() -> Self {
        Self::NONE
    }
}

/// A part of [`Workload::prefix_blocks`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixRange {
    /// The first block's index.
    pub start: u32,
    /// How many blocks.
    pub length: u32,
}

/// One request. Small on purpose: a week can have ten million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Microseconds since the workload began.
    pub at_us: u64,
    /// All input, tokens read from a cache included.
    pub input_tokens: u32,
    /// All output, reasoning included.
    pub output_tokens: u32,
    /// Input that was read from a cache where the record was made; 0 when nobody told.
    pub cached_tokens: u32,
    /// Which of the flows it belongs to.
    pub flow: FlowIndex,
    /// Which model served it where the record was made.
    pub model: ModelIndex,
    /// Requests of one conversation have the same number; [`NO_SESSION`] when nobody told.
    pub session: u32,
    /// What the input begins with, block by block. Empty when nobody told.
    pub prefix: PrefixRange,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            at_us: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            flow: FlowIndex(0),
            model: ModelIndex::NONE,
            session: NO_SESSION,
            prefix: PrefixRange::default(),
        }
    }
}

/// What an entry of [`Workload::costs_nano_usd`] is when the record does not tell the cost.
pub const UNKNOWN_COST: i64 = i64::MIN;

/// Traffic: its requests, sorted by time, and what they refer to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// When it began, Unix milliseconds; nothing when the record tells only differences.
    pub began_unix_ms: Option<u64>,
    /// How long was looked, microseconds. At least the last arrival's time.
    pub duration_us: u64,
    /// Sorted by [`Arrival::at_us`].
    pub arrivals: Vec<Arrival>,
    /// The flows' names.
    pub flows: Vec<String>,
    /// The names of the models that served, as the record has them; empty when it has none.
    pub models: Vec<String>,
    /// What each request cost, nano-dollars, or [`UNKNOWN_COST`]. One entry for each arrival, or
    /// none at all when the record has no costs.
    pub costs_nano_usd: Vec<i64>,
    /// Ids of blocks of input: equal ids after equal ids are equal text.
    pub prefix_blocks: Vec<u64>,
    /// How many tokens a block has; 0 when there are no blocks.
    pub prefix_block_tokens: u32,
    /// Whether requests were made up from parameters instead of recorded.
    pub is_generated: bool,
}

/// Why something is no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkload {
    /// There is nothing to look at.
    #[error("the trace has no request; check the file and the filters, or take a longer time")]
    Empty,
    /// A workload that somebody put together wrongly.
    #[error("request {index} comes before the one in front of it; sort the requests by time")]
    Unsorted {
        /// Which of the requests.
        index: usize,
    },
    /// A request refers to a flow or to blocks that are not there.
    #[error("request {index} refers to {what} that the workload does not have")]
    Dangling {
        /// Which of the requests.
        index: usize,
        /// What it refers to.
        what: &'static str,
    },
    /// Costs that belong to nobody, or requests without an entry.
    #[error("there are {costs} costs of {arrivals} requests; give one for each, or none")]
    Costs {
        /// Entries of `costs_nano_usd`.
        costs: usize,
        /// Requests.
        arrivals: usize,
    },
    /// The window ends before its last request.
    #[error("a request comes at {last_us} us, after the end at {duration_us} us")]
    AfterEnd {
        /// The last request's time.
        last_us: u64,
        /// The window's length.
        duration_us: u64,
    },
}

impl Workload {
    /// The blocks that a request's input begins with.
    #[must_use]
    pub fn prefix_of(&self, arrival: &Arrival) -> &[u64] {
        let start = arrival.prefix.start as usize;
        &self.prefix_blocks[start..start + arrival.prefix.length as usize]
    }

    /// What the request of that index cost, nano-dollars; nothing when the record does not tell.
    #[must_use]
    pub fn cost_of(&self, index: usize) -> Option<i64> {
        let cost = self.costs_nano_usd.get(index).copied();
        cost.filter(|cost| *cost != UNKNOWN_COST)
    }

    /// The name of the model that served a request.
    #[must_use]
    pub fn model_of(&self, arrival: &Arrival) -> Option<&str> {
        let name = self.models.get(arrival.model.0 as usize);
        name.map(String::as_str)
    }

    /// Whether it holds what its fields promise.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self) -> Result<(), BadWorkload> {
        if self.arrivals.is_empty() {
            return Err(BadWorkload::Empty);
        }
        if !self.costs_nano_usd.is_empty() && self.costs_nano_usd.len() != self.arrivals.len() {
            return Err(BadWorkload::Costs {
                costs: self.costs_nano_usd.len(),
                arrivals: self.arrivals.len(),
            });
        }
        let mut last_us = 0;
        for (index, arrival) in self.arrivals.iter().enumerate() {
            if arrival.at_us < last_us {
                return Err(BadWorkload::Unsorted { index });
            }
            last_us = arrival.at_us;
            let dangling = |what| Err(BadWorkload::Dangling { index, what });
            if arrival.flow.0 as usize >= self.flows.len() {
                return dangling("a flow");
            }
            let model = arrival.model;
            if model != ModelIndex::NONE && model.0 as usize >= self.models.len() {
                return dangling("a model");
            }
            let end = u64::from(arrival.prefix.start) + u64::from(arrival.prefix.length);
            if end > self.prefix_blocks.len() as u64 {
                return dangling("blocks");
            }
        }
        if last_us > self.duration_us {
            return Err(BadWorkload::AfterEnd {
                last_us,
                duration_us: self.duration_us,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(at_us: u64) -> Arrival {
        Arrival {
            at_us,
            input_tokens: 1,
            output_tokens: 1,
            ..Arrival::default()
        }
    }

    fn workload(arrivals: Vec<Arrival>) -> Workload {
        Workload {
            arrivals,
            flows: vec!["all".to_owned()],
            prefix_blocks: vec![1, 2, 3],
            prefix_block_tokens: 16,
            duration_us: 10,
            ..Workload::default()
        }
    }

    #[test]
    fn what_is_sorted_and_whole_passes() {
        assert_eq!(
            workload(vec![arrival(1), arrival(1), arrival(2)]).check(),
            Ok(())
        );
    }

    #[test]
    fn what_is_empty_unsorted_or_dangling_is_told() {
        assert_eq!(workload(vec![]).check(), Err(BadWorkload::Empty));
        let unsorted = workload(vec![arrival(2), arrival(1)]);
        assert_eq!(unsorted.check(), Err(BadWorkload::Unsorted { index: 1 }));
        let no_flow = Arrival {
            flow: FlowIndex(1),
            ..arrival(1)
        };
        let told = workload(vec![no_flow]).check();
        assert!(matches!(told, Err(BadWorkload::Dangling { index: 0, .. })));
        let no_model = Arrival {
            model: ModelIndex(0),
            ..arrival(1)
        };
        let told = workload(vec![no_model]).check();
        assert!(matches!(told, Err(BadWorkload::Dangling { index: 0, .. })));
        let no_blocks = Arrival {
            prefix: PrefixRange {
                start: 1,
                length: 3,
            },
            ..arrival(1)
        };
        let told = workload(vec![no_blocks]).check();
        assert!(matches!(told, Err(BadWorkload::Dangling { index: 0, .. })));
    }

    #[test]
    fn costs_are_of_every_request_or_of_none() {
        let mut workload = workload(vec![arrival(1), arrival(2)]);
        workload.costs_nano_usd = vec![7];
        let told = workload.check();
        assert!(matches!(told, Err(BadWorkload::Costs { costs: 1, .. })));
        workload.costs_nano_usd.push(UNKNOWN_COST);
        assert_eq!(workload.check(), Ok(()));
        assert_eq!((workload.cost_of(0), workload.cost_of(1)), (Some(7), None));
    }

    #[test]
    fn the_window_holds_every_request() {
        let told = workload(vec![arrival(11)]).check();
        assert!(matches!(told, Err(BadWorkload::AfterEnd { .. })));
    }

    #[test]
    fn an_arrival_is_small() {
        assert!(size_of::<Arrival>() <= 40);
    }
}
