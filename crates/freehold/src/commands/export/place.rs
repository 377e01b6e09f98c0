//! Where an export goes. A file appears whole or not at all.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

/// A file that is being written beside the place where it will stand.
pub(crate) struct Place {
    file: NamedTempFile,
    path: PathBuf,
    force: bool,
}

impl Place {
    /// # Errors
    /// When something stands there and may not be replaced, or nothing can be written there.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self> {
        if !force && path.symlink_metadata().is_ok() {
            bail!(
                "{} is there already: choose another file, or replace it with --force",
                path.display()
            );
        }
        if path.is_dir() {
            bail!("{} is a directory: name a file in it", path.display());
        }
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let file = NamedTempFile::new_in(dir)
            .with_context(|| format!("cannot write in {}", dir.display()))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            force,
        })
    }

    /// What to write into.
    ///
    /// # Errors
    /// When the system has no file left for us.
    pub(crate) fn writer(&self) -> Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 16, self.file.reopen()?))
    }

    /// Puts the file where it belongs.
    ///
    /// # Errors
    /// When it cannot be made durable, or something stands there by now.
    pub(crate) fn keep(self) -> Result<()> {
        self.file.as_file().sync_all()?;
        let path = &self.path;
        let placed = if self.force {
            self.file.persist(path)
        } else {
            self.file.persist_noclobber(path)
        };
        placed.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}
