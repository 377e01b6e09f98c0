//! What decides regardless of money, and what is never assumed.

use freehold_planner::{Decision, FlowBound, Must, Proof, Quality};

use crate::world::{World, point};

const TWO: [(&str, u32, u32); 2] = [("chat", 1_000, 250), ("records", 1_000, 250)];

/// Owning saves a lot.
fn cheap() -> World {
    World::new(&TWO)
}

/// Owning loses a lot.
fn dear() -> World {
    World::new(&TWO).assuming("run_fte: 5\n")
}

#[test]
fn what_must_stay_inside_is_owned_at_a_loss() {
    let told = dear().answering("sensitivity", "restricted").advice();
    assert_eq!(told.verdict.decision, Decision::Own);
    assert_eq!(told.verdict.rule, "must-own");
    assert!(
        told.verdict.headline.contains("more than renting"),
        "{}",
        told.verdict.headline
    );
    assert!(told.best.saving.p50 < 0.0);
    // Nobody else may host it either.
    assert!(told.renting.hosted.is_none());
    assert!(
        told.conclusions
            .iter()
            .any(|found| found.rule == "restricted-stays-inside" && found.decides)
    );
}

#[test]
fn one_flow_that_must_stay_inside_makes_a_split() {
    // Each half of the traffic takes a GPU, and people for 25,000 a month with it.
    let mut world = World::new(&TWO).assuming("run_fte_per_eight_gpus: 20\n");
    let points = vec![point(0.5, 1, 1.0), point(1.0, 2, 1.0), point(2.0, 4, 1.0)];
    world.candidates[0].curve = freehold_sim::LoadCurve::from_points(1, points).unwrap();
    world.flow_bounds.push(FlowBound {
        flow: "records".to_owned(),
        must: Must::Own,
        why: "policy".to_owned(),
    });
    let told = world.advice();
    assert_eq!(
        (told.verdict.decision, told.verdict.rule),
        (Decision::Split, "must-own-some")
    );
    for flow in &told.flows {
        let owned = flow.traffic.flow == "records";
        assert_eq!(
            flow.decision == Decision::Own,
            owned,
            "{}",
            flow.traffic.flow
        );
    }
}

#[test]
fn nobody_to_run_it_means_renting_however_cheap_owning_is() {
    let told = cheap().answering("team", "none").advice();
    assert!(told.best.saving.p50 > 0.0);
    assert_eq!(
        (told.verdict.decision, told.verdict.rule),
        (Decision::Rent, "must-rent")
    );
    assert!(
        told.flows
            .iter()
            .all(|flow| flow.decision == Decision::Rent)
    );
}

#[test]
fn inside_wins_over_nobody_and_says_so() {
    let told = cheap()
        .answering("team", "none")
        .answering("sensitivity", "restricted")
        .advice();
    assert_eq!(told.verdict.decision, Decision::Own);
    assert!(
        told.verdict
            .conditions
            .iter()
            .any(|condition| condition.contains("conflict"))
    );
}

#[test]
fn quality_is_unproven_until_somebody_proves_it() {
    let told = cheap().advice();
    assert_eq!(told.verdict.quality, Quality::Unproven);
    assert!(
        told.verdict
            .conditions
            .iter()
            .any(|condition| condition.contains("prove that first"))
    );

    let mut world = cheap();
    world.proofs.push(Proof {
        flow: None,
        model: "open-8b".to_owned(),
        is_good_enough: true,
        evidence: "replay 7".to_owned(),
    });
    let told = world.advice();
    assert_eq!(told.verdict.quality, Quality::Proven("replay 7".to_owned()));
    assert!(
        !told
            .verdict
            .conditions
            .iter()
            .any(|condition| condition.contains("prove"))
    );

    // A proof of one flow is not one of the other.
    world.proofs[0].flow = Some("chat".to_owned());
    assert_eq!(world.advice().verdict.quality, Quality::Unproven);

    // Worse is worse, whatever it saves.
    world.proofs[0].is_good_enough = false;
    let told = world.advice();
    assert_eq!(
        (told.verdict.decision, told.verdict.rule),
        (Decision::Rent, "quality-worse")
    );
}

#[test]
fn a_coin_toss_is_no_reason_to_own() {
    // 10,519.20 against 1,461 and people: the saving is 0 at 0.906 FTE, in the middle of the range.
    let told = World::new(&TWO)
        .assuming("run_fte: {low: 0.4, base: 0.9, high: 1.4}\n")
        .advice();
    assert_eq!(
        (told.verdict.decision, told.verdict.rule),
        (Decision::Rent, "too-close-to-call")
    );
    let told = dear().advice();
    assert_eq!(
        (told.verdict.decision, told.verdict.rule),
        (Decision::Rent, "renting-pays")
    );
}

#[test]
fn the_budget_leaves_only_some_ways() {
    let told = cheap().answering("budget", "hourly").advice();
    let all = std::iter::once(&told.best).chain(&told.runners_up);
    for option in all {
        assert_eq!(option.procurement, freehold_planner::Procurement::OnDemand);
    }
}
