//! Goes along a chain line by line and finds what is wrong, in constant memory.

use freehold_types::audit::{AuditKind, Digest};

use super::anchor::Anchor;
use super::keys::PublicKey;
use super::line::{Line, RawCheckpoint, RawRecord, RawStatement, link};
use super::report::{FaultKind, Place, Proof, Report};

/// A checkpoint known from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) anchor: Anchor,
    pub(crate) from: &'static str,
    met: bool,
}

/// What the next line must follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Anything: the line before cannot be read, or there is none.
    Unknown,
    /// This hash.
    Hash(Digest),
    /// One of these: the line before was altered, in its record or in its hash.
    Either(Digest, Digest),
}

/// Walks along a chain.
pub(crate) struct Walk<'a> {
    keys: &'a [PublicKey],
    known: Vec<Known>,
    before: Before,
    /// The sequence that comes next; `None` before the first line of a part of a chain.
    next: Option<u64>,
    /// The last fault, when lines since then cannot be read.
    unreadable: Option<usize>,
    /// Sequence of the last checkpoint, when every record since then was read.
    counted_from: Option<u64>,
    last_checkpoint: u64,
    pub(crate) report: Report,
}

impl<'a> Walk<'a> {
    /// Along a whole chain, from its first record.
    pub(crate) fn whole(keys: &'a [PublicKey]) -> Self {
        Self {
            before: Before::Hash(Digest::ZERO),
            next: Some(1),
            counted_from: Some(0),
            ..Self::part(keys)
        }
    }

    /// Along a part of a chain, which begins anywhere.
    pub(crate) fn part(keys: &'a [PublicKey]) -> Self {
        Self {
            keys,
            known: Vec::new(),
            before: Before::Unknown,
            next: None,
            unreadable: None,
            counted_from: None,
            last_checkpoint: 0,
            report: Report {
                pinned: !keys.is_empty(),
                ..Report::default()
            },
        }
    }

    /// The chain must hold this checkpoint. Its signature holds, as it could be read.
    pub(crate) fn must_hold(&mut self, anchor: Anchor, from: &'static str) {
        self.known.push(Known {
            anchor,
            from,
            met: false,
        });
    }

    /// Whether a key is among those given.
    pub(crate) fn accepts(&self, key: &PublicKey) -> bool {
        self.keys.is_empty() || self.keys.contains(key)
    }

    /// A line of which not even the text is there.
    pub(crate) fn unreadable(&mut self, mut place: Place) {
        let sequence = self.next.unwrap_or(0);
        place.sequence = self.next;
        let lost = FaultKind::Unreadable {
            from: sequence,
            to: sequence,
        };
        self.report.add(place, lost);
        let listed = self.report.faults.len();
        let is_listed = listed as u64 == self.report.faults_total;
        self.unreadable = listed.checked_sub(1).filter(|_| is_listed);
        self.before = Before::Unknown;
        self.counted_from = None;
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self, mut place: Place, text: &[u8]) {
        let Some(line) = Line::parse(text) else {
            return self.unreadable(place);
        };
        // A changed line end joins two lines into one that begins and ends like a line.
        let Some(record) = RawRecord::parse(line.record) else {
            return self.unreadable(place);
        };
        self.report.records += 1;
        let chained = self.chained(&line);
        if chained == Chained::Altered {
            place.sequence = self.next.or(Some(record.sequence));
            return self.altered(place, &line);
        }
        place.sequence = Some(record.sequence);
        self.record(place, &line, &record, chained);
    }

    fn chained(&self, line: &Line<'_>) -> Chained {
        let follows = match self.before {
            Before::Unknown => true,
            Before::Hash(hash) => hash == line.previous,
            Before::Either(one, other) => [one, other].contains(&line.previous),
        };
        match (follows, line.is_consistent()) {
            (true, true) => Chained::Yes,
            (true, false) => Chained::Altered,
            (false, true) => Chained::No,
            (false, false) => Chained::Altered,
        }
    }

    /// The record or one of its hashes is wrong. What comes next may follow from either reading.
    fn altered(&mut self, place: Place, line: &Line<'_>) {
        self.report.add(place, FaultKind::Altered);
        let computed = match self.before {
            Before::Hash(hash) => link(&hash, line.record),
            _ => link(&line.previous, line.record),
        };
        self.before = Before::Either(line.hash, computed);
        self.next = self.next.and_then(|next| next.checked_add(1));
        self.unreadable = None;
        self.counted_from = None;
    }

    /// A record whose hash is its own.
    fn record(&mut self, place: Place, line: &Line<'_>, record: &RawRecord<'_>, chained: Chained) {
        self.span(record);
        let sequence = record.sequence;
        let expected = self.next.unwrap_or(sequence);
        self.unreadable_up_to(sequence);
        let lost = self.before == Before::Unknown && sequence > expected;
        if sequence < expected {
            // The chain goes on behind it where it stopped before it.
            return self.report.add(place, FaultKind::OutOfPlace { expected });
        }
        if sequence > expected && !lost {
            let missing = FaultKind::Missing {
                from: expected,
                to: sequence - 1,
            };
            self.report.add(place.clone(), missing);
            self.counted_from = None;
        } else if chained == Chained::No {
            self.report.add(place.clone(), FaultKind::Unchained);
            self.counted_from = None;
        }
        self.before = Before::Hash(line.hash);
        self.next = sequence.checked_add(1);
        self.compare(&place, sequence, line.hash);
        match record.kind() {
            Some(AuditKind::Decision) => self.report.decisions += 1,
            Some(AuditKind::Administration) => self.report.administration += 1,
            Some(AuditKind::Checkpoint) => self.checkpoint(place, line, record),
            None => {}
        }
    }

