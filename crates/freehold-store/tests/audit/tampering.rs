//! Somebody changes the trail: every change is found, and where.

use std::io::Write;
use std::path::{Path, PathBuf};

use freehold_store::audit::{
    Anchor, AuditLog, AuditLogError, Fault, FaultKind, PublicKey, Report, VerifyOptions, verify,
};
use proptest::prelude::*;

use crate::common::{
    administration, check, copy, dir_of, files, name, open, overwrite, pinned, record_many,
    segments, settings,
};
use freehold_ports::Audit;

/// A small trail of three segments with checkpoints of all kinds, closed in order.
struct Trail {
    data: tempfile::TempDir,
    key: PublicKey,
}

impl Trail {
    fn new(records: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut settings = settings(data.path());
        settings.segment_bytes = 4_000;
        let log = open(settings);
        record_many(&log, 0..records / 2);
        log.record(&administration("policy.yaml")).unwrap();
        log.checkpoint().unwrap();
        record_many(&log, records / 2..records);
        log.shutdown().unwrap();
        let key = log.public_key();
        assert!(check(&dir_of(data.path()), key).is_intact());
        Self { data, key }
    }

    fn dir(&self) -> PathBuf {
        dir_of(self.data.path())
    }

    fn check(&self) -> Report {
        check(&self.dir(), self.key)
    }

    /// Changes one file's bytes, verifies, and puts them back.
    fn changed(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Report {
        let before = std::fs::read(file).unwrap();
        let mut bytes = before.clone();
        change(&mut bytes);
        overwrite(file, &bytes);
        let report = self.check();
        overwrite(file, &before);
        report
    }

    /// Changes one file's lines, each with its end.
    fn relined(&self, file: &Path, change: impl FnOnce(&mut Vec<String>)) -> Report {
        self.changed(file, |bytes| {
            let text = std::str::from_utf8(bytes).unwrap();
            let mut lines = text.split_inclusive('\n').map(str::to_owned).collect();
            change(&mut lines);
            *bytes = lines.concat().into_bytes();
        })
    }
}

fn line_of(bytes: &[u8], offset: usize) -> u64 {
    let ends = bytes[..offset].iter().filter(|byte| **byte == b'\n');
    ends.count() as u64 + 1
}

/// The first fault, and every fault there is apart from a cut end, must be where the bit was
/// flipped.
fn assert_located(report: &Report, file: &str, line: u64, what: &str) {
    let first = report.faults.first();
    let first = first.unwrap_or_else(|| panic!("{what} was not found"));
    assert_eq!(
        (first.place.file.as_str(), first.place.line),
        (file, line),
        "{what} was found elsewhere:\n{report}"
    );
    let near = |fault: &Fault| {
        let within = (line..=line + 1).contains(&fault.place.line);
        (within && fault.place.file == file) || matches!(fault.kind, FaultKind::Cut { .. })
    };
    assert!(
        report.faults.iter().all(near),
        "{what} is said to have changed more than it did:\n{report}"
    );
}

fn flip(trail: &Trail, file: &Path, offset: usize, bit: u8) {
    let line = line_of(&std::fs::read(file).unwrap(), offset);
    let report = trail.changed(file, |bytes| bytes[offset] ^= 1 << bit);
    let what = format!("bit {bit} of byte {offset} of {}", name(file));
    assert_located(&report, &name(file), line, &what);
}

/// Every byte of every file, a bit of each; which one goes round, so that each bit of each kind of
/// byte has its turn.
#[test]
fn a_flipped_bit_is_found_and_located_at_every_byte() {
    let trail = Trail::new(8);
    assert!(segments(&trail.dir()).len() >= 2);
    let mut count = 0_usize;
    for file in files(&trail.dir()) {
        for offset in 0..std::fs::read(&file).unwrap().len() {
            flip(&trail, &file, offset, u8::try_from(count % 8).unwrap());
            // Lines have similar lengths: not the same bit of the same field each time.
            count += 1 + offset / 97;
        }
    }
    assert!(trail.check().is_intact());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_any_trail_is_found_and_located(
        records in 1_u64..40,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8), 64),
    ) {
        let trail = Trail::new(records);
        let files = files(&trail.dir());
        for (file, offset, bit) in places {
            let file = file.get(&files);
            let offset = offset.index(std::fs::read(file).unwrap().len());
            flip(&trail, file, offset, bit);
        }
    }
}

#[test]
fn every_bit_of_a_checkpoint_and_of_the_line_ends_counts() {
    let trail = Trail::new(2);
    let file = &segments(&trail.dir())[0];
    let bytes = std::fs::read(file).unwrap();
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let ends = (0..bytes.len()).filter(|at| bytes[*at] == b'\n');
    for offset in (0..=first).chain(ends) {
        for bit in 0..8 {
            flip(&trail, file, offset, bit);
        }
    }
}

