//! Disk space held back, so that requests under way when the disk fills up can still be recorded.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    pub(crate) fn new(spool: &Path, bytes: u64) -> Self {
        Self {
            path: spool.join("reserve"),
            bytes,
            held: false,
        }
    }

    /// Takes the space. Zeros are written, because not every file system can allocate ahead.
    ///
    /// # Errors
    /// When there is not so much space; nothing is held then.
    pub(crate) fn take(&mut self) -> io::Result<()> {
        if self.held || self.bytes == 0 {
            return Ok(());
        }
        let there = fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes);
        if !there && let Err(error) = self.fill() {
            // Half a reserve would only make the shortage worse.
            let _ = fs::remove_file(&self.path);
            return Err(error);
        }
        self.held = true;
        Ok(())
    }

    fn fill(&self) -> io::Result<()> {
        let zeros = [0_u8; 64 << 10];
        let mut file = File::create(&self.path)?;
        let mut left = self.bytes;
        while left > 0 {
            let length = left.min(zeros.len() as u64);
            let chunk = usize::try_from(length).unwrap_or(zeros.len());
            file.write_all(zeros.get(..chunk).unwrap_or_default())?;
            left -= length;
        }
        Ok(())
    }

    /// Gives the space back. True when there was any.
    pub(crate) fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        held && fs::remove_file(&self.path).is_ok()
    }

    /// True when the space is held, or none is wanted.
    pub(crate) fn is_held(&self) -> bool {
        self.held || self.bytes == 0
    }
}
