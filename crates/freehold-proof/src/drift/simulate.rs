//! How soon changes are found, and how often none is, by playing many courses.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Measure, Run, State, Watch};

/// A deployment whose answers are right or wrong, before and after a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Play {
    /// Probes in a run.
    pub probes: usize,
    /// The mean chance that an answer is right; half of the probes are harder than that, half easier.
    pub before: f64,
    /// By how much the mean chance is another after the baseline.
    pub change: f64,
    /// Runs after the baseline.
    pub runs: usize,
}

/// How courses ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Played {
    /// How many were played.
    pub courses: u64,
    /// How many had an alarm.
    pub alarms: u64,
    /// Mean runs from the change to the alarm, of those that had one.
    pub runs_mean: f64,
    /// Of those, how many named a first run of the change that is wrong by more than one.
    pub misdated: u64,
}

/// How far easy and hard probes are from the mean.
const APART: f64 = 0.1;

/// Plays courses; `uniform` gives numbers from 0 to 1.
pub fn play(watch: &Watch, play: &Play, courses: u64, mut uniform: impl FnMut() -> f64) -> Played {
    let mut played = Played {
        courses,
        ..Played::default()
    };
    let mut runs_until = 0;
    for _ in 0..courses {
        let mut run = |mean: f64| -> Run {
            let values = (0..play.probes).map(|probe| {
                let apart = if probe % 2 == 0 { APART } else { -APART };
                let is_right = uniform() < (mean + apart).clamp(0.0, 1.0);
                (format!("{probe:04}"), f64::from(u8::from(is_right)))
            });
            let values: BTreeMap<String, f64> = values.collect();
            [(Measure::Score, values)].into()
        };
        let baseline = (0..watch.baseline_runs).map(|_| play.before);
        let later = (0..play.runs).map(|_| play.before + play.change);
        let runs: Vec<Run> = baseline.chain(later).map(&mut run).collect();
        let course = watch.courses(&runs, 1).pop();
        if let Some(State::Changed { since, found, .. }) = course.map(|course| course.state) {
            played.alarms += 1;
            runs_until += found + 1 - watch.baseline_runs;
            played.misdated += u64::from(since > watch.baseline_runs + 1);
        }
    }
    if played.alarms > 0 {
        played.runs_mean = runs_until as f64 / played.alarms as f64;
    }
    played
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: f64, runs: usize) -> Played {
        let mut random = fastrand::Rng::with_seed(13);
        let course = Play {
            probes: 50,
            before: 0.8,
            change,
            runs,
        };
        play(&Watch::default(), &course, 20, || random.f64())
    }

    #[test]
    fn large_changes_are_found_soon_and_none_where_there_is_none() {
        let none = of(0.0, 100);
        assert_eq!((none.courses, none.alarms), (20, 0));
        let small = of(-0.3, 100);
        let large = of(-0.5, 100);
        assert_eq!((small.alarms, large.alarms), (20, 20));
        assert!(
            large.runs_mean < 5.0 && large.runs_mean < small.runs_mean,
            "{small:?} {large:?}"
        );
        assert!(large.misdated <= 2, "{large:?}");
    }
}
