//! What happens when a trail is opened: the lock, the end of the chain, and a line that a crash
//! left half-written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use freehold_types::audit::{CheckpointReason, Digest};

use super::AuditLogError;
use super::anchor::{Anchor, Head, read_head};
use super::line::{Line, RawRecord};
use super::read::{LineReader, SegmentFile, list};

/// Held for as long as the process writes the trail. The kernel lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, AuditLogError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(AuditLogError::io("cannot open the lock file", &path))?;
        match try_long(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The number is a courtesy of the error message only.
                let _ = (&mut file).take(16).read_to_string(&mut text);
                return Err(AuditLogError::Locked {
                    dir: dir.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(AuditLogError::io("cannot lock", &path)(source));
            }
        }
        // Also a courtesy: a full disk must not keep the gateway from starting.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Whoever verifies a trail holds the lock for a moment, to see whether somebody writes: see
/// [`is_written`].
fn try_long(file: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    file.try_lock()
}

/// True when a process writes this trail at the moment.
pub(crate) fn is_written(dir: &Path) -> bool {
    let lock = File::open(dir.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Creates the directory, for the owner's eyes only.
pub(crate) fn create_dir(dir: &Path) -> Result<(), AuditLogError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(AuditLogError::io("cannot create the directory", dir))
}

/// Where the chain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The segment to go on in; `None` when there is none yet.
    pub(crate) segment: Option<SegmentFile>,
    /// The highest number of a segment.
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) hash: Digest,
    /// Records after the last checkpoint.
    pub(crate) since_checkpoint: u64,
    /// True when the last record says that the trail was closed in order.
    pub(crate) clean: bool,
    /// Bytes of a half-written line that were cut off.
    pub(crate) torn_bytes: u64,
}

/// Finds the end of the chain, compares it with the head file, and cuts off a torn last line.
pub(crate) fn recover(dir: &Path) -> Result<Ended, AuditLogError> {
    let head = read_head(dir)?;
    let segments = list(dir).map_err(AuditLogError::io("cannot read", dir))?;
    let head_sequence = match &head {
        Head::Checkpoint(anchor) => anchor.sequence(),
        _ => 0,
    };
    let mut end = End::default();
    let mut segment = None;
    for (at, candidate) in segments.iter().enumerate().rev() {
        let scanned = Scan::of(candidate, head_sequence)?;
        let last = at + 1 == segments.len();
        if last {
            end.torn_bytes = scanned.torn_bytes;
            segment = Some((candidate, scanned.good_bytes));
        }
        end.before(scanned);
        if end.begin.is_some_and(|first| first <= head_sequence.max(1)) {
            break;
        }
        // Without a head to compare with, only the end of the chain is of interest.
        if head_sequence == 0 && end.last.is_some() {
            break;
        }
    }
    compare(dir, &head, &end, !segments.is_empty())?;
    let segment = match segment {
        Some((last, good_bytes)) => Some(repair(last, good_bytes)?),
        None => None,
    };
    let (sequence, hash) = end.next_after();
    Ok(Ended {
        segment,
        number: segments.last().map_or(0, |segment| segment.number),
        sequence,
        hash,
        since_checkpoint: sequence.saturating_sub(end.checkpoint.unwrap_or(0)),
        clean: sequence == 0 || (end.stopped && end.torn_bytes == 0 && end.damaged == 0),
        torn_bytes: end.torn_bytes,
    })
}

/// What is known of the chain's end, from the last segments.
#[derive(Debug, Default)]
struct End {
    /// Sequence of the first good record in the segments looked at.
    begin: Option<u64>,
    /// Sequence and hash of the last good record.
    last: Option<(u64, Digest)>,
    /// Sequence of the last good checkpoint.
    checkpoint: Option<u64>,
    stopped: bool,
    torn_bytes: u64,
    /// Lines behind the last good record that are whole but wrong, and the hash that the last of
    /// them states. They stay where they are, and the chain goes on behind them: only so does
    /// verification find them, and nothing else, for ever.
    damaged: u64,
    stated: Option<Digest>,
    /// The hash of the record that the head file names.
    at_head: Option<Digest>,
}

impl End {
    /// Adds a segment that stands before those looked at.
    fn before(&mut self, scanned: Scan) {
        self.begin = scanned.first.or(self.begin);
        if self.last.is_none() {
            self.last = scanned.last;
            self.stopped = scanned.stopped;
            self.damaged += scanned.damaged;
            self.stated = self.stated.or(scanned.stated);
        }
        self.checkpoint = self.checkpoint.or(scanned.checkpoint);
        self.at_head = self.at_head.or(scanned.at_head);
    }

