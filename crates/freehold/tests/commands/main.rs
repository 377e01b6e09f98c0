//! What people run, with the real program: officers guard, policy and audit, others the advisor.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod advise;
mod audit;
mod calibrate;
mod check;
mod desk;
mod drift;
mod eval;
mod feedback;
mod guard;
mod operators;
mod oracle;
mod policy;
mod program;
mod programs;
mod prompts;
mod refusals;
mod replay;
mod rollout;
mod rollout_judge;
mod scoring;
mod sim;
