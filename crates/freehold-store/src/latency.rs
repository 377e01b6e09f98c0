//! How long requests took, as counts in fixed buckets: they add up over hours, and quantiles come
//! out of the sum.

/// Upper bounds of the buckets in milliseconds; what took longer is in one more bucket.
pub(crate) const BOUNDS_MS: [u32; 18] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 500_000,
];
pub(crate) const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// Counts per bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) counts: [u64; BUCKETS],
}

impl Latency {
    pub(crate) fn record(&mut self, duration_us: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| u64::from(*bound) * 1_000 < duration_us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// The estimated quantile in milliseconds: exact to its bucket, interpolated within it. `None`
    /// when nothing was counted.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(crate) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = quantile * total as f64;
        let mut below = 0.0;
        for (bucket, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let lower = bucket.checked_sub(1).and_then(|at| BOUNDS_MS.get(at));
                let lower = lower.map_or(0.0, |bound| f64::from(*bound));
                let Some(upper) = BOUNDS_MS.get(bucket) else {
                    return Some(lower);
                };
                let share = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(lower + share * (f64::from(*upper) - lower));
            }
            below += count;
        }
        BOUNDS_MS.last().map(|bound| f64::from(*bound))
    }
}
