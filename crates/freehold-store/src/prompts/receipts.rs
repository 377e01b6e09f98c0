//! Receipts of what was erased: a chain of lines, each of which holds the hash of the one before.
//!
//! A receipt names no end user and no conversation, only their keyed hashes. Its hash goes into the
//! audit trail as well, which is signed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::PromptError;

/// What stands before the first receipt.
const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// No receipt is longer, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "erased", rename_all = "snake_case")]
pub enum ReceiptScope {
    /// Everything of a tenant.
    Tenant {
        /// Its name.
        tenant: String,
    },
    /// Everything of an end user.
    Subject {
        /// Of this tenant only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        /// The end user's keyed hash, for each tenant that was looked at.
        hashes: Vec<String>,
    },
    /// Everything of a conversation.
    Conversation {
        /// Of this tenant only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        /// The conversation's keyed hash, for each tenant that was looked at.
        hashes: Vec<String>,
    },
}

/// The proof of one erasure. It was written after the files had been searched for the erased keys, and
/// held none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of this form.
    pub version: u32,
    /// When, Unix milliseconds.
    pub time_unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub scope: ReceiptScope,
    /// The ids of the keys that were shredded.
    pub keys: Vec<String>,
    /// How many records nobody can read any more, and were deleted.
    pub records: u64,
    /// Whether the whole file was written anew, because a page still held a key.
    pub rewritten: bool,
    /// The hash of the receipt before.
    pub previous: String,
    /// SHA-256 of this receipt without this field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    hash: String,
    #[serde(borrow)]
    receipt: &'a RawValue,
}

fn hash_of(receipt: &str) -> String {
    hex::encode(Sha256::digest(receipt.as_bytes()))
}

/// Chains a receipt and writes it to the disk.
pub(crate) fn append(path: &Path, mut receipt: Receipt) -> Result<Receipt, PromptError> {
    let unwritable = || PromptError::io("cannot write the receipt to", path);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(unwritable())?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(unwritable())?;
    file.lock().map_err(unwritable())?;
    cut_torn(&mut file, path).map_err(unwritable())?;
    let last = read(&file, path)?.pop();
    receipt.previous = last.map_or_else(|| FIRST.to_owned(), |last| last.hash);
    receipt.hash = String::new();
    let written = write(&mut file, &receipt);
    receipt.hash = written.map_err(unwritable())?;
    Ok(receipt)
}

fn write(file: &mut File, receipt: &Receipt) -> io::Result<String> {
    let text = serde_json::to_string(receipt)?;
    let hash = hash_of(&text);
    let raw = RawValue::from_string(text)?;
    let line = Line {
        hash: hash.clone(),
        receipt: &raw,
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_all()?;
    Ok(hash)
}

/// A line that a crash left half-written is no receipt: what it was for can be erased again.
fn cut_torn(file: &mut File, path: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(0, |at| at + 1);
    if whole < text.len() {
        tracing::warn!(path = %path.display(), "a half-written receipt is cut off");
        file.set_len(whole as u64)?;
    }
    Ok(())
}

/// Reads the chain and checks every hash.
///
/// # Errors
/// When the file cannot be read, or a receipt was changed, added or removed before the end.
pub fn verify_receipts(path: &Path) -> Result<Vec<Receipt>, PromptError> {
    match File::open(path) {
        Ok(file) => read(&file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(PromptError::io("cannot read the receipts", path)(error)),
    }
}

fn read(mut file: &File, path: &Path) -> Result<Vec<Receipt>, PromptError> {
    let unreadable = || PromptError::io("cannot read the receipts", path);
    file.seek(SeekFrom::Start(0)).map_err(unreadable())?;
    let mut reader = BufReader::new(file);
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let mut bounded = (&mut reader).take(LINE_BYTES_MAX);
        if bounded.read_line(&mut text).map_err(unreadable())? == 0 {
            break;
        }
        let previous = receipts.last().map_or(FIRST, |last| last.hash.as_str());
        let receipt = parse(&text, previous).map_err(|why| PromptError::Receipts {
            path: path.to_owned(),
            line,
            why,
        })?;
        receipts.push(receipt);
    }
    Ok(receipts)
}

fn parse(text: &str, previous: &str) -> Result<Receipt, String> {
    let line: Line<'_> =
        serde_json::from_str(text).map_err(|error| format!("it is no receipt: {error}"))?;
    let mut receipt: Receipt = serde_json::from_str(line.receipt.get())
        .map_err(|error| format!("it is no receipt: {error}"))?;
    if hash_of(line.receipt.get()) != line.hash {
        return Err("the receipt was changed".to_owned());
    }
    if receipt.previous != previous {
        return Err("a receipt before it was added or removed".to_owned());
    }
    receipt.hash = line.hash;
    Ok(receipt)
}
