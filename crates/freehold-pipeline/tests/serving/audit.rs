//! The audit trail is told of each request once, however it ends, and without any text.

use std::sync::Arc;
use std::time::Duration;

use freehold_guard::Guard;
use freehold_pipeline::AuditTrail;
use freehold_policy::{Claim, Rules};
use freehold_store::audit::MemoryAudit;
use freehold_types::audit::{AuditDecision, AuditEvent, AuditName};
use freehold_types::{Error, ErrorKind, FlowName, Message, OutcomeStatus, Role, Sensitivity};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;

use crate::support::{
    Bench, Reply, closing, fails, guard, opening, policy, read, reported, retries, token,
};

const CARD: &str = "4012 8888 8888 1881";

struct Audited {
    bench: Bench,
    trail: Arc<MemoryAudit>,
}

impl Audited {
    fn new(required: bool) -> Self {
        let trail = Arc::new(MemoryAudit::new());
        let rules = policy(json!({
            "outside_up_to": "confidential",
            "rules": [
                {"name": "cards-inside", "when": {"findings": "payment_card"}, "require": {"perimeter": "inside"}},
                {"name": "no-payroll", "when": {"flow": "payroll"}, "block": "not here"},
                {"name": "mask-mail", "when": {"findings": "email_address"}, "mask": ["email_address"]},
            ],
        }));
        let audit = AuditTrail {
            trail: Arc::clone(&trail) as Arc<_>,
            required,
        };
        Self {
            bench: Bench::with(retries(0), rules, guard(), Some(audit)),
            trail,
        }
    }

