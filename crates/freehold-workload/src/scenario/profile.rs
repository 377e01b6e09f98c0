//! How volume depends on the hour of the week.

use std::fmt;
use std::str::FromStr;

use crate::statistics::{HOUR_US, WEEK_HOURS, WorkloadStatistics, hour_of_week_at, real};

/// Relative volume in each hour of the week from Monday 0:00 UTC; the mean is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    name: String,
    weights: Vec<f64>,
}

impl Profile {
    /// The same volume always.
    #[must_use]
    pub fn flat() -> Self {
        Self::normalised("flat", vec![1.0; WEEK_HOURS])
    }

    /// People at work: busy from 9 to 17 on weekdays, a tenth of that at night and on weekends. An
    /// assumption, not a measurement; its peak is 2.9 times its mean.
    #[must_use]
    pub fn office() -> Self {
        const DAY: [f64; 24] = [
            0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.4, 0.8, 1.2, 1.4, 1.4, 1.1, 1.2, 1.4, 1.4,
            1.2, 0.9, 0.5, 0.3, 0.25, 0.2, 0.15, 0.15,
        ];
        let week = (0..WEEK_HOURS).map(|hour| if hour / 24 < 5 { DAY[hour % 24] } else { 0.15 });
        Self::normalised("office", week.collect())
    }

    /// People at home: a wave with its top at 20 and its bottom at 8, a tenth more on weekends. An
    /// assumption, not a measurement; its peak is 1.7 times its mean.
    #[must_use]
    pub fn consumer() -> Self {
        // 1 + 0.6 cos((hour - 20) / 24 of a turn).
        const DAY: [f64; 24] = [
            1.30, 1.16, 1.00, 0.84, 0.70, 0.58, 0.48, 0.42, 0.40, 0.42, 0.48, 0.58, 0.70, 0.84,
            1.00, 1.16, 1.30, 1.42, 1.52, 1.58, 1.60, 1.58, 1.52, 1.42,
        ];
        let week = (0..WEEK_HOURS).map(|hour| {
            let day = if hour / 24 < 5 { 1.0 } else { 1.1 };
            day * DAY[hour % 24]
        });
        Self::normalised("consumer", week.collect())
    }

    /// 24 numbers for the hours of any day, or 168 for those of a week from Monday 0:00 UTC.
    /// Nothing for another count, negative numbers, or nothing but noughts.
    #[must_use]
    pub fn of_weights(weights: &[f64]) -> Option<Self> {
        let is_sane = weights
            .iter()
            .all(|weight| weight.is_finite() && *weight >= 0.0);
        if !is_sane || weights.iter().sum::<f64>() <= 0.0 {
            return None;
        }
        let week = match weights.len() {
            24 => weights.repeat(7),
            WEEK_HOURS => weights.to_vec(),
            _ => return None,
        };
        Some(Self::normalised("given hours", week))
    }

    /// What another workload shows; hours that it does not cover are as its mean. Nothing when it has
    /// no dates, or covers no hour.
    #[must_use]
    pub fn of_statistics(told: &WorkloadStatistics) -> Option<Self> {
        let hours = told.hour_of_week.as_ref()?;
        let known: Vec<f64> = hours.iter().flatten().copied().collect();
        let mean = known.iter().sum::<f64>() / real(known.len().max(1) as u64);
        let week: Vec<f64> = hours.iter().map(|hour| hour.unwrap_or(mean)).collect();
        Some(Self {
            name: "another record's hours".to_owned(),
            ..Self::of_weights(&week)?
        })
    }

    fn normalised(name: &str, mut weights: Vec<f64>) -> Self {
        let mean = weights.iter().sum::<f64>() / real(weights.len() as u64);
        for weight in &mut weights {
            *weight /= mean;
        }
        Self {
            name: name.to_owned(),
            weights,
        }
    }

    pub(super) fn weight(&self, hour: usize) -> f64 {
        self.weights[hour % WEEK_HOURS]
    }

    /// The busiest hour over the mean.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.weights.iter().copied().fold(0.0, f64::max)
    }

    /// Each hour of the week from Monday 0:00 UTC, over the mean.
    #[must_use]
    pub fn hours(&self) -> &[f64] {
        &self.weights
    }

    /// The mean weight between two moments.
    pub(super) fn mean_between(&self, from_us: u64, until_us: u64) -> f64 {
        let week_us = WEEK_HOURS as u64 * HOUR_US;
        let until_us = until_us.max(from_us + 1);
        // Whole weeks have a mean of 1.
        let whole = (until_us - from_us) / week_us;
        let mut sum = real(whole * week_us);
        let mut at_us = from_us + whole * week_us;
        while at_us < until_us {
            let next_us = ((at_us / HOUR_US + 1) * HOUR_US).min(until_us);
            sum += self.weight(hour_of_week_at(at_us)) * real(next_us - at_us);
            at_us = next_us;
        }
        // A record whose hours have no weight at all cannot be scaled by it.
        (sum / real(until_us - from_us)).max(1e-3)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "flat" => Ok(Self::flat()),
            "office" => Ok(Self::office()),
            "consumer" => Ok(Self::consumer()),
            numbers => {
                let numbers: Result<Vec<f64>, _> = numbers
                    .split(',')
                    .map(|number| number.trim().parse())
                    .collect();
                let profile = numbers.ok().and_then(|numbers| Self::of_weights(&numbers));
                profile.ok_or_else(|| {
                    "write office, consumer, flat, or 24 or 168 numbers with commas between"
                        .to_owned()
                })
            }
        }
    }
}
