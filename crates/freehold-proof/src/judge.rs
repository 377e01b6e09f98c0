//! What the evidence says: proven, refuted or not yet.

use serde::{Deserialize, Serialize};

use crate::betting::{Against, STAKES, log_growth};
use crate::differences::{Differences, ROUNDING};

/// When a candidate counts as not worse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How much lower the mean score may be, above 0 and below 1.
    pub margin: f64,
    /// The chance that a candidate worse by the margin is ever called proven.
    pub wrong_proof: f64,
    /// The chance that a candidate that keeps the margin is ever called refuted.
    pub wrong_refusal: f64,
    /// Nothing is said before so many samples.
    pub samples_min: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            margin: 0.05,
            wrong_proof: 0.05,
            wrong_refusal: 0.05,
            samples_min: 30,
        }
    }
}

/// A rule that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{what} is {value}: it must be above 0 and below {below}")]
pub struct BadRule {
    /// Which number.
    pub what: &'static str,
    /// What it is.
    pub value: f64,
    /// What it must be below.
    pub below: f64,
}

impl Rule {
    /// Whether the numbers say something.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BadRule> {
        for (what, value, below) in [
            ("margin", self.margin, 1.0),
            ("wrong_proof", self.wrong_proof, 0.5),
            ("wrong_refusal", self.wrong_refusal, 0.5),
        ] {
            if !(value > 0.0 && value < below) {
                return Err(BadRule { what, value, below });
            }
        }
        Ok(())
    }
}

/// Where a candidate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It keeps the margin.
    Proven,
    /// It is worse by more than the margin.
    Refuted,
    /// Nobody can tell.
    NotYet,
}

/// Between what the mean difference lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// At least this.
    pub low: f64,
    /// At most this.
    pub high: f64,
}

/// How many more samples a proof is likely to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreSamples {
    /// If the candidate goes on as it has; `None` when it never comes to a proof so.
    pub as_so_far: Option<u64>,
    /// If it is exactly as good as the incumbent, with differences spread as they have been.
    pub if_equal: Option<u64>,
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Where the candidate stands.
    pub standing: Standing,
    /// How many samples there are.
    pub samples: u64,
    /// The mean difference, candidate minus incumbent.
    pub difference: f64,
    /// Where the true mean difference lies, at every moment at once, but for a chance of
    /// `wrong_proof`.
    pub interval: Interval,
    /// The evidence that the margin is kept: 1 over it bounds the chance of seeing so much if it is
    /// not.
    pub log_evidence_for: f64,
    /// The same that it is not kept.
    pub log_evidence_against: f64,
    /// What a proof is likely to take.
    pub more: MoreSamples,
}

impl Rule {
    /// What these samples say, now. It may be asked after every sample: the chances of error are for
    /// all answers together.
    #[must_use]
    pub fn judge(&self, seen: &Differences) -> Judgement {
        self.judge_among(seen, 1)
    }

    /// The same for one of several parts, any of which refutes the whole: each then has an equal
    /// share of the chance to err (Bonferroni). Proofs share nothing: the whole is proven only when
    /// every part is, and that it wrongly is is no likelier than for the worst part alone (Berger
    /// 1982, intersection-union tests).
    #[must_use]
    pub fn judge_among(&self, seen: &Differences, parts: usize) -> Judgement {
        let (log_for, log_against) = self.evidence(seen);
        Judgement {
            standing: self.standing(seen, parts),
            samples: seen.samples(),
            difference: seen.mean(),
            interval: self.interval(seen),
            log_evidence_for: log_for,
            log_evidence_against: log_against,
            more: self.more(seen),
        }
    }

    /// Where the candidate stands.
    pub(crate) fn standing(&self, seen: &Differences, parts: usize) -> Standing {
        if seen.samples() < self.samples_min {
            return Standing::NotYet;
        }
        let (log_for, log_against) = self.evidence(seen);
        let refusal = self.wrong_refusal / parts.max(1) as f64;
        if log_against >= -refusal.ln() {
            Standing::Refuted
        } else if log_for >= -self.wrong_proof.ln() {
            Standing::Proven
        } else {
            Standing::NotYet
        }
    }

    /// That the margin is kept, and that it is not.
    fn evidence(&self, seen: &Differences) -> (f64, f64) {
        (
            seen.log_evidence(self.proof_at(), Against::AtMost),
            seen.log_evidence(-self.margin - ROUNDING, Against::AtLeast),
        )
    }

    /// A mean at most this is worse by the margin, rounding included.
    fn proof_at(&self) -> f64 {
        -self.margin + ROUNDING
    }

    /// All means against which there is not enough evidence: each side has half of the chance.
    fn interval(&self, seen: &Differences) -> Interval {
        let enough = -(self.wrong_proof / 2.0).ln();
        let mean = seen.mean();
        // The evidence against "at most m" falls as m rises, so a bisection finds where it is enough.
        let low = bisect(-1.0, mean, |m| {
            seen.log_evidence(m, Against::AtMost) >= enough
        });
        let high = bisect(1.0, mean, |m| {
            seen.log_evidence(m, Against::AtLeast) >= enough
        });
        Interval {
            low: (low - ROUNDING).max(-1.0),
            high: (high + ROUNDING).min(1.0),
        }
    }

    /// When the first stake will have a twelfth of `1 / wrong_proof` if it grows as it does in the
    /// mean.
    fn more(&self, seen: &Differences) -> MoreSamples {
        let samples = seen.samples();
        if samples == 0 {
            return MoreSamples {
                as_so_far: None,
                if_equal: None,
            };
        }
        // The mixture begins with a twelfth of its capital on each.
        let wanted = (STAKES as f64).ln() - self.wrong_proof.ln();
        let logs = seen.log_stakes(self.proof_at(), Against::AtMost);
        let samples_missing = self.samples_min.saturating_sub(samples);
        let at = |growth: [f64; STAKES]| {
            let growing = logs.iter().zip(growth).filter(|(_, growth)| *growth > 0.0);
            let more = growing.map(|(log, growth)| ((wanted - log).max(0.0) / growth).ceil());
            let soonest = more.fold(f64::INFINITY, f64::min);
            // More than anybody will ever see is never.
            (soonest < 1e12).then(|| (soonest as u64).max(samples_missing))
        };
        let mean = seen.mean();
        let moved = seen
            .weighted()
            .map(|(x, weight)| ((x - mean).clamp(-1.0, 1.0), weight));
        MoreSamples {
            as_so_far: at(logs.map(|log| log / samples as f64)),
            if_equal: at(log_growth(moved, self.proof_at(), Against::AtMost)),
        }
    }
}

/// The last `m` on the way from `from` to `to` at which it holds; `from` when it holds nowhere.
fn bisect(from: f64, to: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut holding, mut not) = (from, to);
    // Each halves what is left: 2 / 2^40 is far below a step.
    for _ in 0..40 {
        let middle = f64::midpoint(holding, not);
        if holds(middle) {
            holding = middle;
        } else {
            not = middle;
        }
    }
    holding
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
