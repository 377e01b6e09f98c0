//! What runs beside requests. One loop so far: rollouts. `judge.rs` has a model score live pairs, `feedback.rs` takes what
//! users say, `strata.rs` has the words for what a request is like, for data sets as well.
//!
//! [`Watch`] hears of requests of flows on the move and returns at once; [`RolloutLoop`] has the other side answer a
//! share of them too, scores both, keeps what was seen in the database, asks [`freehold_proof::rollout::next`] what
//! follows, and publishes the [`freehold_pipeline::Moves`] that requests read at admission. It never touches a request
//! under way. It may die at any point: what it was about to do follows again from what is in the database.
//!
//! This crate decides nothing about a request and renders nothing.

mod answers;
mod feedback;
mod judge;
mod local;
mod record;
mod rollouts;
pub mod strata;

pub use feedback::{FeedbackBody, FeedbackDesk};
pub use record::{BadRecord, By, Event, PairBody, Record, Rollout};
pub use rollouts::{RolloutLoop, Watch, describe_metrics};
