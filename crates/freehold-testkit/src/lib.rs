//! A fake upstream for tests: it speaks the vendors' protocols and misbehaves on command.
//!
//! In: HTTP on loopback (OpenAI chat completions, legacy completions and models; Anthropic messages and
//! `count_tokens`; plain or streamed) and [`Script`]s that say how to answer. Out: vendor-shaped bytes, and a
//! [`RequestRecord`] of everything that was received, sent and counted.
//!
//! Every streamed chunk carries exactly one token, so what a client saw, what was sent and what is billed can be
//! compared exactly. Nothing needs a sleep: a script may wait at a chunk until the test calls
//! [`FakeUpstream::release`], and the test can wait for an event with [`FakeUpstream::wait_until`].
//!
//! [`FakeCollector`] takes OpenTelemetry's spans and metrics, [`identity`] is a fake login service. [`postgres`] and
//! [`redis`] start real servers from the machine's packages, to be killed and brought back.
//!
//! The fake never leaves loopback, never checks semantics beyond what real vendors reject, and never uses randomness:
//! the same requests in the same order give the same bytes.

mod answer;
mod anthropic;
pub mod certificates;
mod collector;
mod connection;
mod control;
mod errors;
mod exchange;
pub mod identity;
mod openai;
mod player;
pub mod postgres;
mod record;
pub mod redis;
mod request;
mod schema;
mod script;
mod server;
mod shorthand;
mod watched;

pub use collector::{CollectedSpan, FakeCollector, Report, Taking, attribute};
pub use opentelemetry_proto;
pub use record::{RequestEnd, RequestRecord, Totals, UsageCount};
pub use request::Surface;
pub use script::{Fault, Pace, ReportedUsage, RetryAfter, Script, ScriptedCall, UsageScript};
pub use server::{FakeUpstream, FakeUpstreamBuilder, unreachable_url};
pub use watched::ServerError;

/// What can go wrong in the fake itself (not the faults it plays).
#[derive(Debug, thiserror::Error)]
pub enum TestkitError {
    /// The listening socket could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The fake only listens on loopback.
    #[error("{0} is not a loopback address")]
    NotLoopback(std::net::SocketAddr),
    /// A script could not be read.
    #[error("not a script: {0}")]
    Script(String),
}
