//! What was seen: how often the candidate's score differed from the incumbent's by how much.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::betting::{Against, STAKES, log_capital, log_factors};

/// Differences are kept in steps of this size.
pub(crate) const STEP: f64 = 1e-4;
/// Rounding moves a mean by at most this much. Tests allow for it.
pub(crate) const ROUNDING: f64 = STEP / 2.0;

/// How good an answer is: from 0, useless, to 1, as good as can be.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Score(f64);

/// A number that is no score.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is no score: scores go from 0 to 1")]
pub struct BadScore(pub f64);

impl Score {
    /// A score.
    ///
    /// # Errors
    /// When it is no number from 0 to 1.
    pub fn new(value: f64) -> Result<Self, BadScore> {
        if (0.0..=1.0).contains(&value) {
            return Ok(Self(value));
        }
        Err(BadScore(value))
    }

    /// Right or wrong.
    #[must_use]
    pub fn of(is_right: bool) -> Self {
        Self(f64::from(u8::from(is_right)))
    }

    /// Halfway between right and wrong.
    #[must_use]
    pub const fn half() -> Self {
        Self(0.5)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Score {
    type Error = BadScore;

    fn try_from(value: f64) -> Result<Self, BadScore> {
        Self::new(value)
    }
}

impl From<Score> for f64 {
    fn from(score: Score) -> Self {
        score.0
    }
}

/// How often which difference was seen, candidate minus incumbent. All that the tests need: what was
/// seen where can be added up, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Differences {
    /// By steps of 0.0001.
    counts: BTreeMap<i32, u64>,
}

impl Differences {
    /// Both models answered the same request.
    pub fn pair(&mut self, incumbent: Score, candidate: Score) {
        self.add(candidate.0 - incumbent.0);
    }

    /// A difference from -1 to 1.
    pub(crate) fn add(&mut self, difference: f64) {
        let steps = (difference.clamp(-1.0, 1.0) / STEP).round();
        *self.counts.entry(steps as i32).or_default() += 1;
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (steps, count) in &other.counts {
            *self.counts.entry(*steps).or_default() += count;
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Their mean; 0 when there are none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let samples = self.samples();
        if samples == 0 {
            return 0.0;
        }
        self.weighted().map(|(x, weight)| x * weight).sum::<f64>() / samples as f64
    }

    /// Their standard deviation; 0 when there are none.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        let (mean, samples) = (self.mean(), self.samples());
        if samples == 0 {
            return 0.0;
        }
        let squares = self
            .weighted()
            .map(|(x, weight)| (x - mean).powi(2) * weight);
        (squares.sum::<f64>() / samples as f64).sqrt()
    }

    /// Each difference and how often it was seen.
    pub(crate) fn weighted(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let counts = self.counts.iter();
        counts.map(|(steps, count)| (f64::from(*steps) * STEP, *count as f64))
    }

    /// The logarithm of the evidence against a hypothesis about the mean, on each stake.
    pub(crate) fn log_stakes(&self, mean: f64, against: Against) -> [f64; STAKES] {
        let mut logs = [0.0; STAKES];
        for (x, weight) in self.weighted() {
            for (log, factor) in logs.iter_mut().zip(log_factors(x, mean, against)) {
                *log += weight * factor;
            }
        }
        logs
    }

    /// The logarithm of all the evidence against a hypothesis about the mean.
    pub(crate) fn log_evidence(&self, mean: f64, against: Against) -> f64 {
        log_capital(&self.log_stakes(mean, against))
    }
}
