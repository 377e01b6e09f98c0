//! The requests of a workload, in the order in which they come.

use serde::{Deserialize, Serialize};

/// The session of an [`Arrival`] that belongs to none.
pub const NO_SESSION: u32 = u32::MAX;

/// Which of [`Workload::flows`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FlowIndex(pub u32);

/// A part of [`Workload::prefix_blocks`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixRange {
    pub start: u32,
    pub length: u32,
}

/// One request. Small on purpose: a week can have ten million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Microseconds since the workload began.
    pub at_us: u64,
    /// All input, tokens read from a cache included.
    pub input_tokens: u32,
    pub output_tokens: u32,
    /// Input that was read from a cache where the record was made; 0 when nobody told.
    pub cached_tokens: u32,
    pub flow: FlowIndex,
    /// Requests of one conversation have the same number; [`NO_SESSION`] when nobody told.
    pub session: u32,
    /// What the input begins with, block by block. Empty when nobody told.
    pub prefix: PrefixRange,
}

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
    Unsorted { index: usize },
    /// A request refers to a flow or to blocks that are not there.
    #[error("request {index} refers to {what} that the workload does not have")]
    Dangling { index: usize, what: &'static str },
}

impl Workload {
    /// The blocks that a request's input begins with.
    #[must_use]
    pub fn prefix_of(&self, arrival: &Arrival) -> &[u64] {
        let start = arrival.prefix.start as usize;
        &self.prefix_blocks[start..start + arrival.prefix.length as usize]
    }

    /// Whether it holds what its fields promise.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self) -> Result<(), BadWorkload> {
        if self.arrivals.is_empty() {
            return Err(BadWorkload::Empty);
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
            let end = u64::from(arrival.prefix.start) + u64::from(arrival.prefix.length);
            if end > self.prefix_blocks.len() as u64 {
                return dangling("blocks");
            }
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
            cached_tokens: 0,
            flow: FlowIndex(0),
            session: NO_SESSION,
            prefix: PrefixRange::default(),
        }
    }

    fn workload(arrivals: Vec<Arrival>) -> Workload {
        Workload {
            arrivals,
            flows: vec!["all".to_owned()],
            prefix_blocks: vec![1, 2, 3],
            prefix_block_tokens: 16,
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
    fn an_arrival_is_small() {
        assert!(size_of::<Arrival>() <= 40);
    }
}
