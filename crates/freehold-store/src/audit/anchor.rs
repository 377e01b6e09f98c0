//! A checkpoint outside the trail: the head file beside it, or a copy that somebody keeps elsewhere.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use freehold_types::audit::{Digest, KeyId};

use super::line::{Line, RawRecord};
use super::{AuditLogError, PublicKey};

/// The file beside the segments that holds the last checkpoint.
pub(crate) const HEAD_FILE: &str = "head.json";

/// A signed checkpoint, kept outside the segments. Its text is the checkpoint's line in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    line: String,
    pub(crate) hash: Digest,
    pub(crate) public_key: PublicKey,
    sequence: u64,
    time_unix_ms: u64,
}

/// Why a text is no anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnchor {
    /// It is no line of a trail.
    #[error("it is no line of an audit trail")]
    NoLine,
    /// Its hash is not that of its content.
    #[error("its content does not have its hash")]
    Altered,
    /// It is another record.
    #[error("the record is no checkpoint")]
    NoCheckpoint,
    /// The signature does not hold.
    #[error("its signature does not hold")]
    BadSignature,
}

impl Anchor {
    /// Reads an anchor from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no checkpoint whose signature holds.
    pub fn read(path: &Path) -> Result<Self, AuditLogError> {
        let text =
            fs::read_to_string(path).map_err(AuditLogError::io("cannot read the anchor", path))?;
        text.parse()
            .map_err(|why: NotAnAnchor| AuditLogError::NotAnAnchor {
                path: path.to_owned(),
                why: why.to_string(),
            })
    }

    /// The last checkpoint of the trail in this directory, to be kept elsewhere.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn of_trail(dir: &Path) -> Result<Self, AuditLogError> {
        Self::read(&dir.join(HEAD_FILE))
    }

    /// The checkpoint's own sequence: the trail has at least so many records.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was made, Unix milliseconds.
    pub fn time_unix_ms(&self) -> u64 {
        self.time_unix_ms
    }

    /// The key that signed.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The id of the key that signed.
    pub fn key_id(&self) -> KeyId {
        self.public_key.id()
    }
}

impl FromStr for Anchor {
    type Err = NotAnAnchor;

    fn from_str(text: &str) -> Result<Self, NotAnAnchor> {
        let text = text.trim_end();
        let line = Line::parse(text.as_bytes()).ok_or(NotAnAnchor::NoLine)?;
        if !line.is_consistent() {
            return Err(NotAnAnchor::Altered);
        }
        let record = RawRecord::parse(line.record).ok_or(NotAnAnchor::NoLine)?;
        let checkpoint = record.checkpoint().flatten();
        let checkpoint = checkpoint.ok_or(NotAnAnchor::NoCheckpoint)?;
        let statement = checkpoint.statement().ok_or(NotAnAnchor::NoCheckpoint)?;
        let public_key =
            PublicKey::from_bytes(checkpoint.public_key).ok_or(NotAnAnchor::BadSignature)?;
        let fits = statement.chain_hash == line.previous
            && statement.sequence.checked_add(1) == Some(record.sequence)
            && statement.key_id == public_key.id();
        if !fits || !public_key.signed(&checkpoint) {
            return Err(NotAnAnchor::BadSignature);
        }
        Ok(Self {
            line: text.to_owned(),
            hash: line.hash,
            public_key,
            sequence: record.sequence,
            time_unix_ms: statement.time_unix_ms,
        })
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// What the head file holds.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    Missing,
    Damaged(String),
    Checkpoint(Box<Anchor>),
}

pub(crate) fn read_head(dir: &Path) -> Result<Head, AuditLogError> {
    let path = dir.join(HEAD_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::Missing),
        Err(error) => return Err(AuditLogError::io("cannot read", &path)(error)),
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(Head::Damaged(NotAnAnchor::NoLine.to_string()));
    };
    Ok(match text.parse::<Anchor>() {
        // Not a byte more than was written.
        Ok(anchor) if text.strip_suffix('\n') == Some(anchor.line.as_str()) => {
            Head::Checkpoint(Box::new(anchor))
        }
        Ok(_) => Head::Damaged(NotAnAnchor::NoLine.to_string()),
        Err(why) => Head::Damaged(why.to_string()),
    })
}

/// Replaces the head file: after a crash it is the old one or the new one.
pub(crate) fn write_head(dir: &Path, line: &[u8]) -> io::Result<()> {
    let new = dir.join("head.json.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(line)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(HEAD_FILE))?;
    sync_dir(dir)
}

/// Makes the directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
