use freehold_types::NanoUsd;

use super::*;

fn candidate(id: &str, quality: f64, nanos: Option<i64>, first_token_ms: u32) -> CandidateInput {
    CandidateInput {
        deployment: id.into(),
        denied: None,
        lacks: None,
        window_tokens: None,
        quality,
        cost: nanos.map(NanoUsd::from_nanos),
        first_token_ms,
        tokens_per_second: 100.0,
        in_flight: 0,
        availability: Availability::Up,
    }
}

fn inputs(objective: Objective, candidates: Vec<CandidateInput>) -> RouterInputs {
    RouterInputs {
        version: VERSION,
        route: "r".into(),
        objective,
        weights: None,
        quality_margin: 0.0,
        max_attempts: 3,
        // Difficulty about 0.5.
        features: Features {
            code_permille: 1_000,
            reasoning_words: 2,
            ..Features::default()
        },
        needs: vec![],
        permit: vec![],
        candidates,
    }
}

/// The ranked deployments, best first.
fn check(inputs: RouterInputs, expected: &[&str]) -> Decision {
    let decision = decide(inputs);
    let ranked: Vec<_> = decision
        .candidates
        .iter()
        .filter(|c| c.rank.is_some())
        .map(|c| c.deployment.as_str())
        .collect();
    assert_eq!(ranked, expected, "{:#?}", decision.candidates);
    decision
}

#[test]
fn the_cheapest_of_the_good_comes_first_and_the_best_of_the_rest_next() {
    let decision = check(
        inputs(
            Objective::Cheapest,
            vec![
                candidate("a/dear", 0.9, Some(900), 100),
                candidate("b/poor", 0.1, Some(1), 100),
                candidate("c/good", 0.8, Some(300), 100),
                candidate("d/nearly", 0.4, Some(500), 100),
                candidate("e/unknown", 0.9, None, 100),
            ],
        ),
        &["c/good", "a/dear", "e/unknown", "d/nearly", "b/poor"],
    );
    assert!(
        (0.45..0.55).contains(&decision.difficulty),
        "{}",
        decision.difficulty
    );
    assert_eq!(
        decision.candidates[0].reason,
        format!(
            "good enough (quality 0.80 for difficulty {:.2}), about $0.000000300, about 4.1 s",
            decision.difficulty
        )
    );
}

#[test]
fn equal_candidates_are_ordered_by_name() {
    let equal = |names: [&str; 3]| names.map(|name| candidate(name, 0.9, Some(5), 50)).to_vec();
    for objective in [Objective::Cheapest, Objective::Fastest, Objective::Best] {
        check(
            inputs(objective, equal(["z/1", "m/2", "a/3"])),
            &["a/3", "m/2", "z/1"],
        );
    }
    check(
        inputs(Objective::Ordered, equal(["z/1", "m/2", "a/3"])),
        &["z/1", "m/2", "a/3"],
    );
}

#[test]
fn a_loading_model_is_slow_and_a_probe_is_told() {
    let mut loading = candidate("a/1", 0.9, Some(5), 10);
    loading.availability = Availability::Loading;
    let mut probing = candidate("b/2", 0.9, Some(5), 1_000);
    probing.availability = Availability::Probing;
    let decision = check(
        inputs(Objective::Fastest, vec![loading, probing]),
        &["b/2", "a/1"],
    );
    assert!(
        decision.candidates[0]
            .reason
            .contains("a probe after failures")
    );
    assert!(decision.candidates[1].reason.contains("still loading"));
}

#[test]
fn only_the_first_reason_of_an_exclusion_is_given() {
    let mut excluded = candidate("a/1", 0.9, Some(5), 10);
    excluded.denied = Some("outside".into());
    excluded.window_tokens = Some(1);
    let decision = check(inputs(Objective::Best, vec![excluded]), &[]);
    assert_eq!(decision.candidates[0].reason, "policy: outside");
    assert_eq!(decision.candidates[0].score, None);
}

#[test]
fn replicas_of_very_different_speed_are_not_equal() {
    let slow = candidate("a/m", 0.9, Some(5), 60_000);
    let fast = candidate("b/m", 0.9, Some(5), 100);
    for bucket in 0..50 {
        let mut inputs = inputs(Objective::Fastest, vec![slow.clone(), fast.clone()]);
        inputs.features.affinity_bucket = bucket;
        check(inputs, &["b/m", "a/m"]);
    }
}

#[test]
fn weights_of_zero_fall_back_to_the_objective() {
    let candidates = vec![
        candidate("a/1", 0.2, Some(1), 10),
        candidate("b/2", 0.9, Some(9), 10),
    ];
    let mut inputs = inputs(Objective::Best, candidates);
    inputs.weights = Some(Weights {
        cost: 0.0,
        latency: 0.0,
        quality: 0.0,
    });
    check(inputs, &["b/2", "a/1"]);
}

#[test]
fn the_window_gives_the_estimate_some_slack() {
    let features = Features {
        prompt_tokens: 1_000,
        max_output_tokens: 100,
        ..Features::default()
    };
    assert_eq!(window_needed(&features), 950);
    let silent = Features {
        prompt_tokens: 1_000,
        ..Features::default()
    };
    assert_eq!(window_needed(&silent), 851);
    let absurd = Features {
        prompt_tokens: u64::MAX,
        max_output_tokens: u64::MAX,
        ..Features::default()
    };
    assert_eq!(window_needed(&absurd), u64::MAX);
    assert_eq!(expected_output_tokens(&silent), EXPECTED_OUTPUT_TOKENS);
    assert_eq!(expected_output_tokens(&features), 100);
    let thinking = Features {
        thinking: 1,
        ..silent
    };
    assert_eq!(expected_output_tokens(&thinking), EXPECTED_THINKING_TOKENS);
}
