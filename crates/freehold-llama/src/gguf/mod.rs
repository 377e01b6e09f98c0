//! Reads the header of a GGUF file, within bounds, before the file is given to llama.cpp.
//!
//! Nothing in a hostile file makes this reader panic, loop or allocate more than a few megabytes:
//! every count is checked against what the file could hold, and arrays are skipped, not kept.

mod read;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::error::GgufError;
use read::HeaderReader;

/// Entries that a header may have. The largest known files have a few hundred.
const ENTRIES_MAX: u64 = 65_536;
/// Tensors that a file may have. The largest known files have a few thousand.
const TENSORS_MAX: u64 = 1_048_576;
/// Bytes of metadata text that are kept; longer texts are an error.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One value of the header's metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text; invalid UTF-8 is replaced.
    Text(String),
    /// An array of numbers that is short enough to keep (per-layer settings).
    Numbers(Vec<u64>),
    /// Any other array, of which only the length is kept.
    Array {
        /// Number of elements.
        length: u64,
    },
}

/// The header of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    /// Metadata by key.
    pub(crate) entries: BTreeMap<String, Value>,
    /// Number of tensors.
    pub(crate) tensor_count: u64,
    /// Elements of all tensors together, i.e. the model's parameters.
    pub(crate) parameters: u64,
    /// Size of the whole file.
    pub(crate) file_bytes: u64,
}

impl Header {
    /// Reads the header of the file at `path` and checks that all its tensors are there.
    ///
    /// # Errors
    /// When the file cannot be read, is no GGUF file, is cut short, or is malformed.
    pub(crate) fn open(path: &Path) -> Result<Self, GgufError> {
        let file = File::open(path).map_err(GgufError::Io)?;
        let file_bytes = file.metadata().map_err(GgufError::Io)?.len();
        Self::read(BufReader::with_capacity(256 * 1024, file), file_bytes)
    }

    /// Reads a header from `source`, the beginning of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// As [`Header::open`].
    pub(crate) fn read(source: impl std::io::Read, file_bytes: u64) -> Result<Self, GgufError> {
        let mut reader = HeaderReader::new(source, file_bytes);
        let (tensor_count, entry_count) = reader.preamble()?;
        if entry_count > ENTRIES_MAX {
            return Err(GgufError::Malformed("too many metadata entries"));
        }
        if tensor_count > TENSORS_MAX {
            return Err(GgufError::Malformed("too many tensors"));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..entry_count {
            let (key, value) = reader.entry()?;
            entries.insert(key, value);
        }
        let alignment = match entries.get("general.alignment") {
            None => 32,
            Some(Value::Unsigned(alignment))
                if alignment.is_power_of_two() && *alignment <= 65_536 =>
            {
                *alignment
            }
            Some(_) => return Err(GgufError::Malformed("impossible tensor alignment")),
        };
        let parameters = reader.tensors(tensor_count, alignment)?;
        Ok(Self {
            entries,
            tensor_count,
            parameters,
            file_bytes,
        })
    }

    /// The text under `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The non-negative integer under `key`.
    pub(crate) fn unsigned(&self, key: &str) -> Option<u64> {
        match self.entries.get(key) {
            Some(Value::Unsigned(value)) => Some(*value),
            Some(Value::Signed(value)) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The number under `key`, whatever its type.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.entries.get(key) {
            Some(Value::Float(value)) => Some(*value),
            #[expect(clippy::cast_precision_loss, reason = "settings are small")]
            Some(Value::Unsigned(value)) => Some(*value as f64),
            #[expect(clippy::cast_precision_loss, reason = "settings are small")]
            Some(Value::Signed(value)) => Some(*value as f64),
            _ => None,
        }
    }

    /// The integer under `key`, or the largest of an array that gives one per layer.
    pub(crate) fn unsigned_max(&self, key: &str) -> Option<u64> {
        match self.entries.get(key) {
            Some(Value::Numbers(values)) => values.iter().copied().max(),
            _ => self.unsigned(key),
        }
    }
}

#[cfg(test)]
mod tests;
