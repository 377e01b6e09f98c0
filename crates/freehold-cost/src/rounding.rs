//! From price to nano-USD. One rule everywhere: to the nearest, halves up.

use freehold_types::NanoUsd;

/// `numerator / denominator` nano-USD, to the nearest, halves up. Saturates.
pub(crate) fn nearest(numerator: i128, denominator: i128) -> NanoUsd {
    let rounded = numerator
        .saturating_add(denominator / 2)
        .div_euclid(denominator);
    saturating(rounded)
}

/// `nanos`, or the largest amount there is.
pub(crate) fn saturating(nanos: i128) -> NanoUsd {
    NanoUsd::from_nanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

/// The price book's float dollars as nano-USD; `None` when not finite or out of range.
///
/// List prices are at most a few decimals per million tokens, so a true price is a whole number of
/// pico-USD. Rounding to pico first removes the float's error, so that an exact half of a nano is
/// rounded up always and not by the luck of its binary form.
pub(crate) fn from_listed_usd(usd: f64) -> Option<NanoUsd> {
    let pico = (usd * 1e12).round();
    if !pico.is_finite() || pico.abs() >= 9.2e21 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked above"
    )]
    let pico = pico as i128;
    Some(nearest(pico, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_up_and_float_noise_does_not_matter() {
        assert_eq!(from_listed_usd(62.5e-9).unwrap().nanos(), 63);
        assert_eq!(from_listed_usd(0.1 + 0.2).unwrap().nanos(), 300_000_000);
        assert_eq!(from_listed_usd(0.499e-9).unwrap().nanos(), 0);
        assert_eq!(from_listed_usd(f64::NAN), None);
        assert_eq!(from_listed_usd(f64::INFINITY), None);
        assert_eq!(nearest(i128::MAX / 4, 1).nanos(), i64::MAX);
    }
}
