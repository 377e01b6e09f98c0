//! Reading segments: in batches, with damaged bytes told apart from records.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::frame::{self, Found};
use super::segment::Segment;

/// Where reading of a segment stands, with the bytes read ahead.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where `bytes` begins in the segment.
    base: u64,
    records: Vec<(u8, Range<usize>)>,
    damaged: Vec<Range<usize>>,
    /// Where the next batch begins.
    pub(crate) next: u64,
}

/// One record as it lies in the spool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    /// The format of the payload.
    pub(crate) version: u8,
    /// The payload.
    pub(crate) payload: &'a [u8],
    /// Where the payload begins in the segment.
    pub(crate) offset: u64,
}

impl Batch {
    /// The whole records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.records.iter().map(|(version, range)| RawRecord {
            version: *version,
            payload: self.bytes.get(range.clone()).unwrap_or_default(),
            offset: self.base + range.start as u64,
        })
    }

    /// The damaged bytes, with their offsets in the segment.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.damaged.iter().map(|range| {
            let bytes = self.bytes.get(range.clone()).unwrap_or_default();
            (self.base + range.start as u64, bytes)
        })
    }

    /// True when neither records nor damage were found.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.damaged.is_empty()
    }
}

/// Bytes that are read at once; more when one record is longer.
const READ_BYTES: usize = 1 << 20;

/// Reads at most `records_max` records that begin at or after `from`.
///
/// Everything up to `segment.end` is taken for written: what does not parse there is damage.
///
/// # Errors
/// When the file cannot be read; `NotFound` when it is gone.
pub(crate) fn read_batch(segment: &Segment, from: u64, records_max: usize) -> io::Result<Batch> {
    let mut file = File::open(&segment.path)?;
    let mut want = READ_BYTES;
    loop {
        let mut batch = Batch {
            base: from,
            next: from,
            ..Batch::default()
        };
        let left = segment.end.saturating_sub(from);
        let length = u64::try_from(want).unwrap_or(u64::MAX).min(left);
        file.seek(SeekFrom::Start(from))?;
        batch
            .bytes
            .reserve_exact(usize::try_from(length).unwrap_or(want));
        // A file may be shorter than `end` says: a power failure can take its tail.
        (&mut file).take(length).read_to_end(&mut batch.bytes)?;
        let complete = (batch.bytes.len() as u64) < length || length == left;
        parse(&mut batch, complete, records_max);
        if !batch.is_empty() || batch.bytes.is_empty() || complete {
            return Ok(batch);
        }
        // One record is longer than the bytes, or damage hides where the next one begins.
        want = want.saturating_mul(16);
    }
}

fn parse(batch: &mut Batch, complete: bool, records_max: usize) {
    let mut at = 0;
    while batch.records.len() < records_max {
        match frame::look(&batch.bytes, at, complete) {
            Found::Record { version, payload } => {
                at = payload.end;
                batch.records.push((version, payload));
            }
            Found::Damaged(range) => {
                at = range.end;
                batch.damaged.push(range);
            }
            Found::Incomplete | Found::End => break,
        }
    }
    batch.next = batch.base + at as u64;
}
