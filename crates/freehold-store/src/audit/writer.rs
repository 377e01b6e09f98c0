//! The writing half of a trail: chains, signs, appends, begins segments, repairs after a failed
//! write. All of it under one lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_ports::{AuditError, Clock};
use freehold_types::audit::{AuditEvent, CheckpointReason, CheckpointStatement, Digest};

use super::AuditSettings;
use super::keys::{PublicKey, Signer};
use super::line;
use super::read::file_name;
use super::recover::Ended;
use crate::spool::reserve::Reserve;

/// After a failure the disk is not tried more often than this on behalf of `ready`.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Writer {
    dir: PathBuf,
    segment_bytes: u64,
    checkpoint_records: u64,
    checkpoint_interval: Duration,
    clock: Arc<dyn Clock>,
    signer: Signer,
    /// Of the newest segment.
    number: u64,
    active: Option<Active>,
    /// Of the last record.
    sequence: u64,
    hash: Digest,
    since_checkpoint: u64,
    checkpoint_at: Instant,
    /// Sequence and time of the last checkpoint.
    checkpoint: (u64, u64),
    /// Closed files with bytes that the disk may not have.
    unsynced: Vec<Arc<File>>,
    /// True when the directory has entries that the disk may not have.
    new_entries: bool,
    /// A checkpoint's line that the head file does not hold yet.
    new_head: Option<Vec<u8>>,
    dirty: bool,
    closed: bool,
    failed: u64,
    reserve: Reserve,
    trouble: Option<Trouble>,
}

struct Active {
    file: Arc<File>,
    /// Where the last whole line ends.
    end: u64,
    /// True when there are bytes behind `end` that could not be cut off.
    torn: bool,
}

struct Trouble {
    message: String,
    probe_at: Instant,
    /// True when only a successful flush ends it.
    until_synced: bool,
}

/// What the disk may not have yet.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) files: Vec<Arc<File>>,
    pub(crate) directory: bool,
    pub(crate) head: Option<Vec<u8>>,
    /// The last record that is in `files`.
    pub(crate) sequence: u64,
}

/// A record that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) sequence: u64,
    /// True when it has to be flushed before anybody is told that it is kept.
    pub(crate) sync: bool,
    /// True when the keeper has something new to do.
    pub(crate) wake: bool,
}

impl Writer {
    pub(crate) fn new(
        settings: &AuditSettings,
        clock: Arc<dyn Clock>,
        signer: Signer,
        ended: &Ended,
    ) -> io::Result<Self> {
        let active = match &ended.segment {
            Some(segment) => Some(Active {
                file: Arc::new(OpenOptions::new().append(true).open(&segment.path)?),
                end: segment.bytes,
                torn: false,
            }),
            None => None,
        };
        let mut writer = Self {
            dir: settings.dir.clone(),
            segment_bytes: settings.segment_bytes.max(1),
            checkpoint_records: settings.checkpoint_records.max(1),
            checkpoint_interval: settings.checkpoint_interval,
            clock,
            signer,
            number: ended.number,
            active,
            sequence: ended.sequence,
            hash: ended.hash,
            since_checkpoint: ended.since_checkpoint,
            checkpoint_at: Instant::now(),
            checkpoint: (0, 0),
            unsynced: Vec::new(),
            new_entries: false,
            new_head: None,
            dirty: false,
            closed: false,
            failed: 0,
            reserve: Reserve::new(&settings.dir, settings.reserve_bytes),
            trouble: None,
        };
        if let Err(error) = writer.reserve.take() {
            writer.set_trouble("cannot hold back disk space", &error, false);
        }
        Ok(writer)
    }

