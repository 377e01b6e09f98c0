//! Policy: labels, findings, facts and rules in; a [`Permit`] or a [`Refusal`] out.
//!
//! A [`Permit`] is the proof that policy has run, and only this crate can make one. From it alone
//! comes a [`Passage`] to one deployment, and without a passage no backend can be called: see
//! `freehold-ports`. Fallbacks, hedges and retries need a passage each. Where findings must be
//! masked first, a passage is given only for the receipt ([`Masked`]) that they were. In the same way
//! a permit alone says that a request's text may be stored ([`Storing`], [`StorePass`]).
//!
//! [`PolicySettings`] is the `policy` section of the configuration; [`Policy::compile`] makes a
//! [`Policy`] of it, and complains of everything in it that cannot be meant.
//!
//! This crate never does I/O, never sees prompt text, and never widens: every input can only take
//! perimeters, regions and deployments away. Masking lowers no label either: it is owed on top. The one
//! thing that a rule gives is leave to store text, of which there is none without it.

mod analyse;
pub mod cases;
mod compile;
mod condition;
mod constraint;
mod explain;
mod expression;
mod facts;
mod group;
mod index;
mod label;
mod mask;
mod pattern;
mod permit;
mod policy;
mod refusal;
mod rule;
mod selector;
pub mod settings;
mod storing;

pub use compile::{Place, PolicyError, Surroundings, Warning};
pub use constraint::Constraint;
pub use explain::{DeploymentTrace, Explanation, RefusalTrace, RuleOutcome, RuleTrace, StoreTrace};
pub use facts::Facts;
pub use group::group_names;
pub use label::{Claim, Labels};
pub use mask::{MaskMethod, MaskSettings, MaskWhere, Masked, Masks};
pub use permit::{Denial, Passage, Permit};
pub use policy::{Policy, Rules, decide};
pub use refusal::{Code, Refusal};
pub use settings::PolicySettings;
pub use storing::{KeepSettings, StorePass, StoreSettings, StoredText, Storing};
