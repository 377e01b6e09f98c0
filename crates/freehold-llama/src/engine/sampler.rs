//! Draws tokens from scores: a pure function of scores, history and a seeded generator.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use llguidance::toktrie::SimpleVob;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

use super::request::Draw;

/// Candidates that nucleus sampling sorts at first; more only when they do not suffice.
const NUCLEUS_START: usize = 256;

/// Below this, the exponential is no number of single precision.
const NOTHING_BELOW: f32 = -87.0;

/// Draws the tokens of one answer.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    draw: Draw,
    generator: ChaCha12Rng,
    /// Tokens of the prompt and the answer, for the repetition penalty.
    seen: HashSet<i32>,
    /// Tokens of the answer with their number, for the other penalties.
    generated: HashMap<i32, u32>,
}

/// Buffers that all samplers of an engine share.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: i32,
    /// The score relative to the best, later the unnormalised probability.
    weight: f32,
}

impl Sampler {
    /// `stream` tells the answers of one request apart; the same seed and stream draw alike.
    pub(crate) fn new(draw: Draw, prompt: &[i32], stream: u64) -> Self {
        let mut generator = match draw.seed {
            Some(seed) => ChaCha12Rng::seed_from_u64(seed),
            None => ChaCha12Rng::from_os_rng(),
        };
        generator.set_stream(stream);
        #[expect(clippy::float_cmp, reason = "exactly 1 switches the penalty off")]
        let seen = if draw.repetition_penalty == 1.0 {
            HashSet::new()
        } else {
            prompt.iter().copied().collect()
        };
        Self {
            draw,
            generator,
            seen,
            generated: HashMap::new(),
        }
    }

    /// Draws a token. `None` when no token is allowed.
    pub(crate) fn sample(
        &mut self,
        scores: &[f32],
        allowed: Option<&SimpleVob>,
        scratch: &mut Scratch,
    ) -> Option<i32> {
        if self.draws_from_plain_scores() && allowed.is_none() && self.draw.temperature <= 0.0 {
            return likeliest(scores);
        }
        scratch.scores.clear();
        scratch.scores.extend_from_slice(scores);
        self.adjust(&mut scratch.scores);
        if let Some(allowed) = allowed {
            mask(&mut scratch.scores, allowed);
        }
        if self.draw.temperature <= 0.0 {
            return likeliest(&scratch.scores);
        }
        let total = self.collect_candidates(scratch)?;
        self.draw_from(&scratch.candidates, total)
    }

    /// Remembers a drawn token.
    pub(crate) fn accept(&mut self, token: i32) {
        #[expect(clippy::float_cmp, reason = "exactly 1 switches the penalty off")]
        if self.draw.repetition_penalty != 1.0 {
            self.seen.insert(token);
        }
        *self.generated.entry(token).or_default() += 1;
    }

    fn draws_from_plain_scores(&self) -> bool {
        #[expect(clippy::float_cmp, reason = "exactly 1 and 0 switch the penalties off")]
        let without_penalties = self.draw.repetition_penalty == 1.0
            && self.draw.frequency_penalty == 0.0
            && self.draw.presence_penalty == 0.0;
        self.draw.logit_bias.is_empty() && without_penalties
    }

    fn adjust(&self, scores: &mut [f32]) {
        let place = |id: i32| usize::try_from(id).unwrap_or(usize::MAX);
        for &(id, bias) in &self.draw.logit_bias {
            if let Some(score) = scores.get_mut(place(id)) {
                *score += bias;
            }
        }
        for &id in &self.seen {
            if let Some(score) = scores.get_mut(place(id)) {
                if *score > 0.0 {
                    *score /= self.draw.repetition_penalty;
                } else {
                    *score *= self.draw.repetition_penalty;
                }
            }
        }
        for (&id, &count) in &self.generated {
            if let Some(score) = scores.get_mut(place(id)) {
                #[expect(clippy::cast_precision_loss, reason = "counts are small")]
                let count = count as f32;
                *score -= count * self.draw.frequency_penalty + self.draw.presence_penalty;
            }
        }
    }

