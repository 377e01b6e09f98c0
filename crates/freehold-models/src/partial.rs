//! The unfinished file of a transfer and what is needed to continue it.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::blocking::{Cancelled, SetOnDrop};
use crate::digest::{BLOCK_BYTES, Sha256Digest};
use crate::error::ModelError;
use crate::layout::{Layout, PullLock, remove_if_present, write_atomically};

/// Chunks waiting for the disk; a slow disk slows the network down.
const QUEUE_CHUNKS: usize = 16;

/// What an unfinished file is a beginning of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartialState {
    pub(crate) url: String,
    /// The strong entity tag of the answer that the bytes came with, for `If-Range`.
    pub(crate) validator: Option<String>,
    /// What the endpoint said the content is, before any redirect.
    pub(crate) identity: Option<String>,
    pub(crate) total_bytes: Option<u64>,
}

/// The two files of an unfinished transfer.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) data: PathBuf,
    state: PathBuf,
}

impl Partial {
    pub(crate) fn of(layout: &Layout, address: &str) -> Self {
        Self {
            data: layout.partial(address, "partial"),
            state: layout.partial(address, "json"),
        }
    }

    /// The state and the bytes on disk, when there are both.
    pub(crate) fn load(&self) -> Option<(PartialState, u64)> {
        let length = fs::metadata(&self.data)
            .ok()
            .filter(fs::Metadata::is_file)?
            .len();
        let state = serde_json::from_slice(&fs::read(&self.state).ok()?).ok()?;
        Some((state, length))
    }

    pub(crate) fn save_state(&self, state: &PartialState) -> Result<(), ModelError> {
        let text = serde_json::to_vec(state)
            .map_err(|error| ModelError::io("write", &self.state, error.into()))?;
        write_atomically(&self.state, &text)
    }

    /// Forgets the transfer.
    pub(crate) fn discard(&self) -> Result<(), ModelError> {
        // The state goes first: data without a state is never continued.
        remove_if_present(&self.state)?;
        remove_if_present(&self.data).map(drop)
    }
}

/// Appends chunks to a file and hashes it, on a thread of its own.
///
/// The thread keeps the lock of the source until the last chunk is on disk, so a pull that
/// is dropped in the middle never overlaps with the next pull of the same source.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<std::io::Result<(Sha256Digest, u64)>>,
    dropped: SetOnDrop,
}

impl Writer {
    /// Continues `path` after its first `keep_bytes` bytes, which are hashed first.
    pub(crate) fn open(path: &Path, keep_bytes: u64, lock: Arc<PullLock>) -> Self {
        let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
        let cancelled = Cancelled::default();
        let (thread_path, flag) = (path.to_owned(), cancelled.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let result = append(&thread_path, keep_bytes, queue, &flag);
            drop(lock);
            result
        });
        Self {
            path: path.to_owned(),
            chunks,
            thread,
            dropped: SetOnDrop(cancelled),
        }
    }

    /// Queues one chunk; false when the disk failed, which [`Writer::finish`] then reports.
    pub(crate) async fn write(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits for the disk; the digest and size of the whole file.
    pub(crate) async fn finish(self) -> Result<(Sha256Digest, u64), ModelError> {
        let Self {
            path,
            chunks,
            thread,
            dropped,
        } = self;
        drop(chunks);
        let result = thread
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)));
        drop(dropped);
        result.map_err(|error| ModelError::io("write", &path, error))
    }
}

fn append(
    path: &Path,
    keep_bytes: u64,
    mut queue: mpsc::Receiver<Bytes>,
    cancelled: &Cancelled,
) -> std::io::Result<(Sha256Digest, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    file.set_len(keep_bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut size = 0_u64;
    let mut block = vec![0_u8; BLOCK_BYTES];
    while size < keep_bytes && !cancelled.is_set() {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        hasher.update(&block[..count]);
        size += count as u64;
    }
    if size < keep_bytes {
        return Err(std::io::ErrorKind::Interrupted.into());
    }
    while let Some(chunk) = queue.blocking_recv() {
        file.write_all(&chunk)?;
        hasher.update(&chunk);
        size += chunk.len() as u64;
    }
    file.sync_data()?;
    Ok((Sha256Digest::finish(hasher), size))
}
