//! Scores put together: how many there are, their mean, and how sure that is.

use serde::Serialize;

use crate::judge::Interval;
use crate::scorers::Outcome;

/// The 97.5 % point of the normal distribution: intervals hold 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// What one scorer said of many answers. Scored, failed and skipped add up to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Answers with a score.
    pub scored: u64,
    /// Answers on which the scorer broke.
    pub failed: u64,
    /// Cases to which it does not apply, or without an answer.
    pub skipped: u64,
    /// The scores' sum.
    sum: f64,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Scored { score, .. } => {
                self.scored += 1;
                self.sum += score.get();
            }
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Skipped { .. } => self.skipped += 1,
        }
    }

    /// All that it was asked of.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.scored + self.failed + self.skipped
    }

    /// The mean score; none when there is no score.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.sum / self.scored as f64)
    }

    /// Where the true mean lies with 95 % confidence, by Wilson's interval (Wilson 1927): right and wrong have it
    /// exactly so; scores between vary less, and it is wider for them than it must be. It is for one look: proofs have
    /// intervals that hold at every look.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        let mean = self.mean()?;
        let samples = self.scored as f64;
        let spread = Z * Z / samples;
        let centre = (mean + spread / 2.0) / (1.0 + spread);
        let root = (mean * (1.0 - mean) / samples + spread / (4.0 * samples)).max(0.0);
        let half = Z * root.sqrt() / (1.0 + spread);
        Some(Interval {
            low: (centre - half).max(0.0),
            high: (centre + half).min(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(right: u64, wrong: u64) -> Tally {
        let mut tally = Tally::default();
        for index in 0..right + wrong {
            tally.add(&Outcome::right(index < right, ""));
        }
        tally
    }

    /// Newcombe 1998, *Two-sided confidence intervals for the single proportion*, table I, method 3.
    #[test]
    fn intervals_are_those_of_the_literature() {
        for ((right, wrong), (low, high)) in [
            ((81, 182), (0.2553, 0.3662)),
            ((15, 133), (0.0624, 0.1605)),
            ((0, 20), (0.0, 0.1611)),
            ((1, 28), (0.0061, 0.1718)),
        ] {
            let interval = tally(right, wrong).interval().unwrap();
            assert!((interval.low - low).abs() < 5e-5, "{interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{interval:?}");
        }
    }

    #[test]
    fn what_is_not_scored_is_counted_and_no_zero() {
        let mut tally = tally(3, 1);
        tally.add(&Outcome::failed("broke"));
        tally.add(&Outcome::skipped("not for it"));
        assert_eq!((tally.scored, tally.failed, tally.skipped), (4, 1, 1));
        assert_eq!((tally.all(), tally.mean()), (6, Some(0.75)));
        assert_eq!(Tally::default().mean(), None);
        assert_eq!(Tally::default().interval(), None);
    }
}
