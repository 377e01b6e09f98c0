//! The e-detector: a sum, over all moments at which a change may have begun, of the evidence since then.

use crate::betting::{Against, STAKES, log_capital, log_factors};

/// Watches whether a mean leaves its bound.
///
/// With `L` the factor by which a run multiplies the capital of a bet against "the mean is within its bound", the
/// Shiryaev-Roberts recursion is `M = L (1 + M)`, for each stake. As long as the mean of `L` given the past is at most 1,
/// `M` minus the number of runs is a supermartingale, so that the mean number of runs until `M` reaches `c` is at
/// least `c` (Shin, Ramdas and Rinaldo 2023). The mean over stakes is again such an `M`.
///
/// `L` of a run is the product over its probes. Probes have means of their own; their answers do not depend on each other.
/// Then the mean of the product is the product of `1 + l (mean - bound)`, which is at most 1 when the *average* of the
/// means is within the bound, by the inequality of the means.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    bound: f64,
    against: Against,
    /// Logarithms of `M`, by stake; 0 runs have a sum of nothing.
    sums: [f64; STAKES],
    /// CUSUM: the most evidence of any beginning, and which run that is.
    best: [(f64, usize); STAKES],
    runs: usize,
}

impl Detector {
    pub(super) fn new(bound: f64, against: Against) -> Self {
        Self {
            bound,
            against,
            sums: [f64::NEG_INFINITY; STAKES],
            best: [(f64::NEG_INFINITY, 0); STAKES],
            runs: 0,
        }
    }

    /// One more run of the probes: by how much each differs from what is usual, from -1 to 1.
    pub(super) fn run(&mut self, differences: &[f64]) {
        let mut logs = [0.0; STAKES];
        for difference in differences {
            let factors = log_factors(difference.clamp(-1.0, 1.0), self.bound, self.against);
            for (log, factor) in logs.iter_mut().zip(factors) {
                *log += factor;
            }
        }
        for ((sum, best), log) in self.sums.iter_mut().zip(&mut self.best).zip(logs) {
            *sum = log + log_one_plus(*sum);
            if best.0 <= 0.0 {
                *best = (log, self.runs);
            } else {
                best.0 += log;
            }
        }
        self.runs += 1;
    }

    /// The logarithm of the evidence that it has changed at some moment.
    pub(super) fn log_evidence(&self) -> f64 {
        if self.runs == 0 {
            return f64::NEG_INFINITY;
        }
        log_capital(&self.sums)
    }

    /// The run, of those it was shown, at which a change is likeliest to have begun.
    pub(super) fn since(&self) -> usize {
        let best = self.best.iter();
        let best = best.max_by(|first, second| first.0.total_cmp(&second.0));
        best.map_or(0, |(_, since)| *since)
    }
}

/// `ln(1 + e^x)`, also where that is too large for a number.
fn log_one_plus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_beginnings_is_what_the_recursion_says() {
        let runs = [0.3, -0.2, 0.6, 0.5];
        let mut detector = Detector::new(0.1, Against::AtMost);
        for x in runs {
            detector.run(&[x, x / 2.0]);
        }
        let mut sums = [0.0; STAKES];
        for begin in 0..runs.len() {
            let mut product = [0.0; STAKES];
            for x in &runs[begin..] {
                for x in [*x, x / 2.0] {
                    for (log, factor) in
                        product.iter_mut().zip(log_factors(x, 0.1, Against::AtMost))
                    {
                        *log += factor;
                    }
                }
            }
            for (sum, log) in sums.iter_mut().zip(product) {
                *sum += log.exp();
            }
        }
        let wanted: f64 = sums.iter().sum::<f64>() / sums.len() as f64;
        assert!((detector.log_evidence().exp() - wanted).abs() < 1e-9);
        // The second run spoke against a change, so it begins with the third.
        assert_eq!(detector.since(), 2);
    }

    #[test]
    fn endless_evidence_is_a_number() {
        let mut detector = Detector::new(0.0, Against::AtMost);
        assert!(detector.log_evidence().is_infinite());
        for _ in 0..100 {
            detector.run(&[1.0; 1_000]);
        }
        assert!(detector.log_evidence() > 1_000.0 && detector.log_evidence().is_finite());
        assert_eq!(detector.since(), 0);
    }
}
