use proptest::prelude::*;

use super::*;
use crate::differences::Score;

fn seen(pairs: &[(f64, f64, u64)]) -> Differences {
    let mut seen = Differences::default();
    for (incumbent, candidate, count) in pairs {
        for _ in 0..*count {
            let score = |value: f64| Score::new(value).unwrap();
            seen.pair(score(*incumbent), score(*candidate));
        }
    }
    seen
}

#[test]
fn the_capital_is_what_hand_arithmetic_gives() {
    // One pair, both right: d = 0, against "the mean is at most -0.05 + 0.00005". Each stake has
    // 1 + c (0 + 0.04995) / (1 - 0.04995) times what it had, and the capital is their mean:
    // 1 + 0.0525762 x mean(c), where the twelve c add up to 2.5641.
    let judged = Rule::default().judge(&seen(&[(1.0, 1.0, 1)]));
    let expected: f64 = 1.0 + 0.049_95 / 0.950_05 * (2.5641 / 12.0);
    assert!((judged.log_evidence_for - expected.ln()).abs() < 1e-9);
}

#[test]
fn nothing_is_said_of_nothing() {
    let judged = Rule::default().judge(&Differences::default());
    assert_eq!(judged.standing, Standing::NotYet);
    assert_eq!(
        judged.interval,
        Interval {
            low: -1.0,
            high: 1.0
        }
    );
    assert!(judged.log_evidence_for.abs() < 1e-12);
    assert_eq!(judged.more.if_equal, None);
}

#[test]
fn too_few_samples_prove_nothing() {
    let rule = Rule {
        margin: 0.5,
        ..Rule::default()
    };
    assert_eq!(
        rule.judge(&seen(&[(0.0, 1.0, 29)])).standing,
        Standing::NotYet
    );
    assert_eq!(
        rule.judge(&seen(&[(0.0, 1.0, 30)])).standing,
        Standing::Proven
    );
}

#[test]
fn the_same_answers_prove_it_in_time() {
    let rule = Rule::default();
    // No difference at all: it takes about ln(20 x 12) / ln(1 + 0.95 x 0.0526) = 112 samples.
    let few = rule.judge(&seen(&[(1.0, 1.0, 60)]));
    assert_eq!(few.standing, Standing::NotYet);
    let more = few.more.as_so_far.unwrap();
    assert!((30..=80).contains(&more), "{more}");
    let enough = rule.judge(&seen(&[(1.0, 1.0, 60 + more)]));
    assert_eq!(enough.standing, Standing::Proven);
    assert!(enough.interval.low > -0.06 && enough.interval.high < 0.06);
}

#[test]
fn a_worse_candidate_is_refuted_and_has_no_way_to_a_proof() {
    let judged = Rule::default().judge(&seen(&[(1.0, 1.0, 60), (1.0, 0.0, 40)]));
    assert_eq!(judged.standing, Standing::Refuted);
    assert_eq!(judged.more.as_so_far, None);
    assert!(judged.more.if_equal.unwrap() > 100);
    assert!(judged.interval.high < -0.05);
}

#[test]
fn a_rule_must_say_something() {
    assert_eq!(Rule::default().check(), Ok(()));
    for margin in [0.0, -0.1, 1.0, f64::NAN] {
        let rule = Rule {
            margin,
            ..Rule::default()
        };
        assert_eq!(rule.check().unwrap_err().what, "margin");
    }
    let rule = Rule {
        wrong_proof: 0.5,
        ..Rule::default()
    };
    assert!(
        rule.check()
            .unwrap_err()
            .to_string()
            .contains("wrong_proof is 0.5")
    );
}

#[test]
fn a_score_is_from_0_to_1() {
    for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(Score::new(value).is_err());
    }
    assert!(serde_like(0.5));
}

fn serde_like(value: f64) -> bool {
    Score::try_from(value).is_ok_and(|score| f64::from(score) == value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_interval_holds_the_mean(scores in proptest::collection::vec((0.0..=1.0, 0.0..=1.0), 1..200)) {
        let mut seen = Differences::default();
        for (incumbent, candidate) in scores {
            seen.pair(Score::new(incumbent).unwrap(), Score::new(candidate).unwrap());
        }
        let judged = Rule::default().judge(&seen);
        prop_assert!(judged.interval.low <= judged.difference);
        prop_assert!(judged.difference <= judged.interval.high);
    }

    #[test]
    fn the_order_does_not_matter(scores in proptest::collection::vec((0.0..=1.0, 0.0..=1.0), 1..50), cut in 0_usize..50) {
        let (mut all, mut first, mut second) = <(Differences, Differences, Differences)>::default();
        for (index, (incumbent, candidate)) in scores.iter().enumerate() {
            let pair = (Score::new(*incumbent).unwrap(), Score::new(*candidate).unwrap());
            all.pair(pair.0, pair.1);
            if index < cut { first.pair(pair.0, pair.1) } else { second.pair(pair.0, pair.1) }
        }
        second.merge(&first);
        prop_assert_eq!(Rule::default().judge(&all), Rule::default().judge(&second));
    }

    #[test]
    fn no_candidate_is_both(right in 0_u64..400, worse in 0_u64..400, better in 0_u64..400, margin in 0.01..0.5) {
        let rule = Rule { margin, ..Rule::default() };
        let judged = rule.judge(&seen(&[(1.0, 1.0, right), (1.0, 0.0, worse), (0.0, 1.0, better)]));
        let enough = 20_f64.ln();
        prop_assert!(!(judged.log_evidence_for >= enough && judged.log_evidence_against >= enough));
        match judged.standing {
            Standing::Proven => prop_assert!(judged.difference > -margin),
            Standing::Refuted => prop_assert!(judged.difference < -margin),
            Standing::NotYet => {}
        }
    }
}
