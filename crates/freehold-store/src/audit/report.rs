//! What verification found, in words and as JSON.

use std::fmt;

use freehold_types::audit::KeyId;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A report lists at most so many faults; all are counted.
pub(crate) const FAULTS_MAX: usize = 1_000;

/// Where in a trail something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// Where the line begins, in bytes.
    pub offset: u64,
    /// The record's sequence, when it is known or can be told from its neighbours.
    pub sequence: Option<u64>,
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FaultKind {
    /// The line is none of a trail. A changed line end joins two lines or splits one.
    Unreadable {
        /// The first and last sequence that cannot be read, as far as the next line tells.
        from: u64,
        /// See `from`.
        to: u64,
    },
    /// The record or its hash was altered.
    Altered,
    /// Records are missing before this line.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The record stands where another should: it was moved, repeated or inserted.
    OutOfPlace {
        /// The sequence that should stand here.
        expected: u64,
    },
    /// The record has the right number but does not follow from the one before: one of them was
    /// replaced, or something was inserted between them.
    Unchained,
    /// The checkpoint's signature does not hold, or it does not sign the records before it: one of
    /// those after the checkpoint before was changed, or the checkpoint itself.
    BadCheckpoint {
        /// What does not hold.
        what: String,
        /// The sequence of the checkpoint before; what lies between is not proved.
        after: u64,
    },
    /// The checkpoint is signed with a key that is not among those given.
    ForeignKey {
        /// The key.
        key_id: KeyId,
    },
    /// The last line is incomplete. A process that is killed while it writes leaves this, and the
    /// next start cuts it off; so does whoever cuts the trail within a line.
    TornTail,
    /// A segment file is missing before this one.
    MissingSegment {
        /// Its name.
        file: String,
    },
    /// The trail ends before a checkpoint that is known from elsewhere: its end was cut off.
    Cut {
        /// From where the checkpoint is known: `head.json` or `the anchor`.
        known_from: String,
        /// The first record that is missing.
        from: u64,
        /// The checkpoint's sequence; more may be missing behind it.
        to: u64,
    },
    /// The record is not the checkpoint that is known from elsewhere: the trail was rewritten.
    Rewritten {
        /// From where the checkpoint is known.
        known_from: String,
    },
    /// `head.json` is missing, so nobody can tell whether the end was cut off.
    HeadMissing,
    /// `head.json` is damaged.
    HeadDamaged {
        /// How.
        why: String,
    },
    /// The first line of an export does not fit what follows.
    BadHeader {
        /// What does not fit.
        what: String,
    },
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { from, to } if from < to => {
                write!(
                    f,
                    "the line cannot be read; records {from} to {to} are lost"
                )
            }
            Self::Unreadable { .. } => f.write_str("the line cannot be read"),
            Self::Altered => f.write_str("the record or its hash was altered"),
            Self::Missing { from, to } if from == to => {
                write!(f, "record {from} is missing before this line")
            }
            Self::Missing { from, to } => {
                write!(f, "records {from} to {to} are missing before this line")
            }
            Self::OutOfPlace { expected } => write!(
                f,
                "record {expected} should stand here: this one was moved, repeated or inserted"
            ),
            Self::Unchained => f.write_str(
                "the record does not follow from the one before: one of them was replaced, or \
                 something was inserted",
            ),
            Self::BadCheckpoint { what, after } => {
                write!(f, "{what}; nothing after record {after} is proved here")
            }
            Self::ForeignKey { key_id } => {
                write!(f, "the checkpoint is signed with another key ({key_id})")
            }
            Self::TornTail => f.write_str(
                "the last line is incomplete: the process was killed while writing it, or the \
                 trail was cut",
            ),
            Self::MissingSegment { file } => write!(f, "{file} is missing"),
            Self::Cut {
                known_from,
                from,
                to,
            } => write!(
                f,
                "the end was cut off: {known_from} proves records {from} to {to}, and there may \
                 have been more"
            ),
            Self::Rewritten { known_from } => write!(
                f,
                "the record is not the checkpoint that {known_from} holds: the trail was rewritten"
            ),
            Self::HeadMissing => {
                f.write_str("the file is missing, so nobody can tell whether the end was cut off")
            }
            Self::HeadDamaged { why } => write!(f, "the file is damaged: {why}"),
            Self::BadHeader { what } => write!(f, "the export's first line is wrong: {what}"),
        }
    }
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            file,
            line,
            offset,
            sequence,
        } = &self.place;
        write!(f, "{file} line {line} (byte {offset}")?;
        if let Some(sequence) = sequence {
            write!(f, ", record {sequence}")?;
        }
        write!(f, "): {}", self.kind)
    }
}

