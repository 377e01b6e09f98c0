//! Requests that have been handed to an upstream and have not ended: what is left of them when the
//! process is killed.
//!
//! A file of slots, one for each request under way. A slot is written before the first attempt and
//! wiped after the outcome is in the spool, so what a killed process leaves behind are the requests
//! whose upstream may have billed something that nobody recorded. The next start records them: an
//! outcome that is in the spool already has the same id, and counts once.

mod lives;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use freehold_ports::{LedgerError, Slot, UnderWay};
use freehold_types::Outcome;
use parking_lot::Mutex;

use self::lives::Lives;
use crate::StoreError;
use crate::spool::frame::{self, Found};

pub use self::lives::Life;

/// Room for one request. Names are bounded, so that all of them fit.
const SLOT_BYTES: u64 = 4_096;

/// The requests under way of one gateway.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    slots: Mutex<Slots>,
    lives: Lives,
}

#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    count: u32,
}

impl Journal {
    /// Opens the journal in a spool's directory, which the spool keeps to one process. Hands what a
    /// killed process left to `record`, and forgets it once all of it is recorded.
    ///
    /// # Errors
    /// When the file cannot be used, or something in it cannot be recorded: it is kept then.
    pub fn open(
        dir: &Path,
        mut record: impl FnMut(&Outcome) -> Result<(), LedgerError>,
    ) -> Result<Self, StoreError> {
        let path = dir.join("under-way.journal");
        std::fs::create_dir_all(dir).map_err(StoreError::io("cannot create the directory", dir))?;
        let left = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(StoreError::io("cannot read", &path)(error)),
        };
        for outcome in unfinished(&left) {
            tracing::warn!(
                id = %outcome.id,
                "a request was under way when the gateway died: it is recorded with the most it can have used"
            );
            record(&outcome).map_err(|error| {
                StoreError::io("cannot record what is left in", &path)(std::io::Error::other(error))
            })?;
        }
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(true);
        let file = options
            .open(&path)
            .map_err(StoreError::io("cannot open", &path))?;
        Ok(Self {
            file,
            path,
            slots: Mutex::default(),
            // Only now is the ledger told of all that the last life sent.
            lives: Lives::begin(dir, lives::boot().as_deref()),
        })
    }

    /// The life of this gateway that keeps the journal.
    pub fn life(&self) -> Life {
        self.lives.now
    }

    /// Whether a life has kept this journal and is over, and all that it sent is in the ledger: what
    /// it reserved and the ledger does not know, it never sent.
    pub fn has_told_all(&self, life: Life) -> bool {
        self.lives.before.contains(&life)
    }

    fn wipe(&self, slot: u32) -> std::io::Result<()> {
        let header = [0; frame::HEADER_BYTES];
        write_at(&self.file, &header, offset(slot))
    }
}

impl UnderWay for Journal {
    fn begin(&self, provisional: &Outcome) -> Result<Slot, LedgerError> {
        let mut buffer = Vec::with_capacity(1_024);
        let start = frame::begin(&mut buffer);
        let io = |error: &dyn std::fmt::Display| LedgerError::Io(error.to_string());
        serde_json::to_writer(&mut buffer, provisional).map_err(|error| io(&error))?;
        if frame::finish(&mut buffer, start, frame::VERSION_JSON).is_none()
            || buffer.len() as u64 > SLOT_BYTES
        {
            return Err(io(&"a request under way does not fit into its slot"));
        }
        let slot = {
            let mut slots = self.slots.lock();
            slots.free.pop().unwrap_or_else(|| {
                slots.count += 1;
                slots.count - 1
            })
        };
        if let Err(error) = write_at(&self.file, &buffer, offset(slot)) {
            self.slots.lock().free.push(slot);
            return Err(io(&error));
        }
        Ok(Slot::new(slot))
    }

    fn end(&self, slot: Slot) {
        let number = slot.number();
        if let Err(error) = self.wipe(number) {
            // It is recorded: at worst the next start finds that once more.
            let path = self.path.display();
            tracing::error!(%error, %path, "a request that has ended could not be crossed out");
        }
        self.slots.lock().free.push(number);
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = bytes.get(written..).unwrap_or_default();
        offset += written as u64;
    }
    Ok(())
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_BYTES
}

/// The whole records of a journal; a torn one belongs to a request that was not handed out yet.
fn unfinished(bytes: &[u8]) -> Vec<Outcome> {
    let slots = bytes.chunks(usize::try_from(SLOT_BYTES).unwrap_or(usize::MAX));
    let read = |slot: &[u8]| match frame::look(slot, 0, true) {
        Found::Record { payload, .. } => serde_json::from_slice(slot.get(payload)?).ok(),
        _ => None,
    };
    slots.filter_map(read).collect()
}

#[cfg(test)]
mod tests;
