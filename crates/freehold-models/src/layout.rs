//! Where things lie under the store's root, and how they are written: never half.
//!
//! ```text
//! models.lock            what is installed
//! blobs/sha256/<hex>     the files, read-only, named by their digest
//! sets/<name>/<file>     links to the blobs of a model with several files
//! partial/<key>.*        unfinished transfers
//! locks/<key>            advisory locks between processes; never deleted
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Sha256Digest;
use crate::error::ModelError;
use crate::name::ModelName;
use crate::progress::{Progress, ProgressEvent};

/// The lock that running pulls share.
const PULLS: &str = "pulls";

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An advisory lock between processes, held until dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

/// Held by one pull: its source for itself, and the right to write partial files at all.
#[derive(Debug)]
pub(crate) struct PullLock {
    _source: FileLock,
    _pulls: FileLock,
}

/// The directory tree of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The tree under `root`, made absolute so that links and reports stay valid.
    pub(crate) fn new(root: &Path) -> Result<Self, ModelError> {
        let root =
            std::path::absolute(root).map_err(|error| ModelError::io("find", root, error))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("models.lock")
    }

    pub(crate) fn blob(&self, digest: Sha256Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.to_string())
    }

    pub(crate) fn set_directory(&self, name: &ModelName) -> PathBuf {
        self.root.join("sets").join(name.as_str())
    }

    pub(crate) fn partial_directory(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// A file for unfinished work on `subject` (an address or a source).
    pub(crate) fn partial(&self, subject: &str, extension: &str) -> PathBuf {
        self.partial_directory()
            .join(format!("{}.{extension}", key(subject)))
    }

    /// Creates the directories.
    pub(crate) fn create(&self) -> Result<(), ModelError> {
        for directory in ["blobs/sha256", "sets", "partial", "locks"] {
            let path = self.root.join(directory);
            fs::create_dir_all(&path).map_err(|error| ModelError::io("create", &path, error))?;
        }
        Ok(())
    }

    /// Refuses when less than `needed` bytes plus the reserve are free.
    pub(crate) fn check_space(&self, needed: u64, reserve: u64) -> Result<(), ModelError> {
        let available = fs4::available_space(&self.root)
            .map_err(|error| ModelError::io("measure", &self.root, error))?;
        let needed = needed.saturating_add(reserve);
        if available < needed {
            return Err(ModelError::NoSpace {
                path: self.root.clone(),
                needed,
                available,
            });
        }
        Ok(())
    }

    fn open_lock(&self, subject: &str) -> Result<(File, PathBuf), ModelError> {
        let path = self.root.join("locks").join(key(subject));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        file.map(|file| (file, path.clone()))
            .map_err(|error| ModelError::io("open", &path, error))
    }

    /// Waits until no other process or task works on `source`.
    pub(crate) async fn lock_source(
        &self,
        source: &str,
        progress: &dyn Progress,
    ) -> Result<PullLock, ModelError> {
        let (source_file, path) = self.open_lock(source)?;
        let mut told = false;
        // Polling, because a blocked system call could not be cancelled.
        while !acquired(source_file.try_lock(), &path)? {
            if !told {
                progress.event(&ProgressEvent::Waiting {
                    source: source.to_owned(),
                });
                told = true;
            }
            tokio::time::sleep(LOCK_POLL_INTERVAL).await;
        }
        let (pulls_file, path) = self.open_lock(PULLS)?;
        while !acquired(pulls_file.try_lock_shared(), &path)? {
            tokio::time::sleep(LOCK_POLL_INTERVAL).await;
        }
        Ok(PullLock {
            _source: FileLock { _file: source_file },
            _pulls: FileLock { _file: pulls_file },
        })
    }

    /// Keeps every pull out, or `None` while one is running.
    pub(crate) fn try_lock_out_pulls(&self) -> Result<Option<FileLock>, ModelError> {
        let (file, path) = self.open_lock(PULLS)?;
        Ok(acquired(file.try_lock(), &path)?.then_some(FileLock { _file: file }))
    }

    /// Blocks until `models.lock` and the blobs may be changed. Held only for renames and
    /// one small write, so the wait is short.
    pub(crate) fn lock_index(&self) -> Result<FileLock, ModelError> {
        let (file, path) = self.open_lock("models.lock")?;
        file.lock()
            .map_err(|error| ModelError::io("lock", &path, error))?;
        Ok(FileLock { _file: file })
    }
}

fn acquired(result: Result<(), TryLockError>, path: &Path) -> Result<bool, ModelError> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(ModelError::io("lock", path, error)),
    }
}

fn key(subject: &str) -> String {
    Sha256Digest::of(subject.as_bytes()).to_string()[..32].to_owned()
}

/// Temporary files and directories that get the permissions of ordinary ones (less the
/// umask), because they are renamed to what other users of the store may have to read.
pub(crate) fn temporary_builder(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Replaces `path` by `content`: the old or the new text is there at every moment.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ModelError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let written = (|| {
        let mut file = temporary_builder(0o666).tempfile_in(directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_directory(directory)
    })();
    written.map_err(|error| ModelError::io("write", path, error))
}

/// Moves a finished file to its place, durable before the call returns.
pub(crate) fn move_into_place(from: &Path, to: &Path) -> Result<(), ModelError> {
    let moved = (|| {
        let file = File::open(from)?;
        file.sync_all()?;
        let mut permissions = file.metadata()?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(from, permissions)?;
        fs::rename(from, to)?;
        sync_directory(to.parent().unwrap_or(Path::new(".")))
    })();
    moved.map_err(|error| ModelError::io("store", to, error))
}

/// Removes a file that may be missing; true when it was there.
pub(crate) fn remove_if_present(path: &Path) -> Result<bool, ModelError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ModelError::io("remove", path, error)),
    }
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

// Elsewhere a directory cannot be opened as a file; renames are durable with the journal.
#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> std::io::Result<()> {
    Ok(())
}
