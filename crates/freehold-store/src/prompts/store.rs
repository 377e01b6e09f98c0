//! The store as the gateway sees it: a bounded queue in front, a thread behind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use freehold_ports::{BoxFuture, NotStored, Prompts, Remark, Remarked, Sample, Unkept};
use metrics::counter;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use super::writer::spawn;
use super::{PromptError, PromptSettings};

/// How long who says something waits for the store to come to it.
const REMARK_PATIENCE: Duration = Duration::from_secs(10);

/// Why a sample was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// Too many wait already.
    QueueFull,
    /// Something was erased while it was on its way.
    Erased,
    /// Something that must be masked cannot be.
    Unmaskable,
    /// The answer made it more sensitive than any that is stored.
    TooSensitive,
    /// The answer is larger than any that is stored.
    TooLarge,
    /// The store is as large as it may be.
    StoreFull,
    /// The database cannot be written.
    Unwritable,
    /// The master key cannot be used.
    Key,
    /// It could not be made into a record: a defect.
    Defect,
    /// The gateway is stopping.
    Closed,
}

impl Dropped {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Erased => "erased",
            Self::Unmaskable => "unmaskable",
            Self::TooSensitive => "too_sensitive",
            Self::TooLarge => "too_large",
            Self::StoreFull => "store_full",
            Self::Unwritable => "unwritable",
            Self::Key => "key",
            Self::Defect => "defect",
            Self::Closed => "closed",
        }
    }
}

impl From<Unkept> for Dropped {
    fn from(unkept: Unkept) -> Self {
        match unkept {
            Unkept::Unmaskable => Self::Unmaskable,
            Unkept::TooSensitive => Self::TooSensitive,
            Unkept::TooLarge => Self::TooLarge,
        }
    }
}

impl From<Dropped> for NotStored {
    fn from(why: Dropped) -> Self {
        match why {
            Dropped::QueueFull => Self::Busy,
            Dropped::Erased => Self::RequestNotStored,
            Dropped::Unmaskable => Self::Unmaskable,
            Dropped::TooSensitive => Self::TooSensitive,
            Dropped::TooLarge => Self::TooLarge,
            Dropped::StoreFull => Self::StoreFull,
            Dropped::Unwritable => Self::Unwritable,
            Dropped::Key => Self::Key,
            Dropped::Defect => Self::Defect,
            Dropped::Closed => Self::Closed,
        }
    }
}

/// What waits for the thread.
pub(super) enum Errand {
    /// A request and its answer.
    Sample(Sample),
    /// What a user says of an answer.
    Remark(Ticket),
}

impl Errand {
    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            Self::Sample(sample) => sample.weight_bytes(),
            Self::Remark(ticket) => ticket.remark.weight_bytes(),
        }
    }
}

/// A remark, and who waits to hear what became of it.
pub(super) struct Ticket {
    remark: Remark,
    /// True once it is being stored, or nobody waits any more.
    taken: Arc<AtomicBool>,
    reply: oneshot::Sender<Result<Remarked, NotStored>>,
}

impl Ticket {
    /// The remark, and where to tell; `None` when it was given up.
    pub(super) fn take(self) -> Option<(Remark, oneshot::Sender<Result<Remarked, NotStored>>)> {
        let given_up = self.taken.swap(true, Ordering::AcqRel);
        (!given_up).then_some((self.remark, self.reply))
    }
}

/// How the store is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromptStatus {
    /// Samples and remarks taken into the queue since the start.
    pub accepted: u64,
    /// Those of them that are stored or dropped.
    pub handled: u64,
    /// Samples stored since the start.
    pub stored: u64,
    /// What users said of answers in words, stored since the start.
    pub remarks: u64,
    /// Samples dropped since the start, by reason.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Records deleted since the start because they had expired, or their keys were gone.
    pub purged: u64,
    /// In so many transactions.
    pub purge_batches: u64,
    /// Why nothing can be stored at the moment.
    pub trouble: Option<String>,
}

/// What queue and thread share.
pub(crate) struct Shared {
    pub(crate) status: watch::Sender<PromptStatus>,
    pub(crate) waiting_bytes: AtomicUsize,
}

impl Shared {
    pub(crate) fn dropped(&self, why: Dropped, count: u64) {
        if count > 0 {
            counter!("freehold_prompts_dropped_total", "reason" => why.as_str()).increment(count);
            self.status
                .send_modify(|status| *status.dropped.entry(why).or_default() += count);
        }
    }
}

