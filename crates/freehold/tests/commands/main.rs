//! What an officer runs: guard, policy and audit, with the real program.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod audit;
mod check;
mod guard;
mod operators;
mod policy;
mod program;
mod prompts;
mod refusals;