    fn span(&mut self, record: &RawRecord<'_>) {
        let (sequence, time) = (record.sequence, record.time_unix_ms);
        let report = &mut self.report;
        let first = report.sequences.map_or(sequence, |(first, _)| first);
        report.sequences = Some((first, sequence));
        let begin = report.times_unix_ms.map_or(time, |(begin, _)| begin);
        report.times_unix_ms = Some((begin, time));
    }

    /// The first line that can be read again tells how many records could not.
    fn unreadable_up_to(&mut self, sequence: u64) {
        let fault = self.unreadable.take();
        let fault = fault.and_then(|at| self.report.faults.get_mut(at));
        if let Some(FaultKind::Unreadable { to, .. }) = fault.map(|fault| &mut fault.kind) {
            *to = (*to).max(sequence.saturating_sub(1));
        }
    }

    fn compare(&mut self, place: &Place, sequence: u64, hash: Digest) {
        for known in &mut self.known {
            if known.anchor.sequence() != sequence {
                continue;
            }
            known.met = known.anchor.hash == hash;
            if !known.met {
                let known_from = known.from.to_owned();
                self.report
                    .add(place.clone(), FaultKind::Rewritten { known_from });
            }
        }
    }

    fn checkpoint(&mut self, place: Place, line: &Line<'_>, record: &RawRecord<'_>) {
        self.report.checkpoints += 1;
        let after = self.last_checkpoint;
        let counted_from = self.counted_from.replace(record.sequence);
        self.last_checkpoint = record.sequence;
        let raw = record.checkpoint().flatten();
        let read = raw.and_then(|raw| {
            let statement = raw.statement()?;
            Some((raw, statement))
        });
        let Some((raw, statement)) = read else {
            let what = "the checkpoint cannot be read".to_owned();
            return self
                .report
                .add(place, FaultKind::BadCheckpoint { what, after });
        };
        match self.judge(line, record, &raw, &statement, counted_from) {
            Ok(key) => {
                if !self.report.key_ids.contains(&key.id()) {
                    self.report.key_ids.push(key.id());
                }
                self.report.proved = Some(Proof {
                    sequence: record.sequence,
                    time_unix_ms: statement.time_unix_ms,
                    key_id: key.id(),
                });
                if statement.reason == "started_unclean" {
                    self.report.unclean_starts += 1;
                    self.report.last_unclean_start = Some(record.sequence);
                }
            }
            Err(Wrong::Key(key)) => {
                let key_id = key.id();
                self.report.add(place, FaultKind::ForeignKey { key_id });
            }
            Err(Wrong::Checkpoint(what)) => {
                let what = what.to_owned();
                self.report
                    .add(place, FaultKind::BadCheckpoint { what, after });
            }
        }
    }

    fn judge(
        &self,
        line: &Line<'_>,
        record: &RawRecord<'_>,
        raw: &RawCheckpoint<'_>,
        statement: &RawStatement,
        counted_from: Option<u64>,
    ) -> Result<PublicKey, Wrong> {
        let key = PublicKey::from_bytes(raw.public_key)
            .filter(|key| key.id() == statement.key_id)
            .ok_or(Wrong::Checkpoint("the checkpoint names no key"))?;
        if !self.accepts(&key) {
            return Err(Wrong::Key(key));
        }
        if !key.signed(raw) {
            return Err(Wrong::Checkpoint("the signature does not hold"));
        }
        if statement.chain_hash != line.previous
            || statement.sequence.checked_add(1) != Some(record.sequence)
        {
            return Err(Wrong::Checkpoint(
                "what was signed is not what stands before the checkpoint",
            ));
        }
        let count = |from: u64| statement.sequence.saturating_sub(from);
        if counted_from.is_some_and(|from| count(from) != statement.count) {
            return Err(Wrong::Checkpoint(
                "another number of records was signed than stands before the checkpoint",
            ));
        }
        Ok(key)
    }

    /// The chain ends here.
    pub(crate) fn finish(mut self, end: &Place) -> Report {
        let last = self.report.sequences.map_or(0, |(_, last)| last);
        // Of an altered last record the sequence is known as well.
        let last = self
            .next
            .map_or(last, |next| last.max(next.saturating_sub(1)));
        for known in &self.known {
            let (from, to) = (last + 1, known.anchor.sequence());
            if to >= from {
                let known_from = known.from.to_owned();
                let cut = FaultKind::Cut {
                    known_from,
                    from,
                    to,
                };
                self.report.add(end.clone(), cut);
            }
        }
        let met = |known: &Known| known.from == super::verify::ANCHOR && known.met;
        self.report.anchored = self.known.iter().any(met);
        let proved = self
            .report
            .proved
            .as_ref()
            .map_or(0, |proof| proof.sequence);
        self.report.unproved_records = last.saturating_sub(proved);
        self.report.intact = self.report.is_intact();
        self.report
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chained {
    Yes,
    /// Whole in itself, but it does not follow from the line before.
    No,
    Altered,
}

enum Wrong {
    Key(PublicKey),
    Checkpoint(&'static str),
}
