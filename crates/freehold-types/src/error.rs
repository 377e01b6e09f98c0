//! The one error that crosses rooms: what went wrong, on whose side, and whether trying again helps.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Dialect;

/// What went wrong. `freehold-http` holds the one table from kind to HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is malformed or has a value out of range.
    InvalidRequest,
    /// The request is well formed, but asks for what the target cannot express or do.
    Unsupported,
    /// The prompt (and the room asked for the answer) exceeds the model's context window.
    ContextOverflow,
    /// The body, or something in it, exceeds a size limit.
    TooLarge,
    /// No key, or one that we do not know.
    Unauthenticated,
    /// The key is known but may not do this.
    PermissionDenied,
    /// Policy permits no deployment for this request.
    PolicyRefused,
    /// No such model, route or path.
    NotFound,
    /// A limit on requests, tokens or money is reached.
    RateLimited,
    /// The server has more work than it takes.
    Overloaded,
    /// No answer within the time allowed.
    Timeout,
    /// The server cannot be reached or is not ready.
    Unavailable,
    /// The upstream broke its own protocol, or ended a stream early.
    BadUpstream,
    /// The upstream refused *our* credentials.
    UpstreamAuth,
    /// The upstream's own safety system refused the content.
    ContentFiltered,
    /// The client went away.
    Cancelled,
    /// A defect or an exhausted resource of the gateway itself.
    Internal,
}

impl ErrorKind {
    /// The kind's name in logs, metrics and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unsupported => "unsupported",
            Self::ContextOverflow => "context_overflow",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::PolicyRefused => "policy_refused",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::BadUpstream => "bad_upstream",
            Self::UpstreamAuth => "upstream_auth",
            Self::ContentFiltered => "content_filtered",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// On whose side it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// The client's request or the client's connection.
    Client,
    /// A backend.
    Upstream,
    /// Freehold.
    Internal,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again, on any deployment.
    Never,
    /// Not here, but another deployment may serve it.
    Elsewhere,
    /// Here or elsewhere, after a pause of the gateway's choice.
    Soon,
    /// Here not before this pause (the upstream's Retry-After); elsewhere at once.
    After(Duration),
}

/// An error on its way to a client, to the ledger, or to the next attempt.
///
/// `message` is shown to clients: it never holds a secret, a prompt or a machine's path.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// On whose side.
    pub source_side: ErrorSource,
    /// Whether trying again can help.
    pub retry: Retry,
    /// One or two sentences for the client: what is wrong and what to do.
    pub message: String,
    /// The request's field at fault, as a path: `messages[2].content[0].image_url`.
    pub param: Option<String>,
    /// A short machine-readable code, e.g. `context_length_exceeded`.
    pub code: Option<String>,
    /// The HTTP status that the upstream answered with.
    pub upstream_status: Option<u16>,
    /// The upstream's error body and its dialect: a client of the same dialect gets it unchanged.
    pub upstream_body: Option<(Dialect, Bytes)>,
}

impl Error {
    /// The [`Error::code`] of a connection that had been kept open and was closed as the request went out. Servers may do so
    /// at any moment; it says nothing about how they are.
    pub const CONNECTION_STALE: &str = "connection_stale";

    /// An error with the side and the retry advice that its kind usually has.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (source_side, retry) = usual(kind);
        Self {
            kind,
            source_side,
            retry,
            message: message.into(),
            param: None,
            code: None,
            upstream_status: None,
            upstream_body: None,
        }
    }

    /// A malformed request; `param` is the path of the field at fault.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message).with_param(param)
    }

    /// A field that the target cannot express; `param` is its path. Another deployment may.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message).with_param(param)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds a machine-readable code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Replaces the retry advice.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Replaces the side at fault.
    #[must_use]
    pub fn on_side(mut self, side: ErrorSource) -> Self {
        self.source_side = side;
        self
    }

    /// True when the next attempt of the plan should be tried.
    pub fn allows_fallback(&self) -> bool {
        !matches!(self.retry, Retry::Never)
    }
}

/// Who is usually to blame for a kind, and whether another try usually helps.
const fn usual(kind: ErrorKind) -> (ErrorSource, Retry) {
    use ErrorKind as K;
    match kind {
        K::InvalidRequest
        | K::TooLarge
        | K::Unauthenticated
        | K::PermissionDenied
        | K::PolicyRefused
        | K::NotFound
        | K::Cancelled => (ErrorSource::Client, Retry::Never),
        K::Unsupported | K::ContextOverflow => (ErrorSource::Client, Retry::Elsewhere),
        K::ContentFiltered => (ErrorSource::Upstream, Retry::Never),
        K::UpstreamAuth => (ErrorSource::Upstream, Retry::Elsewhere),
        K::RateLimited | K::Overloaded | K::Timeout | K::Unavailable | K::BadUpstream => {
            (ErrorSource::Upstream, Retry::Soon)
        }
        K::Internal => (ErrorSource::Internal, Retry::Elsewhere),
    }
}
