//! How well requests are served: latencies, and what is asked of them.

use serde::{Deserialize, Serialize};

/// A distribution of times, milliseconds. All zero when there was nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: f64,
    /// 90 % are at most this.
    pub p90: f64,
    /// 95 % are at most this.
    pub p95: f64,
    /// 99 % are at most this.
    pub p99: f64,
}

impl Percentiles {
    /// Value by value between `self` (share 0) and `other` (share 1).
    #[must_use]
    pub fn between(&self, other: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * share;
        Self {
            mean: mix(self.mean, other.mean),
            p50: mix(self.p50, other.p50),
            p90: mix(self.p90, other.p90),
            p95: mix(self.p95, other.p95),
            p99: mix(self.p99, other.p99),
        }
    }
}

/// What is asked of the service. A request is served well when it keeps every limit that is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Time to the first token, milliseconds, waiting included.
    pub ttft_ms: Option<f64>,
    /// Mean time between the tokens of one answer, milliseconds.
    pub tpot_ms: Option<f64>,
    /// Time to the last token, milliseconds.
    pub e2e_ms: Option<f64>,
    /// Share of requests that must be served well, above 0 and at most 1.
    pub share: f64,
}

impl Default for Slo {
    /// An answer begins within 2 s and then comes as fast as people read: 50 ms a token, for 95 %.
    fn default() -> Self {
        Self {
            ttft_ms: Some(2_000.0),
            tpot_ms: Some(50.0),
            e2e_ms: None,
            share: 0.95,
        }
    }
}

impl Slo {
    /// Whether one request with these times is served well.
    #[must_use]
    pub fn is_kept(&self, ttft_ms: f64, tpot_ms: f64, e2e_ms: f64) -> bool {
        let keeps = |limit: Option<f64>, value: f64| limit.is_none_or(|limit| value <= limit);
        keeps(self.ttft_ms, ttft_ms) && keeps(self.tpot_ms, tpot_ms) && keeps(self.e2e_ms, e2e_ms)
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`crate::SimError::BadSetting`] when a limit or the share makes no sense.
    pub fn check(&self) -> Result<(), crate::SimError> {
        let limits = [
            ("slo.ttft_ms", self.ttft_ms),
            ("slo.tpot_ms", self.tpot_ms),
            ("slo.e2e_ms", self.e2e_ms),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit
                && !(limit.is_finite() && limit > 0.0)
            {
                return Err(crate::SimError::setting(name, limit, "a time above 0"));
            }
        }
        if self.share > 0.0 && self.share <= 1.0 {
            return Ok(());
        }
        Err(crate::SimError::setting(
            "slo.share",
            self.share,
            "a share above 0 and at most 1, such as 0.95",
        ))
    }
}
