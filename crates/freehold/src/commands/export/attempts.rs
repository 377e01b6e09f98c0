//! Attempts as rows: one for each attempt of each request, one for a request that was refused before
//! any. What is said of the request stands in each of its rows; `is_final` is true in one of them.

use freehold_types::outcome::CostBasis;
use freehold_types::{AttemptRecord, NanoUsd, Outcome, OutcomeStatus, Usage, UsageBasis};

use super::cells::{Cell, Column, Kind};

const fn must(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        optional: false,
    }
}

const fn may(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        optional: true,
    }
}

/// The columns, in the order of [`rows`]. docs/export.md describes them, which a test holds.
pub(super) const COLUMNS: &[Column] = &[
    must("request_id", Kind::Text),
    must("started_at", Kind::Moment),
    must("dialect", Kind::Text),
    must("route", Kind::Text),
    must("key", Kind::Text),
    may("team", Kind::Text),
    may("flow", Kind::Text),
    must("sensitivity", Kind::Text),
    must("findings", Kind::Text),
    must("status", Kind::Text),
    must("http_status", Kind::Integer),
    may("error", Kind::Text),
    must("streamed", Kind::Flag),
    must("total_us", Kind::Integer),
    may("first_token_us", Kind::Integer),
    must("overhead_us", Kind::Integer),
    must("attempts", Kind::Integer),
    must("is_final", Kind::Flag),
    may("attempt", Kind::Integer),
    may("deployment", Kind::Text),
    may("backend", Kind::Text),
    may("reported_model", Kind::Text),
    may("perimeter", Kind::Text),
    may("region", Kind::Text),
    may("attempt_started_us", Kind::Integer),
    may("attempt_duration_us", Kind::Integer),
    may("attempt_first_token_us", Kind::Integer),
    may("attempt_error", Kind::Text),
    may("input_tokens", Kind::Integer),
    may("cached_input_tokens", Kind::Integer),
    may("cache_write_tokens", Kind::Integer),
    may("cache_write_1h_tokens", Kind::Integer),
    may("input_audio_tokens", Kind::Integer),
    may("input_image_tokens", Kind::Integer),
    may("output_tokens", Kind::Integer),
    may("reasoning_tokens", Kind::Integer),
    may("output_audio_tokens", Kind::Integer),
    may("output_image_tokens", Kind::Integer),
    may("web_searches", Kind::Integer),
    may("code_executions", Kind::Integer),
    may("service_tier", Kind::Text),
    may("usage_basis", Kind::Text),
    may("cost_usd", Kind::Money),
    may("idle_share_usd", Kind::Money),
    may("cost_basis", Kind::Text),
    may("price_book", Kind::Text),
];

/// What of the request's cost falls on each attempt; the sum is what the ledger's reports say.
pub(super) fn costs(outcome: &Outcome) -> Vec<Option<NanoUsd>> {
    let mut costs: Vec<Option<NanoUsd>> = outcome
        .attempts
        .iter()
        .map(|attempt| attempt.cost.map(|cost| cost.total))
        .collect();
    if let (Some(total), Some((last, others))) = (outcome.cost, costs.split_last_mut()) {
        let others: NanoUsd = others.iter().flatten().copied().sum();
        *last = Some(NanoUsd::from_nanos(
            total.nanos().saturating_sub(others.nanos()),
        ));
    }
    costs
}

/// The rows of one outcome.
pub(super) fn rows(outcome: &Outcome) -> Vec<Vec<Cell>> {
    let request = request_cells(outcome);
    let row = |is_final: bool, attempt: Vec<Cell>| {
        let mut cells = request.clone();
        cells.push(Cell::Flag(is_final));
        cells.extend(attempt);
        cells.resize(COLUMNS.len(), Cell::None);
        cells
    };
    if outcome.attempts.is_empty() {
        return vec![row(true, vec![])];
    }
    let last = outcome.attempts.len() - 1;
    let attempts = outcome.attempts.iter().zip(costs(outcome)).enumerate();
    attempts
        .map(|(index, (attempt, cost))| row(index == last, attempt_cells(index, attempt, cost)))
        .collect()
}

fn request_cells(outcome: &Outcome) -> Vec<Cell> {
    let findings = serde_json::to_string(&outcome.findings).unwrap_or_default();
    vec![
        Cell::Text(outcome.id.to_string()),
        Cell::Moment(outcome.started_unix_ms),
        Cell::text(Some(outcome.dialect)),
        Cell::text(Some(&outcome.route)),
        Cell::text(Some(&outcome.key)),
        Cell::text(outcome.team.as_ref()),
        Cell::text(outcome.flow.as_ref()),
        Cell::text(Some(outcome.sensitivity)),
        Cell::Text(findings),
        Cell::text(Some(match outcome.status {
            OutcomeStatus::Completed => "completed",
            OutcomeStatus::Cancelled => "cancelled",
            OutcomeStatus::Failed => "failed",
            OutcomeStatus::Refused => "refused",
        })),
        Cell::Integer(i64::from(outcome.http_status)),
        Cell::text(outcome.error.as_ref().map(|error| error.kind.as_str())),
        Cell::Flag(outcome.streamed),
        Cell::count(outcome.timing.total_us),
        Cell::optional_count(outcome.timing.first_token_us),
        Cell::count(outcome.timing.overhead_us),
        Cell::count(outcome.attempts.len() as u64),
    ]
}

fn attempt_cells(index: usize, attempt: &AttemptRecord, cost: Option<NanoUsd>) -> Vec<Cell> {
    let mut cells = vec![
        Cell::count(index as u64),
        Cell::text(Some(&attempt.deployment)),
        Cell::text(Some(&attempt.backend)),
        Cell::text(attempt.reported_model.as_ref()),
        Cell::text(Some(attempt.perimeter)),
        Cell::text(attempt.region.as_ref()),
        Cell::count(attempt.started_us),
        Cell::count(attempt.duration_us),
        Cell::optional_count(attempt.first_token_us),
        Cell::text(attempt.error.as_ref().map(|error| error.kind.as_str())),
    ];
    cells.extend(usage_cells(&attempt.usage));
    cells.extend([
        Cell::money(cost),
        Cell::money(attempt.cost.map(|cost| cost.idle_share)),
        Cell::text(attempt.cost.map(|cost| basis(cost.basis))),
        Cell::text(attempt.cost.and_then(|cost| cost.book)),
    ]);
    cells
}

fn usage_cells(usage: &Usage) -> Vec<Cell> {
    let counts = [
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.input_audio_tokens,
        usage.input_image_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        usage.output_image_tokens,
        usage.web_searches,
        usage.code_executions,
    ];
    let mut cells: Vec<Cell> = counts.into_iter().map(Cell::count).collect();
    cells.push(Cell::text(Some(usage.service_tier.as_str())));
    cells.push(Cell::text(Some(match usage.basis {
        UsageBasis::Reported => "reported",
        UsageBasis::Counted => "counted",
        UsageBasis::Estimated => "estimated",
    })));
    cells
}

pub(super) const fn basis(basis: CostBasis) -> &'static str {
    match basis {
        CostBasis::Tokens => "tokens",
        CostBasis::Hours => "hours",
        CostBasis::Reported => "reported",
    }
}
