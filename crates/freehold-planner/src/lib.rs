//! Rent or own: what each costs over a horizon, how sure that is, and what would change it.
//!
//! Input: a [`Case`]: traffic, prices ([`RateCard`]), what could be owned ([`Candidate`], each with a load curve
//! of the simulator), assumptions with their ranges and sources, answers of an [`interview`](Answers), proofs of
//! quality. Output: an [`Advice`], and [`report`]s of it. This crate never does I/O, never reads a clock, and gives
//! the same bytes for the same input and seed. docs/advisor.md has the equations and the limits.

mod advice;
mod advise;
mod assumptions;
mod break_even;
mod candidate;
mod case;
mod choose;
mod costing;
mod draws;
mod error;
mod input;
mod interview;
mod offers;
mod range;
mod rates;
pub mod report;
mod search;
mod tornado;
mod traffic;
mod units;
mod verdict;

pub use advice::{
    Advice, Decision, Experiment, FlowVerdict, HostedRent, Quality, Renting, TrafficSummary,
    Utilisation, Verdict,
};
pub use advise::advise;
pub use assumptions::{Assumption, Assumptions};
pub use break_even::{BreakEven, Versus, VolumePoint};
pub use candidate::{Candidate, Procurement};
pub use case::{Case, FlowBound, Must, Proof, Rejected, Settings};
pub use choose::OwnedOption;
pub use costing::OwnedMonth;
pub use draws::Quantiles;
pub use error::PlanError;
pub use input::{INPUTS, Input};
pub use interview::{Answers, Conclusion, QUESTIONS, Question};
pub use offers::Offer;
pub use range::Range;
pub use rates::{Bill, RateCard, TierRates, find, hosts};
pub use search::{Found, Search};
pub use tornado::Swing;
pub use traffic::{FlowTraffic, HOURS_PER_MONTH, Profile, Traffic};
pub use units::RecordedCost;
