use std::collections::BTreeMap;

use freehold_types::decision::{CandidateRecord, Decision, RouterInputs};
use freehold_types::outcome::{Cost, Timing};
use freehold_types::{
    Error, ErrorKind, Features, NanoUsd, Objective, Perimeter, RequestId, Sensitivity, Trace,
    TraceParent,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const START_MS: u64 = 1_700_000_000_000;

fn attempt(backend: &str, error: Option<ErrorKind>, started_us: u64) -> AttemptRecord {
    AttemptRecord {
        deployment: format!("{backend}/org/model").into(),
        backend: backend.into(),
        reported_model: error.is_none().then(|| "model-2026".to_owned()),
        perimeter: Perimeter::Outside,
        region: Some("eu".into()),
        started_us,
        duration_us: 500,
        first_token_us: error.is_none().then_some(100),
        error: error.map(|kind| ErrorSummary {
            upstream_status: Some(503),
            param: Some("canary-param".to_owned()),
            ..ErrorSummary::from(&Error::new(kind, "canary-message"))
        }),
        usage: if error.is_none() {
            Usage {
                input_tokens: 11,
                cached_input_tokens: 3,
                output_tokens: 7,
                basis: UsageBasis::Reported,
                ..Usage::default()
            }
        } else {
            Usage::default()
        },
        cost: error.is_none().then(|| Cost {
            total: NanoUsd::from_nanos(42),
            idle_share: NanoUsd::ZERO,
            basis: CostBasis::Tokens,
            gap: None,
            book: None,
        }),
    }
}

fn decision() -> Decision {
    Decision {
        objective: Objective::Cheapest,
        difficulty: 0.25,
        candidates: vec![CandidateRecord {
            deployment: "two/org/model".into(),
            rank: Some(0),
            score: Some(0.5),
            reason: "cheapest".to_owned(),
        }],
        inputs: RouterInputs {
            version: 1,
            route: "auto".to_owned(),
            objective: Objective::Cheapest,
            weights: None,
            quality_margin: 0.0,
            max_attempts: 2,
            features: Features::default(),
            needs: vec![],
            permit: vec![],
            candidates: vec![],
        },
    }
}

fn ended(attempts: Vec<AttemptRecord>, status: OutcomeStatus, caller: Option<&str>) -> Ended {
    let id = RequestId::at(START_MS);
    let error = match status {
        OutcomeStatus::Completed => None,
        OutcomeStatus::Cancelled => Some(ErrorKind::Cancelled),
        OutcomeStatus::Failed => Some(ErrorKind::BadUpstream),
        OutcomeStatus::Refused => Some(ErrorKind::PolicyRefused),
    };
    let outcome = Outcome {
        id,
        started_unix_ms: START_MS,
        dialect: Dialect::OpenaiChat,
        route: "auto".into(),
        key: "app".into(),
        team: Some("acme/search".into()),
        flow: Some("triage".into()),
        sensitivity: Sensitivity::Internal,
        findings: BTreeMap::from([("email".to_owned(), 2), ("card".to_owned(), 1)]),
        redacted: BTreeMap::new(),
        status,
        http_status: if error.is_some() { 403 } else { 200 },
        error: error.map(|kind| ErrorSummary::from(&Error::new(kind, "canary-message"))),
        streamed: true,
        usage: attempts
            .last()
            .map_or_else(Usage::default, |last| last.usage),
        cost: Some(NanoUsd::from_nanos(42)),
        timing: Timing {
            total_us: 2_000,
            first_token_us: Some(1_100),
            overhead_us: 50,
        },
        decision: (!attempts.is_empty()).then(decision),
        attempts,
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    };
    Ended {
        trace: Trace::of(id, caller.and_then(TraceParent::parse)),
        outcome,
        finish_reasons: vec![
            FinishReason::Stop,
            FinishReason::Other("canary-reason".to_owned()),
        ],
    }
}

fn said(span: &Span, key: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|known| known.key == key)?;
    found.value.clone()?.value
}

/// Whether a span says all of this.
fn assert_says(span: &Span, table: &[(&str, Option<Value>)]) {
    for (key, value) in table {
        assert_eq!(said(span, key), *value, "{key}");
    }
}

/// Whether a request continues the caller's trace, and its attempts are its children.
fn assert_one_trace(request: &Span, attempts: [&Span; 2]) {
    let trace = TraceParent::parse(CALLER).unwrap();
    for span in [request, attempts[0], attempts[1]] {
        assert_eq!(span.trace_id, trace.trace.as_bytes());
    }
    assert_eq!(request.parent_span_id, trace.span.as_bytes());
    assert_eq!(request.flags, 0x301);
    for attempt in attempts {
        assert_eq!(attempt.parent_span_id, request.span_id);
        assert_eq!(attempt.flags, 0x101);
    }
    assert_ne!(attempts[0].span_id, attempts[1].span_id);
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.to_owned()))
}

