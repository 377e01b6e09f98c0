//! The store from outside: what is recorded is kept, once, and comes back, whatever happens.

#![expect(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

mod common;
mod crash;
mod disk;
mod golden;
mod homes;
mod ledger;
mod outage;
mod replicas;
mod rollouts;
mod server;
mod usage;
