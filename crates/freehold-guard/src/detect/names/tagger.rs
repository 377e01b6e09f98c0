//! A linear chain over runs of candidates: the best labels, and how sure they are.

use std::ops::Range;

use super::features::{FEATURES, ROWS, features};
use super::lexicon::{LEXICON_BYTES, Lexicon};
use super::token::Token;

/// Labels of a word: outside, then beginning and inside of a person, a location, an organisation.
pub const LABELS: usize = 7;
/// Weights in one row: one for each label, one unused.
pub const ROW_BYTES: usize = 8;
/// Marks a model file; the last byte is the version of the format.
pub const MAGIC: &[u8; 8] = b"fhnames\x01";

/// A model: lexicon, weights, transitions.
///
/// The file: [`MAGIC`], the scale of the weights (little-endian f32), transitions from label to label
/// (49 f32), the lexicon's table, then the rows of weights (i8).
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// What is known about single words.
    pub lexicon: Lexicon<'a>,
    /// From label to label; minus infinity where one may not follow the other.
    transitions: [[f32; LABELS]; LABELS],
    /// Exponentials of the transitions.
    factors: [[f32; LABELS]; LABELS],
    scale: f32,
    weights: &'a [[u8; ROW_BYTES]],
}

/// A run of words that form one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Numbers of the words.
    pub tokens: Range<usize>,
    /// 0 person, 1 location, 2 organisation.
    pub class: usize,
    /// Probability of the least certain word.
    pub confidence: f32,
}

/// Whether `next` may follow `previous`: the inside of a name only follows the same name.
pub const fn may_follow(previous: usize, next: usize) -> bool {
    next == 0 || next % 2 == 1 || previous == next || previous + 1 == next
}

fn float(bytes: &[u8], at: usize) -> Option<f32> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(f32::from_le_bytes(bytes))
}

impl<'a> Model<'a> {
    /// Reads a model; `None` when the file is not one.
    pub fn new(file: &'a [u8]) -> Option<Self> {
        let body = file.strip_prefix(MAGIC)?;
        let scale = float(body, 0)?;
        let mut transitions = [[0.0; LABELS]; LABELS];
        for (number, weight) in transitions.iter_mut().flatten().enumerate() {
            *weight = float(body, 4 + 4 * number)?;
        }
        for (previous, row) in transitions.iter_mut().enumerate() {
            for (next, weight) in row.iter_mut().enumerate() {
                if !may_follow(previous, next) {
                    *weight = f32::NEG_INFINITY;
                }
            }
        }
        let (lexicon, weights) = body
            .get(4 + 4 * LABELS * LABELS..)?
            .split_at_checked(LEXICON_BYTES)?;
        let lexicon = Lexicon::new(lexicon)?;
        let (weights, rest) = weights.as_chunks();
        (weights.len() == ROWS && rest.is_empty()).then_some(Self {
            lexicon,
            transitions,
            factors: transitions.map(|row| row.map(f32::exp)),
            scale,
            weights,
        })
    }

    fn emissions(&self, text: &str, tokens: &[Token], at: usize) -> [f32; LABELS] {
        let rows: [u32; FEATURES] = features(text, tokens, at);
        // At most 30 x 128.
        let mut sums = [0_i16; ROW_BYTES];
        for row in rows {
            if let Some(weights) = self.weights.get(row as usize % ROWS) {
                // By index: the compiler adds all at once.
                for label in 0..ROW_BYTES {
                    sums[label] += i16::from(weights[label].cast_signed());
                }
            }
        }
        std::array::from_fn(|label| f32::from(sums[label]) * self.scale)
    }

