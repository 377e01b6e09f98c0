//! Whether a candidate is not worse than the incumbent, by evidence that is valid whenever one looks.
//!
//! Input: scores from 0 to 1 of both models, in pairs (replay, shadow) or apart (canary). Output: a
//! [`Judgement`]: proven, refuted or not yet, with an interval for the difference and how many more
//! samples it takes. Fixed-horizon tests promise their error rate for one look; whoever looks daily
//! and stops when it suits errs far more often. These tests are e-processes: the promise holds at
//! every moment at once, however often one looks and whenever one stops (Ville's inequality).
//!
//! Scores come from [`dataset`]s and [`scorers`], or from wherever an operator has them. [`drift`] watches whether a
//! deployment still answers as it did.
//!
//! This crate never does I/O, never reads a clock and draws no random numbers.

mod apart;
mod betting;
pub mod dataset;
mod differences;
pub mod drift;
mod judge;
pub mod rollout;
mod running;
pub mod scorers;
mod simulate;
mod strata;
mod tally;

pub use apart::Apart;
pub use differences::{BadScore, Differences, Score};
pub use judge::{BadRule, Interval, Judgement, MoreSamples, Rule, Standing};
pub use running::Running;
pub use simulate::{Candidate, Rates, rollouts};
pub use strata::{Stratified, StratumJudgement};
pub use tally::Tally;
