//! Testing by betting: a gambler's capital against a hypothesis about a mean.
//!
//! Whoever bets on `x` against "the mean is at most `m`" with stakes `l` has, after each `x`, `1 + l (x
//! - m)` times what they had. If the hypothesis is true, no strategy makes the capital grow in the
//! mean, and it ever reaches `1 / a` with probability at most `a` (Ville 1939). So a capital of `1 / a`
//! refutes the hypothesis at level `a`, at whatever moment it is seen.
//!
//! The stakes are a fixed set, with an equal part of the capital on each: "diversified Kelly betting"
//! in Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat.
//! Soc. B 86 (2024), section 5.6 of arXiv:2010.09686. Fixed stakes make the capital a product over the
//! samples, whatever their order: counts of values are all that must be kept.

/// Parts of the largest stake that cannot lose everything, from timid to bold by equal ratios. Timid
/// stakes find small differences in many samples, bold ones large differences in few; the mixture
/// has at least a twelfth of what the best of them has.
const BOLDNESS: [f64; 12] = [
    0.006, 0.0095, 0.015, 0.0239, 0.0378, 0.06, 0.095, 0.1506, 0.2386, 0.3782, 0.5995, 0.95,
];

/// How many stakes there are.
pub(crate) const STAKES: usize = BOLDNESS.len();

/// Against which side one bets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// "The mean is at most `m`."
    AtMost,
    /// "The mean is at least `m`."
    AtLeast,
}

/// Values lie between these.
const LOW: f64 = -1.0;
const HIGH: f64 = 1.0;

/// The logarithm of what one sample multiplies the capital on each stake by.
pub(crate) fn log_factors(x: f64, mean: f64, against: Against) -> [f64; STAKES] {
    // How far the sample is beyond the mean, in units of the farthest that it can be on the losing
    // side: at least -1, so that no stake below 1 loses everything.
    let gain = match against {
        Against::AtMost => (x - mean) / (mean - LOW),
        Against::AtLeast => (mean - x) / (HIGH - mean),
    };
    BOLDNESS.map(|boldness| (boldness * gain).ln_1p())
}

/// The logarithm of the whole capital, of the logarithms on each stake.
pub(crate) fn log_capital(logs: &[f64; STAKES]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / STAKES as f64).ln()
}

/// What each stake grows by per sample, in the mean over these weighted values.
pub(crate) fn log_growth(
    values: impl Iterator<Item = (f64, f64)>,
    mean: f64,
    against: Against,
) -> [f64; STAKES] {
    let mut growth = [0.0; STAKES];
    let mut weights = 0.0;
    for (x, weight) in values {
        weights += weight;
        for (sum, factor) in growth.iter_mut().zip(log_factors(x, mean, against)) {
            *sum += weight * factor;
        }
    }
    growth.map(|sum| sum / weights)
}
