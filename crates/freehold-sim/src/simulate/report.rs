//! What a simulation tells.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::service::{Percentiles, Slo};

/// What a simulation tells. Same input and seed, same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests of the workload.
    pub requests: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that no replica can hold, however empty it is.
    pub rejected: u64,
    /// From the beginning to the last answer, seconds.
    pub seconds: f64,
    /// Tokens of prompts, those found in the prefix cache included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens of prompts that were found in a prefix cache, what preempted sequences found included.
    pub cached_tokens: u64,
    /// Tokens of prompts that replicas took in, again after preemptions and failures included.
    pub admitted_tokens: u64,
    /// Times a sequence had to give its cache away and compute it again.
    pub preemptions: u64,
    /// Replicas that broke.
    pub failures: u64,
    /// Requests that a broken replica lost, which began again elsewhere.
    pub restarts: u64,
    /// Replicas that were started after the beginning.
    pub starts: u64,
    /// Most replicas that were paid for at once.
    pub replicas_peak: u32,
    /// GPU-hours that were paid for: serving, loading, warm and broken ones.
    pub gpu_hours: f64,
    /// GPU-hours in which replicas worked.
    pub busy_gpu_hours: f64,
    /// GPU-hours in which replicas were ready and had nothing to do.
    pub idle_gpu_hours: f64,
    /// GPU-hours in which replicas were paid for and not ready: loading, warm or broken.
    pub not_ready_gpu_hours: f64,
    /// Share of paid GPU time in which replicas worked.
    pub utilisation: f64,
    /// Time to the first token.
    pub ttft_ms: Percentiles,
    /// Time per later token.
    pub tpot_ms: Percentiles,
    /// Time to the last token.
    pub e2e_ms: Percentiles,
    /// Share of requests served within the service level; rejected ones are not.
    pub slo_share: f64,
    /// Hour by hour.
    pub hours: Vec<Hour>,
}

/// One hour of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    /// Requests that came.
    pub requests: u64,
    /// Requests of them that were served within the service level.
    pub served_well: u64,
    /// Replicas that were ready, at the hour's first request.
    pub replicas: u32,
}

/// Microseconds to three digits, up to twelve days; sums for exact means.
struct Times {
    histogram: Histogram<u32>,
    sum_us: f64,
}

/// The longest time that is told apart, microseconds.
const LONGEST_US: u64 = 1_000_000_000_000;

impl Times {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Self {
            histogram: histogram.unwrap_or_else(|error| unreachable!("constant bounds: {error}")),
            sum_us: 0.0,
        }
    }

    #[inline]
    fn record(&mut self, time_us: f64) {
        self.sum_us += time_us;
        self.histogram.saturating_record(time_us.max(1.0) as u64);
    }

    fn percentiles(&self) -> Percentiles {
        let count = self.histogram.len();
        if count == 0 {
            return Percentiles::default();
        }
        let at = |share: f64| self.histogram.value_at_quantile(share) as f64 / 1e3;
        Percentiles {
            mean: self.sum_us / count as f64 / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
        }
    }
}

/// Gathers what ends.
pub(super) struct Tally {
    slo: Slo,
    ttft: Times,
    tpot: Times,
    e2e: Times,
    pub(super) completed: u64,
    pub(super) served_well: u64,
    pub(super) last_us: f64,
    pub(super) output_tokens: u64,
    pub(super) hours: Vec<Hour>,
}

/// Microseconds of an hour.
pub(super) const HOUR_US: u64 = 3_600_000_000;

impl Tally {
    pub(super) fn new(slo: Slo, duration_us: u64) -> Self {
        let hours = usize::try_from(duration_us / HOUR_US).unwrap_or(0) + 1;
        Self {
            slo,
            ttft: Times::new(),
            tpot: Times::new(),
            e2e: Times::new(),
            completed: 0,
            served_well: 0,
            last_us: 0.0,
            output_tokens: 0,
            hours: vec![Hour::default(); hours],
        }
    }

    /// A request has its answer.
    #[inline]
    pub(super) fn end(&mut self, at_us: u64, output: u32, first_us: f64, last_us: f64) {
        let arrival_us = at_us as f64;
        let ttft = first_us - arrival_us;
        let e2e = last_us - arrival_us;
        self.ttft.record(ttft);
        self.e2e.record(e2e);
        let mut tpot_ms = 0.0;
        if output > 1 {
            let tpot = (last_us - first_us) / f64::from(output - 1);
            self.tpot.record(tpot);
            tpot_ms = tpot / 1e3;
        }
        self.completed += 1;
        self.output_tokens += u64::from(output);
        self.last_us = self.last_us.max(last_us);
        if self.slo.is_kept(ttft / 1e3, tpot_ms, e2e / 1e3) {
            self.served_well += 1;
            if let Some(hour) = self.hours.get_mut((at_us / HOUR_US) as usize) {
                hour.served_well += 1;
            }
        }
    }

    pub(super) fn ttft(&self) -> Percentiles {
        self.ttft.percentiles()
    }

    pub(super) fn tpot(&self) -> Percentiles {
        self.tpot.percentiles()
    }

    pub(super) fn e2e(&self) -> Percentiles {
        self.e2e.percentiles()
    }
}
