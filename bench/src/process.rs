//! What the kernel knows about a process: CPU time, memory, and the core it runs on.

use std::{fs, time::Duration};

use anyhow::Context as _;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// A server process and its descendants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: i32,
}

impl Process {
    /// The process with this id.
    pub(crate) fn new(pid: u32) -> anyhow::Result<Self> {
        let process = Self {
            pid: i32::try_from(pid)?,
        };
        fs::metadata(format!("/proc/{pid}")).with_context(|| format!("no process {pid}"))?;
        Ok(process)
    }

    /// CPU time used so far, in user and kernel mode, by it and its living descendants.
    ///
    /// The kernel's CPU-time clock counts what `utime + stime` of `/proc/PID/stat` counts, in nanoseconds
    /// instead of ticks of 10 ms; the file is the fallback where that clock is not to be had.
    pub(crate) fn cpu_time(self) -> anyhow::Result<Duration> {
        self.family().into_iter().map(cpu_time_of).sum()
    }

    /// Resident memory in bytes, of it and its living descendants.
    pub(crate) fn resident_bytes(self) -> anyhow::Result<u64> {
        self.family()
            .into_iter()
            .map(|pid| status_of(pid, "VmRSS:"))
            .sum()
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(self) -> anyhow::Result<f64> {
        self.resident_bytes().map(mib)
    }

    /// The most resident memory so far, in bytes, of it and its living descendants.
    pub(crate) fn peak_bytes(self) -> anyhow::Result<u64> {
        self.family()
            .into_iter()
            .map(|pid| status_of(pid, "VmHWM:"))
            .sum()
    }

    /// Its id.
    pub(crate) fn pid(self) -> i32 {
        self.pid
    }

    fn family(self) -> Vec<i32> {
        let mut family = vec![self.pid];
        let mut next = 0;
        while next < family.len() {
            family.extend(children_of(family[next]));
            next += 1;
        }
        family
    }
}

fn children_of(pid: i32) -> Vec<i32> {
    // A thread that ends while we look has no children that matter.
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn cpu_time_of(pid: i32) -> anyhow::Result<Duration> {
    match clock_getcpuclockid(Pid::from_raw(pid)).and_then(clock_gettime) {
        Ok(time) => Ok(time.into()),
        Err(_) => {
            let stat =
                fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
            ticks_in(&stat)
                .map(|ticks| Duration::from_millis(ticks * 10))
                .context("/proc/PID/stat is unreadable")
        }
    }
}

/// `utime + stime` in ticks of 10 ms. The name in brackets may hold spaces, so fields count from its end.
fn ticks_in(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// A size of `/proc/PID/status`, in bytes.
fn status_of(pid: i32, name: &'static str) -> anyhow::Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the server has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("/proc/PID/status has no {name}"))? * 1024)
}

/// Where the processes of a measurement run, so that they do not share what is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Cores {
    /// Core of the server that is measured.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of the mock upstream and of the load.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Leave all processes on all cores.
    #[arg(long)]
    no_pin: bool,
}

impl Cores {
    /// The server's; `None` for any.
    pub(crate) fn server(self) -> Option<usize> {
        (!self.no_pin).then_some(self.server_core)
    }

    /// That of the mock upstream and of the load.
    pub(crate) fn load(self) -> Option<usize> {
        (!self.no_pin).then_some(self.load_core)
    }

    /// Keeps this thread, which makes the load, where the load belongs.
    pub(crate) fn keep_load(self) -> anyhow::Result<()> {
        let Some(core) = self.load() else {
            return Ok(());
        };
        pin_to(core).context("use --no-pin on a machine with one core")
    }
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^52 bytes")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Keeps this thread, and what it starts from now on, on one core.
fn pin_to(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores).with_context(|| format!("cannot use core {core}"))
}

/// Runs `start` pinned to a core (a child started by it stays there), then restores this thread's cores.
pub(crate) fn while_pinned<T>(core: Option<usize>, start: impl FnOnce() -> T) -> anyhow::Result<T> {
    let Some(core) = core else { return Ok(start()) };
    let before = sched_getaffinity(Pid::from_raw(0))?;
    pin_to(core)?;
    let result = start();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::{Process, ticks_in};

    #[test]
    fn stat_lines_are_read_whatever_the_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks_in(stat), Some(42));
    }

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let process = Process::new(std::process::id()).unwrap();
        let before = process.cpu_time().unwrap();
        let mut sum = 0_u64;
        while process.cpu_time().unwrap() - before < std::time::Duration::from_millis(2) {
            sum = (0..100_000_u64).fold(sum, u64::wrapping_add);
        }
        let resident = process.resident_bytes().unwrap();
        assert!(resident > 100_000, "{sum}");
        assert!(process.peak_bytes().unwrap() >= resident);
        assert!(Process::new(u32::MAX / 2).is_err());
    }
}
