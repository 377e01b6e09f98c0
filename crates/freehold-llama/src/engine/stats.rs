//! What an engine is doing, for operators and for the hint when to try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::job::Job;

/// What an engine is doing, and what it has done since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Answers under way.
    pub active: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Conversations kept for their beginnings.
    pub kept_prefixes: usize,
    /// Tokens of those conversations.
    pub kept_tokens: usize,
    /// Requests that were begun.
    pub requests: u64,
    /// Requests whose client left.
    pub cancelled: u64,
    /// Prompt tokens of all requests.
    pub prompt_tokens: u64,
    /// Those of them that need not be evaluated again.
    pub cached_tokens: u64,
    /// Generated tokens of all complete requests.
    pub completion_tokens: u64,
}

/// Keeps the statistics; written by the owner thread only.
#[derive(Debug)]
pub(crate) struct Meter {
    stats: watch::Sender<EngineStats>,
    /// Places taken in the queue; shared with the tickets.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// Mean time that the latest requests took, in milliseconds.
    mean_ms: AtomicU64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            stats: watch::Sender::new(EngineStats::default()),
            waiting: Arc::default(),
            mean_ms: AtomicU64::new(1_000),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<EngineStats> {
        self.stats.subscribe()
    }

    pub(crate) fn publish(&self, active: usize, kept_prefixes: usize, kept_tokens: usize) {
        let waiting = self.waiting.load(Ordering::Acquire);
        self.stats.send_if_modified(|stats| {
            let new = EngineStats {
                active,
                waiting,
                kept_prefixes,
                kept_tokens,
                ..*stats
            };
            let is_new = *stats != new;
            *stats = new;
            is_new
        });
    }

    pub(crate) fn started(&self, job: &Job) {
        self.stats.send_modify(|stats| {
            stats.requests += 1;
            stats.prompt_tokens += u64::from(job.counts.prompt);
            stats.cached_tokens += u64::from(job.counts.cached);
        });
    }

    pub(crate) fn finished(&self, job: &Job) {
        if let Some(started) = job.started {
            let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mean_ms = self.mean_ms.load(Ordering::Relaxed);
            self.mean_ms
                .store((mean_ms * 7).saturating_add(took_ms) / 8, Ordering::Relaxed);
        }
        self.stats.send_modify(|stats| {
            stats.completion_tokens += u64::from(job.counts.completion);
        });
    }

    pub(crate) fn cancelled(&self, job: &Job) {
        self.stats.send_modify(|stats| {
            stats.cancelled += 1;
            stats.completion_tokens += u64::from(job.counts.completion);
        });
    }

    /// When a place in the queue may be free, if `slots` requests run at the same time.
    pub(crate) fn retry_after(&self, slots: usize) -> Duration {
        let waiting = self.waiting.load(Ordering::Acquire) as u64;
        let rounds = waiting / (slots.max(1) as u64) + 1;
        let wait_ms = self.mean_ms.load(Ordering::Relaxed).saturating_mul(rounds);
        Duration::from_millis(wait_ms.clamp(1_000, 60_000))
    }
}
