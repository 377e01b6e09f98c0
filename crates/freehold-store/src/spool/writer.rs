//! The writing half of the spool: appends, closes segments, repairs after a failed write.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_ports::LedgerError;
use uuid::Uuid;

use super::SpoolStatus;
use super::reserve::Reserve;
use super::segment::{Segment, SegmentId};
use crate::SpoolSettings;

/// After a failure the disk is not tried more often than this on behalf of `ready`.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    limit_bytes: u64,
    segment_bytes: u64,
    /// Room that `ready` leaves for requests under way.
    headroom_bytes: u64,
    epoch: Uuid,
    number: u64,
    /// Where the last record of segment `number` ends.
    end: u64,
    active: Option<Active>,
    closed: VecDeque<Segment>,
    /// Files with bytes that the disk may not have: closed ones; the active one is known.
    unsynced: Vec<Arc<File>>,
    /// True when the directory has entries that the disk may not have.
    new_entries: bool,
    total_bytes: u64,
    appended: u64,
    dirty: bool,
    stopped: bool,
    reserve: Reserve,
    trouble: Option<Trouble>,
}

/// What the disk may not have yet.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) files: Vec<Arc<File>>,
    /// True when the directory itself has changed.
    pub(crate) directory: bool,
    /// How many records were written by now.
    pub(crate) appended: u64,
}

#[derive(Debug)]
struct Active {
    id: SegmentId,
    path: PathBuf,
    file: Arc<File>,
    end: u64,
}

#[derive(Debug)]
struct Trouble {
    message: String,
    probe_at: Instant,
}

impl Writer {
    pub(crate) fn new(settings: &SpoolSettings, earlier: Vec<Segment>) -> Self {
        let mut writer = Self {
            dir: settings.dir.clone(),
            limit_bytes: settings.limit_bytes,
            segment_bytes: settings.segment_limit(),
            headroom_bytes: settings.reserve_limit(),
            epoch: Uuid::now_v7(),
            number: 0,
            end: 0,
            active: None,
            total_bytes: earlier.iter().map(|segment| segment.end).sum(),
            closed: earlier.into(),
            unsynced: Vec::new(),
            new_entries: false,
            appended: 0,
            dirty: false,
            stopped: false,
            reserve: Reserve::new(&settings.dir, settings.reserve_limit()),
            trouble: None,
        };
        if let Err(error) = writer.reserve.take() {
            writer.set_trouble("cannot hold back disk space", &error);
        }
        writer
    }

