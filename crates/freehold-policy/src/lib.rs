//! Policy: labels, findings and rules in; a [`Permit`] or a [`Refusal`] out.
//!
//! A [`Permit`] is the proof that policy has run, and only this crate can make one. From it alone
//! comes a [`Passage`] to one deployment, and without a passage no backend can be called: see
//! `freehold-ports`. Fallbacks, hedges and retries need a passage each.
//!
//! This crate never does I/O, never sees prompt text, and never widens: every input can only take
//! perimeters, regions and deployments away.

mod label;
mod permit;

pub use label::{Claim, Labels};
pub use permit::{Constraint, Denial, Passage, Permit, Refusal, Rules, decide};
