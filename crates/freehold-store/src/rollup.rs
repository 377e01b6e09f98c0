//! From outcomes to the sums that reports are made of. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use freehold_types::{
    BackendId, DeploymentId, ErrorKind, FlowName, KeyName, NanoUsd, Outcome, OutcomeStatus,
    Perimeter, RouteName, Sensitivity, TeamName, Usage, UsageBasis,
};

use crate::columns::{SUMS, integer};
use crate::latency::Latency;
use crate::query::AgentTotals;

pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

/// What a client can name without it existing is summed up under one name: junk names must not
/// make reports grow.
const UNKNOWN_ROUTE: &str = "(unknown)";

/// An upstream that reports more tokens than this for one request is wrong; a sum of such numbers
/// must not run over.
const TOKENS_MAX: u64 = 1_000_000_000_000;
/// The same for money: a million dollars for one request.
const COST_MAX: i64 = 1_000_000_000_000_000;

/// What sums are kept apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dimensions {
    /// Begin of the hour of admission, or of its day (UTC), Unix milliseconds.
    pub(crate) time_unix_ms: u64,
    pub(crate) key: KeyName,
    pub(crate) team: Option<TeamName>,
    pub(crate) flow: Option<FlowName>,
    pub(crate) route: RouteName,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) backend: Option<BackendId>,
    pub(crate) perimeter: Option<Perimeter>,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) status: OutcomeStatus,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measures {
    pub(crate) requests: u64,
    pub(crate) attempts: u64,
    pub(crate) input_tokens: u64,
    pub(crate) cached_input_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) estimated_requests: u64,
    pub(crate) cost: NanoUsd,
    pub(crate) unknown_cost_requests: u64,
    pub(crate) cost_gap_requests: u64,
    pub(crate) doubtful_usage_requests: u64,
    pub(crate) agent: AgentTotals,
    /// Of completed requests.
    pub(crate) latency: Latency,
}

impl Measures {
    pub(crate) fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.requests, other.requests),
            (&mut self.attempts, other.attempts),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_input_tokens, other.cached_input_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.estimated_requests, other.estimated_requests),
            (&mut self.unknown_cost_requests, other.unknown_cost_requests),
            (&mut self.cost_gap_requests, other.cost_gap_requests),
            (
                &mut self.doubtful_usage_requests,
                other.doubtful_usage_requests,
            ),
        ];
        self.agent.add(&other.agent);
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
        self.cost += other.cost;
        self.latency.add(&other.latency);
    }

    /// As they are stored, in the order of [`crate::columns::sum_columns`].
    pub(crate) fn sums(&self) -> [i64; SUMS] {
        let mut sums = [0; SUMS];
        let counts = [
            integer(self.requests),
            integer(self.attempts),
            integer(self.input_tokens),
            integer(self.cached_input_tokens),
            integer(self.cache_write_tokens),
            integer(self.output_tokens),
            integer(self.reasoning_tokens),
            integer(self.estimated_requests),
            self.cost.nanos(),
            integer(self.unknown_cost_requests),
            integer(self.cost_gap_requests),
            integer(self.doubtful_usage_requests),
        ]
        .into_iter()
        .chain(self.agent.counts().map(integer));
        let latency = self.latency.counts.iter().map(|count| integer(*count));
        for (sum, value) in sums.iter_mut().zip(counts.chain(latency)) {
            *sum = value;
        }
        sums
    }

    fn add_usage(&mut self, usage: &Usage) {
        self.input_tokens += usage.input_tokens.min(TOKENS_MAX);
        self.cached_input_tokens += usage.cached_input_tokens.min(TOKENS_MAX);
        self.cache_write_tokens += usage.cache_write_tokens.min(TOKENS_MAX);
        self.output_tokens += usage.output_tokens.min(TOKENS_MAX);
        self.reasoning_tokens += usage.reasoning_tokens.min(TOKENS_MAX);
    }
}

/// The sums of a batch, kept apart by their dimensions.
pub(crate) type Rollup = HashMap<Dimensions, Measures>;

