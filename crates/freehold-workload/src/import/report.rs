//! What there is to say about reading.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::names::Format;
use crate::{BadWorkload, Workload};

/// A workload, and how it was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The traffic.
    pub workload: Workload,
    /// How it was read.
    pub report: ImportReport,
}

/// How a record was read. Every row is a request, bad, or left out for a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The formats of what was read.
    pub formats: Vec<Format>,
    /// Rows that were read.
    pub rows: u64,
    /// Requests of the workload.
    pub requests: u64,
    /// Rows that could not be understood.
    pub bad_rows: u64,
    /// How many rows are bad for each reason.
    pub bad_reasons: BTreeMap<String, u64>,
    /// The first of them.
    pub bad: Vec<BadRow>,
    /// How many rows were understood and left out, for each reason.
    pub left_out: BTreeMap<String, u64>,
    /// What was assumed or made up, in sentences.
    pub notes: Vec<String>,
}

/// A row that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The file.
    pub file: String,
    /// The line of the file, from 1, where the file has lines.
    pub line: Option<u64>,
    /// The row, from 1, where it has none.
    pub row: Option<u64>,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        if let Some(row) = self.row {
            write!(formatter, ", row {row}")?;
        }
        if let Some(column) = &self.column {
            write!(formatter, ", {column}")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// Why nothing could be made of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The options contradict themselves.
    #[error("{0}")]
    Options(String),
    /// A file cannot be read, or ends before its end.
    #[error("cannot read {file} at {place}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Where in it.
        place: String,
        /// What the reader says.
        error: String,
    },
    /// A file that holds nothing.
    #[error("{file} is empty: export it again, or name another file")]
    EmptyFile {
        /// The file.
        file: String,
    },
    /// A file that is none of ours.
    #[error("{file} {what}")]
    Unknown {
        /// The file.
        file: String,
        /// What it looks like, and what to do.
        what: String,
    },
    /// A column that every record of that format has.
    #[error(
        "{file}, read as {format}, has no column for {field}; it has {found}. Say which one with \
         --map {field}=COLUMN, or another --format"
    )]
    MissingColumn {
        /// The file.
        file: String,
        /// The format it was read as.
        format: Format,
        /// What is missing.
        field: &'static str,
        /// The columns that are there.
        found: String,
    },
    /// No row is a request.
    #[error("there is no request in it: {why}")]
    NoRequests {
        /// What the rows are instead.
        why: String,
    },
    /// Nothing that has a length in time.
    #[error(
        "{requests} request(s), all at one moment: a rate needs two moments; take a longer export"
    )]
    OneMoment {
        /// How many.
        requests: u64,
    },
    /// Some times are of a calendar, others are differences.
    #[error(
        "{file} counts time from its own beginning, and another file has dates: import them apart"
    )]
    MixedTimes {
        /// The file.
        file: String,
    },
    /// Blocks of different lengths cannot be compared.
    #[error(
        "{file} has prefix blocks of {found} tokens, another file of {known}: import them apart"
    )]
    MixedBlocks {
        /// The file.
        file: String,
        /// Its blocks.
        found: u32,
        /// The others'.
        known: u32,
    },
    /// More than memory should hold.
    #[error(
        "there are more than {max} requests: take a shorter time, keep a part with --share 0.1, or \
         allow more with --requests-max"
    )]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The lengths of generated requests are not known.
    #[error(
        "ServeGen needs two files, the rates and the lengths: name {missing} too (any category's \
         lengths will do, and are reported as borrowed)"
    )]
    ServegenHalf {
        /// The file that is missing.
        missing: &'static str,
    },
    /// The result is no workload.
    #[error("{0}")]
    Workload(BadWorkload),
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The line of a file.
    Line(u64),
    /// The number of a row, where there are no lines.
    Row(u64),
}

/// What is wrong with a row. Never what is written in it: that may be somebody's prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) column: Option<String>,
    pub(super) reason: Cow<'static, str>,
}

impl Trouble {
    pub(super) fn whole(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            column: None,
            reason: reason.into(),
        }
    }

    pub(super) fn at(column: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            column: Some(column.to_owned()),
            reason: reason.into(),
        }
    }
}
