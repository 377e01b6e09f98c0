//! What happens when a spool is opened: the lock, and the tail that a crash left half-written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::quarantine::Quarantine;
use super::read::read_batch;
use super::segment::{self, Segment};
use crate::StoreError;

/// Held for as long as the process uses the spool. The kernel lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("cannot open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The number is a courtesy of the error message only.
                let _ = (&mut file).take(16).read_to_string(&mut text);
                return Err(StoreError::Locked {
                    dir: dir.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::io("cannot lock", &path)(source));
            }
        }
        // Also a courtesy: a full disk must not keep the gateway from starting.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Creates the directory, for the owner's eyes only.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(StoreError::io("cannot create the directory", dir))
}

/// What an earlier process left.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) damaged: u64,
    pub(crate) damaged_bytes: u64,
}

/// Takes stock, and cuts the torn tail off the segment that was written last.
///
/// Damage further inside, and in older segments, is met when they are drained.
pub(crate) fn recover(dir: &Path, quarantine: &mut Quarantine) -> Result<Recovered, StoreError> {
    let segments = segment::list(dir).map_err(StoreError::io("cannot read", dir))?;
    let mut recovered = Recovered {
        segments,
        ..Recovered::default()
    };
    let Some(last) = recovered.segments.last_mut() else {
        return Ok(recovered);
    };
    match torn_tail(last) {
        Ok(None) => {}
        Ok(Some((good_end, bytes))) => {
            quarantine.keep(last.id, good_end, &bytes);
            recovered.damaged = 1;
            recovered.damaged_bytes = bytes.len() as u64;
            cut_tail(last, good_end, bytes.len());
        }
        Err(error) => {
            tracing::error!(segment = %last.id, %error, "the last segment of the spool cannot be read");
        }
    }
    tracing::info!(
        segments = recovered.segments.len(),
        bytes = recovered.segments.iter().map(|s| s.end).sum::<u64>(),
        "the ledger's spool holds records of an earlier process",
    );
    Ok(recovered)
}

/// Damaged bytes after which no whole record comes, and where they begin.
fn torn_tail(segment: &Segment) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut from = 0;
    let mut tail = None;
    while from < segment.end {
        let batch = read_batch(segment, from, usize::MAX)?;
        if batch.next == from {
            break;
        }
        from = batch.next;
        tail = batch
            .damaged()
            .last()
            .filter(|(offset, bytes)| offset + bytes.len() as u64 == from)
            .map(|(offset, bytes)| (offset, bytes.to_vec()));
    }
    Ok(tail)
}

fn cut_tail(segment: &mut Segment, good_end: u64, torn_bytes: usize) {
    tracing::error!(
        segment = %segment.id,
        torn_bytes,
        good_bytes = good_end,
        "the ledger's spool ends in the middle of a record (the process or the machine died while \
         writing it); the tail is cut off and every whole record before it is kept",
    );
    match cut(&segment.path, good_end) {
        Ok(()) => segment.end = good_end,
        // The drainer skips it as well; only the log line would come again.
        Err(error) => {
            tracing::warn!(segment = %segment.id, %error, "the torn tail cannot be cut off");
        }
    }
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}
