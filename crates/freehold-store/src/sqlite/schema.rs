//! Names of columns and the statements made of them.

use std::sync::LazyLock;

/// Columns of `outcomes`, in the order in which they are bound.
pub(crate) const OUTCOME_COLUMNS: [&str; 33] = [
    "id",
    "started_unix_ms",
    "dialect",
    "route",
    "key_name",
    "flow",
    "sensitivity",
    "status",
    "http_status",
    "error_kind",
    "error_side",
    "streamed",
    "attempts",
    "deployment",
    "backend",
    "reported_model",
    "perimeter",
    "region",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "usage_basis",
    "cost_nano_usd",
    "total_us",
    "first_token_us",
    "overhead_us",
    "difficulty",
    "detail",
];

const DIMENSION_COLUMNS: [&str; 9] = [
    "hour_unix_ms",
    "key_name",
    "flow",
    "route",
    "deployment",
    "backend",
    "perimeter",
    "sensitivity",
    "status",
];

/// Sums, in the order in which they are bound and read.
pub(crate) const SUM_COLUMNS: [&str; 10] = [
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

/// Rows per statement: large ones for speed, and the remainder in small ones. Few sizes, so that
/// every statement is prepared once.
pub(crate) const CHUNKS: [usize; 3] = [64, 8, 1];

static INSERTS: LazyLock<[&'static str; 3]> =
    LazyLock::new(|| CHUNKS.map(|rows| &*insert_outcomes(rows).leak()));

/// The insert for one of the [`CHUNKS`].
pub(crate) fn insert_statement(chunk: usize) -> Option<&'static str> {
    INSERTS.get(chunk).copied()
}

fn insert_outcomes(rows: usize) -> String {
    let row = format!("({})", vec!["?"; OUTCOME_COLUMNS.len()].join(","));
    format!(
        "INSERT INTO outcomes ({}) VALUES {} ON CONFLICT (id) DO NOTHING",
        OUTCOME_COLUMNS.join(","),
        vec![row; rows].join(","),
    )
}

/// Adds one row of sums.
pub(crate) static UPSERT_USAGE: LazyLock<&'static str> = LazyLock::new(|| {
    let sums: Vec<&str> = SUM_COLUMNS.into_iter().chain(LATENCY_COLUMNS).collect();
    let marks = vec!["?"; DIMENSION_COLUMNS.len() + sums.len()].join(",");
    let updates: Vec<String> = sums
        .iter()
        .map(|column| format!("{column} = usage_hourly.{column} + excluded.{column}"))
        .collect();
    format!(
        "INSERT INTO usage_hourly ({},{}) VALUES ({marks}) ON CONFLICT ({}) DO UPDATE SET {}",
        DIMENSION_COLUMNS.join(","),
        sums.join(","),
        DIMENSION_COLUMNS.join(","),
        updates.join(", "),
    )
    .leak()
});

/// SQL knows signed integers only; what does not fit is absurd and stays absurd.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
