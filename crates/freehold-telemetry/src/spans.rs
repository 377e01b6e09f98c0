//! Spans of one request: SERVER for the request as its caller saw it (HTTP conventions), and a CLIENT
//! below it for each attempt (GenAI conventions). Tokens and models stand only on attempts, so that
//! whoever adds them up does not count them twice.
//!
//! All of it comes from the outcome, which holds no text and no secret, and whose names the pipeline
//! has looked at.

use std::collections::HashMap;

use freehold_ports::Ended;
use freehold_types::outcome::{CostBasis, ErrorSummary};
use freehold_types::{
    AttemptRecord, BackendId, Dialect, FinishReason, Outcome, OutcomeStatus, SpanId, Usage,
    UsageBasis,
};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use crate::attributes::Attributes;

/// Where a backend is, as attributes tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host or address.
    pub address: String,
    /// Port.
    pub port: u16,
}

/// Where backends are, by their ids.
pub(crate) type Places = HashMap<BackendId, Place>;

/// How many spans [`spans`] makes.
pub(crate) fn number_of(ended: &Ended) -> u64 {
    1 + u64::try_from(ended.outcome.attempts.len()).unwrap_or(u64::MAX - 1)
}

/// The spans of one request.
pub(crate) fn spans(ended: &Ended, places: &Places) -> Vec<Span> {
    let outcome = &ended.outcome;
    let served = outcome.attempts.iter().rposition(|a| a.error.is_none());
    let attempts = outcome
        .attempts
        .iter()
        .enumerate()
        .map(|(number, attempt)| {
            let reasons = match served {
                Some(served) if served == number => &ended.finish_reasons[..],
                _ => &[],
            };
            let mut span = blank(ended, ended.trace.attempt(number), Some(ended.trace.span));
            describe_attempt(&mut span, outcome, attempt, reasons, places);
            span
        });
    let mut request = blank(ended, ended.trace.span, ended.trace.parent);
    describe_request(&mut request, outcome, served);
    std::iter::once(request).chain(attempts).collect()
}

fn blank(ended: &Ended, span: SpanId, parent: Option<SpanId>) -> Span {
    let mut flags =
        SpanFlags::ContextHasIsRemoteMask as u32 | u32::from(ended.trace.context(span).flags);
    if parent.is_some() && parent == ended.trace.parent {
        flags |= SpanFlags::ContextIsRemoteMask as u32;
    }
    Span {
        trace_id: ended.trace.id.as_bytes().to_vec(),
        span_id: span.as_bytes().to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.as_bytes().to_vec()),
        flags,
        ..Span::default()
    }
}

fn describe_request(span: &mut Span, outcome: &Outcome, served: Option<usize>) {
    let path = path(outcome.dialect);
    let start = outcome.started_unix_ms.saturating_mul(1_000_000);
    span.name = format!("POST {path}");
    span.kind = SpanKind::Server.into();
    span.start_time_unix_nano = start;
    span.end_time_unix_nano = after(start, outcome.timing.total_us);
    // By the HTTP conventions, what the caller did wrong is no error of the server.
    let failed = outcome.http_status >= 500 || outcome.status == OutcomeStatus::Failed;
    span.status = status(outcome.error.as_ref().filter(|_| failed));
    let mut said = Attributes::default();
    said.text("http.request.method", "POST");
    said.text("http.route", path);
    if outcome.http_status != 0 {
        said.count("http.response.status_code", outcome.http_status);
    }
    say_error(&mut said, outcome.error.as_ref());
    said.text("freehold.request.id", outcome.id.to_string());
    said.text("freehold.status", word_of(outcome.status));
    said.text("freehold.route", outcome.route.as_str());
    said.text("freehold.key", outcome.key.as_str());
    said.some_text(
        "freehold.team",
        outcome.team.as_ref().map(|team| team.as_str()),
    );
    said.some_text(
        "freehold.flow",
        outcome.flow.as_ref().map(|flow| flow.as_str()),
    );
    said.text("freehold.sensitivity", outcome.sensitivity.as_str());
    said.count("freehold.findings", total(outcome.findings.values()));
    said.count("freehold.redacted", total(outcome.redacted.values()));
    said.flag("freehold.streamed", outcome.streamed);
    said.count("freehold.overhead_us", outcome.timing.overhead_us);
    said.count("freehold.attempts", outcome.attempts.len());
    said.count("freehold.usage.input_tokens", outcome.usage.input_tokens);
    said.count("freehold.usage.output_tokens", outcome.usage.output_tokens);
    if let Some(cost) = outcome.cost {
        said.count("freehold.cost.nano_usd", cost.nanos());
    }
    say_decision(&mut said, outcome, served);
    span.attributes = said.into_list();
    if let Some(first_token_us) = outcome.timing.first_token_us {
        span.events.push(first_token(after(start, first_token_us)));
    }
}

/// Why the request went where it went.
fn say_decision(said: &mut Attributes, outcome: &Outcome, served: Option<usize>) {
    let attempts = &outcome.attempts;
    let went = served.map_or_else(|| attempts.last(), |served| attempts.get(served));
    if let Some(attempt) = went {
        said.text("freehold.deployment", attempt.deployment.as_str());
        said.text("freehold.perimeter", attempt.perimeter.to_string());
    }
    let Some(decision) = &outcome.decision else {
        return;
    };
    said.text("freehold.objective", decision.objective.as_str());
    said.number("freehold.difficulty", decision.difficulty);
    let mut candidates = decision.candidates.iter();
    let why = candidates.find(|known| went.is_some_and(|went| went.deployment == known.deployment));
    said.some_text("freehold.decision", why.map(|why| why.reason.as_str()));
}

