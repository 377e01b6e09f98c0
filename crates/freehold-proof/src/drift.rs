//! Whether a deployment still answers as it did: a probe set is asked again and again, and a change is found soon after
//! it, however often one looks and without many false alarms.
//!
//! Input: [`Run`]s of the same probes, with bounded measurements of each answer. Output: for each [`Measure`] whether it
//! [`State::Changed`], since when, and by how much. The method is the Shiryaev-Roberts e-detector of Shin, Ramdas and
//! Rinaldo, *E-detectors: a nonparametric framework for sequential change detection* (2023, arXiv:2203.03532), over the
//! bets that proofs are made of.

mod detector;
mod measure;
mod simulate;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::betting::Against;
use crate::differences::Differences;
use crate::judge::{Interval, Rule};

use detector::Detector;
pub use measure::{Measure, is_refusal, length, slow_above_ms};
pub use simulate::{Play, Played, play};

/// A run in which fewer of the probes were answered says little.
const ANSWERED_MIN: f64 = 0.5;
/// The hypotheses about means stay off the ends of what is possible.
const MEAN_MAX: f64 = 0.99;

/// What counts as a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Watch {
    /// Runs from which is learnt what is usual: at least 2.
    pub baseline_runs: usize,
    /// A mean that moved by no more than this has not changed.
    pub tolerance: f64,
    /// As long as nothing changes there are so many runs, in the mean, until any alarm.
    pub false_alarm_runs: f64,
    /// The chance that the baseline misleads, so that the above does not hold.
    pub misled: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            baseline_runs: 8,
            tolerance: 0.05,
            false_alarm_runs: 1_000.0,
            misled: 0.05,
        }
    }
}

/// A rule that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BadWatch {
    /// One half says what is usual, and the other how far that varies.
    #[error("a baseline of {0} runs is too short: it takes at least 2")]
    Baseline(usize),
    /// Not within its bounds.
    #[error("the tolerance is {0}: it must be at least 0 and below 0.5")]
    Tolerance(f64),
    /// Not within its bounds.
    #[error("{0} runs until a false alarm: it must be at least 1")]
    FalseAlarm(f64),
    /// Not within its bounds.
    #[error("a chance of {0}: it must be above 0 and below 0.5")]
    Misled(f64),
}

impl Watch {
    /// Whether the numbers say something.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BadWatch> {
        if self.baseline_runs < 2 {
            return Err(BadWatch::Baseline(self.baseline_runs));
        }
        if !(0.0..0.5).contains(&self.tolerance) {
            return Err(BadWatch::Tolerance(self.tolerance));
        }
        if !(self.false_alarm_runs >= 1.0 && self.false_alarm_runs.is_finite()) {
            return Err(BadWatch::FalseAlarm(self.false_alarm_runs));
        }
        if !(self.misled > 0.0 && self.misled < 0.5) {
            return Err(BadWatch::Misled(self.misled));
        }
        Ok(())
    }
}

/// One run of the probes: for each measure, the value of each probe's answer, from 0 to 1. A probe without an answer has
/// none.
pub type Run = BTreeMap<Measure, BTreeMap<String, f64>>;

/// How one measure goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Which.
    pub measure: Measure,
    /// Its mean in each run; none where too few probes were answered.
    pub means: Vec<Option<f64>>,
    /// Where things stand.
    #[serde(flatten)]
    pub state: State,
}

/// Where things stand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// What is usual is still being learnt.
    Learning {
        /// So many more runs.
        runs_missing: usize,
    },
    /// Nothing speaks for a change.
    Steady {
        /// The mean of the baseline.
        usual: f64,
        /// The most evidence for a change that there is now, as a share of what it takes.
        alarm: f64,
    },
    /// It changed.
    Changed {
        /// The run, counted from 0, that is likeliest to be the first after the change.
        since: usize,
        /// The run at which there was enough evidence.
        found: usize,
        /// The mean before.
        before: f64,
        /// The mean since.
        after: f64,
    },
}

impl Watch {
    /// Looks at all runs so far, the oldest first. Each detector must have as many times the evidence as there are
    /// detectors: then their mean has enough whenever one of them has, and the mean of e-detectors is one.
    #[must_use]
    pub fn courses(&self, runs: &[Run], streams: usize) -> Vec<Course> {
        let mut measures: Vec<Measure> = runs.iter().flat_map(|run| run.keys().copied()).collect();
        measures.sort_unstable();
        measures.dedup();
        let detectors = 2 * measures.len().max(1) * streams.max(1);
        let enough = (self.false_alarm_runs * detectors as f64).ln();
        let course = |measure| self.course(measure, runs, enough);
        measures.into_iter().map(course).collect()
    }

