//! Classification: the label that an answer names, and how labels are mixed up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Labelled, Outcome, normalised};
use crate::differences::Score;

/// All labels there are, by their normalised form.
#[derive(Clone, Debug)]
pub(super) struct Labels(BTreeMap<String, String>);

impl Labels {
    pub(super) fn new(labels: &[String]) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for label in labels {
            let form = normalised(label);
            if form.is_empty() {
                return Err(format!("the label `{label}` has no letters"));
            }
            if let Some(other) = known.insert(form, label.clone())
                && other != *label
            {
                return Err(format!(
                    "the labels `{other}` and `{label}` cannot be told apart"
                ));
            }
        }
        if known.len() < 2 {
            return Err("a classification has at least two labels".to_owned());
        }
        Ok(Self(known))
    }

    /// The label that an answer is, or the only one that it names. A label within a longer one that is named there
    /// (`positive` in `very positive`) does not count.
    fn named(&self, answer: &str) -> Option<&str> {
        let answer = normalised(answer);
        if let Some(label) = self.0.get(&answer) {
            return Some(label);
        }
        let mut left = format!(" {answer} ");
        let mut forms: Vec<(&String, &String)> = self.0.iter().collect();
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        let mut found = None;
        for (form, label) in forms {
            let word = format!(" {form} ");
            if left.contains(&word) {
                if found.is_some() {
                    return None;
                }
                found = Some(label.as_str());
                left = left.replace(&word, " \u{0} ");
            }
        }
        found
    }

    pub(super) fn score(&self, expected: &[String], answer: &str) -> Outcome {
        let given = self.named(answer);
        let canonical = |text: &String| self.0.get(&normalised(text));
        let known: Option<Vec<&String>> = expected.iter().map(canonical).collect();
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            return Outcome::failed("what is expected is none of the labels");
        };
        let right = known.iter().find(|label| Some(label.as_str()) == given);
        let expected = right.unwrap_or(&known[0]);
        Outcome::Scored {
            score: Score::of(right.is_some()),
            reason: given
                .map_or("names no label, or several", |_| "")
                .to_owned(),
            labels: Some(Labelled {
                expected: (*expected).clone(),
                given: given.map(str::to_owned),
            }),
            verdicts: None,
        }
    }
}

/// How often which label was given in the place of which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Confusion {
    /// By expected label, then by given label; the empty label stands for none.
    counts: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How well one label is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LabelFigures {
    /// How often it was expected.
    pub expected: u64,
    /// Of those that were given it, the share that is right; 0 when it was never given.
    pub precision: f64,
    /// Of those that should have been given it, the share that was; 0 when it was never expected.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Confusion {
    /// One more answer.
    pub fn add(&mut self, labelled: &Labelled) {
        let given = labelled.given.clone().unwrap_or_default();
        let row = self.counts.entry(labelled.expected.clone()).or_default();
        *row.entry(given).or_default() += 1;
    }

    /// By expected label, then by given label; the empty label stands for none.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<String, BTreeMap<String, u64>> {
        &self.counts
    }

    fn count(&self, expected: &str, given: &str) -> u64 {
        let row = self.counts.get(expected);
        row.and_then(|row| row.get(given)).copied().unwrap_or(0)
    }

    /// The share of right answers; none when there are none.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let all: u64 = self.counts.values().flat_map(BTreeMap::values).sum();
        let right: u64 = self
            .counts
            .keys()
            .map(|label| self.count(label, label))
            .sum();
        (all > 0).then(|| right as f64 / all as f64)
    }

    /// Precision, recall and F1 of every label that was expected or given.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<&str, LabelFigures> {
        let given = self.counts.values().flat_map(BTreeMap::keys);
        let names: BTreeSet<&str> = given
            .chain(self.counts.keys())
            .map(String::as_str)
            .filter(|label| !label.is_empty())
            .collect();
        names
            .into_iter()
            .map(|label| (label, self.figures(label)))
            .collect()
    }

    fn figures(&self, label: &str) -> LabelFigures {
        let right = self.count(label, label);
        let row = self.counts.get(label);
        let expected: u64 = row.map_or(0, |row| row.values().sum());
        let given: u64 = self.counts.keys().map(|row| self.count(row, label)).sum();
        let share = |of: u64| {
            if of == 0 {
                0.0
            } else {
                right as f64 / of as f64
            }
        };
        let both = expected + given;
        LabelFigures {
            expected,
            precision: share(given),
            recall: share(expected),
            f1: if both == 0 {
                0.0
            } else {
                2.0 * right as f64 / both as f64
            },
        }
    }

    /// The mean of the labels' F1, each label the same weight, as scikit-learn's `f1_score(average="macro")` has it for
    /// all labels that were expected or given; none when nothing was scored.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        let labels = self.labels();
        let sum: f64 = labels.values().map(|label| label.f1).sum();
        (!labels.is_empty()).then(|| sum / labels.len() as f64)
    }
}
