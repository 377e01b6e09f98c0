//! SHA-256 digests: the identity of every stored file.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::blocking::Cancelled;
use crate::error::ModelError;

/// Bytes read at once while hashing, unpacking and copying.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// A SHA-256 digest; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{self}")
    }
}

impl FromStr for Sha256Digest {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ModelError::InvalidReference {
            input: text.chars().take(80).collect(),
            reason: "a SHA-256 is written as 64 hex digits".to_owned(),
        })?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

/// Hashes a whole file, telling `on_bytes` the running total.
/// Returns the digest and the size in bytes, or `None` when cancelled.
pub(crate) fn hash_file(
    path: &Path,
    cancelled: &Cancelled,
    mut on_bytes: impl FnMut(u64),
) -> std::io::Result<Option<(Sha256Digest, u64)>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0_u8; BLOCK_BYTES];
    let mut total = 0_u64;
    loop {
        if cancelled.is_set() {
            return Ok(None);
        }
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(Some((Sha256Digest::finish(hasher), total)));
        }
        hasher.update(&block[..count]);
        total += count as u64;
        on_bytes(total);
    }
}
