//! How often rollouts end wrongly, found by playing many of them.

use serde::Serialize;

use crate::differences::Score;
use crate::judge::{Rule, Standing};
use crate::running::Running;

/// A candidate and an incumbent of known quality: how often each answers rightly, and how alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The share of requests that both answer rightly.
    pub both: f64,
    /// The share that only the incumbent answers rightly.
    pub only_incumbent: f64,
    /// The share that only the candidate answers rightly.
    pub only_candidate: f64,
}

impl Candidate {
    /// The true difference of their means.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.only_candidate - self.only_incumbent
    }
}

/// How rollouts ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// How many were played.
    pub rollouts: u64,
    /// How many were promoted.
    pub promoted: u64,
    /// How many were rolled back.
    pub rolled_back: u64,
    /// Samples of those that ended, all together.
    pub samples: u64,
}

impl Rates {
    /// Mean samples until the end, of those that ended.
    #[must_use]
    pub fn samples_mean(&self) -> f64 {
        let ended = self.promoted + self.rolled_back;
        if ended == 0 {
            return 0.0;
        }
        self.samples as f64 / ended as f64
    }
}

/// Plays rollouts that look after every sample and stop at the first answer, or after `samples_max`.
/// `uniform` gives numbers from 0 to 1.
pub fn rollouts(
    candidate: &Candidate,
    rule: &Rule,
    count: u64,
    samples_max: u64,
    mut uniform: impl FnMut() -> f64,
) -> Rates {
    let mut rates = Rates {
        rollouts: count,
        ..Rates::default()
    };
    for _ in 0..count {
        let mut seen = Running::new(*rule);
        for sample in 1..=samples_max {
            let (incumbent, right) = draw(candidate, uniform());
            match seen.pair(Score::of(incumbent), Score::of(right)) {
                Standing::NotYet => continue,
                Standing::Proven => rates.promoted += 1,
                Standing::Refuted => rates.rolled_back += 1,
            }
            rates.samples += sample;
            break;
        }
    }
    rates
}

/// Whether the incumbent and the candidate answer rightly.
pub(crate) fn draw(candidate: &Candidate, uniform: f64) -> (bool, bool) {
    let only_incumbent = candidate.both + candidate.only_incumbent;
    if uniform < candidate.both {
        (true, true)
    } else if uniform < only_incumbent {
        (true, false)
    } else if uniform < only_incumbent + candidate.only_candidate {
        (false, true)
    } else {
        (false, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        margin: 0.1,
        wrong_proof: 0.05,
        wrong_refusal: 0.05,
        samples_min: 30,
    };

    fn play(only_incumbent: f64, only_candidate: f64) -> Rates {
        let candidate = Candidate {
            both: 0.5,
            only_incumbent,
            only_candidate,
        };
        let mut random = fastrand::Rng::with_seed(7);
        rollouts(&candidate, &RULE, 300, 1_000, || random.f64())
    }

    #[test]
    fn a_candidate_worse_by_the_margin_is_seldom_promoted() {
        let rates = play(0.25, 0.15);
        assert!(rates.promoted * 20 <= rates.rollouts, "{rates:?}");
        assert!(rates.rolled_back * 20 <= rates.rollouts, "{rates:?}");
    }

    #[test]
    fn an_equal_candidate_is_promoted_and_seldom_rolled_back() {
        let rates = play(0.15, 0.15);
        assert!(rates.rolled_back * 20 <= rates.rollouts, "{rates:?}");
        assert!(rates.promoted * 10 >= rates.rollouts * 9, "{rates:?}");
    }

    #[test]
    fn a_bad_candidate_is_rolled_back_soon() {
        let rates = play(0.4, 0.05);
        assert!(rates.rolled_back * 20 >= rates.rollouts * 19, "{rates:?}");
        assert!(rates.samples_mean() < 150.0, "{rates:?}");
    }
}
