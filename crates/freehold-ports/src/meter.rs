//! Who may use how much: limits and budgets, reserved before the work and settled after it.
//!
//! A request is admitted by everything that bounds it, or by nothing: [`Meter::reserve`] takes what
//! the request could use at most from each of its bounds at once, and [`Meter::settle`] puts the real
//! usage in its place. However many requests and gateways there are, what is reserved and spent
//! together never exceeds a bound.

use std::sync::Arc;
use std::time::Duration;

use freehold_types::{FlowName, KeyName, NanoUsd, RequestId, TeamName};

use crate::BoxFuture;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The requests of one key.
    Key(KeyName),
    /// The requests of one team and of the teams that are a part of it.
    Team(TeamName),
    /// The requests of one workload.
    Flow(FlowName),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key `{name}`"),
            Self::Team(name) => write!(f, "team `{name}`"),
            Self::Flow(name) => write!(f, "flow `{name}`"),
        }
    }
}

/// How long a budget lasts. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
    /// For ever.
    Total,
}

/// How much may be spent in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In which time.
    pub period: Period,
    /// No request is admitted that could spend more than this.
    pub hard: Option<NanoUsd>,
    /// Somebody is told when so much is spent.
    pub soft: Option<NanoUsd>,
}

/// How much may be used. What is `None` has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests within any minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens, read and written, within any minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests at the same time.
    pub concurrent: Option<u64>,
    /// Money.
    pub budgets: Vec<Budget>,
}

impl Limits {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when some money can run out: what a request will cost must be known then.
    pub fn has_hard_budget(&self) -> bool {
        self.budgets.iter().any(|budget| budget.hard.is_some())
    }
}

/// A scope and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What is counted together.
    pub scope: Scope,
    /// How much that may use.
    pub limits: Arc<Limits>,
}

/// What a request could use at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The request. An id is reserved once and settled once, whoever asks how often.
    pub id: RequestId,
    /// Wall-clock time of its admission, Unix milliseconds: it counts for that day and month.
    pub started_unix_ms: u64,
    /// Everything that limits it.
    pub bounds: Vec<Bound>,
    /// Tokens, read and written.
    pub tokens: u64,
    /// Money.
    pub cost: NanoUsd,
}

/// What a request really used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens, read and written.
    pub tokens: u64,
    /// Money.
    pub cost: NanoUsd,
}

/// How one limit stands after a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The limit.
    pub limit: u64,
    /// What is left of it now.
    pub remaining: u64,
    /// Until nothing of it is used any more, if nothing else comes.
    pub reset: Duration,
}

/// How the tightest limits stand after a reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests per minute.
    pub requests: Option<Remaining>,
    /// Tokens per minute.
    pub tokens: Option<Remaining>,
}

impl Standing {
    /// Keeps the tighter limit of each kind.
    pub fn tighten(&mut self, other: Self) {
        let tighter = |one: Option<Remaining>, other: Option<Remaining>| match (one, other) {
            (Some(one), Some(other)) if other.remaining < one.remaining => Some(other),
            (one, other) => one.or(other),
        };
        self.requests = tighter(self.requests, other.requests);
        self.tokens = tighter(self.tokens, other.tokens);
    }
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Requests in this minute.
    Requests {
        /// The limit.
        limit: u64,
    },
    /// Tokens in this minute.
    Tokens {
        /// The limit.
        limit: u64,
        /// What the request asks for.
        needed: u64,
    },
    /// Requests at the same time.
    Concurrent {
        /// The limit.
        limit: u64,
    },
    /// Money.
    Budget {
        /// Of which period.
        period: Period,
        /// The limit.
        limit: NanoUsd,
        /// What is spent or reserved of it.
        taken: NanoUsd,
        /// What the request could cost.
        needed: NanoUsd,
    },
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What has reached its limit.
    pub scope: Scope,
    /// Which.
    pub shortage: Shortage,
    /// When it would be admitted if nothing else came; `None` when waiting does not help.
    pub retry_after: Option<Duration>,
    /// How the limits stand.
    pub standing: Standing,
}

/// Why nothing was reserved.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReserveError {
    /// A limit is reached.
    #[error("{} has reached a limit", .0.scope)]
    Denied(Box<Denial>),
    /// Nobody can tell: the accounts cannot be reached.
    #[error("the accounts cannot be reached: {0}")]
    Unreachable(String),
}

/// Reserves and settles. All or nothing, exactly once.
pub trait Meter: Send + Sync {
    /// Takes what the request could use from all of its bounds.
    ///
    /// # Errors
    /// When one of them has too little left, or nobody can tell; nothing is taken then.
    fn reserve<'a>(
        &'a self,
        reservation: &'a Reservation,
    ) -> BoxFuture<'a, Result<Standing, ReserveError>>;

    /// Puts what was used in the place of what was reserved. Never waits and never fails: what
    /// cannot be settled now is settled later. An id that is settled already changes nothing.
    fn settle(&self, reservation: Reservation, used: Used);
}
