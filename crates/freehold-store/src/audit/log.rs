//! The audit trail as the gateway sees it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use freehold_ports::{Audit, AuditError, Clock, SystemClock};
use freehold_types::audit::{AuditEvent, CheckpointReason, KeyId};
use parking_lot::Mutex;
use serde::Serialize;

use super::keeper::{Shared, spawn};
use super::keys::{PublicKey, Signer};
use super::line::{self, EVENT_BYTES_MAX};
use super::recover::{Lock, create_dir, recover};
use super::writer::Writer;
use super::{Anchor, AuditLogError, AuditSettings};
use crate::SyncPolicy;

/// A thread keeps a buffer of at most this size between records, in bytes.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How the trail is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditStatus {
    /// The sequence of the last record.
    pub sequence: u64,
    /// The segment that is written to.
    pub segment: String,
    /// The sequence of the last checkpoint.
    pub checkpoint_sequence: u64,
    /// Its time, Unix milliseconds.
    pub checkpoint_unix_ms: u64,
    /// Records that could not be kept since the start.
    pub failed_records: u64,
    /// The key that signs.
    pub key_id: KeyId,
    /// Why records cannot be kept at the moment.
    pub trouble: Option<String>,
}

/// The audit trail of one process: see the format in the module's documentation.
///
/// `record` chains and writes on the caller's thread, in one call of the kernel; there is no queue
/// that a kill could take. Flushing to the disk, signing and the head file are the affair of a
/// thread behind it.
pub struct AuditLog {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    public_key: PublicKey,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the trail, alone: makes the key when there is none, cuts off a half-written last
    /// record, and signs a first checkpoint.
    ///
    /// # Errors
    /// When another process writes the trail, when its end is missing or is not the one that was
    /// signed, or when its files cannot be used.
    pub fn open(settings: AuditSettings) -> Result<Self, AuditLogError> {
        Self::open_with_clock(settings, Arc::new(SystemClock::new()))
    }

    /// Opens the trail with another clock.
    ///
    /// # Errors
    /// Like [`AuditLog::open`].
    pub fn open_with_clock(
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditLogError> {
        create_dir(&settings.dir)?;
        let lock = Lock::take(&settings.dir)?;
        let ended = recover(&settings.dir)?;
        if ended.sequence > 0 && !settings.key_file.exists() {
            tracing::warn!(
                key_file = %settings.key_file.display(),
                "the key that signed the audit trail so far is gone; a new one is made, and whoever \
                 verifies the trail needs both public keys",
            );
        }
        let signer = Signer::open(&settings.key_file)?;
        let mut writer = Writer::new(&settings, clock, signer, &ended)
            .map_err(AuditLogError::io("cannot open", &settings.dir))?;
        let reason = if ended.clean {
            CheckpointReason::Started
        } else {
            CheckpointReason::StartedUnclean
        };
        let torn_bytes = Some(ended.torn_bytes).filter(|bytes| *bytes > 0);
        writer.checkpoint(reason, torn_bytes)?;
        let public_key = writer.public_key();
        let shared = Arc::new(Shared::new(writer, settings.sync, lock));
        shared.sync_now()?;
        Ok(Self {
            keeper: Mutex::new(Some(spawn(Arc::clone(&shared))?)),
            shared,
            public_key,
        })
    }

    /// The key with which this trail can be verified.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// How the trail is doing.
    pub fn status(&self) -> AuditStatus {
        self.shared.writer.lock().status()
    }

    /// Signs a checkpoint now, and returns it to be kept elsewhere.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn checkpoint(&self) -> Result<Anchor, AuditLogError> {
        let (appended, dir) = {
            let mut writer = self.shared.writer.lock();
            let appended = writer.checkpoint(CheckpointReason::Requested, None)?;
            (appended, writer.dir().to_owned())
        };
        self.shared.sync_up_to(appended.sequence)?;
        Anchor::of_trail(&dir)
    }

    /// Waits until the disk has everything recorded before the call.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&self) -> Result<(), AuditError> {
        self.shared.sync_now()
    }

    /// Signs a last checkpoint and closes the trail. Nothing can be recorded afterwards.
    ///
    /// # Errors
    /// When the last checkpoint cannot be written; the trail is closed all the same.
    pub fn shutdown(&self) -> Result<(), AuditError> {
        let mut keeper = self.keeper.lock();
        if let Some(thread) = keeper.take() {
            self.shared.ask_to_stop();
            if thread.join().is_err() {
                return Err(AuditError::Unwritable("the keeper has failed".to_owned()));
            }
        }
        self.shared.stopped()
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        // Logged by the keeper when it fails.
        let _ = self.shutdown();
    }
}

impl Audit for AuditLog {
    fn record(&self, event: &AuditEvent) -> Result<u64, AuditError> {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            line::begin(line);
            encode(event, line)?;
            let appended = {
                let mut writer = self.shared.writer.lock();
                writer.append(line)?
            };
            if appended.wake {
                self.shared.wake.notify_one();
            }
            if line.capacity() > BUFFER_BYTES_MAX {
                line.shrink_to(BUFFER_BYTES_MAX);
            }
            if appended.sync || self.shared.sync == SyncPolicy::Always {
                self.shared.sync_up_to(appended.sequence)?;
            }
            Ok(appended.sequence)
        })
    }

    fn ready(&self) -> Result<(), AuditError> {
        let tried = self.shared.writer.lock().ready()?;
        match tried {
            Some(appended) => self.shared.sync_up_to(appended.sequence),
            None => Ok(()),
        }
    }
}

fn encode(event: &AuditEvent, line: &mut Vec<u8>) -> Result<(), AuditError> {
    if matches!(event, AuditEvent::Checkpoint(_)) {
        return Err(AuditError::Unwritable(
            "only the trail itself makes checkpoints".to_owned(),
        ));
    }
    let before = line.len();
    serde_json::to_writer(&mut *line, event)
        .map_err(|error| AuditError::Unwritable(error.to_string()))?;
    let bytes = line.len() - before;
    if bytes > EVENT_BYTES_MAX {
        return Err(AuditError::TooLarge {
            bytes,
            limit_bytes: EVENT_BYTES_MAX,
        });
    }
    Ok(())
}
