//! Verifies a trail: reads all of it once, in constant memory.

use std::path::Path;
use std::time::Duration;

use super::anchor::{Anchor, HEAD_FILE, Head, read_head};
use super::keys::PublicKey;
use super::read::{LineInfo, LineReader, SegmentFile, file_name, list};
use super::recover::is_written;
use super::report::{FaultKind, Place, Report};
use super::walk::Walk;
use super::{AuditLogError, NotAPublicKey};

pub(crate) const ANCHOR: &str = "the anchor";
/// Progress is told after so many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How long a line that a gateway is writing may take, and how often it is looked at.
const LINE_WAIT_MAX: Duration = Duration::from_millis(500);
const LINE_PAUSE: Duration = Duration::from_millis(5);

/// What a trail is verified against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// The keys that may have signed; empty takes those that the trail names itself, which proves
    /// nothing against somebody who can write the directory.
    pub public_keys: Vec<PublicKey>,
    /// A checkpoint that was kept elsewhere.
    pub anchor: Option<Anchor>,
}

impl VerifyOptions {
    /// With one key, given as PEM or hex.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn with_key(text: &str) -> Result<Self, NotAPublicKey> {
        Ok(Self {
            public_keys: vec![text.parse()?],
            anchor: None,
        })
    }
}

/// How far verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes there were at the begin.
    pub total_bytes: u64,
    /// Records read.
    pub records: u64,
}

/// Verifies the trail in a directory, also while a gateway writes it. `progress` is told now and
/// then.
///
/// # Errors
/// When the directory or a file cannot be read, there is no trail, or the anchor's key is not among
/// those given. What is wrong with the trail is in the report.
pub fn verify(
    dir: &Path,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditLogError> {
    // Before the segments: what it names is then in them.
    let head = read_head(dir)?;
    let segments = list(dir).map_err(AuditLogError::io("cannot read", dir))?;
    if segments.is_empty() && matches!(head, Head::Missing) && options.anchor.is_none() {
        return Err(AuditLogError::Nothing {
            dir: dir.to_owned(),
        });
    }
    let mut walk = Walk::whole(&options.public_keys);
    if let Some(anchor) = &options.anchor {
        if !walk.accepts(&anchor.public_key()) {
            return Err(AuditLogError::NotAnAnchor {
                path: "the anchor".into(),
                why: format!("it is signed with another key ({})", anchor.key_id()),
            });
        }
        walk.must_hold(anchor.clone(), ANCHOR);
    }
    take_head(&mut walk, head);
    let mut told = Progress {
        total_bytes: segments.iter().map(|segment| segment.bytes).sum(),
        ..Progress::default()
    };
    let mut end = Place {
        file: file_name(1),
        line: 1,
        offset: 0,
        sequence: None,
    };
    let mut number = 1;
    for (at, segment) in segments.iter().enumerate() {
        end = Place {
            file: segment.name(),
            line: 1,
            offset: 0,
            sequence: None,
        };
        if segment.number != number {
            let file = file_name(number);
            let missing = FaultKind::MissingSegment { file };
            walk.report.add(end.clone(), missing);
        }
        number = segment.number.saturating_add(1);
        let last = at + 1 == segments.len();
        end = read_segment(&mut walk, segment, last, &mut told, progress)
            .map_err(AuditLogError::io("cannot read", &segment.path))?;
    }
    told.records = walk.report.records;
    progress(told);
    walk.report.segments = segments.len() as u64;
    walk.report.bytes = told.bytes;
    Ok(walk.finish(&end))
}

fn take_head(walk: &mut Walk<'_>, head: Head) {
    let place = Place {
        file: HEAD_FILE.to_owned(),
        line: 1,
        offset: 0,
        sequence: None,
    };
    match head {
        Head::Missing => walk.report.add(place, FaultKind::HeadMissing),
        Head::Damaged(why) => walk.report.add(place, FaultKind::HeadDamaged { why }),
        Head::Checkpoint(anchor) if walk.accepts(&anchor.public_key()) => {
            walk.must_hold(*anchor, HEAD_FILE);
        }
        Head::Checkpoint(anchor) => {
            let key_id = anchor.key_id();
            walk.report.add(place, FaultKind::ForeignKey { key_id });
        }
    }
}

/// Reads one segment; returns where it ended.
fn read_segment(
    walk: &mut Walk<'_>,
    segment: &SegmentFile,
    last: bool,
    told: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> std::io::Result<Place> {
    let mut lines = LineReader::open(&segment.path)?;
    let begin = told.bytes;
    let mut next_told = begin + PROGRESS_BYTES;
    let mut end = Place {
        file: segment.name(),
        line: 1,
        offset: 0,
        sequence: None,
    };
    // A gateway may be writing: what comes after the begin of the verification is left out.
    while lines.offset() < segment.bytes {
        let Some(mut info) = lines.next_line()? else {
            break;
        };
        if last && !info.ended {
            info = wait_for_end(&mut lines, info, &segment.path)?;
        }
        let place = Place {
            line: info.number,
            offset: info.offset,
            ..end.clone()
        };
        if !info.ended && last {
            walk.report.add(place.clone(), FaultKind::TornTail);
        } else if !info.ended || info.overlong {
            walk.unreadable(place.clone());
        } else {
            walk.line(place.clone(), lines.text());
        }
        end = place;
        told.bytes = begin + lines.offset();
        if told.bytes >= next_told {
            next_told = told.bytes + PROGRESS_BYTES;
            told.records = walk.report.records;
            progress(*told);
        }
    }
    Ok(end)
}

/// The last line may be one that a gateway is just writing, or has just written.
fn wait_for_end<R: std::io::BufRead>(
    lines: &mut LineReader<R>,
    mut info: LineInfo,
    path: &Path,
) -> std::io::Result<LineInfo> {
    let mut waited = Duration::ZERO;
    while !info.ended && !info.overlong && waited < LINE_WAIT_MAX {
        let written = path.parent().is_some_and(is_written);
        if written {
            std::thread::sleep(LINE_PAUSE);
        }
        info = lines.read_on(info)?;
        if !written {
            break;
        }
        waited += LINE_PAUSE;
    }
    Ok(info)
}
