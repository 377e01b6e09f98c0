//! The open loop: requests start on schedule, whatever the server does, and are timed from when they should have.

use std::{
    cell::RefCell,
    collections::VecDeque,
    os::fd::{AsFd as _, OwnedFd},
    rc::Rc,
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
    time::Instant,
};

use super::{
    Load,
    client::{Connection, Failure},
    report::Report,
    worker::{Recorder, Shared, measure},
};

/// Requests that wait for a connection; more means that the rate is not sustained at all.
const BACKLOG_MAX: usize = 100_000;

struct Run {
    load: Load,
    recorder: Shared,
    pool: RefCell<Pool>,
    /// Told when a request finds nothing more to do.
    idle: Notify,
}

#[derive(Default)]
struct Pool {
    /// The most recently used is last, and used first: few connections stay hot, as in real clients.
    idle: Vec<Connection>,
    open: usize,
    /// Connections that serve requests now.
    busy: usize,
    /// Intended starts of requests that have no connection yet.
    backlog: VecDeque<Instant>,
}

/// Runs the load on this thread at `rate` requests per second.
pub(crate) async fn run(load: Load, rate: f64) -> anyhow::Result<Report> {
    let recorder = Recorder::new(&load)?;
    let server = load.server;
    let ticks = Ticks::new(Duration::from_secs_f64(1.0 / rate))?;
    let run = Rc::new(Run {
        load,
        recorder: Rc::clone(&recorder),
        pool: RefCell::default(),
        idle: Notify::new(),
    });
    let schedule = schedule(Rc::clone(&run), ticks);
    let mut report = measure(&recorder, server, schedule).await?;
    // What should have been answered within the window and is still waiting has not been sustained.
    recorder
        .borrow_mut()
        .abandon(run.pool.borrow().backlog.len() as u64);
    report.failures = recorder.borrow().failures();
    Ok(report)
}

/// Starts a request at every tick until the run is over.
async fn schedule(run: Rc<Run>, mut ticks: Ticks) {
    while let Ok((first, count)) = ticks.next().await {
        for index in 0..count {
            let intended = first + ticks.interval * u32::try_from(index).unwrap_or(u32::MAX);
            if !run.recorder.borrow_mut().may_start() {
                return drain(&run).await;
            }
            start(&run, intended);
        }
    }
}

/// Waits until everything that was started has ended.
async fn drain(run: &Run) {
    while run.pool.borrow().busy > 0 {
        run.idle.notified().await;
    }
}

fn start(run: &Rc<Run>, intended: Instant) {
    let mut pool = run.pool.borrow_mut();
    let idle = pool.idle.pop();
    if idle.is_none() && pool.open >= run.load.connections {
        if pool.backlog.len() < BACKLOG_MAX {
            pool.backlog.push_back(intended);
        } else {
            run.recorder.borrow_mut().abandon(1);
        }
        return;
    }
    pool.open += usize::from(idle.is_none());
    pool.busy += 1;
    drop(pool);
    tokio::task::spawn_local(serve(Rc::clone(run), idle, intended));
}

/// Sends one request, then those that wait for a connection.
async fn serve(run: Rc<Run>, mut connection: Option<Connection>, mut intended: Instant) {
    loop {
        let result = match connection.take() {
            Some(open) => Ok(open),
            None => run.load.target.connect().await,
        };
        let result = match result {
            Ok(mut open) => {
                let sent = Instant::now();
                let result = run.load.target.exchange(&mut open, run.load.timeout).await;
                connection = result.is_ok().then_some(open);
                result.map(|timing| (timing, sent))
            }
            Err(failure) => Err(failure),
        };
        record(&run, result, intended);
        let mut pool = run.pool.borrow_mut();
        match pool.backlog.pop_front() {
            Some(next) => intended = next,
            None => {
                match connection {
                    Some(open) => pool.idle.push(open),
                    None => pool.open -= 1,
                }
                pool.busy -= 1;
                run.idle.notify_one();
                return;
            }
        }
    }
}

fn record(run: &Run, result: Result<(super::client::Timing, Instant), Failure>, intended: Instant) {
    let (result, waited) = match result {
        Ok((timing, sent)) => (Ok(timing), sent.saturating_duration_since(intended)),
        Err(failure) => (Err(failure), Duration::ZERO),
    };
    run.recorder.borrow_mut().record(result, waited);
}

/// Ticks from the kernel's high-resolution timer; the runtime's own timer is a thousand times too coarse.
struct Ticks {
    timer: AsyncFd<OwnedFd>,
    start: Instant,
    interval: Duration,
    passed: u64,
}

impl Ticks {
    fn new(interval: Duration) -> anyhow::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        let start = Instant::now();
        timer.set(
            Expiration::Interval(TimeSpec::from_duration(interval)),
            TimerSetTimeFlags::empty(),
        )?;
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its descriptor open; the replacement is unsafe code"
        )]
        let timer = AsyncFd::with_interest(OwnedFd::from(timer), Interest::READABLE)?;
        Ok(Self {
            timer,
            start,
            interval,
            passed: 0,
        })
    }

    /// Waits for the next tick; the moment of the first that has come, and how many have.
    async fn next(&mut self) -> std::io::Result<(Instant, u64)> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0_u8; 8];
            match ready.try_io(|timer| Ok(nix::unistd::read(timer.as_fd(), &mut count)?)) {
                Ok(read) => read?,
                Err(_) => continue,
            };
            let count = u64::from_ne_bytes(count);
            let before = u32::try_from(self.passed + 1).unwrap_or(u32::MAX);
            self.passed += count;
            return Ok((self.start + self.interval * before, count));
        }
    }
}
