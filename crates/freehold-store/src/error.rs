//! What can go wrong in the store.

use std::path::{Path, PathBuf};

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses this spool.
    #[error(
        "another gateway{} uses the spool in {}; give each gateway its own data directory",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        dir.display()
    )]
    Locked {
        /// The spool's directory.
        dir: PathBuf,
        /// The other process, when it left its number.
        pid: Option<u32>,
    },
    /// A file or directory could not be used.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, e.g. `cannot create the directory`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the ledger's database refused")]
    Database(#[from] sqlx::Error),
    /// The database's schema could not be brought up to date.
    #[error("the ledger's database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database's schema is that of an earlier version.
    #[error(
        "the ledger's database was written by an earlier version: start this version's gateway \
         once, it brings the database up to date"
    )]
    OlderSchema,
    /// The database did not answer.
    #[error("the ledger's database did not answer within {within_s} s: {action}")]
    TimedOut {
        /// What was under way.
        action: &'static str,
        /// How long it was waited for.
        within_s: u64,
    },
    /// The database holds something that this program cannot read.
    #[error("a record of the ledger cannot be read; it may be of a newer version of this program")]
    Unreadable {
        /// Why not.
        source: serde_json::Error,
    },
    /// The database file was replaced or removed while it was in use.
    #[error("the database file {} was replaced or removed while in use", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Not everything reached the database in time; it is safe in the spool.
    #[error(
        "the ledger did not reach the database in time; {waiting_bytes} bytes wait in the spool"
    )]
    NotDrained {
        /// How much waits.
        waiting_bytes: u64,
    },
}

impl StoreError {
    pub(crate) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// The error and its causes in one line, for logs and status pages.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
