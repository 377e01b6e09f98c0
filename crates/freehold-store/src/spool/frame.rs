//! How one record lies in a segment file, and how records are found again between damaged bytes.
//!
//! ```text
//! magic 4 | payload length u32 LE | CRC-32 u32 LE | format version u8 | payload
//! ```
//! The CRC covers the length, the version and the payload. The magic holds bytes that no UTF-8 text
//! has, so that the next record can be found after damage without ever mistaking a payload for one.

use std::ops::Range;

/// The payload is the outcome as JSON.
pub(crate) const VERSION_JSON: u8 = 1;
pub(crate) const HEADER_BYTES: usize = 13;
/// No payload is longer: what claims to be is damaged.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
const MAGIC: [u8; 4] = [0xF5, 0xFE, 0xC0, 0xFF];

/// Begins a frame at the end of `buffer`; the payload is to be appended. Returns where it begins.
pub(crate) fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&MAGIC);
    buffer.resize(start + HEADER_BYTES, 0);
    start
}

/// Completes the frame that begins at `start` and ends with the buffer. `None` when the payload
/// is too long for a frame.
pub(crate) fn finish(buffer: &mut [u8], start: usize, version: u8) -> Option<()> {
    let frame = buffer.get_mut(start..)?;
    let payload_bytes = frame.len().checked_sub(HEADER_BYTES)?;
    let length = u32::try_from(payload_bytes)
        .ok()
        .filter(|_| payload_bytes <= PAYLOAD_BYTES_MAX)?;
    let crc = checksum(length, version, frame.get(HEADER_BYTES..)?);
    frame.get_mut(4..8)?.copy_from_slice(&length.to_le_bytes());
    frame.get_mut(8..12)?.copy_from_slice(&crc.to_le_bytes());
    *frame.get_mut(12)? = version;
    Some(())
}

fn checksum(length: u32, version: u8, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(&[version]);
    crc.update(payload);
    crc.finalize()
}

/// What lies at a place in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole record.
    Record {
        /// The format of its payload.
        version: u8,
        /// Its payload, as a range of the bytes given.
        payload: Range<usize>,
    },
    /// Damaged bytes up to the next whole record or the end.
    Damaged(Range<usize>),
    /// The bytes end within what may be a record; more are needed to tell.
    Incomplete,
    /// Nothing: the bytes end here.
    End,
}

/// Looks at what begins at `from`. `complete` says that nothing comes after `bytes`.
pub(crate) fn look(bytes: &[u8], from: usize, complete: bool) -> Found {
    let rest = bytes.get(from..).unwrap_or_default();
    if rest.is_empty() {
        return Found::End;
    }
    match parse(rest) {
        Parsed::Record(version, length) => {
            let start = from + HEADER_BYTES;
            Found::Record {
                version,
                payload: start..start + length,
            }
        }
        _ if !complete => Found::Incomplete,
        Parsed::Short | Parsed::Damaged => Found::Damaged(from..next_record(bytes, from + 1)),
    }
}

enum Parsed {
    Record(u8, usize),
    Short,
    Damaged,
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Parsed::Short;
    };
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3, version] = *header else {
        return Parsed::Short;
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if [m0, m1, m2, m3] != MAGIC || payload_bytes > PAYLOAD_BYTES_MAX {
        return Parsed::Damaged;
    }
    let Some(payload) = payload.get(..payload_bytes) else {
        return Parsed::Short;
    };
    if checksum(length, version, payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Parsed::Damaged;
    }
    Parsed::Record(version, payload_bytes)
}

/// Where the next whole record begins, or the end.
fn next_record(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = bytes.get(at..) {
        let Some(skip) = rest.windows(MAGIC.len()).position(|four| four == MAGIC) else {
            break;
        };
        at += skip;
        if matches!(
            parse(bytes.get(at..).unwrap_or_default()),
            Parsed::Record(..)
        ) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}
