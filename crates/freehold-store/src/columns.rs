//! The tables' columns, and an outcome and its sums as their cells: the same in every home.

use std::sync::Arc;

use freehold_types::{Outcome, RequestId, Usage};
use sha2::{Digest as _, Sha256};

use crate::home::Entry;
use crate::names;
use crate::rollup::{Dimensions, Measures};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    Integer,
    Real,
    Boolean,
    Text,
}

/// Columns of `outcomes`, in the order of [`outcome_cells`].
pub(crate) const OUTCOME_COLUMNS: [(&str, Kind); 34] = [
    ("id", Kind::Id),
    ("started_unix_ms", Kind::Integer),
    ("dialect", Kind::Text),
    ("route", Kind::Text),
    ("key_name", Kind::Text),
    ("team", Kind::Text),
    ("flow", Kind::Text),
    ("sensitivity", Kind::Text),
    ("status", Kind::Text),
    ("http_status", Kind::Integer),
    ("error_kind", Kind::Text),
    ("error_side", Kind::Text),
    ("streamed", Kind::Boolean),
    ("attempts", Kind::Integer),
    ("deployment", Kind::Text),
    ("backend", Kind::Text),
    ("reported_model", Kind::Text),
    ("perimeter", Kind::Text),
    ("region", Kind::Text),
    ("input_tokens", Kind::Integer),
    ("cached_input_tokens", Kind::Integer),
    ("cache_write_tokens", Kind::Integer),
    ("cache_write_1h_tokens", Kind::Integer),
    ("input_audio_tokens", Kind::Integer),
    ("output_tokens", Kind::Integer),
    ("reasoning_tokens", Kind::Integer),
    ("output_audio_tokens", Kind::Integer),
    ("usage_basis", Kind::Text),
    ("cost_nano_usd", Kind::Integer),
    ("total_us", Kind::Integer),
    ("first_token_us", Kind::Integer),
    ("overhead_us", Kind::Integer),
    ("difficulty", Kind::Real),
    ("detail", Kind::Text),
];

/// What `usage_hourly` and `usage_daily` keep apart, besides the time.
pub(crate) const DIMENSION_COLUMNS: [&str; 9] = [
    "key_name",
    "team",
    "flow",
    "route",
    "deployment",
    "backend",
    "perimeter",
    "sensitivity",
    "status",
];

/// Their sums, in the order in which they are written and read.
pub(crate) const SUM_COLUMNS: [&str; 17] = [
    "requests",
    "attempts",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "estimated_requests",
    "cost_nano_usd",
    "unknown_cost_requests",
    "cost_gap_requests",
    "doubtful_usage_requests",
    "tool_results",
    "tool_errors",
    "repeated_calls",
    "looping_requests",
    "retried_requests",
];

/// One column per bucket of [`crate::latency`].
pub(crate) const LATENCY_COLUMNS: [&str; crate::latency::BUCKETS] = [
    "latency_1",
    "latency_2",
    "latency_5",
    "latency_10",
    "latency_20",
    "latency_50",
    "latency_100",
    "latency_200",
    "latency_500",
    "latency_1000",
    "latency_2000",
    "latency_5000",
    "latency_10000",
    "latency_20000",
    "latency_50000",
    "latency_100000",
    "latency_200000",
    "latency_500000",
    "latency_more",
];

/// How many sums a row of usage has.
pub(crate) const SUMS: usize = SUM_COLUMNS.len() + LATENCY_COLUMNS.len();

/// The names of all sums.
pub(crate) fn sum_columns() -> impl Iterator<Item = &'static str> {
    SUM_COLUMNS.into_iter().chain(LATENCY_COLUMNS)
}

/// No stored sum goes beyond: the sum of two still fits, whatever upstreams report.
pub(crate) const SUM_MAX: i64 = i64::MAX / 2;

/// A table of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageTable {
    Hourly,
    Daily,
}

