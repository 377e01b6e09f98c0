//! Moving a flow: what an operator orders, what was seen, and what follows from it.
//!
//! [`Order`] is the plan that an operator reads, [`Evidence`] is what was seen in one period of it, and [`next`] says
//! what follows: wait, go on, or go back. It is asked again after every sample, and its answers are valid at every
//! moment at once.

mod evidence;
mod order;
mod planner;
mod simulate;

pub use evidence::{Arm, Evidence, Guard, GuardEvidence, Mean, Seen};
pub use order::{
    Autopilot, BadOrder, Change, GuardRule, Guards, Mirror, Order, PairScorer, Stages, Strata,
};
pub use planner::{Finding, Stage, State, Step, next};
pub use simulate::{Truth, whole_rollouts};
