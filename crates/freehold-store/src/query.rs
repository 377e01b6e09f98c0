//! Questions to the ledger and their answers.

use std::collections::{BTreeMap, HashMap};

use freehold_types::{
    AgentSignals, BackendId, DeploymentId, FlowName, KeyName, NanoUsd, Outcome, OutcomeStatus,
    Perimeter, RouteName, Sensitivity, TeamName,
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::names;
use crate::rollup::{Dimensions, Measures, Rollup};

/// What sums are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The workload.
    Flow,
    /// Who asked.
    Key,
    /// Whose key it is.
    Team,
    /// What the client named in `model`; `(unknown)` for everything that does not exist.
    Route,
    /// The deployment that caused the cost.
    Deployment,
    /// The deployment's name without its backend: the same model rented and owned is one.
    Model,
    /// The backend that caused the cost.
    Backend,
    /// On whose machines.
    Perimeter,
    /// The label that policy acted on.
    Sensitivity,
    /// How requests ended.
    Status,
    /// The day (UTC), as `2026-11-21`.
    Day,
    /// The hour (UTC), as `2026-11-21T04:00Z`.
    Hour,
}

impl GroupBy {
    /// Everything to group by.
    pub const ALL: [Self; 12] = [
        Self::Flow,
        Self::Key,
        Self::Team,
        Self::Route,
        Self::Deployment,
        Self::Model,
        Self::Backend,
        Self::Perimeter,
        Self::Sensitivity,
        Self::Status,
        Self::Day,
        Self::Hour,
    ];

    /// The name on the command line and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Key => "key",
            Self::Team => "team",
            Self::Route => "route",
            Self::Deployment => "deployment",
            Self::Model => "model",
            Self::Backend => "backend",
            Self::Perimeter => "perimeter",
            Self::Sensitivity => "sensitivity",
            Self::Status => "status",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

/// A text that is nothing to group by.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot group by `{0}`: use flow, key, team, route, deployment, model, backend, \
     perimeter, sensitivity, status, day or hour"
)]
pub struct UnknownGroup(pub String);

impl std::str::FromStr for GroupBy {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, UnknownGroup> {
        Self::ALL
            .into_iter()
            .find(|group| group.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownGroup(text.chars().take(32).collect()))
    }
}

/// Which outcomes count. Empty counts all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Only this workload.
    pub flow: Option<FlowName>,
    /// Only this key.
    pub key: Option<KeyName>,
    /// Only this team and its parts: `acme` includes `acme/search`.
    pub team: Option<TeamName>,
    /// Only this route.
    pub route: Option<RouteName>,
    /// Only this deployment.
    pub deployment: Option<DeploymentId>,
    /// Only this backend.
    pub backend: Option<BackendId>,
    /// Only these machines.
    pub perimeter: Option<Perimeter>,
    /// Only this label.
    pub sensitivity: Option<Sensitivity>,
    /// Only what ended so.
    pub status: Option<OutcomeStatus>,
}

impl Filters {
    pub(crate) fn accepts(&self, at: &Dimensions) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        fits(self.flow.as_ref(), at.flow.as_ref())
            && fits(self.key.as_ref(), Some(&at.key))
            && self.team.as_ref().is_none_or(|team| is_of(at, team))
            && fits(self.route.as_ref(), Some(&at.route))
            && fits(self.deployment.as_ref(), at.deployment.as_ref())
            && fits(self.backend.as_ref(), at.backend.as_ref())
            && fits(self.perimeter.as_ref(), at.perimeter.as_ref())
            && fits(self.sensitivity.as_ref(), Some(&at.sensitivity))
            && fits(self.status.as_ref(), Some(&at.status))
    }

    /// Column and value of every filter that is an equality, for SQL.
    pub(crate) fn columns(&self) -> Vec<(&'static str, String)> {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let columns = [
            ("flow", text(self.flow.as_ref().map(|f| f.as_str()))),
            ("key_name", text(self.key.as_ref().map(|k| k.as_str()))),
            ("route", text(self.route.as_ref().map(|r| r.as_str()))),
            (
                "deployment",
                text(self.deployment.as_ref().map(|d| d.as_str())),
            ),
            ("backend", text(self.backend.as_ref().map(|b| b.as_str()))),
            ("perimeter", text(self.perimeter.map(names::perimeter))),
            ("sensitivity", text(self.sensitivity.map(|s| s.as_str()))),
            ("status", text(self.status.map(names::status))),
        ];
        let set = columns.into_iter();
        set.filter_map(|(column, value)| Some((column, value?)))
            .collect()
    }
}