impl UsageTable {
    pub(crate) const ALL: [Self; 2] = [Self::Hourly, Self::Daily];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hourly => "usage_hourly",
            Self::Daily => "usage_daily",
        }
    }

    /// The column with the begin of the hour or the day.
    pub(crate) const fn time_column(self) -> &'static str {
        match self {
            Self::Hourly => "hour_unix_ms",
            Self::Daily => "day_unix_ms",
        }
    }

    /// `a = old.a + new.a` for every sum, as `least` and `greatest` of the database bound it.
    pub(crate) fn updates(self, least: &str, greatest: &str) -> String {
        let table = self.name();
        let update = |column| {
            format!(
                "{column} = {greatest}({least}({table}.{column} + excluded.{column}, {SUM_MAX}), -{SUM_MAX})"
            )
        };
        sum_columns().map(update).collect::<Vec<_>>().join(", ")
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Id(RequestId),
    Integer(Option<i64>),
    Real(Option<f64>),
    Boolean(bool),
    Text(Option<&'a str>),
    /// A long text that is its row's alone.
    Detail(&'a Arc<str>),
}

/// The row of an outcome.
pub(crate) fn outcome_cells(entry: &Entry) -> [Cell<'_>; OUTCOME_COLUMNS.len()] {
    let outcome = &entry.bill.outcome;
    let Usage {
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        input_audio_tokens,
        output_tokens,
        reasoning_tokens,
        output_audio_tokens,
        ..
    } = outcome.usage;
    let error = outcome.error.as_ref();
    let [deployment, backend, reported_model, perimeter, region] = serving_cells(outcome);
    let text = |text| Cell::Text(Some(text));
    let count = |value| Cell::Integer(Some(integer(value)));
    [
        Cell::Id(outcome.id),
        count(outcome.started_unix_ms),
        text(outcome.dialect.as_str()),
        text(outcome.route.as_str()),
        text(outcome.key.as_str()),
        Cell::Text(outcome.team.as_ref().map(|team| team.as_str())),
        Cell::Text(outcome.flow.as_ref().map(|flow| flow.as_str())),
        text(outcome.sensitivity.as_str()),
        text(names::status(outcome.status)),
        count(u64::from(outcome.http_status)),
        Cell::Text(error.map(|error| error.kind.as_str())),
        Cell::Text(error.map(|error| names::side(error.side))),
        Cell::Boolean(outcome.streamed),
        count(outcome.attempts.len() as u64),
        deployment,
        backend,
        reported_model,
        perimeter,
        region,
        count(input_tokens),
        count(cached_input_tokens),
        count(cache_write_tokens),
        count(cache_write_1h_tokens),
        count(input_audio_tokens),
        count(output_tokens),
        count(reasoning_tokens),
        count(output_audio_tokens),
        text(names::basis(outcome.usage.basis)),
        Cell::Integer(outcome.cost.map(|cost| cost.nanos())),
        count(outcome.timing.total_us),
        Cell::Integer(outcome.timing.first_token_us.map(integer)),
        count(outcome.timing.overhead_us),
        Cell::Real(entry.bill.difficulty),
        Cell::Detail(&entry.detail),
    ]
}

/// Of the attempt that served the request, else of the last one.
fn serving_cells(outcome: &Outcome) -> [Cell<'_>; 5] {
    let Some(served) = outcome.attempts.last() else {
        return [Cell::Text(None); 5];
    };
    [
        Some(served.deployment.as_str()),
        Some(served.backend.as_str()),
        served.reported_model.as_deref(),
        Some(names::perimeter(served.perimeter)),
        served.region.as_ref().map(|region| region.as_str()),
    ]
    .map(Cell::Text)
}

/// A row of `usage_hourly` or `usage_daily`. `''` stands for "none".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UsageCells<'a> {
    pub(crate) time_unix_ms: i64,
    pub(crate) texts: [&'a str; DIMENSION_COLUMNS.len()],
    pub(crate) sums: [i64; SUMS],
}

impl<'a> UsageCells<'a> {
    pub(crate) fn new(dimensions: &'a Dimensions, measures: &Measures) -> Self {
        let mut sums = [0; SUMS];
        for (cell, sum) in sums.iter_mut().zip(measures.sums()) {
            *cell = sum.clamp(-SUM_MAX, SUM_MAX);
        }
        Self {
            time_unix_ms: integer(dimensions.time_unix_ms),
            texts: [
                dimensions.key.as_str(),
                dimensions.team.as_ref().map_or("", |team| team.as_str()),
                dimensions.flow.as_ref().map_or("", |flow| flow.as_str()),
                dimensions.route.as_str(),
                dimensions.deployment.as_ref().map_or("", |id| id.as_str()),
                dimensions.backend.as_ref().map_or("", |id| id.as_str()),
                dimensions.perimeter.map_or("", names::perimeter),
                dimensions.sensitivity.as_str(),
                names::status(dimensions.status),
            ],
            sums,
        }
    }

    /// What tells the row apart at its time, in a few bytes: names may be longer than an index
    /// takes.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for text in self.texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        digest
    }
}

/// SQL knows signed integers only; what does not fit is absurd and stays absurd.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
