//! How a deployment is doing: the circuit breaker, measured speed, requests in flight.
//!
//! Pure state machines driven by explicit times (milliseconds of any one monotonic clock); the
//! pipeline holds one [`Vitals`] per deployment.

use std::time::Duration;

use freehold_types::{Availability, Error, ErrorKind, ErrorSource, Retry};

/// The [`Error::code`] by which a backend says that it is loading its model.
pub const MODEL_LOADING: &str = "model_loading";

/// How the router sees a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Whether it may be tried now.
    pub availability: Availability,
    /// Measured time to the first token; `None` when nothing recent is known.
    pub first_token_ms: Option<u32>,
    /// Measured tokens per second after that; `None` when nothing recent is known.
    pub tokens_per_second: Option<f64>,
    /// Requests it is serving for us.
    pub in_flight: u32,
}

/// What an attempt says about its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Nothing: the client's fault, the client's leaving, or ours.
    Neutral,
    /// It works, and asks to be left alone for so long.
    Pause(Duration),
    /// It is getting its model ready: no failure, however long it takes.
    Loading,
}

/// A pause that an upstream asks for is not honoured beyond this.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// The pause after a 429 that names none.
const PAUSE_DEFAULT: Duration = Duration::from_secs(1);

impl Verdict {
    /// What the end of an attempt says: `None` is a whole answer.
    pub fn of(error: Option<&Error>) -> Self {
        let Some(error) = error else {
            return Self::Success;
        };
        if error.code.as_deref() == Some(MODEL_LOADING) {
            return Self::Loading;
        }
        // Servers close connections that were kept; many at once do not make a broken one.
        if error.code.as_deref() == Some(Error::CONNECTION_STALE) {
            return Self::Neutral;
        }
        match (error.kind, error.retry) {
            (
                ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Unavailable,
                Retry::After(pause),
            ) => Self::Pause(pause.min(PAUSE_MAX)),
            (ErrorKind::RateLimited, _) => Self::Pause(PAUSE_DEFAULT),
            (ErrorKind::Cancelled | ErrorKind::ContentFiltered, _) => Self::Neutral,
            _ if error.source_side != ErrorSource::Upstream => Self::Neutral,
            _ => Self::Failure,
        }
    }
}

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Opens after so many failures in a row.
    pub consecutive_failures: u32,
    /// Opens when so many of the last 20 results, in thousandths, are failures (at least 10 results).
    pub failure_permille: u32,
    /// How long it stays open at first; doubles each time a probe fails.
    pub open_ms: u64,
    /// The longest it stays open.
    pub open_max_ms: u64,
    /// A probe that has not ended by then no longer bars others.
    pub probe_timeout_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_permille: 500,
            open_ms: 5_000,
            open_max_ms: 300_000,
            probe_timeout_ms: 60_000,
        }
    }
}

/// How many results the failure rate looks back on.
const RESULTS: u32 = 20;
/// How many there must be.
const RESULTS_MIN: u32 = 10;
/// How long a deployment counts as loading after it said so.
const LOADING_MS: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Nothing passes until then; after that, one probe at a time.
    Open {
        until_ms: u64,
        /// When the probe under way began.
        probe_since_ms: Option<u64>,
    },
}

/// The circuit breaker of one deployment.
///
/// Failures open it: so many in a row, or too large a share of the recent ones. After a while one
/// request at a time may probe; a success closes it, a failure opens it for twice as long. Pauses
/// that the upstream asks for (429 with Retry-After) are kept to the millisecond and are no failures.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    in_a_row: u32,
    /// One bit per recent result, the newest lowest; 1 is a failure.
    results: u32,
    results_known: u32,
    reopened: u32,
    paused_until_ms: u64,
    loading_until_ms: u64,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed,
            in_a_row: 0,
            results: 0,
            results_known: 0,
            reopened: 0,
            paused_until_ms: 0,
            loading_until_ms: 0,
        }
    }

    /// Whether the deployment may be tried now.
    pub fn availability(&self, now_ms: u64) -> Availability {
        let mut down_until_ms = self.paused_until_ms;
        let mut probing = false;
        if let State::Open {
            until_ms,
            probe_since_ms,
        } = self.state
        {
            down_until_ms = down_until_ms.max(until_ms);
            if let Some(since_ms) = probe_since_ms {
                let free_ms = since_ms.saturating_add(self.settings.probe_timeout_ms);
                down_until_ms = down_until_ms.max(free_ms);
            }
            probing = true;
        }
        if now_ms < down_until_ms {
            Availability::Down {
                for_ms: down_until_ms - now_ms,
            }
        } else if probing {
            Availability::Probing
        } else if now_ms < self.loading_until_ms {
            Availability::Loading
        } else {
            Availability::Up
        }
    }

    /// An attempt begins; true when it is the probe, which bars others until it ends.
    pub fn begin(&mut self, now_ms: u64) -> bool {
        if self.availability(now_ms) != Availability::Probing {
            return false;
        }
        if let State::Open { probe_since_ms, .. } = &mut self.state {
            *probe_since_ms = Some(now_ms);
        }
        true
    }

    /// An attempt ends. `probe` is what [`Breaker::begin`] said of it.
    pub fn end(&mut self, probe: bool, verdict: Verdict, now_ms: u64) {
        match verdict {
            Verdict::Success => self.loading_until_ms = 0,
            Verdict::Loading => self.loading_until_ms = now_ms.saturating_add(LOADING_MS),
            Verdict::Pause(pause) => {
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                let until_ms = now_ms.saturating_add(pause_ms);
                self.paused_until_ms = self.paused_until_ms.max(until_ms);
            }
            Verdict::Failure | Verdict::Neutral => {}
        }
        match (self.state, verdict) {
            // Who asks for a pause, or says that it is loading, answers: it is not broken.
            (State::Open { .. }, Verdict::Success | Verdict::Pause(_) | Verdict::Loading)
                if probe =>
            {
                self.close();
            }
            (State::Open { .. }, Verdict::Failure) if probe => {
                self.reopened = self.reopened.saturating_add(1);
                self.open(now_ms);
            }
            (State::Open { until_ms, .. }, Verdict::Neutral) if probe => {
                self.state = State::Open {
                    until_ms,
                    probe_since_ms: None,
                };
            }
            // Attempts that began before it opened tell nothing new.
            (State::Open { .. }, _) => {}
            (State::Closed, Verdict::Success) => self.remember(false),
            (State::Closed, Verdict::Failure) => {
                self.remember(true);
                if self.should_open() {
                    self.open(now_ms);
                }
            }
            (State::Closed, _) => {}
        }
    }

    fn remember(&mut self, failure: bool) {
        self.in_a_row = if failure {
            self.in_a_row.saturating_add(1)
        } else {
            0
        };
        self.results = (self.results << 1 | u32::from(failure)) & ((1 << RESULTS) - 1);
        self.results_known = (self.results_known + 1).min(RESULTS);
    }

    fn should_open(&self) -> bool {
        let failures = self.results.count_ones();
        self.in_a_row >= self.settings.consecutive_failures.max(1)
            || self.results_known >= RESULTS_MIN
                && failures * 1_000 >= self.settings.failure_permille * self.results_known
    }

    fn open(&mut self, now_ms: u64) {
        let factor = 1_u64 << self.reopened.min(30);
        let open_ms = self
            .settings
            .open_ms
            .saturating_mul(factor)
            .min(self.settings.open_max_ms);
        self.state = State::Open {
            until_ms: now_ms.saturating_add(open_ms),
            probe_since_ms: None,
        };
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.in_a_row = 0;
        self.results = 0;
        self.results_known = 0;
        self.reopened = 0;
    }
}

