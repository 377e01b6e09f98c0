//! The gateway over real sockets, against upstreams that misbehave on command.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod clients;
mod connections;
mod faults;
mod headers;
mod hostile;
mod input;
mod policy;
mod support;
mod tls;
