//! The spool: bounded, durable, append-only segment files in one directory.
//!
//! [`Spool::append`] makes one `write` call on the caller's thread; from then on the kernel has the
//! record and a killed process loses nothing. A thread flushes to the disk itself. One reader (the
//! drainer) takes records in order and releases segments that it has consumed.

pub(crate) mod frame;
mod quarantine;
mod read;
mod recover;
pub(crate) mod reserve;
pub(crate) mod segment;
mod sync;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use freehold_ports::LedgerError;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

pub(crate) use read::{Batch, RawRecord, read_batch};
pub(crate) use segment::{Segment, SegmentId};

use crate::home::Cursor;
use crate::{SpoolSettings, StoreError, SyncPolicy};
use quarantine::Quarantine;
use recover::Lock;
use sync::SyncState;
use writer::Writer;

/// How full the spool is and what went wrong in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpoolStatus {
    /// Bytes in segments that are not deleted yet; most of them may already be drained.
    pub bytes: u64,
    /// The bound.
    pub limit_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Records appended since the start.
    pub appended_records: u64,
    /// Damaged stretches and unreadable records set aside since the start.
    pub quarantined: u64,
    /// Their bytes.
    pub quarantined_bytes: u64,
    /// Why records cannot be kept at the moment.
    pub trouble: Option<String>,
}

/// The spool of one process.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    sync_thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    settings: SpoolSettings,
    writer: Mutex<Writer>,
    /// Wakes the thread that flushes; waits with `writer`.
    dirty: Condvar,
    synced: Mutex<SyncState>,
    quarantine: Mutex<Quarantine>,
    quarantined: AtomicU64,
    quarantined_bytes: AtomicU64,
    /// Told about every record.
    appended: Notify,
    _lock: Lock,
}

impl Spool {
    /// Opens the spool, alone: cuts off what a crash left half-written and starts a new segment
    /// with the first record.
    ///
    /// # Errors
    /// When another process has it open, or the directory cannot be used.
    pub fn open(settings: SpoolSettings) -> Result<Self, StoreError> {
        recover::create_dir(&settings.dir)?;
        let lock = Lock::take(&settings.dir)?;
        let mut quarantine = Quarantine::open(&settings.dir);
        let recovered = recover::recover(&settings.dir, &mut quarantine)?;
        let shared = Arc::new(Shared {
            writer: Mutex::new(Writer::new(&settings, recovered.segments)),
            dirty: Condvar::new(),
            synced: Mutex::default(),
            quarantine: Mutex::new(quarantine),
            quarantined: AtomicU64::new(recovered.damaged),
            quarantined_bytes: AtomicU64::new(recovered.damaged_bytes),
            appended: Notify::new(),
            settings,
            _lock: lock,
        });
        let sync_thread = match shared.settings.sync {
            SyncPolicy::Always => None,
            SyncPolicy::Every(interval) => Some(sync::spawn(Arc::clone(&shared), interval)?),
        };
        Ok(Self {
            shared,
            sync_thread,
        })
    }

    /// Keeps one payload.
    ///
    /// `frame` comes from [`frame::begin`] and [`frame::finish`]. Tells where the payload begins.
    ///
    /// # Errors
    /// When the spool is full or the disk refuses. Nothing of the record is kept then.
    pub(crate) fn append(&self, frame: &[u8]) -> Result<(SegmentId, u64), LedgerError> {
        let (sequence, segment, end) = {
            let mut writer = self.shared.writer.lock();
            let sequence = writer.append(frame)?;
            let (segment, end) = writer.end();
            if writer.set_dirty() && self.sync_thread.is_some() {
                self.shared.dirty.notify_one();
            }
            (sequence, segment, end)
        };
        if self.shared.settings.sync == SyncPolicy::Always {
            sync::sync_up_to(&self.shared, sequence)?;
        }
        self.shared.appended.notify_one();
        let payload = frame.len().saturating_sub(frame::HEADER_BYTES) as u64;
        Ok((segment, end.saturating_sub(payload)))
    }

    /// Whether a record could be kept now, with room left for those under way.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), LedgerError> {
        self.shared.writer.lock().ready()
    }

    /// How full it is.
    pub fn status(&self) -> SpoolStatus {
        let mut status = self.shared.writer.lock().status();
        status.quarantined = self.shared.quarantined.load(Ordering::Relaxed);
        status.quarantined_bytes = self.shared.quarantined_bytes.load(Ordering::Relaxed);
        status
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.shared.settings.dir
    }

    pub(crate) fn reader(&self) -> SpoolReader {
        SpoolReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The place after the last record.
    pub(crate) fn end(&self) -> (SegmentId, u64) {
        self.shared.writer.lock().end()
    }

    /// Bytes that are not drained, when everything before `drained` is. Segments are drained in
    /// order and deleted when they are, so only the first can be drained in part.
    pub(crate) fn waiting_bytes(&self, drained: Option<Cursor>) -> u64 {
        let segments = self.shared.writer.lock().segments();
        let waiting = |segment: &Segment| match drained {
            Some(cursor) if cursor.segment == segment.id => {
                segment.end.saturating_sub(cursor.offset)
            }
            _ => segment.end,
        };
        segments.iter().map(waiting).sum()
    }

    /// Flushes everything to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sync(&self) -> Result<(), LedgerError> {
        sync::sync_now(&self.shared)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.writer.lock().stop();
        self.shared.dirty.notify_all();
        if let Some(thread) = self.sync_thread.take() {
            // The thread flushes once more and ends; it cannot panic.
            let _ = thread.join();
        }
    }
}

/// The drainer's end of the spool.
#[derive(Clone, Debug)]
pub(crate) struct SpoolReader {
    shared: Arc<Shared>,
}

impl SpoolReader {
    /// All segments in the order in which they are to be drained.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        self.shared.writer.lock().segments()
    }

    /// The place after the last record.
    pub(crate) fn end(&self) -> (SegmentId, u64) {
        self.shared.writer.lock().end()
    }

    /// Resolves when a record has been appended since the last call.
    pub(crate) async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    /// Deletes a consumed segment. One that is still written to stays.
    pub(crate) fn release(&self, id: SegmentId) {
        let Some(path) = self.shared.writer.lock().forget(id) else {
            return;
        };
        remove(&path);
    }

    /// Closes the segment that is written to, so that it can be released.
    pub(crate) fn close_active(&self) {
        self.shared.writer.lock().close_active();
    }

    /// Sets aside bytes that cannot be used.
    pub(crate) fn quarantine(&self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        self.shared.quarantine.lock().keep(segment, offset, bytes);
        self.shared.quarantined.fetch_add(1, Ordering::Relaxed);
        let length = bytes.len() as u64;
        self.shared
            .quarantined_bytes
            .fetch_add(length, Ordering::Relaxed);
    }
}

fn remove(path: &PathBuf) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // Its records are in the database; at the next start it is recognised as consumed.
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a drained spool segment cannot be deleted");
        }
    }
}

#[cfg(test)]
mod tests;
