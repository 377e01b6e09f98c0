//! The adapter against an upstream that misbehaves on command.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod canned;
mod connections;
mod counting;
mod dialects;
mod dialing;
mod errors;
mod faults;
mod probing;
mod secrets;
mod support;
mod timeouts;
mod tls;