    /// Writes one whole frame. Returns how many frames were written since the start.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<u64, LedgerError> {
        let length = frame.len() as u64;
        if self.total_bytes.saturating_add(length) > self.limit_bytes {
            // Closed, it can be deleted as soon as it is drained, which makes room.
            self.close_active();
            return Err(self.full());
        }
        let full = |active: &Active| active.end.saturating_add(length) > self.segment_bytes;
        if self.active.as_ref().is_some_and(full) {
            self.close_active();
        }
        if let Err(error) = self
            .write(frame)
            .or_else(|error| self.write_again(frame, error))
        {
            self.set_trouble("cannot write to the spool", &error);
            return Err(LedgerError::Io(error.to_string()));
        }
        if self.trouble.is_some() && self.reserve.is_held() {
            self.clear_trouble();
        } else if self.trouble.is_none() && !self.reserve.is_held() {
            // No further request should begin until the space is back.
            self.set_trouble(
                "the disk is full",
                &io::Error::from(io::ErrorKind::StorageFull),
            );
        }
        self.total_bytes += length;
        self.appended += 1;
        Ok(self.appended)
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let active = match &mut self.active {
            Some(active) => active,
            None => {
                let active = self.create()?;
                self.active.insert(active)
            }
        };
        match (&*active.file).write_all(frame) {
            Ok(()) => {
                active.end += frame.len() as u64;
                self.end = active.end;
                Ok(())
            }
            Err(error) => {
                if let Err(repair) = active.file.set_len(active.end) {
                    // Harmless, as nobody writes behind it: this segment is read up to its last
                    // whole record.
                    tracing::error!(%repair, segment = %active.id, "half a record cannot be cut off");
                }
                // Whatever is wrong with this file, the next record does not depend on it.
                self.close_active();
                Err(error)
            }
        }
    }

    /// Once more, in a new segment, with the space held back if it is space that is missing.
    fn write_again(&mut self, frame: &[u8], error: io::Error) -> io::Result<()> {
        if is_no_space(&error) {
            if !self.reserve.release() {
                return Err(error);
            }
            tracing::error!(%error, "the disk is full; the ledger uses the space it held back");
        } else {
            tracing::warn!(%error, "a segment of the spool cannot be written; trying a new one");
        }
        self.write(frame)
    }

    fn create(&mut self) -> io::Result<Active> {
        self.number += 1;
        self.end = 0;
        let id = SegmentId {
            epoch: self.epoch,
            number: self.number,
        };
        let path = id.path(&self.dir);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Arc::new(options.open(&path)?);
        self.new_entries = true;
        Ok(Active {
            id,
            path,
            file,
            end: 0,
        })
    }

    pub(crate) fn close_active(&mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        self.unsynced.push(active.file);
        self.closed.push_back(Segment {
            id: active.id,
            path: active.path,
            end: active.end,
            closed: true,
        });
    }

    /// Whether a record could be kept now.
    pub(crate) fn ready(&mut self) -> Result<(), LedgerError> {
        if self.total_bytes.saturating_add(self.headroom_bytes) >= self.limit_bytes {
            self.close_active();
            return Err(self.full());
        }
        let Some(trouble) = &mut self.trouble else {
            return Ok(());
        };
        let now = Instant::now();
        if now < trouble.probe_at {
            return Err(LedgerError::Io(trouble.message.clone()));
        }
        trouble.probe_at = now + PROBE_PAUSE;
        match self.probe() {
            Ok(()) => {
                self.clear_trouble();
                Ok(())
            }
            Err(error) => Err(LedgerError::Io(error.to_string())),
        }
    }

    /// Tries the disk: takes the reserve back, or writes and removes a little.
    fn probe(&mut self) -> io::Result<()> {
        self.reserve.take()?;
        let path = self.dir.join("probe");
        let tried = write_and_sync(&path);
        let _ = std::fs::remove_file(&path);
        tried
    }

    fn full(&self) -> LedgerError {
        LedgerError::Full {
            limit_bytes: self.limit_bytes,
        }
    }

    pub(crate) fn set_trouble(&mut self, action: &str, error: &io::Error) {
        if self.trouble.is_none() {
            tracing::error!(%error, dir = %self.dir.display(), "the ledger: {action}");
        }
        self.trouble = Some(Trouble {
            message: format!("{action}: {error}"),
            probe_at: Instant::now() + PROBE_PAUSE,
        });
    }

    fn clear_trouble(&mut self) {
        if self.trouble.take().is_some() {
            tracing::warn!(dir = %self.dir.display(), "the ledger can write again");
        }
    }

    /// Marks that something is to be flushed. True when nothing was before.
    pub(crate) fn set_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What is to be flushed.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        self.dirty = false;
        let mut files = std::mem::take(&mut self.unsynced);
        files.extend(self.active.as_ref().map(|active| Arc::clone(&active.file)));
        Unsynced {
            files,
            directory: std::mem::take(&mut self.new_entries),
            appended: self.appended,
        }
    }

    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn segments(&self) -> Vec<Segment> {
        let active = self.active.as_ref().map(|active| Segment {
            id: active.id,
            path: active.path.clone(),
            end: active.end,
            closed: false,
        });
        self.closed.iter().cloned().chain(active).collect()
    }

    /// The place after the last record of this epoch. Never goes back.
    pub(crate) fn end(&self) -> (SegmentId, u64) {
        let id = SegmentId {
            epoch: self.epoch,
            number: self.number,
        };
        (id, self.end)
    }

    /// Drops a closed segment from the books. Returns the file to delete.
    pub(crate) fn forget(&mut self, id: SegmentId) -> Option<PathBuf> {
        let at = self.closed.iter().position(|segment| segment.id == id)?;
        let segment = self.closed.remove(at)?;
        self.total_bytes = self.total_bytes.saturating_sub(segment.end);
        Some(segment.path)
    }

    pub(crate) fn status(&self) -> SpoolStatus {
        SpoolStatus {
            bytes: self.total_bytes,
            limit_bytes: self.limit_bytes,
            segments: self.closed.len() as u64 + u64::from(self.active.is_some()),
            appended_records: self.appended,
            trouble: self.trouble.as_ref().map(|trouble| trouble.message.clone()),
            ..SpoolStatus::default()
        }
    }
}

fn write_and_sync(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
