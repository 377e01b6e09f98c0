//! Traffic from a few numbers, for when there is no record.

use freehold_workload::{Arrival, Workload};

use crate::error::SimError;

/// More requests than anybody can wait for.
const MOST: f64 = 50_000_000.0;

/// Requests that come at random (Poisson) at `rate_per_s` on average for `hours`, with exponentially
/// distributed lengths of the given means. Over a day the rate swings like a sine by `daily_swing`
/// (0 to 1) of itself. Marked as generated.
///
/// # Errors
/// [`SimError::BadSetting`].
pub fn poisson(
    rate_per_s: f64,
    daily_swing: f64,
    hours: f64,
    input_mean: u32,
    output_mean: u32,
    seed: u64,
) -> Result<Workload, SimError> {
    for (name, value) in [("the rate", rate_per_s), ("the hours", hours)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(SimError::setting(name, value, "above 0"));
        }
    }
    if !(0.0..=1.0).contains(&daily_swing) {
        return Err(SimError::setting("the daily swing", daily_swing, "0 to 1"));
    }
    let expected = rate_per_s * hours * 3600.0;
    if expected > MOST {
        return Err(SimError::setting(
            "the number of requests",
            expected.round(),
            "at most 50 million: take a lower rate or fewer hours",
        ));
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut exponential = |mean: f64| -(1.0 - random.f64()).ln() * mean;
    let duration_us = hours * 3.6e9;
    let mut arrivals = Vec::with_capacity((expected * 1.05) as usize + 16);
    let mut now_us = 0.0;
    loop {
        // The rate changes slowly against the gaps, so each gap takes the rate at its beginning.
        let phase = now_us / 86.4e9 * std::f64::consts::TAU;
        let rate = (rate_per_s * (1.0 + daily_swing * phase.sin())).max(1e-3 * rate_per_s);
        now_us += exponential(1e6 / rate);
        if now_us >= duration_us {
            break;
        }
        arrivals.push(Arrival {
            at_us: now_us as u64,
            input_tokens: exponential(f64::from(input_mean)).ceil().max(1.0) as u32,
            output_tokens: exponential(f64::from(output_mean)).ceil().max(1.0) as u32,
            ..Arrival::default()
        });
    }
    Ok(Workload {
        arrivals,
        duration_us: duration_us as u64,
        flows: vec!["generated".to_owned()],
        is_generated: true,
        ..Workload::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_lengths_are_what_was_asked_for() {
        let load = poisson(5.0, 0.5, 24.0, 800, 200, 3).unwrap();
        let count = load.arrivals.len() as f64;
        assert!((count / (5.0 * 86_400.0) - 1.0).abs() < 0.01, "{count}");
        let sum: f64 = load
            .arrivals
            .iter()
            .map(|arrival| f64::from(arrival.input_tokens))
            .sum();
        assert!((sum / count / 800.0 - 1.0).abs() < 0.02);
        assert!(load.is_generated && load.check().is_ok());
        assert_eq!(load, poisson(5.0, 0.5, 24.0, 800, 200, 3).unwrap());
    }

    #[test]
    fn absurd_numbers_are_told() {
        for (rate, swing, hours) in [
            (0.0, 0.0, 1.0),
            (1.0, 2.0, 1.0),
            (1.0, 0.0, f64::NAN),
            (1e9, 0.0, 1.0),
        ] {
            assert!(poisson(rate, swing, hours, 1, 1, 0).is_err());
        }
    }
}