fn is_of(at: &Dimensions, team: &TeamName) -> bool {
    let below = |found: &TeamName| {
        found
            .as_str()
            .strip_prefix(team.as_str())
            .map(str::to_owned)
    };
    let below = at.team.as_ref().and_then(below);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How exact the ends of a time range are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edges {
    /// To the millisecond. Hours that the range cuts are added up record by record, at most two.
    #[default]
    Exact,
    /// The range is widened to whole hours; answers in the same time however much was recorded.
    WholeHours,
}

/// A question about tokens and money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Admitted at or after, Unix milliseconds; `None` means since ever.
    pub since_unix_ms: Option<u64>,
    /// Admitted before, Unix milliseconds; `None` means until now.
    pub until_unix_ms: Option<u64>,
    /// What to keep apart, in this order; nothing gives one row.
    pub group_by: Vec<GroupBy>,
    /// What counts.
    pub filters: Filters,
    /// How exact the range is.
    pub edges: Edges,
}

/// Sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Those whose client got a whole answer.
    pub completed: u64,
    /// Those whose client left before the end.
    pub cancelled: u64,
    /// Those that failed after an attempt.
    pub failed: u64,
    /// Those that were refused without an attempt.
    pub refused: u64,
    /// Attempts at backends; more than requests when there were retries and fallbacks.
    pub attempts: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Those read from a cache.
    pub cached_input_tokens: u64,
    /// Those written to a cache.
    pub cache_write_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Those spent on reasoning.
    pub reasoning_tokens: u64,
    /// Requests whose tokens nobody reported.
    pub estimated_requests: u64,
    /// What is known of the cost.
    pub cost_nano_usd: NanoUsd,
    /// Requests part of whose cost is unknown: the cost is at least `cost_nano_usd`.
    pub unknown_cost_requests: u64,
    /// Requests whose cost may differ from the invoice: no price is known for the service tier or for
    /// a hosted tool, or the gateway died before the answer's end.
    pub cost_gap_requests: u64,
    /// Requests whose upstream reported usage that cannot be: what is recorded in its place is marked.
    pub doubtful_usage_requests: u64,
    /// What agents' work shows.
    #[serde(flatten)]
    pub agent: AgentTotals,
    /// Half of the completed requests took at most so long; estimated from buckets.
    pub latency_p50_ms: Option<f64>,
    /// 95 of 100 completed requests took at most so long; estimated from buckets.
    pub latency_p95_ms: Option<f64>,
}

/// Sums of [`AgentSignals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentTotals {
    /// Tools' results.
    pub tool_results: u64,
    /// Those that report an error.
    pub tool_errors: u64,
    /// Calls that were made before with the same arguments, since the user's last words.
    pub repeated_calls: u64,
    /// Requests of agents that go round in a circle.
    pub looping_requests: u64,
    /// Requests that the same key had sent before, not long ago.
    pub retried_requests: u64,
}

