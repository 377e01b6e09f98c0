use super::super::{Arm, Change, GuardRule, Guards, Mirror, PairScorer, Seen, Stages, Strata};
use super::*;
use crate::differences::Score;
use crate::scorers::ScorerSpec;
use std::collections::BTreeMap;

fn order(autopilot: Autopilot) -> Order {
    Order {
        flow: "support".to_owned(),
        incumbent: "rented".to_owned(),
        candidate: Change {
            model: "owned".to_owned(),
            system: None,
            temperature: None,
        },
        scorer: PairScorer(ScorerSpec::Normalised),
        strata: Strata::None,
        rule: Rule::default(),
        mirror: Mirror::default(),
        stages: Stages {
            shares: vec![0.1, 1.0],
            requests_min: 20,
            seconds_min: 60,
            watch_hours: 1,
        },
        guards: Guards::default(),
        autopilot,
        saving_usd_per_month: None,
    }
}

fn good(is_good: bool) -> Seen {
    [(Guard::Errors, Score::of(is_good))].into()
}

fn pairs(count: u64, candidate: f64) -> Evidence {
    let mut seen = Evidence::default();
    for _ in 0..count {
        seen.sampled += 1;
        seen.pair("all", Score::of(true), Score::new(candidate).unwrap());
    }
    seen
}

fn at(stage: Stage) -> State {
    State {
        stage,
        ..State::new(1_000)
    }
}

#[test]
fn nothing_goes_forward_without_proof() {
    let order = order(Autopilot::Full);
    let begun = at(Stage::Shadow);
    for count in [0, 1, 20] {
        let step = next(&order, &begun, &pairs(count, 1.0), u64::MAX);
        assert!(matches!(step, Step::Wait { .. }), "{count}: {step:?}");
    }
    let step = next(&order, &begun, &pairs(500, 1.0), 1_000);
    assert!(
        matches!(&step, Step::Advance { to: Stage::Canary(0), why } if why.contains("500 pairs")),
        "{step:?}"
    );
}

#[test]
fn a_step_waits_for_whoever_must_accept_it() {
    let seen = pairs(500, 1.0);
    let shadow = at(Stage::Shadow);
    let step = next(&order(Autopilot::Off), &shadow, &seen, 1_000);
    assert!(
        matches!(
            step,
            Step::Propose {
                to: Stage::Canary(0),
                ..
            }
        ),
        "{step:?}"
    );
    let accepted = State {
        accepted: true,
        ..shadow
    };
    let step = next(&order(Autopilot::Off), &accepted, &seen, 1_000);
    assert!(matches!(step, Step::Advance { .. }), "{step:?}");
    let paused = State {
        paused: true,
        ..accepted
    };
    let step = next(&order(Autopilot::Full), &paused, &seen, 1_000);
    assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    // An acceptance is for one step.
    assert!(!accepted.moved(Stage::Canary(0), 2_000).accepted);

    let served = Evidence {
        candidate_requests: 20,
        ..Evidence::default()
    };
    let last = at(Stage::Canary(1));
    let step = next(&order(Autopilot::Canary), &last, &served, 61_000);
    assert!(
        matches!(
            step,
            Step::Propose {
                to: Stage::Promoted,
                ..
            }
        ),
        "{step:?}"
    );
    let step = next(&order(Autopilot::Full), &last, &served, 61_000);
    assert!(
        matches!(
            step,
            Step::Advance {
                to: Stage::Promoted,
                ..
            }
        ),
        "{step:?}"
    );
}

#[test]
fn a_canary_waits_for_requests_and_time() {
    let order = order(Autopilot::Full);
    let canary = at(Stage::Canary(0));
    let mut seen = Evidence {
        candidate_requests: 19,
        ..Evidence::default()
    };
    let Step::Wait { missing } = next(&order, &canary, &seen, 31_000) else {
        panic!("it must wait");
    };
    assert_eq!(
        missing,
        ["1 more requests on the candidate", "30 more seconds"]
    );
    seen.candidate_requests = 20;
    let step = next(&order, &canary, &seen, 61_000);
    assert!(
        matches!(
            step,
            Step::Advance {
                to: Stage::Canary(1),
                ..
            }
        ),
        "{step:?}"
    );
    // A clock that jumps back waits longer, and nothing else.
    let step = next(&order, &canary, &seen, 0);
    assert!(matches!(step, Step::Wait { .. }), "{step:?}");
}

#[test]
fn a_candidate_that_fails_is_called_back_soon_in_every_stage() {
    let order = order(Autopilot::Off);
    for stage in [
        Stage::Shadow,
        Stage::Canary(0),
        Stage::Canary(1),
        Stage::Promoted,
    ] {
        let state = State {
            paused: true,
            ..at(stage)
        };
        let mut seen = Evidence::default();
        let mut count = 0;
        let why = loop {
            count += 1;
            assert!(count < 30, "{stage:?}: {seen:?}");
            seen.watch(Arm::Incumbent, &good(true), &BTreeMap::new());
            seen.watch(Arm::Candidate, &good(false), &BTreeMap::new());
            if let Step::RollBack { why } = next(&order, &state, &seen, 1_000) {
                break why;
            }
        };
        assert!(why.contains("guard errors: 0.0 %"), "{why}");
        assert!(count >= 5);
    }
}