/// The last checkpoint that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The checkpoint's sequence: it and everything before it is proved.
    pub sequence: u64,
    /// When it was signed, Unix milliseconds.
    pub time_unix_ms: u64,
    /// The key that signed it.
    pub key_id: KeyId,
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True when nothing is wrong.
    pub intact: bool,
    /// Segment files.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Records, of all kinds.
    pub records: u64,
    /// Of them decisions.
    pub decisions: u64,
    /// Of them administrative acts.
    pub administration: u64,
    /// Of them checkpoints.
    pub checkpoints: u64,
    /// The first and last sequence.
    pub sequences: Option<(u64, u64)>,
    /// Time of the first and last record, Unix milliseconds.
    pub times_unix_ms: Option<(u64, u64)>,
    /// The keys that signed.
    pub key_ids: Vec<KeyId>,
    /// True when the caller said which keys are right. Otherwise the trail was checked with the
    /// keys that it names itself, and whoever can write it can sign it anew.
    pub pinned: bool,
    /// The last checkpoint that holds.
    pub proved: Option<Proof>,
    /// Records behind it: chained, but not signed.
    pub unproved_records: u64,
    /// True when an anchor was given and the trail holds it.
    pub anchored: bool,
    /// How often the trail was opened after a process that did not close it.
    pub unclean_starts: u64,
    /// The sequence of the last such opening.
    pub last_unclean_start: Option<u64>,
    /// How many faults there are.
    pub faults_total: u64,
    /// The first of them.
    pub faults: Vec<Fault>,
}

impl Report {
    pub(crate) fn add(&mut self, place: Place, kind: FaultKind) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { place, kind });
        }
    }

    /// True when nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.faults_total == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.faults_total {
            0 => "The audit trail is intact.".to_owned(),
            1 => "The audit trail is NOT intact: 1 fault.".to_owned(),
            faults => format!("The audit trail is NOT intact: {faults} faults."),
        };
        writeln!(f, "{verdict}")?;
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        let unlisted = self.faults_total - self.faults.len() as u64;
        if unlisted > 0 {
            writeln!(f, "  and {unlisted} more")?;
        }
        writeln!(
            f,
            "{} records in {} segments: {} decisions, {} administrative acts, {} checkpoints.",
            self.records, self.segments, self.decisions, self.administration, self.checkpoints
        )?;
        if let (Some((first, last)), Some((begin, end))) = (self.sequences, self.times_unix_ms) {
            let (begin, end) = (in_words(begin), in_words(end));
            writeln!(f, "Record {first} of {begin} to record {last} of {end}.")?;
        }
        self.write_proof(f)
    }
}

impl Report {
    fn write_proof(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proved {
            None => writeln!(f, "No checkpoint holds: nothing is proved.")?,
            Some(proof) => writeln!(
                f,
                "Proved up to record {}, signed {} with key {}.",
                proof.sequence,
                in_words(proof.time_unix_ms),
                proof.key_id
            )?,
        }
        if self.unproved_records > 0 {
            writeln!(
                f,
                "The {} records behind it are chained but not signed yet: that they are all, and \
                 unchanged, is not proved.",
                self.unproved_records
            )?;
        }
        if !self.pinned {
            writeln!(
                f,
                "No public key was given: the trail was checked with the key that it names itself. \
                 Whoever can write the directory could have signed it anew."
            )?;
        }
        if self.anchored {
            writeln!(f, "It holds the anchor, so it was not cut before that.")?;
        } else {
            writeln!(
                f,
                "No anchor was given: that the end was not cut together with head.json is not \
                 proved. Keep a copy of head.json elsewhere."
            )?;
        }
        if let Some(last) = self.last_unclean_start {
            writeln!(
                f,
                "{} times the trail was opened after a process that had not closed it, last at \
                 record {last}: unsigned records just before may have been lost.",
                self.unclean_starts
            )?;
        }
        Ok(())
    }
}

/// A time in RFC 3339, to the millisecond.
pub(crate) fn in_words(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix_ms} ms"))
}
