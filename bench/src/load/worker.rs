//! What all loops share: the clock of a run, its counters, and the server's CPU time in the measured window.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{
    Load,
    client::{Failure, Timing},
    report::{Report, Summary},
};
use crate::process::Process;

/// Latencies up to a minute, to three digits.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// The measurements of a run.
pub(crate) struct Recorder {
    pub(crate) window: Window,
    /// Requests left to start.
    left: u64,
    latency: Histogram<u64>,
    first: Histogram<u64>,
    gap: Histogram<u64>,
    requests: u64,
    events: u64,
    failures: BTreeMap<Failure, u64>,
}

/// Only what ends between these moments counts.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// A recorder that the tasks of a run share.
pub(crate) type Shared = Rc<RefCell<Recorder>>;

impl Recorder {
    pub(crate) fn new(load: &Load) -> anyhow::Result<Shared> {
        let from = Instant::now() + load.warmup;
        let histogram = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Ok(Rc::new(RefCell::new(Self {
            window: Window {
                from,
                until: from + load.duration,
            },
            left: load.requests_max,
            latency: histogram()?,
            first: histogram()?,
            gap: histogram()?,
            requests: 0,
            events: 0,
            failures: BTreeMap::new(),
        })))
    }

    /// Takes the right to start a request; `false` when the run is over.
    pub(crate) fn may_start(&mut self) -> bool {
        let may = self.left > 0 && Instant::now() < self.window.until;
        self.left -= u64::from(may);
        may
    }

    /// Records a request that was to start at `intended`, which is when it was sent in a closed loop.
    pub(crate) fn record(&mut self, result: Result<Timing, Failure>, waited: Duration) {
        let now = Instant::now();
        if now < self.window.from || now > self.window.until {
            return;
        }
        match result {
            Ok(timing) => {
                self.requests += 1;
                self.events += timing.events;
                self.latency
                    .saturating_record(nanoseconds(waited + timing.total));
                self.first
                    .saturating_record(nanoseconds(waited + timing.first));
                for gap in timing.gaps {
                    self.gap.saturating_record(nanoseconds(gap));
                }
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }

    /// Failures so far.
    pub(crate) fn failures(&self) -> BTreeMap<Failure, u64> {
        self.failures.clone()
    }

    /// Counts requests that the run's end left without an answer.
    pub(crate) fn abandon(&mut self, count: u64) {
        if count > 0 {
            *self.failures.entry(Failure::Timeout).or_default() += count;
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(LATENCY_NS_MAX)
}

/// What the server used in the measured window.
struct Usage {
    cpu: Option<Duration>,
    resident_bytes: Option<u64>,
    elapsed: Duration,
}

/// Waits for the window, and for its end or `done`; the report follows from what was recorded meanwhile.
pub(crate) async fn measure(
    recorder: &Shared,
    server: Option<Process>,
    done: impl Future<Output = ()>,
) -> anyhow::Result<Report> {
    let window = recorder.borrow().window;
    let mut done = std::pin::pin!(done);
    let over = tokio::select! {
        () = tokio::time::sleep_until(window.from) => false,
        () = &mut done => true,
    };
    let start = Instant::now();
    let before = server.map(Process::cpu_time).transpose()?;
    if !over {
        tokio::select! {
            () = tokio::time::sleep_until(window.until) => {}
            () = done => {}
        }
    }
    let elapsed = start.elapsed();
    let after = server.map(Process::cpu_time).transpose()?;
    let cpu = after
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    let resident_bytes = server.map(Process::resident_bytes).transpose()?;
    Ok(report(
        &recorder.borrow(),
        &Usage {
            cpu,
            resident_bytes,
            elapsed,
        },
    ))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and microseconds stay far below 2^52"
)]
fn report(recorder: &Recorder, usage: &Usage) -> Report {
    let seconds = usage.elapsed.as_secs_f64();
    let cpu_us = usage.cpu.map(|cpu| cpu.as_secs_f64() * 1e6);
    let per = |count: u64| {
        cpu_us
            .filter(|_| count > 0)
            .map(|cpu_us| cpu_us / count as f64)
    };
    Report {
        seconds,
        requests: recorder.requests,
        requests_per_s: recorder.requests as f64 / seconds,
        events: recorder.events,
        failures: recorder.failures.clone(),
        latency: Summary::of(&recorder.latency),
        first_byte: Summary::of(&recorder.first),
        inter_token: (!recorder.gap.is_empty()).then(|| Summary::of(&recorder.gap)),
        cpu_us_per_request: per(recorder.requests),
        cpu_us_per_event: per(recorder.events),
        server_cores_used: usage.cpu.map(|cpu| cpu.as_secs_f64() / seconds),
        server_resident_mib: usage
            .resident_bytes
            .map(|bytes| bytes as f64 / f64::from(1 << 20)),
    }
}
