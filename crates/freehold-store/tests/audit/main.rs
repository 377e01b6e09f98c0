//! The audit trail from outside: what is recorded stays, and nothing about it can change unseen.

#![expect(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

mod common;
mod crash;
mod disk;
mod export;
mod tampering;
mod trail;