    /// Chains and writes one line that ends behind its event.
    pub(crate) fn append(&mut self, line: &mut Vec<u8>) -> Result<Appended, AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        let body = line.len();
        let written = self.append_once(line).or_else(|error| {
            if error.kind() != io::ErrorKind::FileTooLarge {
                return Err(error);
            }
            // The limit is on this file, not on the disk.
            tracing::warn!(%error, "a segment of the audit trail cannot grow; trying a new one");
            self.close_active();
            line.truncate(body);
            self.append_once(line)
        });
        match written {
            Ok(()) => {
                self.since_checkpoint += 1;
                let wanted = self.since_checkpoint == self.checkpoint_records;
                Ok(self.appended(wanted))
            }
            Err(error) => {
                self.failed += 1;
                Err(self.unwritable("cannot write", &error))
            }
        }
    }

    fn append_once(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        let length = line.len() as u64;
        let full = |active: &Active| active.end.saturating_add(length) > self.segment_bytes;
        if self.active.as_ref().is_some_and(full) {
            self.close_active();
        }
        if self.active.as_ref().is_none_or(|active| active.end == 0) {
            self.write_checkpoint(CheckpointReason::Rotated, None)?;
        }
        self.seal(line)
    }

    /// Signs the trail so far. Also what opens, closes and revives it.
    pub(crate) fn checkpoint(
        &mut self,
        reason: CheckpointReason,
        torn_bytes: Option<u64>,
    ) -> Result<Appended, AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        match self.write_checkpoint(reason, torn_bytes) {
            Ok(()) => Ok(self.appended(false)),
            Err(error) => Err(self.unwritable("cannot write a checkpoint", &error)),
        }
    }

    fn write_checkpoint(
        &mut self,
        reason: CheckpointReason,
        torn_bytes: Option<u64>,
    ) -> io::Result<()> {
        let statement = CheckpointStatement {
            chain_hash: self.hash,
            count: self.since_checkpoint,
            key_id: self.signer.id(),
            reason,
            sequence: self.sequence,
            time_unix_ms: self.clock.unix_ms(),
            torn_bytes,
        };
        let time_unix_ms = statement.time_unix_ms;
        let checkpoint = self.signer.sign(statement)?;
        let mut line = Vec::with_capacity(1024);
        line::begin(&mut line);
        serde_json::to_writer(&mut line, &AuditEvent::Checkpoint(checkpoint))?;
        self.seal(&mut line)?;
        self.since_checkpoint = 0;
        self.checkpoint_at = Instant::now();
        self.checkpoint = (self.sequence, time_unix_ms);
        self.new_head = Some(line);
        Ok(())
    }

    /// Chains a line and writes it.
    fn seal(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let hash = line::finish(line, &self.hash, sequence, self.clock.unix_ms());
        if let Err(error) = self.write(line) {
            if !is_no_space(&error) || !self.reserve.release() {
                return Err(error);
            }
            tracing::error!(%error, "the disk is full; the audit trail uses the space it held back");
            self.write(line)?;
        }
        self.sequence = sequence;
        self.hash = hash;
        self.after_success();
        Ok(())
    }

    fn after_success(&mut self) {
        let lasting = |trouble: &Trouble| trouble.until_synced;
        if !self.reserve.is_held() {
            if self.trouble.is_none() {
                // No further request should begin until the space is back.
                let error = io::Error::from(io::ErrorKind::StorageFull);
                self.set_trouble("the disk is full", &error, false);
            }
        } else if !self.trouble.as_ref().is_some_and(lasting) {
            self.clear_trouble();
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let active = match &mut self.active {
            Some(active) => active,
            None => {
                let active = self.create()?;
                self.active.insert(active)
            }
        };
        if active.torn {
            active.file.set_len(active.end)?;
            active.torn = false;
        }
        match (&*active.file).write_all(line) {
            Ok(()) => {
                active.end += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Nothing may be written behind half a line: until it is gone, nothing is.
                active.torn = active.file.set_len(active.end).is_err();
                Err(error)
            }
        }
    }

    fn create(&mut self) -> io::Result<Active> {
        let number = self.number + 1;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Arc::new(options.open(self.dir.join(file_name(number)))?);
        self.number = number;
        self.new_entries = true;
        Ok(Active {
            file,
            end: 0,
            torn: false,
        })
    }

    /// The next record begins a new segment. A segment with half a line at its end stays.
    fn close_active(&mut self) {
        if self.active.as_ref().is_some_and(|active| !active.torn)
            && let Some(active) = self.active.take()
        {
            self.unsynced.push(active.file);
        }
    }

    fn appended(&mut self, wanted: bool) -> Appended {
        Appended {
            sequence: self.sequence,
            sync: self
                .trouble
                .as_ref()
                .is_some_and(|trouble| trouble.until_synced),
            wake: !std::mem::replace(&mut self.dirty, true) || wanted,
        }
    }

    /// Whether a record could be kept now. `Some` means that a try was made whose flush decides.
    pub(crate) fn ready(&mut self) -> Result<Option<Appended>, AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        let Some(trouble) = &mut self.trouble else {
            return Ok(None);
        };
        let now = Instant::now();
        if now < trouble.probe_at {
            return Err(AuditError::Unwritable(trouble.message.clone()));
        }
        trouble.probe_at = now + PROBE_PAUSE;
        if let Err(error) = self.reserve.take() {
            return Err(self.unwritable("the disk is full", &error));
        }
        self.checkpoint(CheckpointReason::Resumed, None).map(Some)
    }

    fn unwritable(&mut self, action: &str, error: &io::Error) -> AuditError {
        self.set_trouble(action, error, false);
        AuditError::Unwritable(format!("{action}: {error}"))
    }

    fn set_trouble(&mut self, action: &str, error: &io::Error, until_synced: bool) {
        let before = self.trouble.take();
        if before.is_none() {
            tracing::error!(%error, dir = %self.dir.display(), "the audit trail: {action}");
        }
        self.trouble = Some(Trouble {
            message: format!("{action}: {error}"),
            probe_at: Instant::now() + PROBE_PAUSE,
            until_synced: until_synced || before.is_some_and(|trouble| trouble.until_synced),
        });
    }

    fn clear_trouble(&mut self) {
        if self.trouble.take().is_some() {
            tracing::warn!(dir = %self.dir.display(), "the audit trail can be written again");
        }
    }

    /// What is to be flushed.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        self.dirty = false;
        let mut files = std::mem::take(&mut self.unsynced);
        files.extend(self.active.as_ref().map(|active| Arc::clone(&active.file)));
        Unsynced {
            files,
            directory: std::mem::take(&mut self.new_entries),
            head: self.new_head.take(),
            sequence: self.sequence,
        }
    }

    /// The flush succeeded.
    pub(crate) fn synced(&mut self) {
        let waited = |trouble: &Trouble| trouble.until_synced;
        if self.reserve.is_held() && self.trouble.as_ref().is_some_and(waited) {
            self.clear_trouble();
        }
    }

    /// The flush failed.
    pub(crate) fn not_synced(&mut self, unsynced: Unsynced, error: &io::Error) {
        self.set_trouble("cannot flush to the disk", error, true);
        self.new_entries |= unsynced.directory;
        self.new_head = self.new_head.take().or(unsynced.head);
        // After a failed flush the kernel may have dropped pages of this file.
        self.close_active();
        self.unsynced.clear();
    }

    /// How long until a checkpoint is due; zero when it is, `None` when there is nothing to sign.
    pub(crate) fn checkpoint_due(&self) -> Option<Duration> {
        match self.since_checkpoint {
            0 => None,
            records if records >= self.checkpoint_records => Some(Duration::ZERO),
            _ => Some(
                self.checkpoint_interval
                    .saturating_sub(self.checkpoint_at.elapsed()),
            ),
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Nothing can be appended afterwards.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.signer.public()
    }

    pub(crate) fn status(&self) -> super::AuditStatus {
        super::AuditStatus {
            sequence: self.sequence,
            segment: file_name(self.number),
            checkpoint_sequence: self.checkpoint.0,
            checkpoint_unix_ms: self.checkpoint.1,
            failed_records: self.failed,
            key_id: self.signer.id(),
            trouble: self.trouble.as_ref().map(|trouble| trouble.message.clone()),
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