#[test]
fn removed_records_are_named() {
    let trail = Trail::new(10);
    let file = &segments(&trail.dir())[0];
    let report = trail.relined(file, |lines| {
        lines.drain(2..4);
    });
    let missing = &report.faults[0];
    assert_eq!(missing.kind, FaultKind::Missing { from: 3, to: 4 });
    assert_eq!((missing.place.line, missing.place.sequence), (3, Some(5)));
    assert_eq!(report.faults_total, 1, "{report}");
    let report = trail.relined(file, |lines| {
        lines.remove(0);
    });
    assert_eq!(
        report.faults[0].kind,
        FaultKind::Missing { from: 1, to: 1 },
        "{report}"
    );
}

#[test]
fn swapped_repeated_and_moved_records_are_found_where_they_are() {
    let trail = Trail::new(10);
    let all = segments(&trail.dir());
    let report = trail.relined(&all[0], |lines| lines.swap(2, 3));
    assert_eq!(report.faults[0].place.line, 3, "{report}");
    assert_eq!(report.faults[1].place.line, 4, "{report}");
    assert_eq!(report.faults_total, 2, "{report}");

    let report = trail.relined(&all[0], |lines| lines.insert(4, lines[1].clone()));
    assert_eq!(report.faults[0].place.line, 5);
    assert_eq!(report.faults[0].kind, FaultKind::OutOfPlace { expected: 5 });
    assert_eq!(report.faults_total, 1, "{report}");

    let other = std::fs::read_to_string(&all[1]).unwrap();
    let line = other.split_inclusive('\n').nth(1).unwrap().to_owned();
    let report = trail.relined(&all[0], |lines| lines.insert(2, line));
    assert_eq!(report.faults[0].place.line, 3, "{report}");
}

#[test]
fn removed_segments_are_named() {
    let trail = Trail::new(20);
    let all = segments(&trail.dir());
    assert!(all.len() >= 4);
    for segment in &all {
        let before = std::fs::read(segment).unwrap();
        std::fs::remove_file(segment).unwrap();
        let report = trail.check();
        let named = report.to_string().contains(&name(segment));
        let cut = matches!(report.faults[0].kind, FaultKind::Cut { .. });
        assert!(named || (cut && segment == all.last().unwrap()), "{report}");
        std::fs::write(segment, before).unwrap();
    }
    for segment in &all {
        std::fs::remove_file(segment).unwrap();
    }
    let report = trail.check();
    assert!(
        matches!(report.faults[0].kind, FaultKind::Cut { from: 1, .. }),
        "{report}"
    );
}

/// Of a trail that was closed, nothing can be cut off: the last checkpoint is its last line.
#[test]
fn a_cut_at_any_byte_is_found_and_not_continued() {
    let trail = Trail::new(8);
    let all = segments(&trail.dir());
    let last = all.last().unwrap();
    let bytes = std::fs::read(last).unwrap();
    let settings = settings(trail.data.path());
    // Grown byte by byte, which file systems do more quickly than cutting.
    std::fs::write(last, "").unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(last).unwrap();
    for length in 0..bytes.len() {
        let report = trail.check();
        let cut = |fault: &Fault| matches!(fault.kind, FaultKind::Cut { .. });
        assert!(report.faults.iter().any(cut), "{length}: {report}");
        if length % 50 == 0 {
            let error = AuditLog::open(settings.clone()).unwrap_err();
            assert!(matches!(error, AuditLogError::Changed { .. }), "{error}");
            assert!(error.to_string().contains("gone"), "{error}");
        }
        file.write_all(&bytes[length..=length]).unwrap();
    }
    assert!(trail.check().is_intact());
}

#[test]
fn without_its_head_file_a_trail_is_neither_intact_nor_continued() {
    let trail = Trail::new(4);
    let head = trail.dir().join("head.json");
    for damage in [None, Some("{}\n")] {
        let before = std::fs::read(&head).unwrap();
        match damage {
            None => std::fs::remove_file(&head).unwrap(),
            Some(text) => std::fs::write(&head, text).unwrap(),
        }
        let report = trail.check();
        assert_eq!(report.faults[0].place.file, "head.json", "{report}");
        let error = AuditLog::open(settings(trail.data.path())).unwrap_err();
        assert!(error.to_string().contains("head file"), "{error}");
        std::fs::write(&head, before).unwrap();
    }
}

/// The end, its checkpoints and the head file are replaced by older ones: only what is kept
/// elsewhere tells.
#[test]
fn an_anchor_finds_a_cut_that_took_the_head_file_along() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let log = open(settings(data.path()));
    record_many(&log, 0..5);
    log.checkpoint().unwrap();
    let earlier = tempfile::tempdir().unwrap();
    copy(&dir, earlier.path());
    record_many(&log, 5..10);
    let anchor = log.checkpoint().unwrap();
    log.shutdown().unwrap();

    let report = check(earlier.path(), log.public_key());
    assert!(report.is_intact(), "{report}");
    assert!(report.to_string().contains("No anchor was given"));
    let text = anchor.to_string();
    let options = VerifyOptions {
        anchor: Some(text.parse::<Anchor>().unwrap()),
        ..pinned(log.public_key())
    };
    let report = verify(earlier.path(), &options, &mut |_| {}).unwrap();
    assert!(!report.is_intact() && !report.anchored);
    let FaultKind::Cut {
        known_from,
        from,
        to,
    } = &report.faults[0].kind
    else {
        panic!("{report}");
    };
    assert_eq!((known_from.as_str(), *from, *to), ("the anchor", 8, 13));
    let report = verify(&dir, &options, &mut |_| {}).unwrap();
    assert!(report.is_intact() && report.anchored, "{report}");
    let mut forged = text.into_bytes();
    forged[200] ^= 1;
    assert!(
        String::from_utf8(forged)
            .unwrap()
            .parse::<Anchor>()
            .is_err()
    );
}

