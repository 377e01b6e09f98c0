//! The gateway over real sockets, against upstreams that misbehave on command.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod audit;
mod canary;
mod clients;
mod connections;
#[path = "../../../freehold-guard/tests/texts/disguise.rs"]
mod disguise;
mod faults;
mod headers;
mod hostile;
mod input;
mod junk;
mod limits;
mod masking;
mod places;
mod policy;
mod red_team;
mod redaction;
mod siege;
mod soak;
mod support;
mod tls;
