//! The thread behind a trail: flushes to the disk, signs checkpoints, replaces the head file.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freehold_ports::AuditError;
use freehold_types::audit::CheckpointReason;
use parking_lot::{Condvar, Mutex};

use super::AuditLogError;
use super::anchor::{sync_dir, write_head};
use super::recover::Lock;
use super::writer::{Unsynced, Writer};
use crate::SyncPolicy;

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) writer: Mutex<Writer>,
    /// Wakes the keeper; waits with `writer`.
    pub(crate) wake: Condvar,
    /// The last record that the disk has. Held during a flush, so that callers that arrive together
    /// share one.
    synced: Mutex<u64>,
    pub(crate) sync: SyncPolicy,
    stop: Mutex<Stop>,
    /// Held until the trail is closed.
    lock: Mutex<Option<Lock>>,
}

#[derive(Default)]
struct Stop {
    asked: bool,
    result: Option<Result<(), AuditError>>,
}

impl Shared {
    pub(crate) fn new(writer: Writer, sync: SyncPolicy, lock: Lock) -> Self {
        Self {
            writer: Mutex::new(writer),
            wake: Condvar::new(),
            synced: Mutex::default(),
            sync,
            stop: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        }
    }

    /// Waits until the disk has everything up to `sequence`.
    pub(crate) fn sync_up_to(&self, sequence: u64) -> Result<(), AuditError> {
        let mut synced = self.synced.lock();
        if *synced >= sequence {
            return Ok(());
        }
        self.flush(&mut synced)
    }

    /// Flushes everything.
    pub(crate) fn sync_now(&self) -> Result<(), AuditError> {
        self.flush(&mut self.synced.lock())
    }

    fn flush(&self, synced: &mut u64) -> Result<(), AuditError> {
        let (dir, unsynced) = {
            let mut writer = self.writer.lock();
            (writer.dir().to_owned(), writer.take_unsynced())
        };
        match sync_files(&dir, &unsynced) {
            Ok(()) => {
                *synced = unsynced.sequence;
                self.writer.lock().synced();
                Ok(())
            }
            Err(error) => {
                self.writer.lock().not_synced(unsynced, &error);
                Err(AuditError::Unwritable(format!(
                    "cannot flush to the disk: {error}"
                )))
            }
        }
    }

    /// Asks the keeper to close the trail.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.lock().asked = true;
        // The keeper looks at `asked` with this lock held, so it either sees it or is waiting.
        drop(self.writer.lock());
        self.wake.notify_all();
    }

    /// How closing went, once the keeper has ended.
    pub(crate) fn stopped(&self) -> Result<(), AuditError> {
        self.stop
            .lock()
            .result
            .clone()
            .unwrap_or(Err(AuditError::Closed))
    }

    fn is_asked(&self) -> bool {
        self.stop.lock().asked
    }

    fn close(&self) -> Result<(), AuditError> {
        let signed = {
            let mut writer = self.writer.lock();
            let signed = writer.checkpoint(CheckpointReason::Stopped, None);
            writer.close();
            signed
        };
        let flushed = self.sync_now();
        drop(self.lock.lock().take());
        flushed.and(signed.map(drop))
    }
}

/// The head file comes last, so that it never names what a power failure could take.
fn sync_files(dir: &std::path::Path, unsynced: &Unsynced) -> io::Result<()> {
    for file in &unsynced.files {
        file.sync_data()?;
    }
    if unsynced.directory {
        sync_dir(dir)?;
    }
    match &unsynced.head {
        Some(line) => write_head(dir, line),
        None => Ok(()),
    }
}

/// Starts the keeper.
pub(crate) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, AuditLogError> {
    let dir = shared.writer.lock().dir().to_owned();
    std::thread::Builder::new()
        .name("audit-keeper".to_owned())
        .spawn(move || run(&shared))
        .map_err(AuditLogError::io(
            "cannot start the thread that signs",
            &dir,
        ))
}

fn run(shared: &Shared) {
    let gather = match shared.sync {
        SyncPolicy::Every(interval) => interval,
        // Callers flush what they wrote; the keeper only signs, and flushes what it signed.
        SyncPolicy::Always => Duration::ZERO,
    };
    while wait(shared, gather) {
        // Errors are logged where they happen, and make `ready` refuse.
        let due = {
            let mut writer = shared.writer.lock();
            let due = writer.checkpoint_due() == Some(Duration::ZERO);
            due && writer.checkpoint(CheckpointReason::Periodic, None).is_err()
        };
        let flushed = shared.sync_now();
        if due || flushed.is_err() {
            pause(shared);
        }
    }
    let result = shared.close();
    if let Err(error) = &result {
        tracing::error!(%error, "the audit trail could not be closed in order");
    }
    shared.stop.lock().result = Some(result);
}

/// Waits until there is something to flush or to sign. False when the trail is to be closed.
fn wait(shared: &Shared, gather: Duration) -> bool {
    let mut writer = shared.writer.lock();
    while !shared.is_asked() && !writer.is_dirty() {
        match writer.checkpoint_due() {
            None => shared.wake.wait(&mut writer),
            Some(Duration::ZERO) => return true,
            Some(left) => {
                shared.wake.wait_for(&mut writer, left);
            }
        }
    }
    let deadline = Instant::now() + gather;
    while !shared.is_asked() && writer.checkpoint_due() != Some(Duration::ZERO) {
        if shared.wake.wait_until(&mut writer, deadline).timed_out() {
            return true;
        }
    }
    !shared.is_asked()
}

/// After a failure the keeper does not try again at once.
fn pause(shared: &Shared) {
    const PAUSE: Duration = Duration::from_millis(250);
    let deadline = Instant::now() + PAUSE;
    let mut writer = shared.writer.lock();
    while !shared.is_asked() && !shared.wake.wait_until(&mut writer, deadline).timed_out() {}
}