    /// Fills `scratch.candidates` with the tokens that may be drawn, weights made proportional to
    /// probabilities, and returns the sum of the weights.
    fn collect_candidates(&self, scratch: &mut Scratch) -> Option<f64> {
        let Scratch { scores, candidates } = scratch;
        let best = highest(scores);
        if !best.is_finite() {
            return None;
        }
        let inverse = self.draw.temperature.recip();
        // Relative to the likeliest token, so the sum of all weights is not needed. An exponential costs more than all
        // else here: only what can be drawn has one.
        let lowest = self.draw.min_p.ln().max(NOTHING_BELOW);
        candidates.clear();
        for (id, &score) in (0..).zip(scores.iter()) {
            let weight = (score - best) * inverse;
            if weight >= lowest {
                candidates.push(Candidate { id, weight });
            }
        }
        if self.draw.top_k > 0 && self.draw.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.draw.top_k, heavier_first);
            candidates.truncate(self.draw.top_k);
        }
        let mut total = 0.0_f64;
        for candidate in candidates.iter_mut() {
            candidate.weight = candidate.weight.exp();
            total += f64::from(candidate.weight);
        }
        if self.draw.top_p < 1.0 {
            total = keep_nucleus(candidates, total * f64::from(self.draw.top_p));
        } else {
            // The order left by a selection depends on the library's version; this one does not.
            candidates.sort_unstable_by_key(|candidate| candidate.id);
        }
        Some(total)
    }

    fn draw_from(&mut self, candidates: &[Candidate], total: f64) -> Option<i32> {
        // 53 random bits make a number from 0 to just below 1.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let fraction = (self.generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut remaining = fraction * total;
        for candidate in candidates {
            remaining -= f64::from(candidate.weight);
            if remaining < 0.0 {
                return Some(candidate.id);
            }
        }
        // Rounding can leave a crumb.
        candidates.last().map(|candidate| candidate.id)
    }
}

/// Keeps the heaviest candidates that together reach `wanted`, sorted, and returns their sum.
fn keep_nucleus(candidates: &mut Vec<Candidate>, wanted: f64) -> f64 {
    let mut sorted = NUCLEUS_START;
    loop {
        if sorted < candidates.len() {
            candidates.select_nth_unstable_by(sorted, heavier_first);
        }
        let head = sorted.min(candidates.len());
        candidates[..head].sort_unstable_by(heavier_first);
        let mut reached = 0.0;
        for index in 0..head {
            reached += f64::from(candidates[index].weight);
            if reached >= wanted {
                candidates.truncate(index + 1);
                return reached;
            }
        }
        if head == candidates.len() {
            return reached;
        }
        sorted *= 8;
    }
}

fn heavier_first(left: &Candidate, right: &Candidate) -> Ordering {
    right
        .weight
        .total_cmp(&left.weight)
        .then(left.id.cmp(&right.id))
}

