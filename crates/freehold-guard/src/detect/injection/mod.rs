//! How much a text looks like an attempt to override a model's instructions or its limits.
//!
//! A linear model over hashed words, pairs and triples of words, beginnings and ends of words, and
//! signs of structure (`<|im_start|>`, `### System`). Text is scored in overlapping windows, so that
//! an attack inside a long document counts as much as one that stands alone; the score of a text is
//! that of its worst window. One pass, no memory that grows with the text. The model is
//! `models/injection.bin`; `models/README.md` says from what it was trained and how well it does.
//!
//! The score raises sensitivity and may be blocked on; it never opens the perimeter, and a low score
//! proves nothing.

use std::ops::Range;
use std::sync::LazyLock;

use super::Hit;

mod model;
mod words;

pub use model::{BLOCK_WORDS, Linear, MAGIC, ROWS};
pub use words::{FEATURES_MAX, Features, NO_FEATURE, features};

static MODEL_FILE: &[u8] = include_bytes!("../../../models/injection.bin");
static MODEL: LazyLock<Option<Linear<'static>>> = LazyLock::new(|| Linear::new(MODEL_FILE));

/// What is reported.
pub(super) const ENTITIES: &[&str] = &["prompt_injection"];

/// Probability from which an attempt is reported.
const REPORTED_FROM: f32 = 0.5;

/// Reports stretches of text that look like an attempt, with their probability as confidence.
pub(crate) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let Some(model) = &*MODEL else { return };
    let mut worst: Option<(Range<usize>, f32)> = None;
    model.windows(text, &mut |range, probability| {
        if probability < REPORTED_FROM {
            return;
        }
        match &mut worst {
            Some((known, confidence)) if range.start <= known.end => {
                known.end = range.end;
                *confidence = confidence.max(probability);
            }
            other => {
                if let Some((range, confidence)) = other.replace((range, probability)) {
                    found(Hit::new("prompt_injection", range, confidence));
                }
            }
        }
    });
    if let Some((range, confidence)) = worst {
        found(Hit::new("prompt_injection", range, confidence));
    }
}

/// The probability that a text tries to override a model's instructions or limits, 0 to 1; that of
/// its worst window.
pub fn injection_score(text: &str) -> f32 {
    let mut worst = 0.0_f32;
    if let Some(model) = &*MODEL {
        model.windows(text, &mut |_, probability| worst = worst.max(probability));
    }
    worst
}

#[cfg(test)]
mod tests;
