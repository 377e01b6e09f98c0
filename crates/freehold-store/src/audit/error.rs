//! What can go wrong with an audit trail as a whole.

use std::path::{Path, PathBuf};

/// Why an audit trail could not be opened, read or exported.
#[derive(Debug, thiserror::Error)]
pub enum AuditLogError {
    /// Another process writes this trail.
    #[error(
        "another gateway{} writes the audit trail in {}; give each gateway its own data directory",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        dir.display()
    )]
    Locked {
        /// The trail's directory.
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
    /// There is no trail.
    #[error("there is no audit trail in {}", dir.display())]
    Nothing {
        /// Where none is.
        dir: PathBuf,
    },
    /// The trail is shorter than it was, or not the same. It is not continued, because the next
    /// checkpoint would hide that.
    #[error(
        "the audit trail in {} has been changed: {what}; it is not continued. Verify it and keep it \
         as evidence; to begin a new trail, move the directory away",
        dir.display()
    )]
    Changed {
        /// The trail's directory.
        dir: PathBuf,
        /// In words.
        what: String,
    },
    /// The file of the signing key holds no signing key.
    #[error("{} holds no Ed25519 private key (PKCS #8, PEM)", path.display())]
    NotASigningKey {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random numbers for a new key.
    #[error("no random numbers for a new signing key: {0}")]
    NoRandomness(String),
    /// A file that should hold a checkpoint holds something else.
    #[error("{} holds no checkpoint of an audit trail: {why}", path.display())]
    NotAnAnchor {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The trail has no record in the span that was asked for.
    #[error("the audit trail has no record in that span")]
    EmptySpan,
    /// The trail is damaged where it was to be read.
    #[error("{file} line {line} cannot be read; verify the trail")]
    Damaged {
        /// The segment.
        file: String,
        /// The line, from 1.
        line: u64,
    },
    /// The export could not be written or read.
    #[error("the export cannot be {0}")]
    Export(&'static str, #[source] std::io::Error),
    /// The first checkpoint could not be written.
    #[error(transparent)]
    Unwritable(#[from] freehold_ports::AuditError),
}

impl AuditLogError {
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
}
