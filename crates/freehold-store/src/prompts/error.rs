//! What can go wrong with stored prompts.

use std::path::{Path, PathBuf};

/// Why stored prompts could not be written, read or erased.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file or directory could not be used.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the prompts' database refused")]
    Database(#[from] sqlx::Error),
    /// The database's schema could not be brought up to date.
    #[error("the prompts' database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// There are no prompts.
    #[error("no prompts are stored in {}", path.display())]
    Nothing {
        /// Where none are.
        path: PathBuf,
    },
    /// The system gave no random numbers.
    #[error("no random numbers for a new key: {0}")]
    NoRandomness(String),
    /// The master key cannot be used.
    #[error("the master key of stored prompts: {why}")]
    MasterKey {
        /// Why not, and what to do.
        why: String,
    },
    /// Keys are wrapped by a master key that is not configured.
    #[error(
        "the keys of stored prompts are wrapped by the master key {wrapped_by}, and the configuration \
         names {known}; name the old one under `prompts.previous_master_keys`"
    )]
    OtherMasterKey {
        /// Its id.
        wrapped_by: String,
        /// The ids of those that are configured.
        known: String,
    },
    /// A key does not open what it should.
    #[error("the key {key} of stored prompts was changed, or belongs elsewhere")]
    ChangedKey {
        /// Its id.
        key: String,
    },
    /// A record does not open with its keys.
    #[error("the stored prompt {request} was changed, or belongs elsewhere")]
    Changed {
        /// The request.
        request: String,
    },
    /// Feedback that does not open with its request's keys.
    #[error("the stored feedback {id} was changed, or belongs elsewhere")]
    ChangedRemark {
        /// Its id.
        id: String,
    },
    /// A record whose keys are gone.
    #[error("the stored prompt {request} was erased or has expired")]
    Erased {
        /// The request.
        request: String,
    },
    /// A record of another version, or one that no dialect can express.
    #[error("a stored prompt cannot be {action}: {why}")]
    Unreadable {
        /// `read` or `written`.
        action: &'static str,
        /// Why not.
        why: String,
    },
    /// Something is left of what was to be erased.
    #[error("{what} is left after erasing; nothing more can be promised: {advice}")]
    NotErased {
        /// What.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The chain of receipts was changed.
    #[error("{} line {line}: {why}", path.display())]
    Receipts {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Not everything was written in time.
    #[error("{waiting} prompts were not stored in time")]
    NotStored {
        /// How many.
        waiting: u64,
    },
}

impl PromptError {
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

    /// The error and its causes in one line, for logs.
    pub fn chain(&self) -> String {
        crate::error::chain(self)
    }

    /// True when it is about one record, and others are well.
    pub(crate) fn is_about_one(&self) -> bool {
        matches!(
            self,
            Self::Changed { .. }
                | Self::ChangedKey { .. }
                | Self::ChangedRemark { .. }
                | Self::Erased { .. }
                | Self::Unreadable { .. }
        )
    }

    /// True when it is a matter of keys rather than of the disk.
    pub(crate) fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::MasterKey { .. } | Self::OtherMasterKey { .. } | Self::ChangedKey { .. }
        )
    }
}