#[test]
fn a_request_is_a_server_with_a_client_for_each_attempt() {
    let attempts = vec![
        attempt("one", Some(ErrorKind::Overloaded), 50),
        attempt("two", None, 1_000),
    ];
    let ended = ended(attempts, OutcomeStatus::Completed, Some(CALLER));
    let place = Place {
        address: "api.example.com".to_owned(),
        port: 443,
    };
    let spans = spans(&ended, &HashMap::from([("two".into(), place)]));
    assert_eq!(number_of(&ended), 3);
    let [request, first, second] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_one_trace(request, [first, second]);

    assert_eq!(request.name, "POST /v1/chat/completions");
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(request.start_time_unix_nano, START_MS * 1_000_000);
    assert_eq!(request.end_time_unix_nano, START_MS * 1_000_000 + 2_000_000);
    assert_eq!(request.status, None);
    assert_says(
        request,
        &[
            ("freehold.request.id", text(&ended.outcome.id.to_string())),
            ("freehold.key", text("app")),
            ("freehold.team", text("acme/search")),
            ("freehold.flow", text("triage")),
            ("freehold.sensitivity", text("internal")),
            ("freehold.findings", Some(Value::IntValue(3))),
            ("freehold.deployment", text("two/org/model")),
            ("freehold.perimeter", text("outside")),
            ("freehold.decision", text("cheapest")),
            ("freehold.cost.nano_usd", Some(Value::IntValue(42))),
            ("http.response.status_code", Some(Value::IntValue(200))),
            ("error.type", None),
            // Whoever adds tokens up finds them once.
            ("gen_ai.usage.input_tokens", None),
            ("gen_ai.request.model", None),
        ],
    );

    assert_eq!(second.name, "chat org/model");
    assert_eq!(second.kind, SpanKind::Client as i32);
    assert_eq!(
        second.start_time_unix_nano,
        START_MS * 1_000_000 + 1_000_000
    );
    assert_eq!(second.end_time_unix_nano, START_MS * 1_000_000 + 1_500_000);
    assert_eq!(second.events.len(), 1);
    assert_eq!(
        second.events[0].time_unix_nano,
        START_MS * 1_000_000 + 1_100_000
    );
    assert_says(
        second,
        &[
            ("gen_ai.operation.name", text("chat")),
            ("gen_ai.provider.name", text("two")),
            ("gen_ai.request.model", text("org/model")),
            ("gen_ai.response.model", text("model-2026")),
            ("gen_ai.usage.input_tokens", Some(Value::IntValue(11))),
            ("gen_ai.usage.output_tokens", Some(Value::IntValue(7))),
            (
                "gen_ai.usage.cache_read.input_tokens",
                Some(Value::IntValue(3)),
            ),
            ("gen_ai.usage.reasoning.output_tokens", None),
            ("server.address", text("api.example.com")),
            ("server.port", Some(Value::IntValue(443))),
            ("error.type", None),
        ],
    );
    let Some(Value::ArrayValue(reasons)) = said(second, "gen_ai.response.finish_reasons") else {
        panic!("{second:?}");
    };
    let reasons: Vec<_> = reasons.values.into_iter().map(|one| one.value).collect();
    assert_eq!(reasons, [text("stop"), text("other")]);

    assert_eq!(
        first.status.as_ref().unwrap().code,
        StatusCode::Error as i32
    );
    assert_eq!(said(first, "error.type"), text("overloaded"));
    assert_eq!(
        said(first, "http.response.status_code"),
        Some(Value::IntValue(503))
    );
    assert_eq!(said(first, "gen_ai.usage.input_tokens"), None);
    assert_eq!(said(first, "gen_ai.response.finish_reasons"), None);
    assert_eq!(said(first, "server.address"), None);
    let all = format!("{spans:?}");
    assert!(!all.contains("canary"), "{all}");
}

#[test]
fn each_end_is_told() {
    for (status, word, error, code) in [
        (OutcomeStatus::Completed, "completed", None, None),
        (
            OutcomeStatus::Cancelled,
            "cancelled",
            text("cancelled"),
            None,
        ),
        (
            OutcomeStatus::Failed,
            "failed",
            text("bad_upstream"),
            Some(StatusCode::Error as i32),
        ),
        (
            OutcomeStatus::Refused,
            "refused",
            text("policy_refused"),
            None,
        ),
    ] {
        let ended = ended(vec![], status, None);
        let spans = spans(&ended, &HashMap::new());
        let [request] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(said(request, "freehold.status"), text(word));
        assert_eq!(said(request, "error.type"), error);
        assert_eq!(request.status.as_ref().map(|status| status.code), code);
        assert_eq!(request.parent_span_id, Vec::<u8>::new());
        assert_eq!(request.trace_id, ended.outcome.id.as_bytes());
    }
}
