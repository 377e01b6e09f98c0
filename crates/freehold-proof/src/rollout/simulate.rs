//! How often whole rollouts end wrongly, found by playing many of them: shadow, canary, guards and all.

use std::collections::BTreeMap;

use super::evidence::{Arm, Evidence, Guard, Seen};
use super::order::Order;
use super::planner::{Follows, Stage, State, follows};
use crate::differences::Score;
use crate::simulate::{Candidate, Rates, draw};

/// What is true of both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// How often each answers rightly, and how alike.
    pub scores: Candidate,
    /// The share of requests on which the incumbent fails.
    pub incumbent_errors: f64,
    /// The same of the candidate.
    pub candidate_errors: f64,
}

/// Plays rollouts that look after every request, until they are promoted or called back, or have had `requests_max`
/// requests. Steps take no time but requests. `uniform` gives numbers from 0 to 1.
pub fn whole_rollouts(
    truth: &Truth,
    order: &Order,
    count: u64,
    requests_max: u64,
    mut uniform: impl FnMut() -> f64,
) -> Rates {
    let mut rates = Rates {
        rollouts: count,
        ..Rates::default()
    };
    for _ in 0..count {
        let mut state = State::new(0);
        let mut seen = Evidence::default();
        for request in 1..=requests_max {
            play(truth, order, &state, &mut seen, &mut uniform);
            let to = match follows(order, &state, &seen, u64::MAX) {
                Follows::Back => Stage::RolledBack,
                Follows::Forward(to) => to,
                Follows::Wait | Follows::Renew => continue,
            };
            match to {
                Stage::RolledBack => rates.rolled_back += 1,
                Stage::Promoted => rates.promoted += 1,
                _ => {
                    state = state.moved(to, 0);
                    seen = Evidence::default();
                    continue;
                }
            }
            rates.samples += request;
            break;
        }
    }
    rates
}

/// One request.
fn play(
    truth: &Truth,
    order: &Order,
    state: &State,
    seen: &mut Evidence,
    uniform: &mut impl FnMut() -> f64,
) {
    let (right, candidate_right) = draw(&truth.scores, uniform());
    let incumbent_fails = uniform() < truth.incumbent_errors;
    let candidate_fails = uniform() < truth.candidate_errors;
    let is_candidates = uniform() < state.stage.share(order);
    let is_mirrored = uniform() < state.stage.mirror_share(order);
    let good = |fails: bool| Seen::from([(Guard::Errors, Score::of(!fails))]);
    if is_candidates {
        seen.candidate_requests += 1;
    } else {
        seen.incumbent_requests += 1;
    }
    if !is_mirrored {
        return if is_candidates {
            seen.watch(Arm::Candidate, &good(candidate_fails), &BTreeMap::new());
        } else {
            seen.watch(Arm::Incumbent, &good(incumbent_fails), &BTreeMap::new());
        };
    }
    seen.sampled += 1;
    seen.watch_pair(&good(incumbent_fails), &good(candidate_fails));
    let incumbent = Score::of(right && !incumbent_fails);
    let candidate = Score::of(candidate_right && !candidate_fails);
    seen.pair("all", incumbent, candidate);
}

#[cfg(test)]
mod tests {
    use super::super::{Autopilot, Change, Guards, Mirror, PairScorer, Stages, Strata};
    use super::*;
    use crate::judge::Rule;
    use crate::scorers::ScorerSpec;

    fn play(difference: f64, candidate_errors: f64) -> Rates {
        let order = Order {
            flow: "f".to_owned(),
            incumbent: "a".to_owned(),
            candidate: Change {
                model: "b".to_owned(),
                system: None,
                temperature: None,
            },
            scorer: PairScorer(ScorerSpec::Json),
            strata: Strata::None,
            rule: Rule {
                margin: 0.1,
                ..Rule::default()
            },
            mirror: Mirror {
                share: 1.0,
                ..Mirror::default()
            },
            stages: Stages {
                shares: vec![0.1, 0.5, 1.0],
                requests_min: 30,
                ..Stages::default()
            },
            guards: Guards::default(),
            autopilot: Autopilot::Full,
            saving_usd_per_month: None,
        };
        let truth = Truth {
            scores: Candidate {
                both: 0.6,
                only_incumbent: 0.1 - difference.min(0.0),
                only_candidate: 0.1 + difference.max(0.0),
            },
            incumbent_errors: 0.02,
            candidate_errors,
        };
        let mut random = fastrand::Rng::with_seed(3);
        whole_rollouts(&truth, &order, 100, 3_000, || random.f64())
    }

    #[test]
    fn whole_rollouts_seldom_end_wrongly() {
        let equal = play(0.0, 0.02);
        assert!(equal.rolled_back <= 5, "{equal:?}");
        assert!(equal.promoted >= 90, "{equal:?}");
        let worse = play(-0.1, 0.02);
        assert!(worse.promoted <= 5, "{worse:?}");
        let failing = play(0.0, 0.3);
        assert_eq!((failing.promoted, failing.rolled_back), (0, 100));
        assert!(failing.samples_mean() < 150.0, "{failing:?}");
    }
}