impl AgentTotals {
    /// Of one request.
    pub(crate) fn of(signals: &AgentSignals) -> Self {
        Self {
            tool_results: u64::from(signals.tool_results),
            tool_errors: u64::from(signals.tool_errors),
            repeated_calls: u64::from(signals.repeated_calls),
            looping_requests: u64::from(signals.loop_rounds > 0),
            retried_requests: u64::from(signals.retries > 0),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let sums = [
            &mut self.tool_results,
            &mut self.tool_errors,
            &mut self.repeated_calls,
            &mut self.looping_requests,
            &mut self.retried_requests,
        ];
        for (sum, more) in sums.into_iter().zip(other.counts()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// In the order in which they are stored.
    pub(crate) fn counts(&self) -> [u64; 5] {
        [
            self.tool_results,
            self.tool_errors,
            self.repeated_calls,
            self.looping_requests,
            self.retried_requests,
        ]
    }
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageRow {
    /// What the row is about, in the order asked for; `None` where the outcomes have none, e.g.
    /// refused requests have no deployment.
    pub group: Vec<(GroupBy, Option<String>)>,
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// The answer to a [`UsageQuery`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageReport {
    /// Begin of the range that was added up, Unix milliseconds; `None` when open.
    pub since_unix_ms: Option<u64>,
    /// Its end, exclusive.
    pub until_unix_ms: Option<u64>,
    /// By cost, most expensive first; by time when grouped by day or hour.
    pub rows: Vec<UsageRow>,
    /// Everything together.
    pub totals: Totals,
}

/// Values of the groups, in the order asked for.
type GroupKey = Vec<Option<String>>;

/// Sums under way.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    groups: HashMap<GroupKey, StatusSums>,
}

type StatusSums = BTreeMap<&'static str, Measures>;

impl Sums {
    /// Adds what one outcome or many came to.
    pub(crate) fn add_rollup(&mut self, query: &UsageQuery, rollup: &Rollup) {
        for (dimensions, measures) in rollup {
            if query.filters.accepts(dimensions) {
                let key = query.group_by.iter().map(|by| value(*by, dimensions));
                self.add(key.collect(), names::status(dimensions.status), measures);
            }
        }
    }

    pub(crate) fn add(&mut self, key: GroupKey, status: &'static str, measures: &Measures) {
        let group = self.groups.entry(key).or_default();
        group.entry(status).or_default().add(measures);
    }

    pub(crate) fn into_report(self, query: &UsageQuery, range: Range) -> UsageReport {
        let mut whole = StatusSums::new();
        for group in self.groups.values() {
            for (status, measures) in group {
                whole.entry(status).or_default().add(measures);
            }
        }
        let mut rows: Vec<UsageRow> = self
            .groups
            .into_iter()
            .map(|(key, sums)| UsageRow {
                group: query.group_by.iter().copied().zip(key).collect(),
                totals: totals(&sums),
            })
            .collect();
        let by_time = |row: &UsageRow| {
            let time = |(by, _): &&(GroupBy, _)| matches!(by, GroupBy::Day | GroupBy::Hour);
            row.group
                .iter()
                .find(time)
                .and_then(|(_, value)| value.clone())
        };
        rows.sort_by(|a, b| {
            by_time(a)
                .cmp(&by_time(b))
                .then_with(|| b.totals.cost_nano_usd.cmp(&a.totals.cost_nano_usd))
                .then_with(|| b.totals.requests.cmp(&a.totals.requests))
                .then_with(|| a.group.cmp(&b.group))
        });
        UsageReport {
            since_unix_ms: range.since,
            until_unix_ms: range.until,
            rows,
            totals: totals(&whole),
        }
    }
}

/// The range that an answer is about, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) since: Option<u64>,
    pub(crate) until: Option<u64>,
}

impl Range {
    pub(crate) fn holds(&self, unix_ms: u64) -> bool {
        self.since.is_none_or(|since| unix_ms >= since)
            && self.until.is_none_or(|until| unix_ms < until)
    }
}

fn totals(sums: &StatusSums) -> Totals {
    let mut all = Measures::default();
    for measures in sums.values() {
        all.add(measures);
    }
    let ended = |status: OutcomeStatus| sums.get(names::status(status)).map_or(0, |m| m.requests);
    Totals {
        requests: all.requests,
        completed: ended(OutcomeStatus::Completed),
        cancelled: ended(OutcomeStatus::Cancelled),
        failed: ended(OutcomeStatus::Failed),
        refused: ended(OutcomeStatus::Refused),
        attempts: all.attempts,
        input_tokens: all.input_tokens,
        cached_input_tokens: all.cached_input_tokens,
        cache_write_tokens: all.cache_write_tokens,
        output_tokens: all.output_tokens,
        reasoning_tokens: all.reasoning_tokens,
        estimated_requests: all.estimated_requests,
        cost_nano_usd: all.cost,
        unknown_cost_requests: all.unknown_cost_requests,
        cost_gap_requests: all.cost_gap_requests,
        doubtful_usage_requests: all.doubtful_usage_requests,
        agent: all.agent,
        latency_p50_ms: all.latency.quantile_ms(0.5),
        latency_p95_ms: all.latency.quantile_ms(0.95),
    }
}

fn value(by: GroupBy, at: &Dimensions) -> Option<String> {
    match by {
        GroupBy::Flow => at.flow.as_ref().map(ToString::to_string),
        GroupBy::Key => Some(at.key.to_string()),
        GroupBy::Team => at.team.as_ref().map(ToString::to_string),
        GroupBy::Route => Some(at.route.to_string()),
        GroupBy::Deployment => at.deployment.as_ref().map(ToString::to_string),
        GroupBy::Model => {
            let deployment = at.deployment.as_ref()?.as_str();
            let backend = at.backend.as_ref().map_or("", |backend| backend.as_str());
            Some(model_of(deployment, backend).to_owned())
        }
        GroupBy::Backend => at.backend.as_ref().map(ToString::to_string),
        GroupBy::Perimeter => at.perimeter.map(|p| names::perimeter(p).to_owned()),
        GroupBy::Sensitivity => Some(at.sensitivity.to_string()),
        GroupBy::Status => Some(names::status(at.status).to_owned()),
        GroupBy::Day => Some(day_text(at.time_unix_ms)),
        GroupBy::Hour => Some(hour_text(at.time_unix_ms)),
    }
}

/// A deployment's name without its backend.
pub(crate) fn model_of<'a>(deployment: &'a str, backend: &str) -> &'a str {
    deployment
        .strip_prefix(backend)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(deployment)
}

