//! The names of segment files and what lies in a spool's directory.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

const SUFFIX: &str = ".spool";

/// One segment file. Sorts in the order of writing within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId {
    /// Every opening of a spool is an epoch of its own, so that a number is never used twice, even
    /// when a power failure took segments that the database already knew.
    pub(crate) epoch: Uuid,
    /// Counts from 1.
    pub(crate) number: u64,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:010}", self.epoch.simple(), self.number)
    }
}

impl SegmentId {
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{self}{SUFFIX}"))
    }

    fn from_file_name(name: &str) -> Option<Self> {
        let (epoch, number) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some(Self {
            epoch: Uuid::try_parse(epoch).ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// A segment and how far it may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    /// Where its last whole record ends, as far as anybody knows: the file's length when nobody
    /// in this process wrote it.
    pub(crate) end: u64,
    /// True when nothing will be appended.
    pub(crate) closed: bool,
}

/// The segments in a directory, oldest first.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(SegmentId::from_file_name) else {
            continue;
        };
        let end = match entry.metadata() {
            Ok(metadata) => metadata.len(),
            // Drained and deleted since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        segments.push(Segment {
            id,
            path: entry.path(),
            end,
            closed: true,
        });
    }
    segments.sort_by_key(|segment| segment.id);
    Ok(segments)
}