/// What an attempt measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// From the attempt's begin to its first token.
    pub first_token_us: Option<u64>,
    /// From the first token to the last.
    pub generating_us: u64,
    /// Tokens generated.
    pub output_tokens: u64,
}

/// An attempt under way; to be given back to [`Vitals::end`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt that never ends stays in flight"]
pub struct Began {
    probe: bool,
}

/// Everything measured about one deployment.
#[derive(Clone, Debug)]
pub struct Vitals {
    breaker: Breaker,
    in_flight: u32,
    first_token_us: Average,
    microtokens_per_second: Average,
}

impl Vitals {
    /// Nothing is known yet.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            breaker: Breaker::new(settings),
            in_flight: 0,
            first_token_us: Average::default(),
            microtokens_per_second: Average::default(),
        }
    }

    /// How the deployment is doing.
    pub fn health(&self, now_ms: u64) -> Health {
        let first_token_ms = self
            .first_token_us
            .recent(now_ms)
            .map(|us| us.div_ceil(1_000));
        #[expect(clippy::cast_precision_loss, reason = "a speed, not an amount")]
        let tokens_per_second = self
            .microtokens_per_second
            .recent(now_ms)
            .map(|micro| micro as f64 / 1e6);
        Health {
            availability: self.breaker.availability(now_ms),
            first_token_ms: first_token_ms.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            tokens_per_second,
            in_flight: self.in_flight,
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now_ms: u64) -> Began {
        self.in_flight = self.in_flight.saturating_add(1);
        Began {
            probe: self.breaker.begin(now_ms),
        }
    }

    /// An attempt ends, however it ends.
    pub fn end(&mut self, began: Began, verdict: Verdict, sample: Sample, now_ms: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.breaker.end(began.probe, verdict, now_ms);
        if let Some(first_token_us) = sample.first_token_us {
            self.first_token_us.add(first_token_us, now_ms);
        }
        // Short answers say little about speed.
        if sample.output_tokens >= 8 && sample.generating_us > 0 {
            let micro = u128::from(sample.output_tokens) * 1_000_000_000_000
                / u128::from(sample.generating_us);
            let micro = u64::try_from(micro).unwrap_or(u64::MAX);
            self.microtokens_per_second.add(micro, now_ms);
        }
    }
}

/// An exponentially weighted average that is forgotten after a while, so that a deployment that was
/// slow once gets another chance.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    value: u64,
    updated_ms: Option<u64>,
}

/// Averages older than this are forgotten.
const FORGOTTEN_AFTER_MS: u64 = 300_000;

impl Average {
    fn recent(&self, now_ms: u64) -> Option<u64> {
        let age_ms = now_ms.saturating_sub(self.updated_ms?);
        (age_ms <= FORGOTTEN_AFTER_MS).then_some(self.value)
    }

    /// The new value counts a fifth.
    fn add(&mut self, value: u64, now_ms: u64) {
        self.value = match self.recent(now_ms) {
            None => value,
            Some(old) => {
                let sum = u128::from(old) * 4 + u128::from(value);
                u64::try_from(sum / 5).unwrap_or(u64::MAX)
            }
        };
        self.updated_ms = Some(now_ms);
    }
}

#[cfg(test)]
mod tests;