/// A store of prompts in one SQLite file of its own, encrypted.
///
/// `keep` puts a sample into a bounded queue and returns. A thread masks, compresses, encrypts and
/// writes it, and deletes what has expired. What a crash finds in the queue is lost; it never was on
/// the disk.
pub struct PromptStore {
    errands: Mutex<Option<mpsc::Sender<Errand>>>,
    shared: Arc<Shared>,
    status: watch::Receiver<PromptStatus>,
    queue_bytes: usize,
}

impl fmt::Debug for PromptStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptStore")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl PromptStore {
    /// Starts the thread. The database need not be usable, nor be there: it is made with the first
    /// sample.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(settings: PromptSettings) -> Result<Self, PromptError> {
        let (errands, queue) = mpsc::channel(settings.queue_records.max(1));
        let (publish, status) = watch::channel(PromptStatus::default());
        let shared = Arc::new(Shared {
            status: publish,
            waiting_bytes: AtomicUsize::new(0),
        });
        let queue_bytes = settings.queue_bytes;
        spawn(settings, queue, Arc::clone(&shared))?;
        Ok(Self {
            errands: Mutex::new(Some(errands)),
            shared,
            status,
            queue_bytes,
        })
    }

    /// How the store is doing.
    pub fn status(&self) -> PromptStatus {
        self.status.borrow().clone()
    }

    /// Waits until everything that was taken before the call is stored or dropped.
    ///
    /// # Errors
    /// `NotStored` when that takes longer than `bound`.
    pub async fn flush(&self, bound: Duration) -> Result<(), PromptError> {
        let target = self.status.borrow().accepted;
        let mut status = self.status.clone();
        let reached = status.wait_for(|status| status.handled >= target);
        match tokio::time::timeout(bound, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.not_stored()),
        }
    }

    /// Takes no further samples, and stores those that wait.
    ///
    /// # Errors
    /// `NotStored` when that takes longer than `bound`. What waits is lost then.
    pub async fn shutdown(&self, bound: Duration) -> Result<(), PromptError> {
        // The thread ends when the queue is empty and has no other end.
        drop(self.errands.lock().take());
        self.flush(bound).await
    }

    /// Resolves when the status is as asked.
    pub async fn until(&self, wanted: impl FnMut(&PromptStatus) -> bool) -> PromptStatus {
        let mut status = self.status.clone();
        let reached = status.wait_for(wanted).await;
        reached.map(|status| status.clone()).unwrap_or_default()
    }

    fn not_stored(&self) -> PromptError {
        let status = self.status.borrow();
        PromptError::NotStored {
            waiting: status.accepted.saturating_sub(status.handled),
        }
    }

    /// Takes something into the queue.
    fn accept(&self, errand: Errand) -> Result<(), Dropped> {
        let errands = self.errands.lock();
        let errands = errands.as_ref().ok_or(Dropped::Closed)?;
        let weight = errand.weight_bytes();
        let waiting = &self.shared.waiting_bytes;
        let place = errands.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Dropped::QueueFull,
            // The thread has died, which it said.
            mpsc::error::TrySendError::Closed(()) => Dropped::Closed,
        })?;
        // Something always fits an empty queue.
        let before = waiting.fetch_add(weight, Ordering::AcqRel);
        if before > 0 && before.saturating_add(weight) > self.queue_bytes {
            waiting.fetch_sub(weight, Ordering::AcqRel);
            return Err(Dropped::QueueFull);
        }
        self.shared
            .status
            .send_modify(|status| status.accepted += 1);
        place.send(errand);
        Ok(())
    }
}

impl Prompts for PromptStore {
    fn keep(&self, sample: Sample) {
        if let Err(why) = self.accept(Errand::Sample(sample)) {
            self.shared.dropped(why, 1);
        }
    }

    fn remark(&self, remark: Remark) -> BoxFuture<'_, Result<Remarked, NotStored>> {
        let (reply, mut told) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let ticket = Ticket {
            remark,
            taken: Arc::clone(&taken),
            reply,
        };
        let accepted = self.accept(Errand::Remark(ticket));
        Box::pin(async move {
            accepted.map_err(NotStored::from)?;
            match tokio::time::timeout(REMARK_PATIENCE, &mut told).await {
                Ok(told) => told.unwrap_or(Err(NotStored::Closed)),
                // Given up before the thread has looked at it: it never will.
                Err(_) if !taken.swap(true, Ordering::AcqRel) => Err(NotStored::Busy),
                Err(_) => told.await.unwrap_or(Err(NotStored::Closed)),
            }
        })
    }
}
