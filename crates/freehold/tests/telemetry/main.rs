//! The real program reports to a fake collector: what arrives, what never does, and what happens when
//! nobody takes it.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod addresses;
mod collectors;
mod program;
mod series;
mod spans;
