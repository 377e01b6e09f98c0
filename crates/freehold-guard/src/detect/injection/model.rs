//! The linear model and its windows.

use std::ops::Range;

use super::words::{NO_FEATURE, features};

/// Weights, a power of two.
pub const ROWS: usize = 1 << 16;
/// Words in a block; a window is two blocks, and the next one begins one block later.
pub const BLOCK_WORDS: usize = 20;
/// Words of letters without which a window is not scored.
const LETTERED_MIN: i32 = 3;
/// Marks a model file; the last byte is the version of the format.
pub const MAGIC: &[u8; 8] = b"fhinjec\x01";

/// The file: [`MAGIC`]; little-endian f32: scale of the weights, offset of the score, slope and
/// offset of the calibration; then the weights (i8).
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    scale: f32,
    offset: f32,
    slope: f32,
    shift: f32,
    weights: &'a [u8],
}

/// What the words of a block add up to.
#[derive(Clone, Copy, Default)]
struct Block {
    start: usize,
    end: usize,
    sum: i32,
    features: i32,
    words: usize,
    /// Words that consist of letters.
    lettered: i32,
}

impl<'a> Linear<'a> {
    /// Reads a model; `None` when the file is not one.
    pub fn new(file: &'a [u8]) -> Option<Self> {
        let body = file.strip_prefix(MAGIC)?;
        let (head, weights) = body.split_at_checked(16)?;
        let mut numbers = head
            .chunks_exact(4)
            .filter_map(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?)));
        let (scale, offset, slope, shift) = (
            numbers.next()?,
            numbers.next()?,
            numbers.next()?,
            numbers.next()?,
        );
        (weights.len() == ROWS).then_some(Self {
            scale,
            offset,
            slope,
            shift,
            weights,
        })
    }

    /// Calls `window` with the byte range and the probability of each window of a text.
    pub fn windows(&self, text: &str, window: &mut impl FnMut(Range<usize>, f32)) {
        self.raw_windows(text, &mut |range, score| {
            window(
                range,
                1.0 / (1.0 + (-(self.slope * score + self.shift)).exp()),
            );
        });
    }

    /// As [`Self::windows`], with scores that are not calibrated.
    pub fn raw_windows(&self, text: &str, window: &mut impl FnMut(Range<usize>, f32)) {
        let mut before: Option<Block> = None;
        let mut block = Block::default();
        features(text, &mut |range, seen, is_lettered| {
            if block.words == BLOCK_WORDS {
                if let Some(before) = before {
                    window(before.start..block.end, self.score(&before, &block));
                }
                before = Some(block);
                block = Block::default();
            }
            if block.words == 0 {
                block.start = range.start;
            }
            block.end = range.end;
            block.words += 1;
            block.lettered += i32::from(is_lettered);
            for feature in seen.iter().filter(|feature| **feature != NO_FEATURE) {
                let weight = self
                    .weights
                    .get(*feature as usize % ROWS)
                    .copied()
                    .unwrap_or(0);
                block.sum += i32::from(weight.cast_signed());
                block.features += 1;
            }
        });
        if block.words > 0 {
            let before = before.unwrap_or(Block {
                start: block.start,
                ..Block::default()
            });
            window(before.start..block.end, self.score(&before, &block));
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a window has at most 40 words of 8 features"
    )]
    fn score(&self, before: &Block, block: &Block) -> f32 {
        // Numbers and encoded bytes tell a model to do nothing.
        if before.lettered + block.lettered < LETTERED_MIN {
            return f32::NEG_INFINITY;
        }
        let sum = (before.sum + block.sum) as f32 * self.scale;
        let features = (before.features + block.features) as f32;
        self.offset + sum / (features + 4.0).sqrt()
    }
}
