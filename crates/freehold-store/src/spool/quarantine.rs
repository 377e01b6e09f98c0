//! Where damaged bytes go: kept for a person to look at, counted, bounded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::SegmentId;

/// No more is kept; beyond it damage is only counted and logged.
const KEPT_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug)]
pub(crate) struct Quarantine {
    dir: PathBuf,
    kept_bytes: u64,
}

impl Quarantine {
    pub(crate) fn open(spool: &Path) -> Self {
        let dir = spool.join("quarantine");
        let kept_bytes = fs::read_dir(&dir)
            .map(|entries| {
                let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
                sizes.sum()
            })
            .unwrap_or(0);
        Self { dir, kept_bytes }
    }

    /// Keeps bytes that could not be read. The name depends on their place alone, so that bytes
    /// that are met again after a crash are kept once.
    pub(crate) fn keep(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let path = self.dir.join(format!("{segment}-{offset}.bad"));
        let outcome = self.write(&path, bytes);
        tracing::error!(
            %segment,
            offset,
            bytes = bytes.len(),
            kept = outcome.is_ok(),
            path = %path.display(),
            error = outcome.err().map(|error| error.to_string()),
            "bytes of the ledger's spool cannot be read as records and were set aside",
        );
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        if self.kept_bytes.saturating_add(length) > KEPT_BYTES_MAX {
            return Err(io::Error::other("the quarantine is full"));
        }
        fs::create_dir_all(&self.dir)?;
        fs::write(path, bytes)?;
        self.kept_bytes += length;
        Ok(())
    }
}
