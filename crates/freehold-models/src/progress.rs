//! What a pull or a check tells while it runs.

use serde::Serialize;

use crate::name::ModelName;

/// One step of a running pull or check. Sizes and counts are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProgressEvent {
    /// Another process or task pulls the same source; this one waits for it.
    Waiting {
        /// The source both want.
        source: String,
    },
    /// A transfer begins or continues.
    Started {
        /// The file being transferred.
        file_name: String,
        /// Its place among the files of this pull, from 1.
        part: u32,
        /// The number of files of this pull.
        parts: u32,
        /// Bytes already on disk from an earlier attempt.
        resumed_bytes: u64,
        /// The whole size, where the server tells it.
        size_bytes: Option<u64>,
    },
    /// More bytes have arrived.
    Advanced {
        /// The file being transferred.
        file_name: String,
        /// Bytes on disk so far, earlier attempts included.
        received_bytes: u64,
        /// The whole size, where the server tells it.
        size_bytes: Option<u64>,
    },
    /// An attempt failed; the next one follows after the wait.
    Retrying {
        /// The file being transferred.
        file_name: String,
        /// Failures in a row, from 1.
        attempt: u32,
        /// Milliseconds until the next attempt.
        wait_ms: u64,
        /// What failed.
        reason: String,
    },
    /// What was on disk is of no use any more; the transfer begins at zero.
    Restarted {
        /// The file being transferred.
        file_name: String,
        /// Why.
        reason: String,
    },
    /// A file is being taken out of an archive, or copied.
    Unpacking {
        /// The file being written.
        file_name: String,
        /// Bytes written so far.
        done_bytes: u64,
        /// The whole size, where it is known.
        size_bytes: Option<u64>,
    },
    /// A stored file is being hashed.
    Verifying {
        /// The model it belongs to.
        name: ModelName,
        /// The file.
        file_name: String,
        /// Bytes hashed so far.
        done_bytes: u64,
        /// The whole size.
        size_bytes: u64,
    },
}

/// Receives [`ProgressEvent`]s. Called often and from several threads; must not block.
pub trait Progress: Send + Sync {
    /// One step has happened.
    fn event(&self, event: &ProgressEvent);
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _event: &ProgressEvent) {}
}

impl<F: Fn(&ProgressEvent) + Send + Sync> Progress for F {
    fn event(&self, event: &ProgressEvent) {
        self(event);
    }
}
