//! What the audit trail is told of requests that come over HTTP.

use freehold_testkit::Script;
use freehold_types::{OutcomeStatus, Perimeter, Sensitivity};
use serde_json::json;

use crate::canary::Kind;
use crate::siege::{Attack, Siege, policy};
use crate::support::{ACME_KEY, Surface, seen};

fn rules() -> freehold_policy::Policy {
    policy(json!({
        "outside_up_to": "confidential",
        "rules": [
            {"name": "mask-cards", "when": {"findings": "payment_card"}, "mask": ["payment_card"]},
            {"name": "no-tokens", "when": {"findings": "github_token"}, "block": "remove the token"},
            {"name": "accounts-inside", "when": {"findings": "iban"}, "require": {"perimeter": "inside"}},
        ],
    }))
}

/// One record for each request, with who, what, which rules, and where.
#[tokio::test]
async fn every_request_leaves_one_decision() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut siege = Siege::with_policy(rules()).await;
            let headers = [("x-freehold-flow", "billing")];
            for (kind, route, status, rule) in [
                (Kind::Card, surface.route(), 200, "mask-cards"),
                (Kind::Token, surface.route(), 403, "no-tokens"),
                (Kind::Iban, "home", 200, "accounts-inside"),
                (Kind::Iban, surface.route(), 403, "accounts-inside"),
            ] {
                let before = siege.decisions().len();
                let canary = siege.canary(kind);
                let body = surface.body(route, stream, &canary.sentence());
                let attack = Attack::new(surface, &body)
                    .with_key(ACME_KEY)
                    .with_headers(&headers);
                let (seen, _) = siege.attack(&canary, attack).await;
                assert_eq!(seen.status, status, "{kind:?}: {seen:?}");
                let decisions = siege.decisions();
                assert_eq!(decisions.len(), before + 1);
                let decision = &decisions[before];
                assert_eq!(decision.request.to_string(), seen.header("x-request-id"));
                assert_eq!(decision.key.as_str(), "acme-app");
                assert_eq!(decision.tenant.as_ref().unwrap().as_str(), "acme");
                assert_eq!(decision.flow.as_ref().unwrap().as_str(), "billing");
                assert_eq!(decision.sensitivity, Sensitivity::Confidential);
                let found = decision
                    .findings
                    .iter()
                    .find(|(entity, _)| entity.as_str() == kind.entity());
                assert_eq!(found.map(|(_, count)| *count), Some(1), "{decision:?}");
                let rules: Vec<_> = decision.rules.iter().map(|rule| rule.as_str()).collect();
                assert_eq!(rules, [rule]);
                let refused = status == 403;
                assert_eq!(decision.refusal.is_some(), refused, "{decision:?}");
                assert_eq!(decision.attempts.is_empty(), refused, "{decision:?}");
                assert_eq!(
                    decision.status == OutcomeStatus::Completed,
                    !refused,
                    "{decision:?}"
                );
                if let Some(attempt) = decision.attempts.first() {
                    let inside = kind == Kind::Iban;
                    assert_eq!(attempt.perimeter == Perimeter::Inside, inside);
                    let permit = decision.permit.as_ref().unwrap();
                    let masks: Vec<_> = permit.mask.iter().map(|mask| mask.as_str()).collect();
                    assert_eq!(masks.contains(&"payment_card"), !inside, "{permit:?}");
                }
            }
            siege.lift().await;
        }
    }
}

/// Every attempt is told, with its destination.
#[tokio::test]
async fn fallbacks_are_audited_with_their_destinations() {
    for surface in Surface::BOTH {
        let mut siege = Siege::with_policy(rules()).await;
        let canary = siege.canary(Kind::Card);
        surface.first(&siege.bench).push(Script::status(500));
        let body = surface.body(surface.route(), true, &canary.sentence());
        let (seen, _) = siege.attack(&canary, Attack::new(surface, &body)).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        let decision = siege.decisions().remove(0);
        let places: Vec<_> = decision
            .attempts
            .iter()
            .map(|attempt| (attempt.deployment.as_str(), attempt.error.is_some()))
            .collect();
        assert_eq!(places.len(), 2);
        assert!(places[0].1 && !places[1].1, "{places:?}");
        assert_eq!(places[1].0, surface.second());
        siege.lift().await;
    }
}

/// Requests that do not pass the door are audited too, once their key is known; strangers leave
/// nothing.
#[tokio::test]
async fn bad_requests_are_audited_and_strangers_are_not() {
    for surface in Surface::BOTH {
        let mut siege = Siege::start().await;
        let canary = siege.canary(Kind::Card);
        let text = canary.sentence();
        let unknown = surface.body("no-such-model", false, &text);
        siege.attack(&canary, Attack::new(surface, &unknown)).await;
        let broken = json!({"model": 7, "messages": text});
        let (refused, _) = siege.attack(&canary, Attack::new(surface, &broken)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let body = surface.body(surface.route(), false, "one");
        let stranger = Attack::new(surface, &body).with_key("fh-nobody");
        let (refused, out) = siege.attack(&canary, stranger).await;
        assert_eq!((refused.status, out), (401, 0));
        let decisions = siege.decisions();
        assert_eq!(decisions.len(), 2, "{decisions:?}");
        for decision in decisions {
            assert_eq!(decision.status, OutcomeStatus::Refused);
            assert!(decision.refusal.is_some() && decision.route.is_none());
            assert_eq!(decision.sensitivity, Sensitivity::Restricted);
        }
        siege.lift().await;
    }
}

/// A trail that must be kept, and cannot, stops everything; one that need not be does not.
#[tokio::test]
async fn a_trail_that_must_be_kept_stops_requests() {
    for required in [true, false] {
        for surface in Surface::BOTH {
            let trail = std::sync::Arc::new(freehold_store::audit::MemoryAudit::new());
            let setup = crate::support::Setup {
                audit: Some(freehold_pipeline::AuditTrail {
                    trail: std::sync::Arc::clone(&trail) as _,
                    required,
                }),
                ..Default::default()
            };
            let bench = crate::support::Bench::with(setup).await;
            trail.fail_with(Some("the disk is full"));
            let body = surface.body(surface.route(), false, "one two");
            let told = bench.ask(surface, &body).await;
            assert_eq!(told.status, if required { 503 } else { 200 }, "{told:?}");
            assert_eq!(
                surface.first(&bench).requests().len(),
                usize::from(!required)
            );
            if required {
                surface.error_type(&told);
                assert!(told.text.contains("audited"), "{told:?}");
            }
            let ready = bench.http.get(format!("{}/health/readiness", bench.url));
            assert_eq!(seen(ready).await.status, if required { 503 } else { 200 });
            trail.fail_with(None);
            assert_eq!(bench.ask(surface, &body).await.status, 200);
            assert_eq!(trail.events().len(), 1);
        }
    }
}
