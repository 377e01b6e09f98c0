//! Gateways, and the servers that they share, that are killed.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod chaos;
mod gateway;
mod kill;
