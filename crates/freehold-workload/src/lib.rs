//! A workload: when requests come, how long they are, what they have in common.
//!
//! Input: somebody's record of traffic. Output: a [`Workload`], which the simulator serves and the
//! advisor prices. This crate never does I/O (readers are handed in) and never reads a clock.
//!
//! - [`import`] and [`Importer`] read exports and traces; docs/workload.md lists the formats.
//! - [`Scenario`] makes other traffic of it: more, less, in bursts, over a week.
//! - [`statistics`] says what traffic is like.
//! - [`write_jsonl`] and [`write_csv`] write what is read back exactly.
//!
//! An [`Arrival`] knows its model, and [`Workload::cost_of`] what the record says that it cost.

mod import;
mod scenario;
mod select;
mod statistics;
mod workload;
mod write;

pub use import::{
    BadRow, Field, Format, ImportError, ImportOptions, ImportReport, Imported, Importer, TimeUnit,
    import,
};
pub use scenario::{BadScenario, Profile, Scenario};
pub use select::{BadSelection, Selection};
pub use statistics::{
    FlowStatistics, Lengths, Reuse, TrafficStatistics, WEEK_HOURS, WorkloadStatistics, reuse,
    statistics,
};
pub use workload::{
    Arrival, BadWorkload, FlowIndex, ModelIndex, NO_SESSION, PrefixRange, UNKNOWN_COST, Workload,
};
pub use write::{write_csv, write_jsonl};
