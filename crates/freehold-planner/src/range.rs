//! A number that nobody knows exactly: lowest, most likely, highest.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;

/// A triangular distribution. All three may be equal: then the number is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// It is not lower.
    pub low: f64,
    /// The most likely value, and the one that the base case takes.
    pub base: f64,
    /// It is not higher.
    pub high: f64,
}

impl Range {
    /// A number that is known.
    #[must_use]
    pub fn exactly(value: f64) -> Self {
        Self {
            low: value,
            base: value,
            high: value,
        }
    }

    /// What is wrong with it, if anything. `key` names it in the message.
    ///
    /// # Errors
    /// [`PlanError::Assumption`] when a bound is no number or they are out of order.
    pub fn check(&self, key: &str) -> Result<(), PlanError> {
        let wrong = |why: String| {
            Err(PlanError::Assumption {
                key: key.to_owned(),
                why,
            })
        };
        let Self { low, base, high } = *self;
        if ![low, base, high].iter().all(|value| value.is_finite()) {
            return wrong("low, base and high must be numbers".to_owned());
        }
        if low > base || base > high {
            return wrong(format!(
                "low {low}, base {base}, high {high} are not in order; write the smallest first"
            ));
        }
        Ok(())
    }

    /// The value below which a share `at` (0 to 1) of the distribution lies.
    ///
    /// Inverse of the triangular distribution function (Johnson, The Statistician 46, 1997).
    #[must_use]
    pub fn quantile(&self, at: f64) -> f64 {
        let width = self.high - self.low;
        if width <= 0.0 {
            return self.base;
        }
        let at = at.clamp(0.0, 1.0);
        let rising = self.base - self.low;
        if at * width < rising {
            self.low + (at * width * rising).sqrt()
        } else {
            self.high - ((1.0 - at) * width * (self.high - self.base)).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_triangle() {
        let range = Range {
            low: 0.0,
            base: 1.0,
            high: 4.0,
        };
        // A quarter of the area lies left of the peak: base x height / 2 = 1 x 0.5 / 2.
        assert!((range.quantile(0.25) - 1.0).abs() < 1e-12);
        assert!((range.quantile(0.0) - 0.0).abs() < 1e-12);
        assert!((range.quantile(1.0) - 4.0).abs() < 1e-12);
        // Right of it: 1 - (4 - x)^2 / 12 = 0.73 at x = 2.2.
        assert!((range.quantile(0.73) - 2.2).abs() < 1e-12);
        assert!((Range::exactly(7.0).quantile(0.3) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_out_of_order_is_refused() {
        let range = |low, base, high| Range { low, base, high };
        assert!(range(1.0, 2.0, 3.0).check("x").is_ok());
        for bad in [
            range(2.0, 1.0, 3.0),
            range(1.0, 4.0, 3.0),
            range(f64::NAN, 1.0, 2.0),
        ] {
            let told = bad.check("pue").unwrap_err().to_string();
            assert!(told.starts_with("assumption pue: "), "{told}");
        }
    }
}