/// Begin of the hour that holds a moment, Unix milliseconds.
pub(crate) fn hour_of(unix_ms: u64) -> u64 {
    unix_ms - unix_ms % HOUR_MS
}

/// Begin of the day (UTC) that holds a moment, Unix milliseconds.
pub(crate) fn day_of(unix_ms: u64) -> u64 {
    unix_ms - unix_ms % DAY_MS
}

/// The sums of hours, by day.
pub(crate) fn by_day(hours: &Rollup) -> Rollup {
    let mut days = Rollup::with_capacity(hours.len());
    for (hour, measures) in hours {
        let day = Dimensions {
            time_unix_ms: day_of(hour.time_unix_ms),
            ..hour.clone()
        };
        days.entry(day).or_default().add(measures);
    }
    days
}

/// Adds one outcome.
///
/// The request itself, its latency and its doubts count for the deployment that served it (else
/// the one tried last). Tokens and cost of other attempts that were billed count for the
/// deployments that caused them, so that the sum over deployments is the outcome's own total.
pub(crate) fn add_outcome(rollup: &mut Rollup, outcome: &Outcome) {
    let serving = outcome.attempts.len().checked_sub(1);
    let mut main = Measures {
        requests: 1,
        attempts: u64::from(serving.is_some()),
        estimated_requests: u64::from(is_estimated(outcome)),
        unknown_cost_requests: u64::from(outcome.cost.is_none()),
        cost_gap_requests: u64::from(has_gap(outcome)),
        doubtful_usage_requests: u64::from(is_doubtful(outcome)),
        agent: AgentTotals::of(&outcome.agent),
        ..Measures::default()
    };
    if outcome.status == OutcomeStatus::Completed {
        main.latency.record(outcome.timing.total_us);
    }
    let others = outcome.attempts.get(..serving.unwrap_or(0)).unwrap_or(&[]);
    let rest = usage_without(&outcome.usage, others.iter().map(|attempt| &attempt.usage));
    let exact = rest.is_some();
    main.add_usage(&rest.unwrap_or(outcome.usage));

    let mut others_cost = NanoUsd::ZERO;
    for attempt in others {
        let mut measures = Measures {
            attempts: 1,
            ..Measures::default()
        };
        if exact {
            measures.add_usage(&attempt.usage);
        }
        if let Some(cost) = attempt.cost {
            measures.cost = clamp(cost.total);
            others_cost += measures.cost;
        }
        let mut at = dimensions(outcome);
        at.deployment = Some(attempt.deployment.clone());
        at.backend = Some(attempt.backend.clone());
        at.perimeter = Some(attempt.perimeter);
        rollup.entry(at).or_default().add(&measures);
    }
    main.cost = match outcome.cost {
        Some(total) => {
            NanoUsd::from_nanos(clamp(total).nanos().saturating_sub(others_cost.nanos()))
        }
        // The whole is unknown; what is known of it still counts.
        None => served_cost(outcome),
    };
    rollup.entry(dimensions(outcome)).or_default().add(&main);
}

/// The dimensions of the request itself.
pub(crate) fn dimensions(outcome: &Outcome) -> Dimensions {
    let served = outcome.attempts.last();
    let not_found =
        |error: &freehold_types::outcome::ErrorSummary| error.kind == ErrorKind::NotFound;
    let route = if outcome.error.as_ref().is_some_and(not_found) {
        RouteName::from(UNKNOWN_ROUTE)
    } else {
        outcome.route.clone()
    };
    Dimensions {
        time_unix_ms: hour_of(outcome.started_unix_ms),
        key: outcome.key.clone(),
        team: outcome.team.clone(),
        flow: outcome.flow.clone(),
        route,
        deployment: served.map(|attempt| attempt.deployment.clone()),
        backend: served.map(|attempt| attempt.backend.clone()),
        perimeter: served.map(|attempt| attempt.perimeter),
        sensitivity: outcome.sensitivity,
        status: outcome.status,
    }
}

fn served_cost(outcome: &Outcome) -> NanoUsd {
    let served = outcome.attempts.last().and_then(|attempt| attempt.cost);
    served.map_or(NanoUsd::ZERO, |cost| clamp(cost.total))
}

