//! What the advisor says, checked against calculations by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod claims;
mod constraints;
mod hand;
// The command that prints docs/claims.md: an example, which the product does not carry.
#[path = "../../examples/claims/page.rs"]
mod page;
mod properties;
mod reports;
mod search;
mod world;
