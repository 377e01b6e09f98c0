//! A conversation that was restricted once stays inside.

use std::sync::Arc;

use freehold_pipeline::{Admission, Answer, Failure};
use freehold_policy::{Claim, Policy, Rules};
use freehold_types::{ErrorKind, KeyName, Message, Role, Sensitivity};
use serde_json::json;

use crate::support::{Bench, fails, guard, policy, retries};

const CARD: &str = "charge 4012 8888 8888 1881";
const TOKEN: &str = "use ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi";
const CLEAN: &str = "and what is the weather like?";

/// One turn of a conversation.
struct Turn<'a> {
    talk: Option<&'a str>,
    text: &'a str,
    claim: Claim,
    key: &'a str,
    tenant: Option<&'a str>,
}

impl<'a> Turn<'a> {
    fn of(talk: &'a str, text: &'a str) -> Self {
        Self {
            talk: Some(talk),
            text,
            claim: Claim::None,
            key: "app",
            tenant: None,
        }
    }

    fn admission(&self, bench: &Bench, stream: bool) -> Admission {
        let mut admission = bench.admission(self.claim, stream);
        admission.conversation = self.talk.map(str::to_owned);
        let account = Arc::make_mut(&mut admission.account);
        account.key = KeyName::new(self.key);
        account.tenant = self.tenant.map(str::to_owned);
        admission.request.messages = vec![Message::text(Role::User, self.text)];
        admission
    }

    async fn serve(&self, bench: &Bench, stream: bool) -> Result<Answer, Failure> {
        let admission = self.admission(bench, stream);
        bench.pipeline.serve(admission, |_| 599).await
    }

    /// Whether it may leave, as the router saw it.
    async fn may_leave(&self, bench: &Bench, stream: bool) -> bool {
        let known = bench.ledger.outcomes().len();
        let answer = self.serve(bench, stream).await.unwrap();
        assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "one/m");
        drop(answer);
        let outcomes = bench.ledger.wait_for(known + 1).await;
        let decision = outcomes[known].decision.as_ref().unwrap();
        let mut candidates = decision.inputs.candidates.iter();
        let two = candidates.find(|candidate| candidate.deployment.as_str() == "two/m");
        two.unwrap().denied.is_none()
    }
}

fn bench() -> Bench {
    Bench::new(retries(0))
}

