//! The fleet: which replica gets a request, and which replicas there are.

use freehold_workload::{Arrival, NO_SESSION};

use super::replica::{Ended, Replica, Shared, input_of, output_of};
use super::report::{HOUR_US, Report, Tally};
use super::settings::{Autoscaler, Fleet, Routing, Scaling};
use crate::service::Slo;

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It serves.
    Ready,
    /// It finishes what it has and is then given back.
    Draining,
    /// It starts, loads or is repaired until then.
    NotReady { until_us: f64 },
    /// It has been given back.
    Gone,
}

/// One machine.
struct Unit {
    replica: Replica,
    state: State,
    /// Since when it has been paid for.
    since_us: f64,
    /// Since when it has not been ready.
    not_ready_since_us: f64,
    fails_us: f64,
}

/// What the autoscaler remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// Since when the load has asked for fewer replicas; nothing when it does not.
    low_since_us: Option<f64>,
    /// The most replicas that it has asked for since then.
    low_most: u32,
    warm: u32,
}

pub(super) struct Drive<'a> {
    shared: &'a Shared<'a>,
    gpus: u32,
    fleet: Fleet,
    random: fastrand::Rng,
    units: Vec<Unit>,
    /// Machines that serve, and those that still have work.
    ready: Vec<usize>,
    active: Vec<usize>,
    tally: Tally,
    unrouted: Vec<u32>,
    cursor: usize,
    /// When the next thing happens that is no request.
    control_us: f64,
    tick_us: f64,
    memory: Memory,
    rejected: u64,
    failures: u64,
    restarts: u64,
    starts: u64,
    replicas_peak: u32,
    /// Paid machine time of machines given back, and machine time not ready, microseconds.
    paid_us: f64,
    not_ready_us: f64,
    /// Since when so many warm machines have been paid for.
    warm_since_us: f64,
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        shared: &'a Shared<'a>,
        gpus: u32,
        fleet: &Fleet,
        slo: Slo,
        seed: u64,
    ) -> Self {
        let mut drive = Self {
            shared,
            gpus,
            fleet: *fleet,
            random: fastrand::Rng::with_seed(seed),
            units: Vec::new(),
            ready: Vec::new(),
            active: Vec::new(),
            tally: Tally::new(slo, shared.workload.duration_us),
            unrouted: Vec::new(),
            cursor: 0,
            control_us: f64::INFINITY,
            tick_us: f64::INFINITY,
            memory: Memory::default(),
            rejected: 0,
            failures: 0,
            restarts: 0,
            starts: 0,
            replicas_peak: 0,
            paid_us: 0.0,
            not_ready_us: 0.0,
            warm_since_us: 0.0,
        };
        let first = match fleet.scaling {
            Scaling::Fixed(count) => count,
            Scaling::Auto(auto) => {
                drive.tick_us = auto.interval_s * 1e6;
                drive.memory.warm = auto.warm;
                auto.replicas_min
                    .max(auto.replicas_begin.min(auto.replicas_max))
            }
        };
        for _ in 0..first {
            drive.add(0.0, 0.0);
        }
        drive.refresh(0.0);
        drive
    }

    pub(super) fn run(mut self) -> Report {
        let shared = self.shared;
        let mut hour_end_us = 0;
        for (index, arrival) in shared.workload.arrivals.iter().enumerate() {
            let now_us = arrival.at_us as f64;
            while self.control_us <= now_us {
                self.control(self.control_us);
            }
            self.advance(now_us);
            if arrival.at_us >= hour_end_us {
                hour_end_us = (arrival.at_us / HOUR_US + 1) * HOUR_US;
                self.note_replicas(arrival.at_us);
            }
            if let Some(hour) = self.tally.hours.get_mut((arrival.at_us / HOUR_US) as usize) {
                hour.requests += 1;
            }
            if shared.can_serve(arrival) {
                self.offer(index as u32, now_us);
            } else {
                self.rejected += 1;
            }
        }
        self.drain();
        self.report()
    }

    fn note_replicas(&mut self, at_us: u64) {
        let ready = self.ready.len() as u32;
        if let Some(hour) = self.tally.hours.get_mut((at_us / HOUR_US) as usize) {
            hour.replicas = ready;
        }
    }

    /// Lets what is left end.
    fn drain(&mut self) {
        let total = self.shared.workload.arrivals.len() as u64;
        loop {
            let control_us = self.control_us;
            self.advance(control_us);
            if self.tally.completed + self.rejected >= total || control_us.is_infinite() {
                return;
            }
            self.control(control_us);
        }
    }

    /// Lets every replica work until now.
    #[inline]
    fn advance(&mut self, now_us: f64) {
        let (shared, tally) = (self.shared, &mut self.tally);
        let mut told = |ended: Ended| {
            let arrival = &shared.workload.arrivals[ended.request as usize];
            tally.end(
                arrival.at_us,
                output_of(arrival),
                ended.first_us,
                ended.last_us,
            );
        };
        for unit in &self.active {
            let replica = &mut self.units[*unit].replica;
            if replica.next_us() <= now_us && replica.next_us().is_finite() {
                replica.advance(shared, now_us, &mut told);
            }
        }
    }

    /// Gives a request to a replica.
    #[inline]
    fn offer(&mut self, request: u32, now_us: f64) {
        if self.ready.is_empty() {
            self.unrouted.push(request);
            return;
        }
        let unit = self.route(&self.shared.workload.arrivals[request as usize]);
        self.units[unit].replica.push(self.shared, request, now_us);
    }

    fn route(&mut self, arrival: &Arrival) -> usize {
        self.cursor += 1;
        if self.cursor >= self.ready.len() {
            self.cursor = 0;
        }
        match self.fleet.routing {
            Routing::RoundRobin => self.ready[self.cursor],
            Routing::LeastLoaded => self.least_loaded(),
            Routing::PrefixAffine => self.affine(arrival).unwrap_or_else(|| self.least_loaded()),
        }
    }

    fn outstanding(&self, unit: usize) -> usize {
        self.units[unit].replica.outstanding()
    }

    /// Begins at another one each time, so that equals take turns.
    fn least_loaded(&self) -> usize {
        let (before, after) = self.ready.split_at(self.cursor);
        let mut best = after[0];
        let mut fewest = self.outstanding(best);
        for unit in after[1..].iter().chain(before) {
            let outstanding = self.outstanding(*unit);
            if outstanding < fewest {
                fewest = outstanding;
                best = *unit;
            }
        }
        best
    }

    /// The replica that the same conversation or beginning goes to (rendezvous hashing), unless it is
    /// overloaded; nothing when the request says neither.
    fn affine(&self, arrival: &Arrival) -> Option<usize> {
        let key = if arrival.session == NO_SESSION {
            *self.shared.workload.prefix_of(arrival).first()?
        } else {
            u64::from(arrival.session)
        };
        let unit = *self
            .ready
            .iter()
            .max_by_key(|unit| mixed(key ^ mixed(**unit as u64 + 1)))?;
        let total: usize = self.ready.iter().map(|unit| self.outstanding(*unit)).sum();
        let limit = 2 * total / self.ready.len() + 4;
        (self.outstanding(unit) <= limit).then_some(unit)
    }

    /// A machine begins to be paid for, and serves from `ready_us` on.
    fn add(&mut self, now_us: f64, ready_us: f64) {
        let is_ready = ready_us <= now_us;
        let state = if is_ready {
            State::Ready
        } else {
            State::NotReady { until_us: ready_us }
        };
        let fails_us = self.next_failure(ready_us);
        self.units.push(Unit {
            replica: Replica::new(ready_us),
            state,
            since_us: now_us,
            not_ready_since_us: now_us,
            fails_us,
        });
    }

    /// When a machine that is ready at `from_us` breaks: exponential.
    fn next_failure(&mut self, from_us: f64) -> f64 {
        let Some(failures) = self.fleet.failures else {
            return f64::INFINITY;
        };
        let share = 1.0 - self.random.f64();
        from_us - share.ln() * failures.every_hours * HOUR_US as f64
    }

    /// Recomputes who serves and when something happens next.
    fn refresh(&mut self, now_us: f64) {
        self.ready.clear();
        self.active.clear();
        self.control_us = self.tick_us;
        let mut paid = self.memory.warm;
        for (index, unit) in self.units.iter().enumerate() {
            match unit.state {
                State::Ready => {
                    self.ready.push(index);
                    self.active.push(index);
                    self.control_us = self.control_us.min(unit.fails_us);
                    paid += 1;
                }
                State::Draining => {
                    self.active.push(index);
                    paid += 1;
                }
                State::NotReady { until_us } => {
                    self.control_us = self.control_us.min(until_us);
                    paid += 1;
                }
                State::Gone => {}
            }
        }
        self.replicas_peak = self.replicas_peak.max(paid);
        if !self.ready.is_empty() {
            for request in std::mem::take(&mut self.unrouted) {
                self.offer(request, now_us);
            }
        }
    }

    /// Something happens that is no request.
    fn control(&mut self, now_us: f64) {
        self.advance(now_us);
        for index in 0..self.units.len() {
            let unit = &mut self.units[index];
            match unit.state {
                State::NotReady { until_us } if until_us <= now_us => {
                    unit.state = State::Ready;
                    self.not_ready_us += until_us - unit.not_ready_since_us;
                    let counts = unit.replica.counts;
                    unit.replica = Replica::new(until_us);
                    unit.replica.counts = counts;
                }
                State::Ready if unit.fails_us <= now_us => self.fail(index, now_us),
                State::Draining if unit.replica.outstanding() == 0 => self.give_back(index, now_us),
                _ => {}
            }
        }
        if self.tick_us <= now_us {
            self.tick(now_us);
        }
        self.refresh(now_us);
    }

    fn fail(&mut self, index: usize, now_us: f64) {
        let repair_us = self
            .fleet
            .failures
            .map_or(0.0, |failures| failures.repair_s * 1e6);
        let until_us = now_us + repair_us;
        let fails_us = self.next_failure(until_us);
        let unit = &mut self.units[index];
        let lost = unit.replica.fail(now_us);
        unit.state = State::NotReady { until_us };
        unit.not_ready_since_us = now_us;
        unit.fails_us = fails_us;
        self.failures += 1;
        self.restarts += lost.len() as u64;
        self.unrouted.extend(lost);
    }

    fn give_back(&mut self, index: usize, now_us: f64) {
        let unit = &mut self.units[index];
        unit.replica.count_idle(now_us);
        unit.replica.forget();
        unit.state = State::Gone;
        self.paid_us += now_us - unit.since_us;
    }

    /// The autoscaler looks.
    fn tick(&mut self, now_us: f64) {
        let Scaling::Auto(auto) = self.fleet.scaling else {
            self.tick_us = f64::INFINITY;
            return;
        };
        self.tick_us = now_us + auto.interval_s * 1e6;
        let serving = self.units.iter().filter(|unit| unit.state == State::Ready);
        let outstanding: usize = serving.map(|unit| unit.replica.outstanding()).sum();
        let outstanding = outstanding + self.unrouted.len();
        let wanted = (outstanding as f64 / auto.target_outstanding).ceil() as u32;
        let wanted = wanted.clamp(auto.replicas_min, auto.replicas_max);
        let counted = |unit: &&Unit| matches!(unit.state, State::Ready | State::NotReady { .. });
        let current = self.units.iter().filter(counted).count() as u32;
        if wanted >= current {
            self.memory.low_since_us = None;
            for _ in current..wanted {
                self.start(&auto, now_us);
            }
            return;
        }
        let since_us = *self.memory.low_since_us.get_or_insert(now_us);
        if since_us == now_us {
            self.memory.low_most = wanted;
        }
        self.memory.low_most = self.memory.low_most.max(wanted);
        if now_us - since_us >= auto.cool_down_s * 1e6 {
            self.stop(current - self.memory.low_most, now_us);
            self.memory.low_since_us = None;
        }
    }

    /// Starts a replica: a warm one when there is one, which is replaced by a new one.
    fn start(&mut self, auto: &Autoscaler, now_us: f64) {
        self.starts += 1;
        let delay_s = if self.memory.warm > 0 {
            auto.warm_start_s
        } else {
            auto.load_s
        };
        // The pool's machine serves, and a new one takes its place in the pool once it has loaded:
        // the number of warm machines that are paid for stays the same, the number ready drops.
        if self.memory.warm > 0 {
            self.memory.warm -= 1;
            self.add(now_us, now_us + delay_s * 1e6);
            self.pay_warm(now_us, self.memory.warm + 1);
        } else {
            self.add(now_us, now_us + delay_s * 1e6);
        }
    }

    /// Accounts for warm machines up to now, of which there were so many.
    fn pay_warm(&mut self, now_us: f64, count: u32) {
        let time_us = (now_us - self.warm_since_us) * f64::from(count);
        self.paid_us += time_us;
        self.not_ready_us += time_us;
        self.warm_since_us = now_us;
    }

    /// Stops so many replicas, those with the least to do first; they refill the warm pool.
    fn stop(&mut self, count: u32, now_us: f64) {
        let warm = match self.fleet.scaling {
            Scaling::Auto(auto) => auto.warm,
            Scaling::Fixed(_) => 0,
        };
        let mut serving: Vec<usize> = (0..self.units.len())
            .filter(|index| self.units[*index].state == State::Ready)
            .collect();
        serving.sort_by_key(|index| (self.outstanding(*index), *index));
        for index in serving.into_iter().take(count as usize) {
            self.units[index].state = State::Draining;
            if self.memory.warm < warm {
                self.pay_warm(now_us, self.memory.warm);
                self.memory.warm += 1;
            }
            if self.outstanding(index) == 0 {
                self.give_back(index, now_us);
            }
        }
    }

    fn report(mut self) -> Report {
        let workload = self.shared.workload;
        let end_us = self.tally.last_us.max(workload.duration_us as f64);
        self.pay_warm(end_us, self.memory.warm);
        let mut totals = super::replica::Counts::default();
        for unit in &mut self.units {
            match unit.state {
                State::Gone => {}
                State::NotReady { .. } => {
                    self.paid_us += end_us - unit.since_us;
                    self.not_ready_us += end_us - unit.not_ready_since_us;
                }
                State::Ready | State::Draining => {
                    unit.replica.count_idle(end_us);
                    self.paid_us += end_us - unit.since_us;
                }
            }
            let counts = unit.replica.counts;
            totals.busy_us += counts.busy_us;
            totals.idle_us += counts.idle_us;
            totals.preemptions += counts.preemptions;
            totals.prompt_tokens += counts.prompt_tokens;
            totals.cached_tokens += counts.cached_tokens;
        }
        let requests = workload.arrivals.len() as u64;
        let hours = |time_us: f64| time_us * f64::from(self.gpus) / HOUR_US as f64;
        Report {
            requests,
            completed: self.tally.completed,
            rejected: self.rejected,
            seconds: end_us / 1e6,
            input_tokens: workload
                .arrivals
                .iter()
                .map(|arrival| u64::from(input_of(arrival)))
                .sum(),
            output_tokens: self.tally.output_tokens,
            cached_tokens: totals.cached_tokens,
            admitted_tokens: totals.prompt_tokens,
            preemptions: totals.preemptions,
            failures: self.failures,
            restarts: self.restarts,
            starts: self.starts,
            replicas_peak: self.replicas_peak,
            gpu_hours: hours(self.paid_us),
            busy_gpu_hours: hours(totals.busy_us),
            idle_gpu_hours: hours(totals.idle_us),
            not_ready_gpu_hours: hours(self.not_ready_us),
            utilisation: if self.paid_us > 0.0 {
                totals.busy_us / self.paid_us
            } else {
                0.0
            },
            ttft_ms: self.tally.ttft(),
            tpot_ms: self.tally.tpot(),
            e2e_ms: self.tally.e2e(),
            slo_share: self.tally.served_well as f64 / requests.max(1) as f64,
            hours: self.tally.hours,
        }
    }
}

/// Spreads a number over all 64 bits (the finaliser of SplitMix64).
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
