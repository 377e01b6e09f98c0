//! Reads records of a trail, filtered, oldest first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use freehold_types::RequestId;
use freehold_types::audit::{AuditEvent, AuditKind, AuditName, AuditRecord};

use super::AuditLogError;
use super::line::Line;
use super::read::{LineReader, SegmentFile, list};

/// Which records to show. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Recorded at or after this time, Unix milliseconds.
    pub from_unix_ms: Option<u64>,
    /// Recorded at or before this time, Unix milliseconds.
    pub to_unix_ms: Option<u64>,
    /// About this request.
    pub request: Option<RequestId>,
    /// About a request of this tenant.
    pub tenant: Option<AuditName>,
    /// About a request of this key.
    pub key: Option<AuditName>,
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// At most so many, the oldest.
    pub limit: Option<usize>,
    /// Only so many, the newest.
    pub last: Option<usize>,
}

impl AuditFilter {
    fn matches(&self, record: &AuditRecord) -> bool {
        let time = record.time_unix_ms;
        if self.from_unix_ms.is_some_and(|from| time < from)
            || self.to_unix_ms.is_some_and(|to| time > to)
            || self.kind.is_some_and(|kind| record.event.kind() != kind)
        {
            return false;
        }
        if self.request.is_none() && self.tenant.is_none() && self.key.is_none() {
            return true;
        }
        let AuditEvent::Decision(decision) = &record.event else {
            return false;
        };
        self.request.is_none_or(|id| decision.request == id)
            && (self.tenant.is_none() || self.tenant == decision.tenant)
            && self.key.as_ref().is_none_or(|key| *key == decision.key)
    }
}

/// Records of a trail: see [`show`].
#[derive(Debug)]
pub struct Shown {
    segments: std::vec::IntoIter<SegmentFile>,
    current: Option<(SegmentFile, LineReader<BufReader<File>>)>,
    filter: AuditFilter,
    left: usize,
    /// The newest, once everything has been read for them.
    newest: Option<VecDeque<Result<AuditRecord, AuditLogError>>>,
}

/// The records that the filter lets through, oldest first. Nothing is verified; a line that cannot
/// be read is an error, after which the iterator goes on.
///
/// # Errors
/// When the directory cannot be read or holds no trail.
pub fn show(dir: &Path, filter: AuditFilter) -> Result<Shown, AuditLogError> {
    let segments = list(dir).map_err(AuditLogError::io("cannot read", dir))?;
    if segments.is_empty() {
        return Err(AuditLogError::Nothing {
            dir: dir.to_owned(),
        });
    }
    Ok(Shown {
        segments: segments.into_iter(),
        current: None,
        left: filter.limit.unwrap_or(usize::MAX),
        filter,
        newest: None,
    })
}

impl Iterator for Shown {
    type Item = Result<AuditRecord, AuditLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let item = match self.filter.last {
            None => self.read()?,
            Some(count) => self.newest(count)?,
        };
        self.left -= usize::from(item.is_ok());
        Some(item)
    }
}

impl Shown {
    fn newest(&mut self, count: usize) -> Option<Result<AuditRecord, AuditLogError>> {
        if self.newest.is_none() {
            let mut newest = VecDeque::new();
            while let Some(item) = self.read() {
                newest.push_back(item);
                if newest.len() > count {
                    newest.pop_front();
                }
            }
            self.newest = Some(newest);
        }
        self.newest.as_mut()?.pop_front()
    }

    fn read(&mut self) -> Option<Result<AuditRecord, AuditLogError>> {
        loop {
            let (segment, lines) = match &mut self.current {
                Some(current) => current,
                None => {
                    let segment = self.segments.next()?;
                    match LineReader::open(&segment.path) {
                        Ok(lines) => self.current.insert((segment, lines)),
                        Err(error) => {
                            return Some(Err(AuditLogError::io("cannot read", &segment.path)(
                                error,
                            )));
                        }
                    }
                }
            };
            let info = match lines.next_line() {
                Ok(Some(info)) if info.ended => info,
                // A line without an end is being written, or is cut off at the next start.
                Ok(_) => {
                    self.current = None;
                    continue;
                }
                Err(error) => {
                    let error = AuditLogError::io("cannot read", &segment.path)(error);
                    self.current = None;
                    return Some(Err(error));
                }
            };
            let line = Line::parse(lines.text());
            match line.and_then(|line| serde_json::from_slice(line.record).ok()) {
                Some(record) if self.filter.matches(&record) => return Some(Ok(record)),
                Some(_) => {}
                None => {
                    return Some(Err(AuditLogError::Damaged {
                        file: segment.name(),
                        line: info.number,
                    }));
                }
            }
        }
    }
}