fn describe_attempt(
    span: &mut Span,
    outcome: &Outcome,
    attempt: &AttemptRecord,
    finish_reasons: &[FinishReason],
    places: &Places,
) {
    let (backend, deployment) = (attempt.backend.as_str(), attempt.deployment.as_str());
    let below = deployment.strip_prefix(backend);
    let model = below
        .and_then(|name| name.strip_prefix('/'))
        .unwrap_or(deployment);
    let operation = match outcome.dialect {
        Dialect::OpenaiCompletions => "text_completion",
        Dialect::OpenaiChat | Dialect::AnthropicMessages => "chat",
    };
    let begin = outcome.started_unix_ms.saturating_mul(1_000_000);
    let start = after(begin, attempt.started_us);
    span.name = format!("{operation} {model}");
    span.kind = SpanKind::Client.into();
    span.start_time_unix_nano = start;
    span.end_time_unix_nano = after(start, attempt.duration_us);
    span.status = status(attempt.error.as_ref());
    let mut said = Attributes::default();
    said.text("gen_ai.operation.name", operation);
    said.text("gen_ai.provider.name", backend);
    said.text("gen_ai.request.model", model);
    said.some_text("gen_ai.response.model", attempt.reported_model.as_deref());
    if !finish_reasons.is_empty() {
        let reasons = finish_reasons.iter().map(reason);
        said.texts("gen_ai.response.finish_reasons", reasons);
    }
    say_usage(&mut said, &attempt.usage);
    say_error(&mut said, attempt.error.as_ref());
    if let Some(status) = attempt
        .error
        .as_ref()
        .and_then(|error| error.upstream_status)
    {
        said.count("http.response.status_code", status);
    }
    if let Some(place) = places.get(&attempt.backend) {
        said.text("server.address", &place.address);
        said.count("server.port", place.port);
    }
    said.text("freehold.deployment", deployment);
    said.text("freehold.perimeter", attempt.perimeter.to_string());
    said.some_text(
        "freehold.region",
        attempt.region.as_ref().map(|region| region.as_str()),
    );
    if let Some(cost) = &attempt.cost {
        said.count("freehold.cost.nano_usd", cost.total.nanos());
        said.text(
            "freehold.cost.basis",
            match cost.basis {
                CostBasis::Tokens => "tokens",
                CostBasis::Hours => "hours",
                CostBasis::Reported => "reported",
            },
        );
    }
    span.attributes = said.into_list();
    if let Some(first_token_us) = attempt.first_token_us {
        span.events.push(first_token(after(start, first_token_us)));
    }
}

/// Tokens, when there are any: an attempt that used none says nothing of them.
fn say_usage(said: &mut Attributes, usage: &Usage) {
    if usage.total_tokens() == 0 {
        return;
    }
    said.count("gen_ai.usage.input_tokens", usage.input_tokens);
    said.count("gen_ai.usage.output_tokens", usage.output_tokens);
    for (key, tokens) in [
        (
            "gen_ai.usage.cache_read.input_tokens",
            usage.cached_input_tokens,
        ),
        (
            "gen_ai.usage.cache_creation.input_tokens",
            usage.cache_write_tokens,
        ),
        (
            "gen_ai.usage.reasoning.output_tokens",
            usage.reasoning_tokens,
        ),
    ] {
        if tokens > 0 {
            said.count(key, tokens);
        }
    }
    said.text(
        "freehold.usage.basis",
        match usage.basis {
            UsageBasis::Reported => "reported",
            UsageBasis::Counted => "counted",
            UsageBasis::Estimated => "estimated",
        },
    );
}

fn say_error(said: &mut Attributes, error: Option<&ErrorSummary>) {
    said.some_text("error.type", error.map(|error| error.kind.as_str()));
}

fn status(error: Option<&ErrorSummary>) -> Option<Status> {
    error.map(|error| Status {
        message: error.kind.as_str().to_owned(),
        code: StatusCode::Error.into(),
    })
}

fn first_token(time_unix_nano: u64) -> Event {
    Event {
        time_unix_nano,
        name: "freehold.first_token".to_owned(),
        ..Event::default()
    }
}

fn after(start_unix_nano: u64, micros: u64) -> u64 {
    start_unix_nano.saturating_add(micros.saturating_mul(1_000))
}

fn total<'a>(counts: impl Iterator<Item = &'a u32>) -> u64 {
    counts.map(|count| u64::from(*count)).sum()
}

const fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "/v1/chat/completions",
        Dialect::OpenaiCompletions => "/v1/completions",
        Dialect::AnthropicMessages => "/v1/messages",
    }
}

const fn word_of(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Completed => "completed",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::Refused => "refused",
    }
}

/// A reason in one word. An upstream's own words are its text, and stay here.
const fn reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Refusal => "refusal",
        FinishReason::PauseTurn => "pause_turn",
        FinishReason::Other(_) => "other",
    }
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