fn clamp(cost: NanoUsd) -> NanoUsd {
    NanoUsd::from_nanos(cost.nanos().clamp(-COST_MAX, COST_MAX))
}

/// True when there are tokens and some of them were only estimated.
fn is_estimated(outcome: &Outcome) -> bool {
    outcome.usage.basis == UsageBasis::Estimated && outcome.usage.total_tokens() > 0
}

/// True when the cost may differ from the invoice.
fn has_gap(outcome: &Outcome) -> bool {
    let mut costs = outcome.attempts.iter().filter_map(|attempt| attempt.cost);
    costs.any(|cost| cost.gap.is_some())
}

/// True when an upstream reported usage that cannot be.
fn is_doubtful(outcome: &Outcome) -> bool {
    let attempts = outcome.attempts.iter().map(|attempt| attempt.usage);
    attempts
        .chain([outcome.usage])
        .any(|usage| usage.doubt.is_some())
}

/// What is left of `whole` without `parts`; `None` when they do not fit into it, because some of
/// them were not billed.
fn usage_without<'a>(whole: &Usage, parts: impl Iterator<Item = &'a Usage>) -> Option<Usage> {
    let mut rest = *whole;
    for part in parts {
        let fields = [
            (&mut rest.input_tokens, part.input_tokens),
            (&mut rest.cached_input_tokens, part.cached_input_tokens),
            (&mut rest.cache_write_tokens, part.cache_write_tokens),
            (&mut rest.output_tokens, part.output_tokens),
            (&mut rest.reasoning_tokens, part.reasoning_tokens),
        ];
        for (field, amount) in fields {
            *field = field.checked_sub(amount)?;
        }
    }
    Some(rest)
}

/// Distinct rows of sums per hour; beyond it names that clients choose freely are summed up.
const ROWS_PER_HOUR_MAX: usize = 5_000;
/// The same for a day.
const ROWS_PER_DAY_MAX: usize = 20_000;
/// Hours and days whose rows are remembered: requests end later than they begin, but not much.
const HOURS_REMEMBERED: usize = 6;
const DAYS_REMEMBERED: usize = 2;
const OTHER: &str = "(other)";

/// Keeps reports small whatever names clients invent.
#[derive(Debug, Default)]
pub(crate) struct DimensionBound {
    hours: Seen,
    days: Seen,
}

type Seen = BTreeMap<u64, HashSet<Dimensions>>;

impl DimensionBound {
    /// Sums up under `(other)` what would be one row too many, of an hour or of its day.
    pub(crate) fn fold(&mut self, hours: Rollup) -> Rollup {
        let mut folded = Rollup::with_capacity(hours.len());
        for (dimensions, measures) in hours {
            let dimensions = self.admit(dimensions);
            folded.entry(dimensions).or_default().add(&measures);
        }
        folded
    }

    fn admit(&mut self, mut dimensions: Dimensions) -> Dimensions {
        let day = Dimensions {
            time_unix_ms: day_of(dimensions.time_unix_ms),
            ..dimensions.clone()
        };
        let room = has_room(&self.hours, &dimensions, ROWS_PER_HOUR_MAX)
            && has_room(&self.days, &day, ROWS_PER_DAY_MAX);
        if room {
            remember(&mut self.hours, dimensions.clone(), HOURS_REMEMBERED);
            remember(&mut self.days, day, DAYS_REMEMBERED);
        } else {
            dimensions.route = RouteName::from(OTHER);
            dimensions.flow = dimensions.flow.map(|_| FlowName::from(OTHER));
        }
        dimensions
    }
}

fn has_room(seen: &Seen, dimensions: &Dimensions, rows_max: usize) -> bool {
    let rows = seen.get(&dimensions.time_unix_ms);
    rows.is_none_or(|rows| rows.len() < rows_max || rows.contains(dimensions))
}

fn remember(seen: &mut Seen, dimensions: Dimensions, times_max: usize) {
    let rows = seen.entry(dimensions.time_unix_ms).or_default();
    rows.insert(dimensions);
    while seen.len() > times_max {
        seen.pop_first();
    }
}
