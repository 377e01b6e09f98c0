use freehold_types::{AttemptRecord, ErrorKind, ErrorSource, Perimeter, RouterInputs};

use super::*;

/// A decision of this version of the router, made by replaying its inputs.
fn decision() -> Decision {
    let inputs: RouterInputs = serde_json::from_value(json!({
        "version": freehold_route::VERSION,
        "route": "auto",
        "objective": "cheapest",
        "max_attempts": 3,
        "features": {"prompt_tokens": 12, "turns": 1},
        "needs": ["chat"],
        "permit": ["internal: outside is allowed"],
        "candidates": [
            {"deployment": "local/tiny", "quality": 0.5, "cost": 0, "first_token_ms": 300,
             "tokens_per_second": 40.0},
            {"deployment": "far/large", "denied": "outside", "quality": 0.9,
             "first_token_ms": 500, "tokens_per_second": 80.0},
        ],
    }))
    .unwrap();
    let blank = Decision {
        objective: inputs.objective,
        difficulty: 0.0,
        candidates: vec![],
        inputs,
    };
    replay(&blank).unwrap()
}

fn outcome(decision: Option<Decision>) -> Outcome {
    let attempt = |deployment: &str, error| AttemptRecord {
        deployment: deployment.into(),
        backend: "local".into(),
        reported_model: Some("tiny\u{1b}[31m".to_owned()),
        perimeter: Perimeter::Inside,
        region: None,
        started_us: 400,
        duration_us: 1_234_567,
        first_token_us: Some(45_678),
        error,
        usage: freehold_types::Usage::default(),
        cost: None,
    };
    let failed = ErrorSummary {
        kind: ErrorKind::Overloaded,
        side: ErrorSource::Upstream,
        upstream_status: Some(529),
        param: None,
    };
    Outcome {
        id: RequestId::at(1_700_000_000_000),
        started_unix_ms: 1_700_000_000_000,
        dialect: freehold_types::Dialect::OpenaiChat,
        route: "auto".into(),
        key: "alice".into(),
        team: None,
        flow: None,
        sensitivity: freehold_types::Sensitivity::Internal,
        findings: [("email".to_owned(), 2)].into(),
        redacted: [("phone_number".to_owned(), 1)].into(),
        status: OutcomeStatus::Completed,
        http_status: 200,
        error: None,
        streamed: true,
        attempts: vec![
            attempt("local/other", Some(failed)),
            attempt("local/tiny", None),
        ],
        usage: freehold_types::Usage::default(),
        cost: None,
        timing: freehold_types::outcome::Timing::default(),
        decision,
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    }
}

#[test]
fn an_untouched_record_decides_the_same() {
    assert_eq!(Replayed::of(Some(&decision())), Replayed::Same);
}

#[test]
fn a_changed_record_is_found_out() {
    let mut changed = decision();
    changed.candidates[0].deployment = "far/large".into();
    let replayed = Replayed::of(Some(&changed));
    assert_eq!(replayed.word(), "different");
    assert!(
        replayed.text().contains("place 0: recorded far/large"),
        "{}",
        replayed.text()
    );
}

#[test]
fn what_other_rules_decided_is_not_decided_again() {
    let mut old = decision();
    old.inputs.version += 1;
    assert_eq!(Replayed::of(Some(&old)).word(), "none");
    assert_eq!(Replayed::of(None).word(), "none");
}

#[test]
fn the_text_says_who_served_and_why() {
    let text = text(&outcome(Some(decision())));
    for words in [
        "status      completed, HTTP 200",
        "deployment  local/tiny (inside)",
        "found 2 x email",
        "(estimated)",
        "cost        unknown",
        "prompt tokens 12",
        "bias -",
        "policy      internal: outside is allowed",
        "overloaded (upstream, HTTP 529)",
        "1.23 s",
        "45.6 ms",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

async fn ask(args: ExplainArgs) -> String {
    let home = tempfile::tempdir().unwrap();
    let error = run(args, &StoreSettings::new(home.path()))
        .await
        .unwrap_err();
    format!("{error:#}")
}

#[tokio::test]
async fn what_is_not_there_is_an_error() {
    let by_id = |id: &str| ExplainArgs {
        id: Some(id.to_owned()),
        last: false,
        json: false,
    };
    assert!(ask(by_id("nonsense")).await.contains("req_"));
    let id = RequestId::at(1).to_string();
    assert!(ask(by_id(&id)).await.contains("is not in"));
    let last = ExplainArgs {
        id: None,
        last: true,
        json: false,
    };
    assert!(ask(last).await.contains("nothing was recorded yet"));
}
