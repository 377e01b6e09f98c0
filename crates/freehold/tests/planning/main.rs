//! What a planner runs: measuring a server, and simulating fleets, with the real program.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod calibrate;
mod eval;
mod program;
mod sim;