#[tokio::test(start_paused = true)]
async fn the_next_clean_turn_stays_inside() {
    for stream in [false, true] {
        let bench = bench();
        assert!(Turn::of("talk", CLEAN).may_leave(&bench, stream).await);
        Turn::of("talk", CARD).serve(&bench, stream).await.unwrap();
        for _ in 0..3 {
            assert!(!Turn::of("talk", CLEAN).may_leave(&bench, stream).await);
        }
        // What the caller claims lowers nothing.
        let mut turn = Turn::of("talk", CLEAN);
        turn.claim = Claim::Label(Sensitivity::Public);
        assert!(!turn.may_leave(&bench, stream).await);
        let outcomes = bench.ledger.outcomes();
        assert_eq!(
            outcomes.last().unwrap().sensitivity,
            Sensitivity::Confidential
        );
        assert!(outcomes.last().unwrap().findings.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn only_this_conversation_of_this_tenant_is_bound() {
    let bench = bench();
    let mut theirs = Turn::of("talk", CARD);
    theirs.tenant = Some("acme");
    theirs.serve(&bench, false).await.unwrap();
    theirs.text = CLEAN;
    assert!(!theirs.may_leave(&bench, false).await);
    // Another key of the tenant is the same tenant.
    theirs.key = "other-app";
    assert!(!theirs.may_leave(&bench, false).await);
    theirs.talk = Some("another");
    assert!(theirs.may_leave(&bench, false).await);
    theirs.talk = None;
    assert!(theirs.may_leave(&bench, false).await);
    let mut ours = Turn::of("talk", CLEAN);
    ours.tenant = Some("bell");
    assert!(ours.may_leave(&bench, false).await);
    // Keys without a tenant stand for themselves.
    let mut alone = Turn::of("talk", CARD);
    alone.serve(&bench, false).await.unwrap();
    alone.text = CLEAN;
    assert!(!alone.may_leave(&bench, false).await);
    alone.key = "other-app";
    assert!(alone.may_leave(&bench, false).await);
}

fn blocking() -> Policy {
    policy(json!({
        "rules": [{"name": "no-tokens", "when": {"findings": "secrets"}, "block": "remove it"}],
    }))
}

/// A request that was refused has shown what the conversation is about.
#[tokio::test(start_paused = true)]
async fn a_refusal_binds_too() {
    for stream in [false, true] {
        let bench = Bench::with(retries(0), blocking(), guard(), None);
        let refused = Turn::of("talk", TOKEN).serve(&bench, stream).await;
        let error = refused.unwrap_err().error;
        assert_eq!(error.code.as_deref(), Some("policy_blocked"));
        assert!(bench.one.sent().is_empty() && bench.two.sent().is_empty());
        assert!(!Turn::of("talk", CLEAN).may_leave(&bench, stream).await);
        assert!(Turn::of("other", CLEAN).may_leave(&bench, stream).await);
    }
}

/// So does a claim, a count of tokens, and a turn that failed.
#[tokio::test(start_paused = true)]
async fn claims_counts_and_failures_bind_too() {
    let bench = bench();
    let mut turn = Turn::of("claimed", CLEAN);
    turn.claim = Claim::Label(Sensitivity::Restricted);
    turn.serve(&bench, false).await.unwrap();
    turn.claim = Claim::None;
    assert!(!turn.may_leave(&bench, false).await);
    let label = bench.ledger.outcomes().last().unwrap().sensitivity;
    assert_eq!(label, Sensitivity::Restricted);

    let counted = Turn::of("counted", CARD).admission(&bench, false);
    bench.pipeline.count_tokens(counted).await.unwrap();
    assert!(!Turn::of("counted", CLEAN).may_leave(&bench, false).await);

    bench.one.push(fails(ErrorKind::InvalidRequest));
    let failed = Turn::of("failed", CARD).serve(&bench, false).await;
    assert_eq!(failed.unwrap_err().error.kind, ErrorKind::InvalidRequest);
    assert!(!Turn::of("failed", CLEAN).may_leave(&bench, false).await);
}

/// Where the inside model fails, a bound conversation gets an error and a free one an answer.
#[tokio::test(start_paused = true)]
async fn a_bound_conversation_does_not_fall_back_outside() {
    for stream in [false, true] {
        let bench = bench();
        Turn::of("talk", CARD).serve(&bench, stream).await.unwrap();
        bench.one.push(fails(ErrorKind::Unavailable));
        let failed = Turn::of("talk", CLEAN).serve(&bench, stream).await;
        assert_eq!(failed.unwrap_err().error.kind, ErrorKind::Unavailable);
        assert!(bench.two.sent().is_empty());
        bench.one.push(fails(ErrorKind::Unavailable));
        let answer = Turn::of("other", CLEAN).serve(&bench, stream).await;
        let answer = answer.unwrap();
        assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
        assert_eq!(bench.two.sent().len(), 1);
    }
}

/// A new configuration does not make the gateway forget.
#[tokio::test(start_paused = true)]
async fn a_reload_forgets_nothing() {
    let bench = bench();
    Turn::of("talk", CARD).serve(&bench, false).await.unwrap();
    let snapshot = bench.snapshot(Rules::open().into());
    bench.pipeline.reload(snapshot);
    assert!(!Turn::of("talk", CLEAN).may_leave(&bench, false).await);
    assert!(Turn::of("other", CLEAN).may_leave(&bench, false).await);
}