    /// Tags one run. `bias` is added to the label "outside": below 0, more is found.
    pub fn tag(
        &self,
        text: &str,
        tokens: &[Token],
        run: Range<usize>,
        bias: f32,
        scratch: &mut Scratch,
        found: &mut impl FnMut(Span),
    ) {
        scratch.clear();
        for at in run.clone() {
            let mut scores = self.emissions(text, tokens, at);
            scores[0] += bias;
            scratch.scores.push(scores);
        }
        self.forward(scratch);
        let Some(&last) = scratch.best.last() else {
            return;
        };
        let mut label = (0..LABELS)
            .max_by(|&a, &b| last[a].total_cmp(&last[b]))
            .unwrap_or(0);
        scratch.path.resize(run.len(), 0);
        for at in (0..run.len()).rev() {
            scratch.path[at] = label;
            label = scratch.back[at][label];
        }
        if scratch.path.iter().any(|&label| label != 0) {
            self.spans(scratch, run.start, found);
        }
    }

    /// Viterbi.
    fn forward(&self, scratch: &mut Scratch) {
        let mut before = [f32::NEG_INFINITY; LABELS];
        before[0] = 0.0;
        for scores in &scratch.scores {
            let mut best = [f32::NEG_INFINITY; LABELS];
            let mut back = [0; LABELS];
            for (previous, (so_far, weights)) in before.iter().zip(&self.transitions).enumerate() {
                for next in 0..LABELS {
                    let score = so_far + weights[next];
                    if score > best[next] {
                        best[next] = score;
                        back[next] = previous;
                    }
                }
            }
            best.iter_mut()
                .zip(scores)
                .for_each(|(best, score)| *best += score);
            scratch.best.push(best);
            scratch.back.push(back);
            before = best;
        }
    }

    fn spans(&self, scratch: &mut Scratch, offset: usize, found: &mut impl FnMut(Span)) {
        self.marginals(scratch);
        let mut at = 0;
        while at < scratch.path.len() {
            let label = scratch.path[at];
            if label == 0 {
                at += 1;
                continue;
            }
            let class = (label - 1) / 2;
            let from = at;
            let mut confidence = 1.0_f32;
            while at < scratch.path.len() && (at == from || scratch.path[at] == 2 * class + 2) {
                let inside = &scratch.marginals[at];
                confidence = confidence.min(inside[2 * class + 1] + inside[2 * class + 2]);
                at += 1;
            }
            found(Span {
                tokens: offset + from..offset + at,
                class,
                confidence: confidence.clamp(0.0, 1.0),
            });
        }
    }

    /// Probabilities of the labels of each word, by forward and backward sums.
    fn marginals(&self, scratch: &mut Scratch) {
        let factors = &self.factors;
        let mut sums = [0.0; LABELS];
        sums[0] = 1.0;
        for scores in &mut scratch.scores {
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            scores
                .iter_mut()
                .for_each(|score| *score = (*score - top).exp());
            let mut next_sums = [0.0; LABELS];
            for (next, sum) in next_sums.iter_mut().enumerate() {
                *sum = scores[next]
                    * (0..LABELS)
                        .map(|previous| sums[previous] * factors[previous][next])
                        .sum::<f32>();
            }
            sums = normalised(next_sums);
            scratch.marginals.push(sums);
        }
        let mut behind = [1.0; LABELS];
        for at in (0..scratch.scores.len()).rev() {
            let mut product = scratch.marginals[at];
            product
                .iter_mut()
                .zip(behind)
                .for_each(|(value, behind)| *value *= behind);
            scratch.marginals[at] = normalised(product);
            let mut next_behind = [0.0; LABELS];
            for (previous, sum) in next_behind.iter_mut().enumerate() {
                *sum = (0..LABELS)
                    .map(|next| factors[previous][next] * scratch.scores[at][next] * behind[next])
                    .sum();
            }
            behind = normalised(next_behind);
        }
    }
}

fn normalised(mut values: [f32; LABELS]) -> [f32; LABELS] {
    let sum: f32 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
    values
}

/// Memory used again from run to run.
#[derive(Default)]
pub struct Scratch {
    scores: Vec<[f32; LABELS]>,
    best: Vec<[f32; LABELS]>,
    back: Vec<[usize; LABELS]>,
    path: Vec<usize>,
    marginals: Vec<[f32; LABELS]>,
}

impl Scratch {
    fn clear(&mut self) {
        self.scores.clear();
        self.best.clear();
        self.back.clear();
        self.path.clear();
        self.marginals.clear();
    }
}
