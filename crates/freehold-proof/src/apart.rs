//! Scores of different requests: a canary's, where each request is answered by one of both models.

use serde::{Deserialize, Serialize};

use crate::differences::{Differences, Score};

/// Makes differences of scores that are not in pairs.
///
/// Each score of the model that answers less is set against the mean of what the other has scored
/// since the last one. If a model's scores have the same mean throughout, so have these differences;
/// and the more the other answers, the less they scatter. What is not used yet waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Apart {
    differences: Differences,
    incumbent: Waiting,
    candidate: Waiting,
}

/// Scores that wait for the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Waiting {
    sum: f64,
    count: u64,
}

impl Waiting {
    fn add(&mut self, score: Score) {
        self.sum += score.get();
        self.count += 1;
    }

    /// Their mean, once; `None` when none waits.
    fn take(&mut self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let Self { sum, count } = std::mem::take(self);
        Some(sum / count as f64)
    }
}

impl Apart {
    /// The incumbent has answered.
    pub fn incumbent(&mut self, score: Score) {
        self.incumbent.add(score);
        self.settle();
    }

    /// The candidate has answered.
    pub fn candidate(&mut self, score: Score) {
        self.candidate.add(score);
        self.settle();
    }

    /// Both sides have something. One that has just come is a single score, and the other side's
    /// are all since the last time.
    fn settle(&mut self) {
        if self.incumbent.count == 0 || self.candidate.count == 0 {
            return;
        }
        if let (Some(incumbent), Some(candidate)) = (self.incumbent.take(), self.candidate.take()) {
            self.differences.add(candidate - incumbent);
        }
    }

    /// The differences so far.
    #[must_use]
    pub fn differences(&self) -> &Differences {
        &self.differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(value: f64) -> Score {
        Score::new(value).unwrap()
    }

    #[test]
    fn one_is_set_against_the_mean_of_the_others() {
        let mut apart = Apart::default();
        for value in [1.0, 0.0, 0.5, 0.5] {
            apart.incumbent(score(value));
        }
        assert_eq!(apart.differences().samples(), 0);
        apart.candidate(score(0.75));
        assert_eq!(apart.differences().samples(), 1);
        assert!((apart.differences().mean() - 0.25).abs() < 1e-9);
        // Nothing counts twice.
        apart.candidate(score(1.0));
        assert_eq!(apart.differences().samples(), 1);
        apart.incumbent(score(0.0));
        assert_eq!(apart.differences().samples(), 2);
        assert!((apart.differences().mean() - 0.625).abs() < 1e-9);
    }
}