pub(crate) fn day_text(unix_ms: u64) -> String {
    let at = moment(unix_ms);
    format!(
        "{:04}-{:02}-{:02}",
        at.year(),
        u8::from(at.month()),
        at.day()
    )
}

pub(crate) fn hour_text(unix_ms: u64) -> String {
    format!("{}T{:02}:00Z", day_text(unix_ms), moment(unix_ms).hour())
}

fn moment(unix_ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A question about single outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentQuery {
    /// At most so many, newest first.
    pub limit: usize,
    /// Admitted at or after, Unix milliseconds.
    pub since_unix_ms: Option<u64>,
    /// Admitted before, Unix milliseconds.
    pub until_unix_ms: Option<u64>,
    /// What counts.
    pub filters: Filters,
}

impl RecentQuery {
    /// The newest `limit` outcomes.
    pub fn newest(limit: usize) -> Self {
        Self {
            limit,
            since_unix_ms: None,
            until_unix_ms: None,
            filters: Filters::default(),
        }
    }

    pub(crate) fn accepts(&self, outcome: &Outcome) -> bool {
        let range = Range {
            since: self.since_unix_ms,
            until: self.until_unix_ms,
        };
        // The route as it was named, not as it is summed up.
        let at = Dimensions {
            route: outcome.route.clone(),
            ..crate::rollup::dimensions(outcome)
        };
        range.holds(outcome.started_unix_ms) && self.filters.accepts(&at)
    }
}
