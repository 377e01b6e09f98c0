//! A conditional random field, trained by stochastic gradient with a step for each weight (AdaGrad).
//!
//! A word may have several labels (its annotation is partial): then the probability of all labellings
//! that agree with the annotation is made larger.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use freehold_guard::training::{
    FEATURES, Gate, LABELS, LEXICAL_FEATURES, LEXICON_BYTES, Lexicon, MAGIC, ROW_BYTES, ROWS,
    Shape, Token, features, may_follow, tokens,
};

use super::example::Example;
use crate::random::Random;

type Labels = [f32; LABELS];

const EPOCHS: usize = 8;
const STEP: f32 = 0.12;
const DECAY: f32 = 2e-6;
/// The weights in the file reach from minus to plus this.
const WEIGHT_MAX: f32 = 4.0;

/// Stands for a feature that is left out.
const NONE: u32 = u32::MAX;

/// One run of candidates, ready to learn from.
struct Run {
    rows: Vec<[u32; FEATURES]>,
    allowed: Vec<u8>,
}

pub(super) struct Field<'a> {
    lexicon: Lexicon<'a>,
    gate: Gate,
    weights: Vec<Labels>,
    squares: Vec<Labels>,
    transitions: [Labels; LABELS],
    transition_squares: [Labels; LABELS],
}

/// A text, changed as real ones are: lower case, capitals.
fn varied(example: &Example, random: &mut Random) -> Example {
    let mut changed = example.clone();
    let draw = random.below(1_000);
    if draw < 100 {
        changed.text = each_char(&example.text, |letter| {
            letter.to_lowercase().next().unwrap_or(letter)
        });
    } else if draw < 125 {
        changed.text = each_char(&example.text, |letter| {
            letter.to_uppercase().next().unwrap_or(letter)
        });
    }
    changed
}

/// Changes letters where that changes no offsets.
fn each_char(text: &str, change: impl Fn(char) -> char) -> String {
    text.chars()
        .map(|letter| {
            let other = change(letter);
            if other.len_utf8() == letter.len_utf8() {
                other
            } else {
                letter
            }
        })
        .collect()
}

