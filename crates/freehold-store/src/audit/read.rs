//! Segment files: their names, and reading them line by line in constant memory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::LINE_BYTES_MAX;

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    /// Counts from 1.
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

impl SegmentFile {
    /// The file's name, for reports.
    pub(crate) fn name(&self) -> String {
        file_name(self.number)
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:010}{SUFFIX}")
}

/// The segments in a directory, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| {
            let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            let number = digits.parse().ok()?;
            (file_name(number) == name).then_some(number)
        });
        if let Some(number) = number {
            segments.push(SegmentFile {
                number,
                path: entry.path(),
                bytes: entry.metadata()?.len(),
            });
        }
    }
    segments.sort_by_key(|segment| segment.number);
    let unseen = unseen(dir, &segments)?;
    segments.extend(unseen);
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// Segments that the directory did not tell of: while others are being made, it may skip some.
fn unseen(dir: &Path, segments: &[SegmentFile]) -> io::Result<Vec<SegmentFile>> {
    /// More segments are not made while a directory is read.
    const GAP_MAX: usize = 10_000;
    let mut unseen = Vec::new();
    let mut next = 1;
    for segment in segments {
        for number in (next..segment.number).take(GAP_MAX) {
            let path = dir.join(file_name(number));
            match fs::metadata(&path) {
                Ok(metadata) => unseen.push(SegmentFile {
                    number,
                    path,
                    bytes: metadata.len(),
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        next = segment.number.saturating_add(1);
    }
    Ok(unseen)
}

/// Where a line stands and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineInfo {
    /// From 1.
    pub(crate) number: u64,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// False when the file ends without a newline.
    pub(crate) ended: bool,
    /// True when the line is longer than any may be; its text is then left out.
    pub(crate) overlong: bool,
}

/// Reads lines. The text of the last one is in `text`, without the newline.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    input: R,
    text: Vec<u8>,
    offset: u64,
    number: u64,
}

impl LineReader<BufReader<File>> {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::with_capacity(
            64 << 10,
            File::open(path)?,
        )))
    }
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            text: Vec::new(),
            offset: 0,
            number: 0,
        }
    }

    /// The text of the line that was read last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the next line begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line; `None` at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<LineInfo>> {
        self.text.clear();
        let begin = self.offset;
        let mut read = self.fill()?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let overlong = self.text.len() > LINE_BYTES_MAX;
        while overlong && self.text.last() != Some(&b'\n') && read > 0 {
            self.text.clear();
            read = self.fill()?;
        }
        Ok(Some(self.info(begin, overlong)))
    }

    /// Reads on in a line that had not ended, because the file may have grown.
    pub(crate) fn read_on(&mut self, line: LineInfo) -> io::Result<LineInfo> {
        self.fill()?;
        Ok(self.info(line.offset, self.text.len() > LINE_BYTES_MAX))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.text)?;
        self.offset += read as u64;
        Ok(read)
    }

    fn info(&mut self, offset: u64, overlong: bool) -> LineInfo {
        let ended = self.text.last() == Some(&b'\n');
        if ended {
            self.text.pop();
        }
        if overlong {
            self.text.clear();
        }
        LineInfo {
            number: self.number,
            offset,
            ended,
            overlong,
        }
    }
}
