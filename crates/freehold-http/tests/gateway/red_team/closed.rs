//! Whatever fails, a request that may not leave does not leave: it ends in an error.

use std::sync::Arc;

use freehold_guard::{Classifier, Guard};
use freehold_policy::{Policy, Rules};
use freehold_testkit::{FakeUpstream, Fault, Script};

use crate::canary::{Canary, Kind};
use crate::siege::{Attack, Siege, masking, strict_guard};
use crate::support::{Surface, soon};

/// A scanner with a defect.
struct Broken;

impl Classifier for Broken {
    fn entity(&self) -> &str {
        "topic"
    }

    fn score(&self, text: &str) -> f32 {
        assert!(!text.contains("break it"), "a defect in a scanner: {text}");
        0.0
    }
}

fn broken() -> Guard {
    strict_guard().with_classifier(Arc::new(Broken))
}

#[tokio::test]
async fn a_scanner_that_panics_lets_nothing_out() {
    for policy in [Policy::from(Rules::open()), masking("pseudonym")] {
        let mut siege = Siege::with(policy, broken()).await;
        for surface in Surface::BOTH {
            for stream in [false, true] {
                let canary = siege.canary(Kind::Token);
                let text = format!("break it {}", canary.value);
                let body = surface.body(surface.route(), stream, &text);
                siege.refused(&canary, Attack::new(surface, &body)).await;
                let body = surface.body("home", stream, &text);
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 0), "{seen:?}");
                assert_eq!(siege.stayed().len(), 1);
                // The scanner is well again.
                let canary = siege.canary(Kind::Card);
                let body = surface.body(surface.route(), stream, "one two");
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 1), "{seen:?}");
            }
        }
        siege.lift().await;
    }
}

fn faults() -> Vec<Script> {
    let status = |status| Script::status(status);
    let fault = |fault| Script::tokens(20).with_fault(fault);
    vec![
        status(401),
        status(404),
        status(429),
        status(500),
        status(503),
        Script::rate_limited(1),
        fault(Fault::ResetBeforeHeaders),
        fault(Fault::CloseBeforeHeaders),
        fault(Fault::Close { at: 0 }),
        fault(Fault::Close { at: 1 }),
        fault(Fault::End { at: 0 }),
        fault(Fault::MalformedJson { at: 0 }),
        fault(Fault::ErrorEvent {
            at: 0,
            error_type: None,
        }),
        fault(Fault::WrongContentType),
    ]
}

/// Retries, fallback and hedges are on, and all of them stay inside.
#[tokio::test]
async fn an_inside_model_that_fails_is_no_reason_to_leave() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            for (place, script) in faults().into_iter().enumerate() {
                // The second tries twice, and hedges.
                let route = ["home", "eager"][(place + usize::from(stream)) % 2];
                let mut siege = Siege::start().await;
                let canary = siege.canary(Kind::Card);
                for _ in 0..3 {
                    siege.bench.house.push(script.clone());
                }
                let body = surface.body(route, stream, &canary.sentence());
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!(out, 0, "{route} {script:?}: {seen:?}");
                failed(surface, &seen, &format!("{route} {script:?}"));
                assert!(!siege.stayed().is_empty());
                siege.lift().await;
            }
        }
    }
}

fn failed(surface: Surface, seen: &crate::support::Seen, context: &str) {
    if seen.status == 200 {
        let (_, failed) = surface.stream(&seen.text);
        assert!(failed, "{context}: {seen:?}");
    } else {
        assert!(seen.status >= 400, "{context}: {seen:?}");
        surface.error_type(seen);
    }
}

#[tokio::test]
async fn an_inside_model_that_is_not_there_is_no_reason_to_leave() {
    for surface in Surface::BOTH {
        for route in ["home", "eager", "inside"] {
            let mut siege = Siege::start().await;
            siege.bench.house = FakeUpstream::start().await.unwrap();
            let canary = siege.canary(Kind::Iban);
            let body = surface.body(route, true, &canary.sentence());
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (503, 0), "{seen:?}");
            surface.error_type(&seen);
            let decision = siege.decisions().pop().unwrap();
            assert!(
                decision
                    .attempts
                    .iter()
                    .all(|attempt| attempt.deployment.as_str() == "house/qwen"),
                "{decision:?}"
            );
            siege.lift().await;
        }
    }
}

/// A hedge is due after a millisecond, and there is nothing inside to hedge with.
#[tokio::test]
async fn a_slow_inside_model_is_not_hedged_outside() {
    for surface in Surface::BOTH {
        let mut siege = Siege::start().await;
        let canary: Canary = siege.canary(Kind::AccessKey);
        siege
            .bench
            .house
            .push(Script::text("slow and steady").with_gate(0));
        let body = surface.body("eager", false, &canary.sentence());
        let attack = siege.attack(&canary, Attack::new(surface, &body));
        let release = async {
            soon(siege.bench.house.wait_for_waiting(1)).await;
            // Far longer than the hedge waits, on the clock that the gateway has.
            soon(at_least(std::time::Duration::from_millis(50))).await;
            siege.bench.house.release_all();
        };
        let ((seen, out), ()) = tokio::join!(attack, release);
        assert_eq!((seen.status, out), (200, 0), "{seen:?}");
        siege.lift().await;
    }
}

/// Resolves when so much time has gone by.
async fn at_least(time: std::time::Duration) {
    let mut beat = tokio::time::interval(time);
    beat.tick().await;
    beat.tick().await;
}

#[tokio::test]
async fn a_ledger_or_trail_that_cannot_be_written_stops_everything() {
    for surface in Surface::BOTH {
        let mut siege = Siege::start().await;
        let canary = siege.canary(Kind::Token);
        for route in [surface.route(), "home"] {
            let body = surface.body(route, true, &canary.sentence());
            siege.bench.ledger.fail_with(Some("the disk is full"));
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (503, 0), "{seen:?}");
            siege.bench.ledger.fail_with(None);
            siege.audit.fail_with(Some("the disk is full"));
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (503, 0), "{seen:?}");
            surface.error_type(&seen);
            siege.audit.fail_with(None);
        }
        assert!(siege.stayed().is_empty());
        // The last copy of an outcome that could not be recorded is in the log.
        siege.lift().await;
    }
}