impl<'a> Field<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Self {
        Self {
            lexicon,
            gate: Gate::default(),
            weights: vec![[0.0; LABELS]; ROWS],
            squares: vec![[1e-3; LABELS]; ROWS],
            transitions: [[0.0; LABELS]; LABELS],
            transition_squares: [[1e-3; LABELS]; LABELS],
        }
    }

    /// Learns from the examples.
    pub(super) fn train(&mut self, examples: &[Example], random: &mut Random) {
        let seen = self.frequent(examples);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut sums = vec![[0.0_f32; LABELS]; ROWS];
        for epoch in 0..EPOCHS {
            random.shuffle(&mut order);
            let step = STEP / (1.0 + 0.35 * epoch as f32);
            for &number in &order {
                let example = varied(&examples[number], random);
                for run in self.runs(&example, random, &seen) {
                    self.learn(&run, step);
                }
            }
            if epoch >= EPOCHS / 2 {
                let pairs = sums.iter_mut().flatten().zip(self.weights.iter().flatten());
                pairs.for_each(|(sum, weight)| *sum += weight);
            }
        }
        // The mean of the later epochs does better on texts not seen than the last one.
        let epochs = (EPOCHS - EPOCHS / 2) as f32;
        self.weights = sums
            .into_iter()
            .map(|sums| sums.map(|sum| sum / epochs))
            .collect();
    }

    /// Features that occur at least twice; nothing is learnt about the others.
    fn frequent(&self, examples: &[Example]) -> HashSet<u32> {
        let mut counts: HashMap<u32, u8> = HashMap::new();
        for example in examples {
            let words = self.words(&example.text);
            self.gate.runs(&words, |run| {
                for at in run {
                    for row in features(&example.text, &words, at) {
                        let count = counts.entry(row).or_default();
                        *count = count.saturating_add(1);
                    }
                }
            });
        }
        counts
            .into_iter()
            .filter(|&(_, count)| count > 1)
            .map(|(feature, _)| feature)
            .collect()
    }

    fn words(&self, text: &str) -> Vec<Token> {
        let mut words = Vec::new();
        tokens(text, 0, text.len(), &self.lexicon, &mut words);
        words
    }

    fn runs(&self, example: &Example, random: &mut Random, seen: &HashSet<u32>) -> Vec<Run> {
        let mut words = self.words(&example.text);
        let allowed = example.allowed(&words);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        self.gate.runs(&words, |run| ranges.push(run));
        // Names that no list knows.
        for (word, allowed) in words.iter_mut().zip(&allowed) {
            let is_capital = !matches!(word.shape, Shape::Lower | Shape::Caseless);
            if *allowed != 1 && is_capital && random.chance(150) {
                word.grades.0 &= 0xc0;
            }
        }
        ranges
            .into_iter()
            .map(|range| {
                let rows = range
                    .clone()
                    .map(|at| {
                        let mut rows = features(&example.text, &words, at);
                        if random.chance(200) {
                            rows[..LEXICAL_FEATURES].fill(NONE);
                        }
                        rows.iter_mut()
                            .filter(|row| !seen.contains(row))
                            .for_each(|row| *row = NONE);
                        rows
                    })
                    .collect();
                let mut allowed: Vec<u8> = allowed[range].to_vec();
                mend(&mut allowed);
                Run { rows, allowed }
            })
            .collect()
    }

    fn emissions(&self, run: &Run) -> Vec<Labels> {
        let sum = |rows: &[u32; FEATURES]| {
            let mut sums = [0.0; LABELS];
            for row in rows.iter().filter(|row| **row != NONE) {
                let weights = &self.weights[*row as usize % ROWS];
                sums.iter_mut()
                    .zip(weights)
                    .for_each(|(sum, weight)| *sum += weight);
            }
            sums
        };
        run.rows.iter().map(sum).collect()
    }

    fn learn(&mut self, run: &Run, step: f32) {
        if run.allowed.iter().all(|allowed| *allowed == 0x7f) {
            return;
        }
        let emissions = self.emissions(run);
        let free = self.expect(&emissions, None);
        let bound = self.expect(&emissions, Some(&run.allowed));
        for (at, rows) in run.rows.iter().enumerate() {
            for label in 0..LABELS {
                let slope = free.labels[at][label] - bound.labels[at][label];
                if slope.abs() < 1e-4 {
                    continue;
                }
                for row in rows.iter().filter(|row| **row != NONE) {
                    let row = *row as usize % ROWS;
                    adjust(
                        &mut self.weights[row][label],
                        &mut self.squares[row][label],
                        slope,
                        step,
                    );
                }
            }
        }
        for previous in 0..LABELS {
            for next in 0..LABELS {
                let slope = free.pairs[previous][next] - bound.pairs[previous][next];
                adjust(
                    &mut self.transitions[previous][next],
                    &mut self.transition_squares[previous][next],
                    slope,
                    step,
                );
            }
        }
    }

    fn factors(&self) -> [Labels; LABELS] {
        std::array::from_fn(|previous| {
            std::array::from_fn(|next| {
                if may_follow(previous, next) {
                    self.transitions[previous][next].exp()
                } else {
                    0.0
                }
            })
        })
    }

    /// Expected labels and pairs of labels, over all labellings or those allowed.
    fn expect(&self, emissions: &[Labels], allowed: Option<&[u8]>) -> Expected {
        let factors = self.factors();
        let potentials = potentials(emissions, allowed);
        let mut ahead = Vec::with_capacity(potentials.len());
        let mut before: Labels = [0.0; LABELS];
        before[0] = 1.0;
        for potential in &potentials {
            before = unit(std::array::from_fn(|next| {
                potential[next]
                    * (0..LABELS)
                        .map(|previous| before[previous] * factors[previous][next])
                        .sum::<f32>()
            }));
            ahead.push(before);
        }
        let mut expected = Expected {
            labels: vec![[0.0; LABELS]; potentials.len()],
            pairs: [[0.0; LABELS]; LABELS],
        };
        let mut behind: Labels = [1.0; LABELS];
        for at in (0..potentials.len()).rev() {
            expected.labels[at] = unit(std::array::from_fn(|label| {
                ahead[at][label] * behind[label]
            }));
            let start: Labels = std::array::from_fn(|label| if label == 0 { 1.0 } else { 0.0 });
            let left = if at == 0 { start } else { ahead[at - 1] };
            let mut pairs = [[0.0; LABELS]; LABELS];
            let mut total = 0.0;
            for previous in 0..LABELS {
                for next in 0..LABELS {
                    pairs[previous][next] = left[previous]
                        * factors[previous][next]
                        * potentials[at][next]
                        * behind[next];
                    total += pairs[previous][next];
                }
            }
            if total > 0.0 {
                pairs
                    .iter()
                    .flatten()
                    .zip(expected.pairs.iter_mut().flatten())
                    .for_each(|(pair, sum)| *sum += pair / total);
            }
            behind = unit(std::array::from_fn(|previous| {
                (0..LABELS)
                    .map(|next| factors[previous][next] * potentials[at][next] * behind[next])
                    .sum()
            }));
        }
        expected
    }

    /// The model's file; see [`freehold_guard::training::Model`].
    pub(super) fn file(&self, lexicon: &[u8]) -> Vec<u8> {
        let scale = WEIGHT_MAX / 127.0;
        let mut file = Vec::with_capacity(MAGIC.len() + 200 + LEXICON_BYTES + ROWS * ROW_BYTES);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&scale.to_le_bytes());
        self.transitions
            .iter()
            .flatten()
            .for_each(|weight| file.extend_from_slice(&weight.to_le_bytes()));
        file.extend_from_slice(lexicon);
        for weights in &self.weights {
            let small = weights.map(|weight| {
                ((weight / scale).round().clamp(-127.0, 127.0) as i8).cast_unsigned()
            });
            file.extend_from_slice(&small);
            file.push(0);
        }
        file
    }
}

