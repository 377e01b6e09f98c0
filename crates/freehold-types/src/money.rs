//! Money is an integer: nano-USD. A float never holds an amount that somebody is billed.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar. Sums saturate: an absurd amount stays absurd instead
/// of wrapping round to a small one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `nanos` billionths of a dollar.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The nearest amount to `usd` dollars; `None` when it is not finite or does not fit.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let nanos = (usd * 1e9).round();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range is checked on the line itself"
        )]
        (nanos.is_finite() && nanos.abs() < 9.2e18).then_some(Self(nanos as i64))
    }

    /// Billionths of a dollar.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Dollars, for display and for estimates only.
    #[expect(clippy::cast_precision_loss, reason = "display and estimates only")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for NanoUsd {
    /// Dollars with all nine decimals: `0.000012500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(
            f,
            "{sign}{}.{:09}",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_nanos_and_are_shown_in_full() {
        let amount = NanoUsd::from_usd(0.000_012_5).unwrap();
        assert_eq!(amount.nanos(), 12_500);
        assert_eq!(amount.to_string(), "0.000012500");
        assert_eq!(
            NanoUsd::from_nanos(-1_500_000_000).to_string(),
            "-1.500000000"
        );
        assert_eq!(NanoUsd::from_usd(f64::NAN), None);
    }
}
