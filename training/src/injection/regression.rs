//! Logistic regression over windows, by stochastic gradient with a step for each weight (AdaGrad).

use std::collections::{HashMap, HashSet};

use freehold_guard::training::injection::{BLOCK_WORDS, MAGIC, NO_FEATURE, ROWS, features};

use super::corpus::Sample;
use crate::random::Random;

const EPOCHS: usize = 10;
const STEP: f32 = 0.25;
const DECAY: f32 = 1e-4;
/// Features left out in so many cases of a thousand.
const DROPPED: u64 = 200;
/// Windows of one ordinary text that are learnt from in one epoch.
const WINDOWS_MAX: usize = 6;

/// Features of a window; the next one overlaps it by half.
type Window = Vec<u32>;

pub(super) struct Regression {
    weights: Vec<f32>,
    squares: Vec<f32>,
    offset: f32,
    seen: HashSet<u32>,
}

/// The windows of a text, as [`freehold_guard::training::injection::Linear`] cuts them.
fn windows(text: &str) -> Vec<Window> {
    let mut blocks: Vec<Window> = vec![vec![]];
    let mut words = 0;
    features(text, &mut |_, seen, _| {
        if words == BLOCK_WORDS {
            blocks.push(vec![]);
            words = 0;
        }
        words += 1;
        if let Some(block) = blocks.last_mut() {
            block.extend(
                seen.iter()
                    .copied()
                    .filter(|feature| *feature != NO_FEATURE),
            );
        }
    });
    if blocks.len() == 1 {
        return blocks;
    }
    blocks.windows(2).map(|pair| pair.concat()).collect()
}

impl Regression {
    pub(super) fn new(samples: &[Sample]) -> Self {
        // A feature counts once for each group, so that no template's words alone decide.
        let mut groups: HashMap<u32, (u32, bool)> = HashMap::new();
        for sample in samples {
            for feature in windows(&sample.text).into_iter().flatten() {
                let (first, several) = groups.entry(feature).or_insert((sample.group, false));
                *several |= *first != sample.group;
            }
        }
        let seen = groups
            .into_iter()
            .filter(|(_, (_, several))| *several)
            .map(|(feature, _)| feature)
            .collect();
        Self {
            weights: vec![0.0; ROWS],
            squares: vec![0.01; ROWS],
            offset: -2.0,
            seen,
        }
    }

    pub(super) fn train(&mut self, samples: &[Sample], seed: u64) {
        let mut random = Random::new(seed);
        let prepared: Vec<(bool, Vec<Window>)> = samples
            .iter()
            .map(|sample| {
                let mut windows = windows(&sample.text);
                // Features that will never be learnt still count towards the length.
                for window in &mut windows {
                    window
                        .iter_mut()
                        .filter(|feature| !self.seen.contains(feature))
                        .for_each(|feature| *feature = NO_FEATURE);
                }
                (sample.attack, windows)
            })
            .collect();
        let mut order: Vec<usize> = (0..prepared.len()).collect();
        let mut sums = vec![0.0_f32; ROWS];
        for epoch in 0..EPOCHS {
            random.shuffle(&mut order);
            let step = STEP / (1.0 + 0.4 * epoch as f32);
            for &number in &order {
                let (attack, windows) = &prepared[number];
                if *attack {
                    // Which window of a long attack is the bad one is not known: the one that looks it.
                    let worst = windows
                        .iter()
                        .max_by(|one, other| self.masked(one).total_cmp(&self.masked(other)));
                    let chosen = if epoch == 0 {
                        Some(random.pick(windows))
                    } else {
                        worst
                    };
                    if let Some(window) = chosen {
                        self.learn(window, 1.0, step, &mut random);
                    }
                } else {
                    let first = random.below(windows.len());
                    for window in windows
                        .iter()
                        .cycle()
                        .skip(first)
                        .take(windows.len().min(WINDOWS_MAX))
                    {
                        self.learn(window, 0.0, step, &mut random);
                    }
                }
            }
            if epoch >= EPOCHS / 2 {
                sums.iter_mut()
                    .zip(&self.weights)
                    .for_each(|(sum, weight)| *sum += weight);
            }
        }
        // The mean of the later epochs does better on texts not seen than the last one.
        self.weights = sums
            .into_iter()
            .map(|sum| sum / (EPOCHS - EPOCHS / 2) as f32)
            .collect();
    }

    fn masked(&self, window: &[u32]) -> f32 {
        let sum: f32 = window
            .iter()
            .filter(|feature| **feature != NO_FEATURE)
            .map(|feature| self.weights[*feature as usize % ROWS])
            .sum();
        self.offset + sum / (window.len() as f32 + 4.0).sqrt()
    }

    fn learn(&mut self, window: &[u32], wanted: f32, step: f32, random: &mut Random) {
        let kept: Vec<u32> = window
            .iter()
            .copied()
            .filter(|feature| *feature != NO_FEATURE && !random.chance(DROPPED))
            .collect();
        let length = (window.len() as f32 + 4.0).sqrt();
        let sum: f32 = kept
            .iter()
            .map(|feature| self.weights[*feature as usize % ROWS])
            .sum();
        let score = self.offset + sum / length;
        let error = 1.0 / (1.0 + (-score).exp()) - wanted;
        if error.abs() < 1e-3 {
            return;
        }
        self.offset -= 0.1 * step * error;
        for feature in kept {
            let row = feature as usize % ROWS;
            let slope = error / length + DECAY * self.weights[row];
            self.squares[row] += slope * slope;
            self.weights[row] -= step * slope / self.squares[row].sqrt();
        }
    }

    /// The model's file; see [`freehold_guard::training::injection::Linear`].
    pub(super) fn file(&self, (slope, shift): (f32, f32)) -> Vec<u8> {
        let top = self
            .weights
            .iter()
            .fold(0.0_f32, |top, weight| top.max(weight.abs()))
            .max(1e-6);
        let scale = top / 127.0;
        let mut file = MAGIC.to_vec();
        for number in [scale, self.offset, slope, shift] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend(
            self.weights.iter().map(|weight| {
                ((weight / scale).round().clamp(-127.0, 127.0) as i8).cast_unsigned()
            }),
        );
        file
    }
}