    fn decisions(&self) -> Vec<AuditDecision> {
        let events = self.trail.events().into_iter();
        events
            .map(|event| match event {
                AuditEvent::Decision(decision) => decision,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// The one decision there must be, and no text of the request in it.
    async fn decision(&self) -> AuditDecision {
        self.bench.outcome().await;
        let mut decisions = self.decisions();
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        let json = serde_json::to_string(&decisions[0]).unwrap();
        for text in [CARD, "1881", "charge", "ann@corp.test"] {
            assert!(!json.contains(text), "{json}");
        }
        decisions.remove(0)
    }

    fn admission(&self, text: &str, stream: bool) -> freehold_pipeline::Admission {
        let mut admission = self.bench.admission(Claim::None, stream);
        admission.request.messages = vec![Message::text(Role::User, text)];
        admission
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_tells_findings_rules_permit_and_destination() {
    for stream in [false, true] {
        let audited = Audited::new(true);
        let text = format!("charge {CARD}, mail ann@corp.test");
        let mut admission = audited.admission(&text, stream);
        admission.flow = Some(FlowName::new("billing"));
        let account = Arc::make_mut(&mut admission.account);
        account.tenant = Some("acme".to_owned());
        let id = admission.id;
        let answer = audited.bench.pipeline.serve(admission, |_| 599).await;
        if stream {
            read(answer.unwrap()).await;
        }
        let decision = audited.decision().await;
        assert_eq!(decision.request, id);
        assert_eq!(decision.key.as_str(), "app");
        assert_eq!(decision.tenant.unwrap().as_str(), "acme");
        assert_eq!(decision.flow.unwrap().as_str(), "billing");
        assert_eq!(decision.route.unwrap().as_str(), "route");
        assert_eq!(decision.sensitivity, Sensitivity::Confidential);
        assert_eq!(decision.status, OutcomeStatus::Completed);
        let findings: Vec<_> = decision
            .findings
            .iter()
            .map(|(e, n)| (e.as_str(), *n))
            .collect();
        assert!(findings.contains(&("payment_card", 1)), "{findings:?}");
        assert!(findings.contains(&("email_address", 1)), "{findings:?}");
        let rules: Vec<_> = decision.rules.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(rules, ["cards-inside", "mask-mail"]);
        let attempts: Vec<_> = decision
            .attempts
            .iter()
            .map(|a| a.deployment.as_str())
            .collect();
        assert_eq!(attempts, ["one/m"]);
        let masks = decision.permit.unwrap().mask;
        assert!(masks.iter().any(|mask| mask.as_str() == "email_address"));
    }
}

/// Whatever ends a request, it is told once.
#[tokio::test(start_paused = true)]
async fn every_end_is_told_once() {
    let cut = Reply::Streams(Duration::ZERO, vec![Ok(opening()), Ok(token("one"))]);
    for (replies, status, refusal) in [
        (vec![], OutcomeStatus::Completed, None),
        (
            vec![fails(ErrorKind::InvalidRequest)],
            OutcomeStatus::Failed,
            Some("invalid_request"),
        ),
        (
            vec![Reply::Panics],
            OutcomeStatus::Failed,
            Some("gateway_defect"),
        ),
        (vec![cut], OutcomeStatus::Failed, Some("bad_upstream")),
        (
            vec![Reply::Hangs(vec![opening(), token("one")])],
            OutcomeStatus::Cancelled,
            Some("cancelled"),
        ),
    ] {
        let audited = Audited::new(true);
        for reply in replies {
            audited.bench.one.push(reply);
        }
        let admission = audited.admission(&format!("charge {CARD}"), true);
        let served = audited.bench.pipeline.serve(admission, |_| 599);
        let served = tokio::time::timeout(Duration::from_secs(5), served).await;
        if let Ok(Ok(answer)) = served {
            let reading = read(answer);
            let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
        }
        let decision = audited.decision().await;
        assert_eq!(decision.status, status);
        let told = decision.refusal.as_ref().map(|code| code.as_str());
        assert_eq!(told, refusal, "{decision:?}");
        assert_eq!(decision.attempts.len(), 1, "{decision:?}");
    }
}

/// An upstream's words are not ours to keep: its codes may quote the prompt.
#[tokio::test(start_paused = true)]
async fn an_upstreams_code_is_not_kept() {
    let audited = Audited::new(true);
    let mut error = Error::new(ErrorKind::InvalidRequest, format!("no {CARD}"))
        .with_code(CARD)
        .with_param(CARD);
    error.upstream_status = Some(400);
    error.upstream_body = Some((freehold_types::Dialect::OpenaiChat, CARD.into()));
    audited.bench.one.push(Reply::Fails(error));
    let admission = audited.admission(&format!("charge {CARD}"), false);
    let failure = audited.bench.pipeline.serve(admission, |_| 400).await;
    // The client is told: it is its own text.
    assert_eq!(failure.unwrap_err().error.code.as_deref(), Some(CARD));
    let decision = audited.decision().await;
    assert_eq!(decision.refusal.unwrap().as_str(), "invalid_request");
    let outcome = serde_json::to_string(&audited.bench.ledger.outcomes()).unwrap();
    assert!(!outcome.contains("1881"), "{outcome}");
}

/// A count of tokens sends the request, too.
#[tokio::test(start_paused = true)]
async fn counts_are_told_and_obey_the_same_rules() {
    let audited = Audited::new(true);
    let admission = audited.admission(&format!("charge {CARD}"), false);
    let id = admission.id;
    let counted = audited.bench.pipeline.count_tokens(admission).await;
    assert!(counted.unwrap() > 0);
    let decision = audited.decisions().remove(0);
    assert_eq!(decision.request, id);
    assert_eq!(decision.status, OutcomeStatus::Completed);
    assert_eq!(decision.sensitivity, Sensitivity::Confidential);
    let rules: Vec<_> = decision.rules.iter().map(AuditName::as_str).collect();
    assert_eq!(rules, ["cards-inside"]);
    assert_eq!(decision.attempts.len(), 1);
    assert_eq!(decision.attempts[0].deployment.as_str(), "one/m");
    assert!(decision.refusal.is_none());

    // The workload counts, whether the caller names it or the key.
    for by_key in [false, true] {
        let mut admission = audited.admission("hello", false);
        let flow = Some(FlowName::new("payroll"));
        if by_key {
            Arc::make_mut(&mut admission.account).flow = flow;
        } else {
            admission.flow = flow;
        }
        let counted = audited.bench.pipeline.count_tokens(admission).await;
        let code = counted.unwrap_err().code;
        assert_eq!(code.as_deref(), Some("policy_blocked"));
        let decision = audited.decisions().pop().unwrap();
        assert_eq!(decision.status, OutcomeStatus::Refused);
        assert_eq!(decision.refusal.unwrap().as_str(), "policy_blocked");
        assert!(decision.attempts.is_empty());
    }
    assert_eq!(audited.decisions().len(), 3);
    assert_eq!(audited.bench.one.sent().len(), 1);
    assert!(audited.bench.ledger.outcomes().is_empty());
}

/// A client that leaves while tokens are counted does not keep that from being told.
#[tokio::test(start_paused = true)]
async fn a_count_that_nobody_waits_for_is_told() {
    let audited = Audited::new(true);
    let admission = audited.admission(&format!("charge {CARD}"), false);
    let pipeline = Arc::clone(&audited.bench.pipeline);
    let waiting = tokio::spawn(async move { pipeline.count_tokens(admission).await });
    // The count has begun, and whoever waits for it is gone.
    tokio::task::yield_now().await;
    waiting.abort();
    audited.bench.pipeline.drain();
    audited.bench.pipeline.idle().await;
    assert_eq!(audited.decisions().len(), 1);
}

/// Names of models become names of deployments, in records and metrics.
#[tokio::test(start_paused = true)]
async fn a_models_name_that_is_data_is_refused() {
    for stream in [false, true] {
        let audited = Audited::new(true);
        let mut admission = audited.admission("hello", stream);
        admission.request.model = format!("open-{}", CARD.replace(' ', ""));
        let failure = audited.bench.pipeline.serve(admission, |_| 400).await;
        let error = failure.unwrap_err().error;
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.code.as_deref(), Some("model_is_data"));
        assert!(audited.bench.one.sent().is_empty());
        audited.decision().await;
        let outcome = serde_json::to_string(&audited.bench.ledger.outcomes()).unwrap();
        assert!(!outcome.contains("1881"), "{outcome}");
        // The same route serves honest names.
        let mut admission = audited.admission("hello", false);
        admission.request.model = "open-llama".to_owned();
        let served = audited.bench.pipeline.serve(admission, |_| 400).await;
        served.unwrap();
        let route = &audited.bench.ledger.outcomes()[1].route;
        assert_eq!(route.as_str(), "open-llama");
    }
}

/// Where persons are confidential, models that are called like one are models all the same.
#[tokio::test(start_paused = true)]
async fn a_model_that_is_called_like_a_person_is_served() {
    let settings = json!({"labels": {"person": "confidential", "location": "confidential"}});
    let guard = Guard::new(&serde_json::from_value(settings).unwrap()).unwrap();
    for name in ["open-claude-opus-5", "open-gpt-6-luna", "open-Claude"] {
        let bench = Bench::with(retries(0), Rules::open().into(), guard.clone(), None);
        let mut admission = bench.admission(Claim::None, false);
        admission.request.model = name.to_owned();
        admission.request.messages = vec![Message::text(Role::User, "write to Anna Larsen")];
        bench.pipeline.serve(admission, |_| 400).await.unwrap();
        let outcome = bench.outcome().await;
        assert_eq!(outcome.route.as_str(), name);
        assert_eq!(outcome.findings.get("person"), Some(&1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_be_audited_and_cannot_is_not_begun() {
    for stream in [false, true] {
        let audited = Audited::new(true);
        audited.trail.fail_with(Some("the disk is full"));
        let admission = audited.admission("hello", stream);
        let failure = audited.bench.pipeline.serve(admission, |_| 503).await;
        let error = failure.unwrap_err().error;
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.code.as_deref(), Some("audit_unavailable"));
        assert!(audited.bench.one.sent().is_empty() && audited.bench.two.sent().is_empty());
        assert!(audited.bench.pipeline.ready().is_err());
        let admission = audited.admission("hello", stream);
        let counted = audited.bench.pipeline.count_tokens(admission).await;
        assert_eq!(counted.unwrap_err().kind, ErrorKind::Unavailable);
        assert!(audited.bench.one.sent().is_empty());
        audited.trail.fail_with(None);
        let admission = audited.admission("hello", false);
        audited
            .bench
            .pipeline
            .serve(admission, |_| 503)
            .await
            .unwrap();
        assert_eq!(audited.decisions().len(), 1);
    }
}

/// Where the trail need not be kept, or fails while a request is under way, operators are told.
#[tokio::test(start_paused = true)]
async fn decisions_that_are_lost_are_counted() {
    for required in [true, false] {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let audited = Audited::new(required);
        let trail = Arc::clone(&audited.trail);
        audited.bench.one.push(Reply::Made(Arc::new(move |_| {
            trail.fail_with(Some("the disk is full"));
            vec![opening(), token("hello"), closing(Some(reported()))]
        })));
        let admission = audited.admission("hello", false);
        let served = audited.bench.pipeline.serve(admission, |_| 503).await;
        served.unwrap();
        assert!(audited.decisions().is_empty());
        assert_eq!(audited.bench.ledger.outcomes().len(), 1);
        let text = recorder.handle().render();
        let line = "freehold_unaudited_decisions_total 1";
        assert!(text.lines().any(|known| known == line), "{text}");
    }
}
