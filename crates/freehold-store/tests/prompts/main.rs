//! Stored prompts from outside: what may be read, by whom, and what nobody can read any more.

#![expect(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

mod common;
mod crash;
mod erase;
mod faults;
mod keys;
mod remarks;
mod retention;
mod roundtrip;
mod tampering;
