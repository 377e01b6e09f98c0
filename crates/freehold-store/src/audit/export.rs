//! Part of a trail, with what is needed to verify it on its own.
//!
//! The first line of an export is
//! `{"export":"freehold audit 1","first":<sequence>,"last":<sequence>,"public_keys":[<hex>, ...]}`;
//! then come the trail's lines as they are, from the checkpoint before the span to the one after it.

use std::io::{BufRead, Write};
use std::path::Path;

use freehold_types::audit::PublicKeyBytes;
use serde::{Deserialize, Serialize};

use super::line::{Line, RawRecord};
use super::read::{LineReader, SegmentFile, list};
use super::report::{FaultKind, Place, Report};
use super::verify::{ANCHOR, VerifyOptions};
use super::walk::Walk;
use super::{AuditLogError, Progress, PublicKey};

const FORMAT: &str = "freehold audit 1";
const FILE: &str = "export";

/// One end of a span of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The record with this sequence.
    Sequence(u64),
    /// Records of this time, Unix milliseconds.
    UnixMs(u64),
}

/// Which records: from the first to the last that lie between the edges, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first; `None` is the trail's first.
    pub from: Option<Edge>,
    /// The last; `None` is the trail's last.
    pub to: Option<Edge>,
}

impl Span {
    fn contains(&self, record: &RawRecord<'_>) -> bool {
        let after = match self.from {
            None => true,
            Some(Edge::Sequence(from)) => record.sequence >= from,
            Some(Edge::UnixMs(from)) => record.time_unix_ms >= from,
        };
        after
            && match self.to {
                None => true,
                Some(Edge::Sequence(to)) => record.sequence <= to,
                Some(Edge::UnixMs(to)) => record.time_unix_ms <= to,
            }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExportSummary {
    /// The first sequence in the export, of the checkpoint before the span.
    pub first: u64,
    /// The last sequence in the export, of the checkpoint after the span.
    pub last: u64,
    /// How many records that is.
    pub records: u64,
    /// True when a checkpoint ends the export, so that all of it is signed.
    pub signed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    export: String,
    first: u64,
    last: u64,
    public_keys: Vec<PublicKeyBytes>,
}

/// Where a line stands in the trail.
#[derive(Clone, Copy, Debug)]
struct Position {
    segment: usize,
    offset: u64,
    sequence: u64,
}

/// What a first pass over the trail finds out.
#[derive(Debug, Default)]
struct Finding {
    /// The last checkpoint, while the span has not begun.
    checkpoint: Option<Position>,
    begin: Option<Position>,
    /// The last record of the trail.
    last: u64,
    /// The checkpoint that ends the export.
    closing: Option<u64>,
    /// Keys of checkpoints since `checkpoint` or `begin`.
    keys: Vec<PublicKeyBytes>,
    /// How many of them come before `closing`.
    closing_keys: usize,
}

impl Finding {
    fn line(&mut self, at: Position, record: &RawRecord<'_>, span: &Span) {
        self.last = at.sequence;
        let checkpoint = record.checkpoint().flatten();
        if self.begin.is_none() && checkpoint.is_some() {
            self.checkpoint = Some(at);
            self.keys.clear();
        }
        if span.contains(record) {
            self.begin = self.begin.or(self.checkpoint).or(Some(at));
            self.closing = None;
        }
        let Some(checkpoint) = checkpoint else {
            return;
        };
        if self.closing.is_none() && !self.keys.contains(&checkpoint.public_key) {
            self.keys.push(checkpoint.public_key);
        }
        if self.begin.is_some() && self.closing.is_none() {
            self.closing = Some(at.sequence);
            self.closing_keys = self.keys.len();
        }
    }
}

/// Writes part of a trail as JSON lines that [`verify_export`] checks without the trail.
///
/// # Errors
/// When the trail cannot be read, is damaged in the span, or has no record in it, or the writer
/// fails.
pub fn export(
    dir: &Path,
    span: Span,
    writer: &mut dyn Write,
) -> Result<ExportSummary, AuditLogError> {
    let segments = list(dir).map_err(AuditLogError::io("cannot read", dir))?;
    if segments.is_empty() {
        return Err(AuditLogError::Nothing {
            dir: dir.to_owned(),
        });
    }
    let found = survey(&segments, &span)?;
    let begin = found.begin.ok_or(AuditLogError::EmptySpan)?;
    let last = found.closing.unwrap_or(found.last);
    let header = Header {
        export: FORMAT.to_owned(),
        first: begin.sequence,
        last,
        public_keys: found.keys,
    };
    let failed = |error| AuditLogError::Export("written", error);
    let mut text = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    writer.write_all(&text).map_err(failed)?;
    let records = copy(&segments, begin, last, writer)?;
    writer.flush().map_err(failed)?;
    Ok(ExportSummary {
        first: begin.sequence,
        last,
        records,
        signed: found.closing.is_some(),
    })
}

fn survey(segments: &[SegmentFile], span: &Span) -> Result<Finding, AuditLogError> {
    let mut found = Finding::default();
    for (segment, file) in segments.iter().enumerate() {
        let failed = || AuditLogError::io("cannot read", &file.path);
        let mut lines = LineReader::open(&file.path).map_err(failed())?;
        while let Some(info) = lines.next_line().map_err(failed())? {
            let line = Line::parse(lines.text()).filter(|_| info.ended);
            let Some(record) = line.and_then(|line| RawRecord::parse(line.record)) else {
                continue;
            };
            let at = Position {
                segment,
                offset: info.offset,
                sequence: record.sequence,
            };
            found.line(at, &record, span);
        }
    }
    found.keys.truncate(match found.closing {
        Some(_) => found.closing_keys,
        None => usize::MAX,
    });
    Ok(found)
}

fn copy(
    segments: &[SegmentFile],
    begin: Position,
    last: u64,
    writer: &mut dyn Write,
) -> Result<u64, AuditLogError> {
    let mut records = 0;
    for (at, file) in segments.iter().enumerate().skip(begin.segment) {
        let failed = || AuditLogError::io("cannot read", &file.path);
        let mut lines = LineReader::open(&file.path).map_err(failed())?;
        while let Some(info) = lines.next_line().map_err(failed())? {
            if at == begin.segment && info.offset < begin.offset {
                continue;
            }
            let line = Line::parse(lines.text()).filter(|line| info.ended && line.is_consistent());
            let record = line.and_then(|line| RawRecord::parse(line.record));
            let Some(record) = record else {
                return Err(AuditLogError::Damaged {
                    file: file.name(),
                    line: info.number,
                });
            };
            writer
                .write_all(lines.text())
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(|error| AuditLogError::Export("written", error))?;
            records += 1;
            if record.sequence == last {
                return Ok(records);
            }
        }
    }
    Ok(records)
}

/// Verifies an export on its own. In the report's places `export` stands for the file; the anchor
/// counts when the export reaches it.
///
/// # Errors
/// When the reader fails or its first line is not that of an export.
pub fn verify_export<R: BufRead>(
    reader: R,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditLogError> {
    let failed = |error| AuditLogError::Export("read", error);
    let mut lines = LineReader::new(reader);
    let info = lines.next_line().map_err(failed)?;
    let header = info.and_then(|_| header(lines.text())).ok_or_else(|| {
        failed(std::io::Error::other(
            "the first line is not that of an export",
        ))
    })?;
    let mut walk = if header.first == 1 {
        Walk::whole(&options.public_keys)
    } else {
        Walk::part(&options.public_keys)
    };
    if let Some(anchor) = &options.anchor
        && (header.first..=header.last).contains(&anchor.sequence())
    {
        walk.must_hold(anchor.clone(), ANCHOR);
    }
    let mut place = Place {
        file: FILE.to_owned(),
        line: 1,
        offset: 0,
        sequence: None,
    };
    let mut begins_signed = None;
    while let Some(info) = lines.next_line().map_err(failed)? {
        place.line = info.number;
        place.offset = info.offset;
        if info.ended && !info.overlong {
            walk.line(place.clone(), lines.text());
        } else {
            walk.unreadable(place.clone());
        }
        begins_signed.get_or_insert(walk.report.proved.is_some());
    }
    walk.report.bytes = lines.offset();
    progress(Progress {
        bytes: lines.offset(),
        total_bytes: lines.offset(),
        records: walk.report.records,
    });
    let mut report = walk.finish(&place);
    check_header(&mut report, &header, begins_signed == Some(true));
    Ok(report)
}

/// The header, when not a byte of it differs from what would be written.
fn header(text: &[u8]) -> Option<Header> {
    let header: Header = serde_json::from_slice(text).ok()?;
    let same = serde_json::to_vec(&header).ok()? == text;
    (same && header.export == FORMAT).then_some(header)
}

fn check_header(report: &mut Report, header: &Header, begins_signed: bool) {
    let place = || Place {
        file: FILE.to_owned(),
        line: 1,
        offset: 0,
        sequence: None,
    };
    let named = header.public_keys.iter().copied();
    let named: Option<Vec<_>> = named
        .map(|key| PublicKey::from_bytes(key).map(|key| key.id()))
        .collect();
    let sequences = Some((header.first, header.last));
    let (same_span, same_keys) = (
        report.sequences == sequences,
        named.as_ref() == Some(&report.key_ids),
    );
    let mut wrong = |what: &str| {
        let what = what.to_owned();
        report.add(place(), FaultKind::BadHeader { what });
    };
    if !begins_signed {
        wrong("the records do not begin with a checkpoint that holds");
    }
    if !same_span {
        wrong("it names another span than that of the records");
    }
    if !same_keys {
        wrong("it names other keys than those that signed");
    }
    report.segments = 1;
    report.intact = report.is_intact();
}
