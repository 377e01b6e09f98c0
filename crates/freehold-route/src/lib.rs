//! The router: what should serve a request, among what may.
//!
//! Input: the request, the route its `model` resolved to ([`RouteTable::resolve`]), the
//! [`freehold_policy::Permit`], list prices, and every deployment's [`Health`]. Output: a [`Plan`],
//! an ordered and bounded list of attempts with reasons, and the [`freehold_types::Decision`] that
//! the ledger keeps; or a [`Rejected`], the error that says why nothing can serve.
//!
//! Two steps: what is looked up (features, prices, health) becomes a
//! [`freehold_types::RouterInputs`]; a pure function of it makes the ranking, so that [`replay`] can
//! make it again. A deployment that the permit forbids is never in a plan.
//!
//! This crate never does I/O, never reads a clock, never keeps text of a request.

mod affinity;
mod agent;
mod difficulty;
mod features;
mod flow;
mod hash;
mod health;
mod needs;
mod pattern;
mod plan;
mod rank;
mod refusal;
mod table;

pub use affinity::{fraction, fraction_of};
pub use agent::agent_signals;
pub use difficulty::{Contribution, contributions, difficulty};
pub use features::features;
pub use flow::{DISCOVERED, discover_flow};
pub use health::{Began, Breaker, BreakerSettings, Health, MODEL_LOADING, Sample, Verdict, Vitals};
pub use pattern::matches_pattern;
pub use plan::{Plan, PlannedAttempt, Query, Rejected, ReplayError, plan, replay};
pub use rank::{VERSION, default_weights};
pub use table::{
    BackendTemplate, ModelPricing, Resolved, RouteSettings, RouteSpec, RouteTable, RouteTableError,
    RouteTimeouts,
};
