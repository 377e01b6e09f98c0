//! What the advisor says, checked against calculations by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod constraints;
mod hand;
mod properties;
mod reports;
mod search;
mod world;
