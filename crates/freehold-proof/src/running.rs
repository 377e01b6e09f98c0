//! A judgement that is kept up to date sample by sample, for whoever looks after each.

use std::collections::HashMap;

use crate::betting::{Against, STAKES, log_capital, log_factors};
use crate::differences::{ROUNDING, STEP, Score};
use crate::judge::{Rule, Standing};

/// What one difference multiplies the stakes by: for a proof, and against it.
type Factors = [[f64; STAKES]; 2];

/// Where a candidate stands, sample by sample. It says what [`Rule::judge`] says of the same samples,
/// in a time that does not depend on how many there are.
#[derive(Clone, Debug)]
pub struct Running {
    rule: Rule,
    logs: Factors,
    samples: u64,
    /// Scores repeat: right and wrong have three differences.
    known: HashMap<i32, Factors>,
}

impl Running {
    /// Nothing is seen yet.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            logs: [[0.0; STAKES]; 2],
            samples: 0,
            known: HashMap::new(),
        }
    }

    /// Both models answered the same request; says where the candidate stands now.
    pub fn pair(&mut self, incumbent: Score, candidate: Score) -> Standing {
        let steps = ((candidate.get() - incumbent.get()) / STEP).round() as i32;
        let rule = self.rule;
        let factors = self.known.entry(steps).or_insert_with(|| {
            let x = f64::from(steps) * STEP;
            [
                log_factors(x, -rule.margin + ROUNDING, Against::AtMost),
                log_factors(x, -rule.margin - ROUNDING, Against::AtLeast),
            ]
        });
        for (logs, factors) in self.logs.iter_mut().zip(factors) {
            for (log, factor) in logs.iter_mut().zip(factors) {
                *log += *factor;
            }
        }
        self.samples += 1;
        self.standing()
    }

    fn standing(&self) -> Standing {
        let [proof, refusal] = &self.logs;
        if self.samples < self.rule.samples_min {
            Standing::NotYet
        } else if reaches(refusal, -self.rule.wrong_refusal.ln()) {
            Standing::Refuted
        } else if reaches(proof, -self.rule.wrong_proof.ln()) {
            Standing::Proven
        } else {
            Standing::NotYet
        }
    }
}

/// Whether the mean of the stakes has come so far; their mean is at most the largest.
fn reaches(logs: &[f64; STAKES], wanted: f64) -> bool {
    logs.iter().any(|log| *log >= wanted) && log_capital(logs) >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::Differences;

    #[test]
    fn it_says_what_all_samples_together_say() {
        let mut random = fastrand::Rng::with_seed(3);
        for worse in [0.0, 0.1, 0.3] {
            let (mut running, mut all) = (Running::new(Rule::default()), Differences::default());
            for sample in 0..600 {
                let incumbent = random.f64();
                let candidate = (incumbent + random.f64() * 0.2 - 0.1 - worse).clamp(0.0, 1.0);
                let pair = [incumbent, candidate].map(|value| Score::new(value).unwrap());
                let standing = running.pair(pair[0], pair[1]);
                all.pair(pair[0], pair[1]);
                if sample % 20 == 0 {
                    assert_eq!(standing, Rule::default().judge(&all).standing);
                }
            }
        }
    }
}
