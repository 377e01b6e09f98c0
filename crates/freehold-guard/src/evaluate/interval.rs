//! Proportions with intervals.

use serde::Serialize;

/// `hits` of `total`, with the 95 % interval of the share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Proportion {
    /// How many did.
    pub hits: u64,
    /// Of how many.
    pub total: u64,
    /// `hits / total`; absent when there were none.
    pub share: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

/// The standard normal's 97.5 % point.
const Z: f64 = 1.959_963_984_540_054;

impl Proportion {
    /// The share with its Wilson score interval (E. B. Wilson, "Probable inference, the law of
    /// succession, and statistical inference", JASA 22, 1927), which stays sensible near 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn new(hits: u64, total: u64) -> Self {
        if total == 0 {
            return Self {
                hits,
                total,
                share: None,
                low: 0.0,
                high: 1.0,
            };
        }
        let n = total as f64;
        let share = hits as f64 / n;
        let centre = share + Z * Z / (2.0 * n);
        let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Self {
            hits,
            total,
            share: Some(share),
            low: ((centre - reach) / scale).max(0.0),
            high: ((centre + reach) / scale).min(1.0),
        }
    }
}

/// The F-measure that weighs recall `beta` times as much as precision (van Rijsbergen, "Information
/// Retrieval", 1979): (1 + b^2) P R / (b^2 P + R).
pub(super) fn f_measure(beta: f64, precision: f64, recall: f64) -> f64 {
    let squared = beta * beta;
    let below = squared * precision + recall;
    if below == 0.0 {
        return 0.0;
    }
    (1.0 + squared) * precision * recall / below
}

/// Draws for bootstrap intervals: `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators", 2014), so that the same data gives the same interval.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    /// A number below `bound`, which is not 0. The bias of the reduction is below `bound / 2^64`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the product's upper half is below the bound"
        )]
        let drawn = ((u128::from(mixed) * bound as u128) >> 64) as usize;
        drawn
    }
}