    /// The sequence and the hash that the next record follows.
    fn next_after(&self) -> (u64, Digest) {
        let (sequence, hash) = self.last.unwrap_or((0, Digest::ZERO));
        (sequence + self.damaged, self.stated.unwrap_or(hash))
    }
}

/// What one segment holds.
#[derive(Debug, Default)]
struct Scan {
    first: Option<u64>,
    last: Option<(u64, Digest)>,
    checkpoint: Option<u64>,
    stopped: bool,
    at_head: Option<Digest>,
    /// Bytes of whole lines.
    good_bytes: u64,
    torn_bytes: u64,
    damaged: u64,
    stated: Option<Digest>,
}

impl Scan {
    fn of(segment: &SegmentFile, head_sequence: u64) -> Result<Self, AuditLogError> {
        let mut scan = Self::default();
        scan.read(segment, head_sequence)
            .map_err(AuditLogError::io("cannot read", &segment.path))?;
        Ok(scan)
    }

    fn read(&mut self, segment: &SegmentFile, head_sequence: u64) -> io::Result<()> {
        let mut lines = LineReader::open(&segment.path)?;
        while let Some(info) = lines.next_line()? {
            if !info.ended {
                self.torn_bytes = lines.offset() - info.offset;
                break;
            }
            self.good_bytes = lines.offset();
            if !self.line(lines.text(), head_sequence) {
                self.damaged += 1;
                self.stated = Line::parse(lines.text()).map(|line| line.hash);
                tracing::error!(
                    segment = %segment.path.display(),
                    line = info.number,
                    "a line of the audit trail is damaged; it stays where it is, verify the trail",
                );
            }
        }
        Ok(())
    }

    /// Takes a whole line; false when it is damaged.
    fn line(&mut self, text: &[u8], head_sequence: u64) -> bool {
        let Some(line) = Line::parse(text).filter(Line::is_consistent) else {
            return false;
        };
        let Some(record) = RawRecord::parse(line.record) else {
            return false;
        };
        self.first.get_or_insert(record.sequence);
        self.last = Some((record.sequence, line.hash));
        (self.damaged, self.stated) = (0, None);
        self.stopped = false;
        if record.sequence == head_sequence {
            self.at_head = Some(line.hash);
        }
        if let Some(checkpoint) = record.checkpoint() {
            self.checkpoint = Some(record.sequence);
            let statement = checkpoint.and_then(|checkpoint| checkpoint.statement());
            self.stopped = statement.is_some_and(|statement| {
                serde_json::from_value(statement.reason.into()).ok()
                    == Some(CheckpointReason::Stopped)
            });
        }
        true
    }
}

/// Refuses a trail that is shorter than its head file says, or another one. A power failure cannot
/// bring that about: segments are on the disk before the head file names them.
fn compare(dir: &Path, head: &Head, end: &End, segments: bool) -> Result<(), AuditLogError> {
    let (last, _) = end.next_after();
    let what = match head {
        // The process died before its first head file was written.
        Head::Missing if last <= 1 => return Ok(()),
        Head::Missing => {
            "its head file is missing, so nobody can tell whether its end is".to_owned()
        }
        Head::Damaged(why) => format!("its head file is damaged ({why})"),
        Head::Checkpoint(anchor) => match differs(anchor, end, last, segments) {
            Some(what) => what,
            None => return Ok(()),
        },
    };
    Err(AuditLogError::Changed {
        dir: dir.to_owned(),
        what,
    })
}

fn differs(anchor: &Anchor, end: &End, last: u64, segments: bool) -> Option<String> {
    let head = anchor.sequence();
    if !segments {
        return Some(format!("all of its {head} records or more are gone"));
    }
    if last < head {
        return Some(format!(
            "records {} to {head} and whatever came after them are gone",
            last + 1
        ));
    }
    match end.at_head {
        Some(hash) if hash != anchor.hash => {
            Some(format!("record {head} is not the one that was signed"))
        }
        // A damaged line at that place is for verification to report.
        _ => None,
    }
}

fn repair(last: &SegmentFile, good_bytes: u64) -> Result<SegmentFile, AuditLogError> {
    if last.bytes > good_bytes {
        tracing::error!(
            segment = %last.path.display(),
            torn_bytes = last.bytes - good_bytes,
            good_bytes,
            "the audit trail ends in the middle of a record (the process or the machine died while \
             writing it); the torn line is cut off and every whole record before it is kept",
        );
        cut(&last.path, good_bytes).map_err(AuditLogError::io(
            "cannot cut off the torn line of",
            &last.path,
        ))?;
    }
    Ok(SegmentFile {
        bytes: good_bytes,
        ..last.clone()
    })
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}