struct Expected {
    labels: Vec<Labels>,
    pairs: [Labels; LABELS],
}

/// Exponentials of the scores; 0 for labels that are not allowed.
fn potentials(emissions: &[Labels], allowed: Option<&[u8]>) -> Vec<Labels> {
    let open =
        |at: usize, label: usize| allowed.is_none_or(|allowed| allowed[at] >> label & 1 == 1);
    emissions
        .iter()
        .enumerate()
        .map(|(at, scores)| {
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            std::array::from_fn(|label| {
                if open(at, label) {
                    (scores[label] - top).exp().max(1e-30)
                } else {
                    0.0
                }
            })
        })
        .collect()
}

fn adjust(weight: &mut f32, squares: &mut f32, slope: f32, step: f32) {
    let slope = slope + DECAY * *weight;
    *squares += slope * slope;
    *weight -= step * slope / squares.sqrt();
}

fn unit(values: Labels) -> Labels {
    let sum: f32 = values.iter().sum();
    if sum > 0.0 {
        values.map(|value| value / sum)
    } else {
        values
    }
}

/// The gate may cut a name: what is left of it begins anew.
fn mend(allowed: &mut [u8]) {
    let mut before = 1;
    for allowed in allowed {
        for class in 0..3 {
            let inside = 1 << (2 * class + 2);
            let begin = 1 << (2 * class + 1);
            if *allowed == inside && before & (inside | begin) == 0 {
                *allowed = begin;
            }
        }
        before = *allowed;
    }
}