/// Somebody without the signing key alters a record and makes all hashes fit again.
#[test]
fn a_chain_that_was_computed_anew_fails_at_the_next_checkpoint() {
    use sha2::{Digest, Sha256};
    let trail = Trail::new(6);
    let file = &segments(&trail.dir())[0];
    let report = trail.relined(file, |lines| {
        lines[2] = lines[2].replace("eu-central-1", "us-central-1");
        lines[2] = lines[2].replace("policy_refused", "policy_renamed");
        let mut previous = lines[1][9..73].to_owned();
        for line in lines.iter_mut().skip(2) {
            let (_, record) = line.split_once("\"record\":").unwrap();
            let record = record.strip_suffix("}\n").unwrap().to_owned();
            let mut hash = Sha256::new();
            hash.update(hex::decode(&previous).unwrap());
            hash.update(&record);
            let hash = hex::encode(hash.finalize());
            *line = format!(
                "{{\"hash\":\"{hash}\",\"previous\":\"{previous}\",\"record\":{record}}}\n"
            );
            previous = hash;
        }
    });
    let FaultKind::BadCheckpoint { after, .. } = &report.faults[0].kind else {
        panic!("{report}");
    };
    assert_eq!(*after, 1);
    assert!(report.faults[0].place.line > 3);
    let report = report.to_string();
    assert!(
        report.contains("nothing after record 1 is proved here"),
        "{report}"
    );
}

/// Somebody makes a trail with a key of his own.
#[test]
fn another_trail_is_found_by_its_key_and_by_an_anchor() {
    let (ours, theirs) = (Trail::new(6), Trail::new(6));
    let report = check(&theirs.dir(), ours.key);
    assert!(!report.is_intact());
    assert!(report.proved.is_none(), "{report}");
    let anchor = Anchor::of_trail(&ours.dir()).unwrap();
    let options = VerifyOptions {
        public_keys: Vec::new(),
        anchor: Some(anchor.clone()),
    };
    let report = verify(&theirs.dir(), &options, &mut |_| {}).unwrap();
    let rewritten = |fault: &Fault| matches!(fault.kind, FaultKind::Rewritten { .. });
    assert!(report.faults.iter().any(rewritten), "{report}");
    let options = VerifyOptions {
        anchor: Some(anchor),
        ..pinned(theirs.key)
    };
    let error = verify(&theirs.dir(), &options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");
}

/// A damaged record does not keep the gateway from starting; it stays where it is, and is found for
/// ever, alone.
#[test]
fn damage_inside_is_not_repaired_and_stays_found_after_a_restart() {
    let garbage = |line: &mut String| *line = "garbage\n".to_owned();
    let tenant = |line: &mut String| *line = line.replace("acme", "acne");
    let hash = |line: &mut String| {
        let digit = if line.as_bytes()[9] == b'0' { "1" } else { "0" };
        line.replace_range(9..10, digit);
    };
    let changes: [&dyn Fn(&mut String); 3] = [&garbage, &tenant, &hash];
    for (at, change) in [3, 6, 7]
        .into_iter()
        .flat_map(|at| changes.map(|c| (at, c)))
    {
        let data = tempfile::tempdir().unwrap();
        let dir = dir_of(data.path());
        let log = open(settings(data.path()));
        record_many(&log, 0..4);
        log.checkpoint().unwrap();
        record_many(&log, 4..6);
        let crashed = tempfile::tempdir().unwrap();
        copy(&dir, crashed.path());
        log.shutdown().unwrap();
        for file in files(crashed.path()) {
            std::fs::copy(&file, dir.join(file.file_name().unwrap())).unwrap();
        }
        let file = &segments(&dir)[0];
        let text = std::fs::read_to_string(file).unwrap();
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        assert_eq!(lines.len(), 8);
        change(&mut lines[at]);
        std::fs::write(file, lines.concat()).unwrap();

        let before = check(&dir, log.public_key());
        assert_located(&before, &name(file), at as u64 + 1, "the damage");
        for _ in 0..2 {
            let log = open(settings(data.path()));
            record_many(&log, 20..25);
            log.shutdown().unwrap();
        }
        let after = check(&dir, log.public_key());
        assert_eq!(after.faults, before.faults, "{after}");
        assert_eq!(after.unclean_starts, 1);
        assert_eq!(after.proved.unwrap().sequence, 8 + 2 * 7);
    }
}
