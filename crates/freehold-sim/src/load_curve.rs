//! How many GPUs a load takes and how well it is then served, worked out beforehand.
//!
//! A simulation takes seconds, a Monte Carlo asks a thousand times: so a workload is simulated at a
//! few loads once, and [`LoadCurve::at`] reads between them.

mod build;
mod scale;

use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::service::Percentiles;

pub use build::{CurveInput, CurveSettings};

/// What one load takes, with the smallest fleet that keeps the service level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPoint {
    /// Times the workload's own traffic; 1 is the traffic as it was recorded.
    pub load: f64,
    /// Mean requests per second.
    pub requests_per_s: f64,
    /// Mean tokens written per second.
    pub output_tokens_per_s: f64,
    /// Replicas at the busiest moment, spares for failures included: what must be bought.
    pub replicas_peak: u32,
    /// GPUs at the busiest moment: replicas times the GPUs of one.
    pub gpus_peak: u32,
    /// GPUs paid for on average: below `gpus_peak` when the fleet scales with the load.
    pub gpus_mean: f64,
    /// Busy share of the GPU time that is paid for, 0 to 1.
    pub utilisation: f64,
    /// Time to the first token.
    pub ttft_ms: Percentiles,
    /// Time per later token.
    pub tpot_ms: Percentiles,
    /// Time to the last token.
    pub e2e_ms: Percentiles,
    /// Share of requests served within the service level, 0 to 1.
    pub slo_share: f64,
    /// Whether that share is what was asked for.
    pub meets_slo: bool,
}

/// What loads take, from small to large.
///
/// Reading it costs a binary search. Three rules for those who draw from it:
/// * a machine that is slower than thought by a factor `s` at load `x` needs what this curve says
///   about load `x / s` (`s < 1`); latencies then are too low by about `1 / s`;
/// * below the smallest load the fleet does not shrink further; above the largest it grows in
///   proportion, and [`LoadCurve::covers`] says so;
/// * GPU counts are whole replicas: between two points the count is rounded up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadCurve {
    /// GPUs of one replica.
    gpus_per_replica: u32,
    points: Vec<LoadPoint>,
}

impl LoadCurve {
    /// A curve through points that somebody measured or simulated.
    ///
    /// # Errors
    /// [`SimError::BadSetting`] when there is no point, or loads are not above 0 and rising.
    pub fn from_points(gpus_per_replica: u32, points: Vec<LoadPoint>) -> Result<Self, SimError> {
        if points.is_empty() {
            return Err(SimError::setting("the number of loads", 0.0, "at least 1"));
        }
        if gpus_per_replica == 0 {
            return Err(SimError::setting("gpus_per_replica", 0.0, "at least 1"));
        }
        let mut last = 0.0;
        for point in &points {
            if !(point.load.is_finite() && point.load > last) {
                let must_be = "a number above 0 and above the load before it";
                return Err(SimError::setting("a load", point.load, must_be));
            }
            last = point.load;
        }
        Ok(Self {
            gpus_per_replica,
            points,
        })
    }

    /// GPUs of one replica.
    #[must_use]
    pub fn gpus_per_replica(&self) -> u32 {
        self.gpus_per_replica
    }

    /// The loads that were simulated, rising.
    #[must_use]
    pub fn points(&self) -> &[LoadPoint] {
        &self.points
    }

    /// Whether a load lies within what was simulated; outside, [`LoadCurve::at`] extrapolates.
    #[must_use]
    pub fn covers(&self, load: f64) -> bool {
        let first = self.points[0].load;
        let last = self.points[self.points.len() - 1].load;
        (first..=last).contains(&load)
    }

    /// What `load` times the workload takes. A load that is no number above 0 counts as the smallest.
    #[must_use]
    pub fn at(&self, load: f64) -> LoadPoint {
        let first = &self.points[0];
        let last = &self.points[self.points.len() - 1];
        if load.is_nan() || load <= first.load {
            return self.below(first, load);
        }
        if load >= last.load {
            return self.above(last, load);
        }
        let upper = self.points.partition_point(|point| point.load <= load);
        let (low, high) = (&self.points[upper - 1], &self.points[upper]);
        let share = (load - low.load) / (high.load - low.load);
        let mix = |a: f64, b: f64| a + (b - a) * share;
        let replicas = mix(f64::from(low.replicas_peak), f64::from(high.replicas_peak));
        let gpus_mean = mix(low.gpus_mean, high.gpus_mean);
        let busy = mix(low.busy_gpus(), high.busy_gpus());
        LoadPoint {
            ttft_ms: low.ttft_ms.between(&high.ttft_ms, share),
            tpot_ms: low.tpot_ms.between(&high.tpot_ms, share),
            e2e_ms: low.e2e_ms.between(&high.e2e_ms, share),
            slo_share: mix(low.slo_share, high.slo_share),
            meets_slo: low.meets_slo && high.meets_slo,
            requests_per_s: mix(low.requests_per_s, high.requests_per_s),
            output_tokens_per_s: mix(low.output_tokens_per_s, high.output_tokens_per_s),
            ..self.sized(low, load, replicas, gpus_mean, busy)
        }
    }

    /// Less than the smallest load: the same fleet, less busy.
    fn below(&self, first: &LoadPoint, load: f64) -> LoadPoint {
        let load = if load > 0.0 { load } else { first.load };
        let share = load / first.load;
        LoadPoint {
            load,
            requests_per_s: first.requests_per_s * share,
            output_tokens_per_s: first.output_tokens_per_s * share,
            utilisation: first.utilisation * share,
            ..*first
        }
    }

    /// More than the largest load: the same machines, more of them.
    fn above(&self, last: &LoadPoint, load: f64) -> LoadPoint {
        let growth = load / last.load;
        let replicas = f64::from(last.replicas_peak) * growth;
        LoadPoint {
            requests_per_s: last.requests_per_s * growth,
            output_tokens_per_s: last.output_tokens_per_s * growth,
            ..self.sized(
                last,
                load,
                replicas,
                last.gpus_mean * growth,
                last.busy_gpus() * growth,
            )
        }
    }

    /// `like` at another load, with whole replicas. A fleet that does not scale pays for what it has.
    fn sized(&self, like: &LoadPoint, load: f64, replicas: f64, mean: f64, busy: f64) -> LoadPoint {
        // A hair below the whole number is the whole number: these are differences of sums.
        let replicas_peak = (replicas - 1e-9).ceil().max(1.0) as u32;
        let gpus_peak = replicas_peak.saturating_mul(self.gpus_per_replica);
        let is_fixed = like.gpus_mean >= f64::from(like.gpus_peak) - 1e-9;
        let gpus_mean = if is_fixed { f64::from(gpus_peak) } else { mean };
        LoadPoint {
            load,
            replicas_peak,
            gpus_peak,
            gpus_mean,
            utilisation: (busy / gpus_mean).min(1.0),
            ..*like
        }
    }
}

impl LoadPoint {
    /// GPUs' worth of busy time.
    #[must_use]
    pub fn busy_gpus(&self) -> f64 {
        self.utilisation * self.gpus_mean
    }
}

#[cfg(test)]
#[path = "load_curve_tests.rs"]
mod tests;
