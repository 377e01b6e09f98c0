//! The vocabulary of Freehold: what every other room says to its neighbours.
//!
//! Ids, money, token counts, the canonical [`Request`], the canonical [`Event`]s of an answer,
//! the [`Outcome`] that the ledger keeps, and the one [`Error`] that crosses rooms.
//!
//! This crate never does I/O, never knows a vendor's wire format and never decides anything.

pub mod access;
pub mod agent;
pub mod answer;
pub mod audit;
pub mod decision;
pub mod deployment;
pub mod dialect;
pub mod error;
pub mod ids;
pub mod money;
pub mod outcome;
pub mod price;
pub mod request;
pub mod rollout;
pub mod sensitivity;
pub mod trace;
pub mod usage;

pub use access::{Actor, Grant, Reach, Right};
pub use agent::AgentSignals;
pub use answer::{Delta, Event, FinishReason, PartKind, Response, TokenLogprob};
pub use decision::{
    Availability, CandidateInput, CandidateRecord, Decision, Features, Objective, RouterInputs,
    Weights,
};
pub use deployment::{Capability, Deployment, PriceBasis, Site};
pub use dialect::Dialect;
pub use error::{Error, ErrorKind, ErrorSource, Retry};
pub use ids::{
    BackendId, DeploymentId, FlowName, KeyName, Region, RequestId, RouteName, Tag, TeamName,
};
pub use money::NanoUsd;
pub use outcome::{AttemptRecord, Outcome, OutcomeStatus};
pub use request::{Extra, Message, Part, Request, Role};
pub use rollout::{RolloutPart, RolloutSide};
pub use sensitivity::{Perimeter, Sensitivity};
pub use trace::{SpanId, Trace, TraceId, TraceParent};
pub use usage::{Usage, UsageBasis};