fn mask(scores: &mut [f32], allowed: &SimpleVob) {
    for (id, score) in (0..).zip(scores.iter_mut()) {
        if !allowed.is_allowed(id) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// The token with the highest score; the first of equals.
fn likeliest(scores: &[f32]) -> Option<i32> {
    let best = highest(scores);
    if best == f32::NEG_INFINITY {
        return None;
    }
    #[expect(clippy::float_cmp, reason = "it is one of them")]
    let place = scores.iter().position(|score| *score == best)?;
    i32::try_from(place).ok()
}

/// The highest score; negative infinity when there is none. In lanes, which compilers make vectors of.
fn highest(scores: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    let all = lanes.iter().chain(rest);
    all.fold(
        f32::NEG_INFINITY,
        |best, score| {
            if *score > best { *score } else { best }
        },
    )
}

/// Natural logarithms of probabilities, by the model's own scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logprobs {
    /// Of the chosen token.
    pub(crate) chosen: f64,
    /// Of the likeliest tokens, best first.
    pub(crate) top: Vec<(i32, f64)>,
}

/// Log-probabilities of `chosen` and of the `top` likeliest tokens.
pub(crate) fn logprobs(scores: &[f32], chosen: i32, top: usize) -> Logprobs {
    let best = highest(scores);
    let sum: f64 = scores
        .iter()
        .map(|&score| f64::from((score - best).exp()))
        .sum();
    let normaliser = f64::from(best) + sum.ln();
    let of = |score: f32| f64::from(score) - normaliser;
    let chosen_score = usize::try_from(chosen)
        .ok()
        .and_then(|chosen| scores.get(chosen))
        .copied();
    let mut ranked: Vec<Candidate> = Vec::new();
    if top > 0 {
        ranked.extend(
            (0..)
                .zip(scores)
                .map(|(id, &weight)| Candidate { id, weight }),
        );
        if top < ranked.len() {
            ranked.select_nth_unstable_by(top, heavier_first);
            ranked.truncate(top);
        }
        ranked.sort_unstable_by(heavier_first);
    }
    Logprobs {
        chosen: chosen_score.map_or(f64::NEG_INFINITY, of),
        top: ranked
            .into_iter()
            .map(|candidate| (candidate.id, of(candidate.weight)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::SamplingOptions;
    use super::*;
    use crate::model_info::RecommendedSampling;

    fn plain() -> Draw {
        SamplingOptions {
            temperature: Some(1.0),
            top_p: Some(1.0),
            top_k: Some(0),
            min_p: Some(0.0),
            seed: Some(7),
            ..Default::default()
        }
        .resolve(&RecommendedSampling::default())
    }

    fn draws(draw: Draw, scores: &[f32], count: usize) -> Vec<i32> {
        let mut sampler = Sampler::new(draw, &[], 0);
        let mut scratch = Scratch::default();
        (0..count)
            .map(|_| sampler.sample(scores, None, &mut scratch).expect("a token"))
            .collect()
    }

    fn support(draw: Draw, scores: &[f32]) -> Vec<i32> {
        let drawn: HashSet<i32> = draws(draw, scores, 2_000).into_iter().collect();
        let mut drawn: Vec<i32> = drawn.into_iter().collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn the_same_seed_draws_alike_and_streams_differ() {
        let scores = [1.0; 1_000];
        assert_eq!(draws(plain(), &scores, 20), draws(plain(), &scores, 20));
        let mut other = Sampler::new(plain(), &[], 1);
        let mut scratch = Scratch::default();
        let other: Vec<_> = (0..20)
            .map(|_| other.sample(&scores, None, &mut scratch).expect("a token"))
            .collect();
        assert_ne!(draws(plain(), &scores, 20), other);
    }

    #[test]
    fn frequencies_follow_the_scores() {
        let scores = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        let drawn = draws(plain(), &scores, 8_000);
        for (id, share) in [(0, 1.0 / 8.0), (1, 2.0 / 8.0), (2, 5.0 / 8.0)] {
            let count = drawn.iter().filter(|drawn| **drawn == id).count();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let measured = count as f64 / 8_000.0;
            assert!((measured - share).abs() < 0.03, "{id}: {measured}");
        }
    }

    #[test]
    fn the_filters_keep_what_they_should() {
        let scores = [4.0, 3.0, 2.0, 1.0, -20.0];
        assert_eq!(
            support(
                Draw {
                    top_k: 2,
                    ..plain()
                },
                &scores
            ),
            [0, 1]
        );
        // 64 % and 24 %: both are needed for 70 %.
        assert_eq!(
            support(
                Draw {
                    top_p: 0.7,
                    ..plain()
                },
                &scores
            ),
            [0, 1]
        );
        assert_eq!(
            support(
                Draw {
                    min_p: 0.1,
                    ..plain()
                },
                &scores
            ),
            [0, 1, 2]
        );
        assert_eq!(
            support(
                Draw {
                    temperature: 0.0,
                    ..plain()
                },
                &scores
            ),
            [0]
        );
    }

    #[test]
    fn a_wide_nucleus_is_found_too() {
        let scores = [0.0; 5_000];
        let drawn: HashSet<i32> = draws(
            Draw {
                top_p: 0.5,
                ..plain()
            },
            &scores,
            50,
        )
        .into_iter()
        .collect();
        assert!(drawn.len() > 40);
    }

    #[test]
    fn bias_and_penalties_move_the_choice() {
        let greedy = Draw {
            temperature: 0.0,
            ..plain()
        };
        let scores = [1.0, 0.9];
        let biased = Draw {
            logit_bias: vec![(1, 1.0), (7, 5.0)],
            ..greedy.clone()
        };
        assert_eq!(draws(biased, &scores, 1), [1]);
        for draw in [
            Draw {
                frequency_penalty: 1.0,
                ..greedy.clone()
            },
            Draw {
                presence_penalty: 1.0,
                ..greedy.clone()
            },
            Draw {
                repetition_penalty: 2.0,
                ..greedy.clone()
            },
        ] {
            let mut sampler = Sampler::new(draw, &[], 0);
            sampler.accept(0);
            assert_eq!(
                sampler.sample(&scores, None, &mut Scratch::default()),
                Some(1)
            );
        }
        let repetition = Draw {
            repetition_penalty: 2.0,
            ..greedy
        };
        let mut sampler = Sampler::new(repetition, &[0], 0);
        assert_eq!(
            sampler.sample(&scores, None, &mut Scratch::default()),
            Some(1)
        );
    }

    #[test]
    fn the_mask_holds_and_an_empty_one_yields_nothing() {
        let mut allowed = SimpleVob::alloc(2);
        let mut sampler = Sampler::new(plain(), &[], 0);
        assert_eq!(
            sampler.sample(&[1.0, 0.0], Some(&allowed), &mut Scratch::default()),
            None
        );
        allowed.allow_token(1);
        assert_eq!(
            sampler.sample(&[1.0, 0.0], Some(&allowed), &mut Scratch::default()),
            Some(1)
        );
    }

    #[test]
    fn the_first_of_the_highest_is_the_likeliest() {
        let mut generator = ChaCha12Rng::seed_from_u64(1);
        for length in 0..70 {
            let scores: Vec<f32> = (0..length)
                .map(|_| match generator.next_u64() % 8 {
                    0 => f32::NAN,
                    other => f32::from(u8::try_from(other).expect("small")),
                })
                .collect();
            let mut wanted: Option<(usize, f32)> = None;
            for (place, &score) in scores.iter().enumerate() {
                if wanted.is_none_or(|(_, best)| score > best) && !score.is_nan() {
                    wanted = Some((place, score));
                }
            }
            let wanted = wanted.and_then(|(place, _)| i32::try_from(place).ok());
            assert_eq!(likeliest(&scores), wanted, "{scores:?}");
        }
    }

    #[test]
    fn broken_scores_do_not_panic() {
        for scores in [&[f32::NAN, f32::NAN][..], &[f32::NEG_INFINITY; 3], &[]] {
            let mut sampler = Sampler::new(plain(), &[], 0);
            assert_eq!(sampler.sample(scores, None, &mut Scratch::default()), None);
        }
    }

    #[test]
    fn probabilities_add_up() {
        let scores = [0.5, -1.0, 3.0, 2.0];
        let all = logprobs(&scores, 2, 4);
        let sum: f64 = all.top.iter().map(|(_, logprob)| logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert_eq!(all.top[0], (2, all.chosen));
        assert!(logprobs(&scores, 2, 0).top.is_empty());
    }
}
