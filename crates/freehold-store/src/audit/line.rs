//! One line of a segment: see the format in the module's documentation.

use std::collections::BTreeMap;

use freehold_types::audit::{AuditKind, Digest, HexBytes, KeyId, PublicKeyBytes, SignatureBytes};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// No record's event is longer, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 256 << 10;
/// No line is longer, in bytes: what is has been damaged.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

const BEFORE_HASH: &[u8] = b"{\"hash\":\"";
const BEFORE_PREVIOUS: &[u8] = b"\",\"previous\":\"";
const BEFORE_RECORD: &[u8] = b"\",\"record\":";
const BEFORE_EVENT: &[u8] = b"{\"event\":";
const HEX_BYTES: usize = 64;
const HASH_AT: usize = BEFORE_HASH.len();
const PREVIOUS_AT: usize = HASH_AT + HEX_BYTES + BEFORE_PREVIOUS.len();
const RECORD_AT: usize = PREVIOUS_AT + HEX_BYTES + BEFORE_RECORD.len();

/// Begins a line in an empty buffer; the event's canonical bytes are to be appended.
pub(crate) fn begin(line: &mut Vec<u8>) {
    line.extend_from_slice(BEFORE_HASH);
    line.resize(PREVIOUS_AT - BEFORE_PREVIOUS.len(), b'0');
    line.extend_from_slice(BEFORE_PREVIOUS);
    line.resize(RECORD_AT - BEFORE_RECORD.len(), b'0');
    line.extend_from_slice(BEFORE_RECORD);
    line.extend_from_slice(BEFORE_EVENT);
}

/// Ends a line behind its event; returns the line's hash.
pub(crate) fn finish(
    line: &mut Vec<u8>,
    previous: &Digest,
    sequence: u64,
    time_unix_ms: u64,
) -> Digest {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(
        line,
        ",\"sequence\":{sequence},\"time_unix_ms\":{time_unix_ms}}}"
    );
    let hash = link(previous, line.get(RECORD_AT..).unwrap_or_default());
    let patch = |line: &mut Vec<u8>, at: usize, digest: &Digest| {
        line.get_mut(at..).is_some_and(|rest| digest.write_to(rest))
    };
    let patched = patch(line, HASH_AT, &hash) && patch(line, PREVIOUS_AT, previous);
    debug_assert!(patched, "the line was begun");
    line.extend_from_slice(b"}\n");
    hash
}

/// The hash of a record after the one with hash `previous`.
pub(crate) fn link(previous: &Digest, record: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(previous.0);
    hash.update(record);
    HexBytes(hash.finalize().into())
}

/// The parts of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) hash: Digest,
    pub(crate) previous: Digest,
    /// Canonical bytes.
    pub(crate) record: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart, without the newline. `None` when it is none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(BEFORE_HASH)?;
        let (hash, rest) = rest.split_at_checked(HEX_BYTES)?;
        let rest = rest.strip_prefix(BEFORE_PREVIOUS)?;
        let (previous, rest) = rest.split_at_checked(HEX_BYTES)?;
        let record = rest.strip_prefix(BEFORE_RECORD)?.strip_suffix(b"}")?;
        Some(Self {
            hash: HexBytes::parse(hash).ok()?,
            previous: HexBytes::parse(previous).ok()?,
            record,
        })
    }

    /// True when the line's hash is that of its parts.
    pub(crate) fn is_consistent(&self) -> bool {
        link(&self.previous, self.record) == self.hash
    }
}

/// A record, read only as far as every version of this program can.
#[derive(Debug, Deserialize)]
pub(crate) struct RawRecord<'a> {
    #[serde(borrow)]
    event: BTreeMap<&'a str, &'a RawValue>,
    pub(crate) sequence: u64,
    pub(crate) time_unix_ms: u64,
}

impl<'a> RawRecord<'a> {
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(record).ok()?;
        (record.event.len() == 1).then_some(record)
    }

    /// `None` for an event that this version does not know.
    pub(crate) fn kind(&self) -> Option<AuditKind> {
        let name = self.event.keys().next()?;
        AuditKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == *name)
    }

    /// The checkpoint, when it is one: `Some(None)` when it cannot be read.
    pub(crate) fn checkpoint(&self) -> Option<Option<RawCheckpoint<'a>>> {
        let value = self.event.get(AuditKind::Checkpoint.as_str())?;
        Some(serde_json::from_str(value.get()).ok())
    }
}

/// A checkpoint with its statement as it was signed.
#[derive(Debug, Deserialize)]
pub(crate) struct RawCheckpoint<'a> {
    pub(crate) public_key: PublicKeyBytes,
    pub(crate) signature: SignatureBytes,
    #[serde(borrow)]
    pub(crate) statement: &'a RawValue,
}

impl RawCheckpoint<'_> {
    pub(crate) fn statement(&self) -> Option<RawStatement> {
        serde_json::from_str(self.statement.get()).ok()
    }
}

/// A statement; later versions may give other reasons.
#[derive(Debug, Deserialize)]
pub(crate) struct RawStatement {
    pub(crate) chain_hash: Digest,
    pub(crate) count: u64,
    pub(crate) key_id: KeyId,
    pub(crate) reason: String,
    pub(crate) sequence: u64,
    pub(crate) time_unix_ms: u64,
}