#[test]
fn scores_that_refute_call_back_and_name_the_stratum() {
    let order = order(Autopilot::Full);
    let mut seen = pairs(200, 1.0);
    for _ in 0..100 {
        seen.pair("de", Score::of(true), Score::of(false));
    }
    let Step::RollBack { why } = next(&order, &at(Stage::Canary(0)), &seen, 1_000) else {
        panic!("it must go back");
    };
    assert!(why.contains("-1.0000 in de by 100 pairs"), "{why}");
}

#[test]
fn a_promoted_candidate_is_held_against_what_was() {
    let order = order(Autopilot::Full);
    let earlier = BTreeMap::from([(Guard::Errors, Score::new(0.99).unwrap())]);
    let mut seen = Evidence::default();
    for count in 0..40 {
        seen.watch(Arm::Candidate, &good(count % 2 == 0), &earlier);
    }
    let step = next(&order, &at(Stage::Promoted), &seen, 1_000);
    assert!(matches!(step, Step::RollBack { .. }), "{step:?}");
    // A stretch without objections is followed by another.
    let step = next(
        &order,
        &at(Stage::Promoted),
        &Evidence::default(),
        3_601_000,
    );
    assert!(matches!(step, Step::Renew { .. }), "{step:?}");
}

#[test]
fn what_is_over_stays_over() {
    for stage in [Stage::RolledBack, Stage::Aborted] {
        let step = next(
            &order(Autopilot::Full),
            &at(stage),
            &pairs(500, 0.0),
            u64::MAX,
        );
        assert_eq!(step, Step::Wait { missing: vec![] });
        assert!(stage.share(&order(Autopilot::Full)).abs() < 1e-12);
    }
}

#[test]
fn evidence_of_two_gateways_adds_up() {
    let mut one = pairs(10, 1.0);
    one.skip("queue full");
    one.watch(Arm::Incumbent, &good(true), &BTreeMap::new());
    one.watch(Arm::Candidate, &good(true), &BTreeMap::new());
    let mut other = pairs(5, 0.0);
    other.sampled += 2;
    other.skip("queue full");
    let mut both = one.clone();
    both.merge(&other);
    assert_eq!((both.sampled, both.scored, both.under_way()), (17, 15, 0));
    assert_eq!(both.skipped["queue full"], 2);
    assert_eq!(both.guards[&Guard::Errors].differences().samples(), 1);
    let text = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), both);
}

#[test]
fn orders_that_cannot_be_carried_out_say_what_to_change() {
    let sound = order(Autopilot::Off);
    assert_eq!(sound.check(), Ok(()));
    let refused = |change: &dyn Fn(&mut Order)| {
        let mut order = sound.clone();
        change(&mut order);
        order.check().unwrap_err().to_string()
    };
    for (said, change) in [
        (
            "`flow` is empty",
            &(|order: &mut Order| order.flow.clear()) as &dyn Fn(&mut Order),
        ),
        ("candidate is the incumbent", &|order| {
            order.candidate.model = "rented".to_owned()
        }),
        ("must rise", &|order| {
            order.stages.shares = vec![0.5, 0.1, 1.0]
        }),
        ("must rise", &|order| order.stages.shares = vec![0.5]),
        ("must rise", &|order| order.stages.shares = vec![]),
        ("must rise", &|order| {
            order.stages.shares = vec![f64::NAN, 1.0]
        }),
        ("without pairs nothing can be proven", &|order| {
            order.mirror.share = 0.0
        }),
        ("mirror.usd_max", &|order| {
            order.mirror.usd_max = f64::INFINITY
        }),
        ("stages.requests_min", &|order| {
            order.stages.requests_min = 0
        }),
        ("`rule`: margin", &|order| order.rule.margin = 0.0),
        ("needs a `limit`", &|order| {
            order.guards.latency = Some(GuardRule {
                margin: 0.1,
                limit: None,
            });
        }),
        ("guards.errors.margin", &|order| {
            order.guards.errors = Some(GuardRule {
                margin: 1.0,
                limit: None,
            });
        }),
        ("three small letters", &|order| {
            order.strata = Strata::Languages(vec!["english".to_owned()]);
        }),
        ("needs a data set", &|order| {
            order.scorer = PairScorer(ScorerSpec::Assert)
        }),
        ("cannot be used", &|order| {
            order.scorer = PairScorer(ScorerSpec::Regex {
                pattern: Some("(".to_owned()),
            });
        }),
    ] {
        let message = refused(change);
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn an_order_is_read_from_few_words() {
    let text = r#"{"flow": "f", "incumbent": "a", "candidate": {"model": "b"}, "scorer": {"kind": "json"}}"#;
    let order: Order = serde_json::from_str(text).unwrap();
    assert_eq!(order.check(), Ok(()));
    assert_eq!(order.autopilot, Autopilot::Off);
    assert!(!order.scorer.measures_agreement());
    let again = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&again).unwrap(), order);
}
