//! Chance: draws of all inputs at once, and what many results say together.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::input::INPUTS;

/// Tenth, fiftieth and ninetieth percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// One in ten results is lower.
    pub p10: f64,
    /// Half are lower.
    pub p50: f64,
    /// Nine in ten are lower.
    pub p90: f64,
}

impl Quantiles {
    /// Of results in any order; zero when there are none. Between two results it is interpolated.
    pub(crate) fn of(mut results: Vec<f64>) -> Self {
        results.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let Some(last) = results.len().checked_sub(1) else {
                return 0.0;
            };
            let place = share * last as f64;
            let below = place.floor() as usize;
            let above = (below + 1).min(last);
            results[below] + (results[above] - results[below]) * (place - place.floor())
        };
        Self {
            p10: at(0.1),
            p50: at(0.5),
            p90: at(0.9),
        }
    }

    pub(crate) fn rounded(&self) -> Self {
        Self {
            p10: cents(self.p10),
            p50: cents(self.p50),
            p90: cents(self.p90),
        }
    }
}

/// To cents, so that reports do not show what nobody can know. Never a negative zero.
pub(crate) fn cents(usd: f64) -> f64 {
    digits(usd, 100.0)
}

/// To four digits behind the point.
pub(crate) fn four(value: f64) -> f64 {
    digits(value, 10_000.0)
}

fn digits(value: f64, scale: f64) -> f64 {
    let rounded = (value * scale).round() / scale;
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// A number below 1, 53 bits of chance.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Draws of every input as shares of its distribution: a Latin hypercube, so that each input's range is
/// covered evenly (`McKay`, Beckman and Conover, Technometrics 21, 1979). Inputs are independent.
pub(crate) fn hypercube(draws: usize, seed: u64) -> Vec<[f64; INPUTS]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = vec![[0.5; INPUTS]; draws];
    for input in 0..INPUTS {
        let mut order: Vec<usize> = (0..draws).collect();
        for last in (1..draws).rev() {
            let other = (unit(&mut random) * (last + 1) as f64) as usize;
            order.swap(last, other.min(last));
        }
        for (draw, place) in all.iter_mut().zip(order) {
            draw[input] = (place as f64 + unit(&mut random)) / draws as f64;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_covered_evenly_and_by_the_seed() {
        let draws = hypercube(100, 7);
        for input in 0..INPUTS {
            let mut cells: Vec<usize> = draws
                .iter()
                .map(|draw| (draw[input] * 100.0) as usize)
                .collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..100).collect::<Vec<_>>());
        }
        assert_eq!(draws, hypercube(100, 7));
        assert_ne!(draws, hypercube(100, 8));
    }

    #[test]
    fn inputs_are_not_tied_to_each_other() {
        let draws = hypercube(2_000, 1);
        let covariance: f64 = draws
            .iter()
            .map(|draw| (draw[0] - 0.5) * (draw[1] - 0.5))
            .sum();
        let correlation = covariance / 2_000.0 * 12.0;
        assert!(correlation.abs() < 0.08, "{correlation}");
    }

    #[test]
    fn quantiles_lie_where_they_should() {
        let told = Quantiles::of((0..=100).rev().map(f64::from).collect());
        assert_eq!((told.p10, told.p50, told.p90), (10.0, 50.0, 90.0));
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
        assert!(cents(-0.001).is_sign_positive());
    }
}
