//! What the store's tests share.

use std::path::Path;
use std::time::Duration;

use freehold_ports::Ledger;
use freehold_store::{DurableLedger, StoreSettings};
use freehold_types::decision::{
    Availability, CandidateInput, CandidateRecord, Decision, Features, Objective, RouterInputs,
};
use freehold_types::outcome::{Cost, CostBasis, ErrorSummary, Timing};
use freehold_types::{
    AttemptRecord, Capability, Dialect, ErrorKind, ErrorSource, NanoUsd, Outcome, OutcomeStatus,
    Perimeter, RequestId, Sensitivity, Usage, UsageBasis,
};

/// 2025-11-21T04:00:00Z.
pub(crate) const BASE: u64 = 1_763_697_600_000;
/// Far more than anything here takes; only a broken test meets it.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Settings with short pauses, so that tests are quick.
pub(crate) fn settings(data_dir: &Path) -> StoreSettings {
    let mut settings = StoreSettings::new(data_dir);
    settings.gather = Duration::from_millis(1);
    settings.busy_timeout = Duration::from_millis(20);
    settings.answer_timeout = Duration::from_secs(2);
    settings.retry = (Duration::from_millis(5), Duration::from_millis(50));
    settings.spool.reserve_bytes = 4096;
    settings
}

/// A completed request that one owned deployment served.
pub(crate) fn outcome(started_unix_ms: u64) -> Outcome {
    let usage = Usage {
        input_tokens: 120,
        cached_input_tokens: 20,
        output_tokens: 30,
        reasoning_tokens: 5,
        basis: UsageBasis::Counted,
        ..Usage::default()
    };
    Outcome {
        id: RequestId::at(started_unix_ms),
        started_unix_ms,
        dialect: Dialect::OpenaiChat,
        route: "auto".into(),
        key: "team-a".into(),
        team: None,
        flow: Some("support".into()),
        sensitivity: Sensitivity::Internal,
        findings: [("EMAIL".to_owned(), 2)].into(),
        redacted: [("phone_number".to_owned(), 1)].into(),
        status: OutcomeStatus::Completed,
        http_status: 200,
        error: None,
        streamed: true,
        attempts: vec![attempt(
            "embedded",
            "smol",
            Perimeter::Inside,
            usage,
            Some(1_500),
        )],
        usage,
        cost: Some(NanoUsd::from_nanos(1_500)),
        timing: Timing {
            total_us: 42_000,
            first_token_us: Some(9_000),
            overhead_us: 130,
        },
        decision: Some(decision()),
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    }
}

pub(crate) fn attempt(
    backend: &str,
    model: &str,
    perimeter: Perimeter,
    usage: Usage,
    cost_nanos: Option<i64>,
) -> AttemptRecord {
    AttemptRecord {
        deployment: format!("{backend}/{model}").into(),
        backend: backend.into(),
        reported_model: Some(model.to_owned()),
        perimeter,
        region: Some("eu-central-1".into()),
        started_us: 140,
        duration_us: 41_000,
        first_token_us: Some(8_900),
        error: None,
        usage,
        cost: cost_nanos.map(|nanos| Cost {
            total: NanoUsd::from_nanos(nanos),
            idle_share: NanoUsd::from_nanos(nanos / 3),
            basis: CostBasis::Hours,
            gap: None,
            book: None,
        }),
    }
}

pub(crate) fn decision() -> Decision {
    Decision {
        objective: Objective::Cheapest,
        difficulty: 0.1 + 0.2,
        candidates: vec![
            CandidateRecord {
                deployment: "embedded/smol".into(),
                rank: Some(0),
                score: Some(0.123_456_789_012_345_68),
                reason: "cheapest that is good enough".to_owned(),
            },
            CandidateRecord {
                deployment: "openai/gpt".into(),
                rank: None,
                score: None,
                reason: "outside".to_owned(),
            },
        ],
        inputs: RouterInputs {
            version: 1,
            route: "auto".to_owned(),
            objective: Objective::Cheapest,
            weights: None,
            quality_margin: 1.0 / 3.0,
            max_attempts: 3,
            features: Features {
                prompt_tokens: 120,
                turns: 3,
                ..Features::default()
            },
            needs: vec![Capability::Chat],
            permit: vec!["internal by the default".to_owned()],
            candidates: vec![CandidateInput {
                deployment: "embedded/smol".into(),
                denied: None,
                lacks: None,
                window_tokens: Some(8_192),
                quality: 0.3,
                cost: Some(NanoUsd::from_nanos(1_500)),
                first_token_ms: 80,
                tokens_per_second: 41.7,
                in_flight: 0,
                availability: Availability::Up,
            }],
        },
    }
}

/// Refused before any attempt, because the route does not exist.
pub(crate) fn unknown_route(started_unix_ms: u64, route: &str) -> Outcome {
    Outcome {
        route: route.into(),
        status: OutcomeStatus::Refused,
        http_status: 404,
        error: Some(ErrorSummary {
            kind: ErrorKind::NotFound,
            side: ErrorSource::Client,
            upstream_status: None,
            param: Some("model".to_owned()),
        }),
        attempts: Vec::new(),
        usage: Usage::default(),
        cost: Some(NanoUsd::ZERO),
        decision: None,
        ..outcome(started_unix_ms)
    }
}

/// Records outcomes, one per millisecond.
pub(crate) fn record_many(ledger: &DurableLedger, count: u64) -> Vec<Outcome> {
    let outcomes: Vec<Outcome> = (0..count).map(|i| outcome(BASE + i)).collect();
    for outcome in &outcomes {
        ledger.record(outcome).expect("the spool has room");
    }
    outcomes
}
