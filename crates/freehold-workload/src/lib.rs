//! A workload: when requests come, how long they are, what they have in common.
//!
//! Input: somebody's record of traffic. Output: a [`Workload`], which the simulator serves and the
//! advisor prices. This crate never does I/O (readers are handed in) and never reads a clock.

mod workload;

pub use workload::{
    Arrival, BadWorkload, FlowIndex, ModelIndex, NO_SESSION, PrefixRange, UNKNOWN_COST, Workload,
};