    fn course(&self, measure: Measure, runs: &[Run], enough: f64) -> Course {
        let nothing = BTreeMap::new();
        let values = |run: &Run| {
            run.get(&measure)
                .cloned()
                .unwrap_or_else(|| nothing.clone())
        };
        let values: Vec<BTreeMap<String, f64>> = runs.iter().map(values).collect();
        let probes = values.iter().map(BTreeMap::len).max().unwrap_or(0);
        let is_whole = |values: &&BTreeMap<String, f64>| {
            !values.is_empty() && values.len() as f64 >= ANSWERED_MIN * probes as f64
        };
        let means = values.iter().map(|values| {
            Some(values)
                .filter(is_whole)
                .map(|values| values.values().sum::<f64>() / values.len() as f64)
        });
        let means: Vec<Option<f64>> = means.collect();
        let whole: Vec<usize> = (0..values.len())
            .filter(|index| means[*index].is_some())
            .collect();
        let state = if whole.len() < self.baseline_runs {
            State::Learning {
                runs_missing: self.baseline_runs - whole.len(),
            }
        } else {
            self.watched(&values, &means, &whole, enough)
        };
        Course {
            measure,
            means,
            state,
        }
    }

    /// `whole` are the runs that count; the first of them are the baseline.
    fn watched(
        &self,
        values: &[BTreeMap<String, f64>],
        means: &[Option<f64>],
        whole: &[usize],
        enough: f64,
    ) -> State {
        let (baseline, later) = whole.split_at(self.baseline_runs);
        // One half says what is usual for each probe, the other how far a run lies from that.
        let (first, second) = baseline.split_at(self.baseline_runs / 2);
        let usual = usual(first.iter().map(|run| &values[*run]));
        let moved = |run: usize| {
            let moved = values[run]
                .iter()
                .filter_map(|(probe, value)| Some(value - usual.get(probe.as_str())?));
            moved.collect::<Vec<f64>>()
        };
        let mut seen = Differences::default();
        for run in second {
            for difference in moved(*run) {
                seen.add(difference);
            }
        }
        let Interval { low, high } = self.unchanged(&seen);
        let mut falls = Detector::new(low, Against::AtLeast);
        let mut rises = Detector::new(high, Against::AtMost);
        let mean = |runs: &mut dyn Iterator<Item = usize>| {
            let means: Vec<f64> = runs.filter_map(|run| means[run]).collect();
            means.iter().sum::<f64>() / means.len().max(1) as f64
        };
        for (place, run) in later.iter().enumerate() {
            let moved = moved(*run);
            for detector in [&mut falls, &mut rises] {
                detector.run(&moved);
                if detector.log_evidence() >= enough {
                    let since = later[detector.since().min(place)];
                    let before = whole.iter().copied().filter(|run| *run < since);
                    let after = whole
                        .iter()
                        .copied()
                        .filter(|other| (since..=*run).contains(other));
                    return State::Changed {
                        since,
                        found: *run,
                        before: mean(&mut { before }),
                        after: mean(&mut { after }),
                    };
                }
            }
        }
        let most = falls.log_evidence().max(rises.log_evidence());
        State::Steady {
            usual: mean(&mut baseline.iter().copied()),
            alarm: (most - enough).exp().clamp(0.0, 1.0),
        }
    }

    /// Between what a run's mean difference from the usual lies as long as nothing changed.
    fn unchanged(&self, seen: &Differences) -> Interval {
        let rule = Rule {
            wrong_proof: self.misled,
            ..Rule::default()
        };
        let Interval { low, high } = rule.judge(seen).interval;
        Interval {
            low: (low - self.tolerance).max(-MEAN_MAX),
            high: (high + self.tolerance).min(MEAN_MAX),
        }
    }
}

/// The mean of each probe's values.
fn usual<'a>(runs: impl Iterator<Item = &'a BTreeMap<String, f64>>) -> BTreeMap<&'a str, f64> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (probe, value) in runs.flatten() {
        let (sum, count) = sums.entry(probe).or_default();
        *sum += value;
        *count += 1.0;
    }
    let means = sums.into_iter();
    means
        .map(|(probe, (sum, count))| (probe, sum / count))
        .collect()
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
