//! The process is killed with SIGKILL while it records, again and again.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use freehold_ports::Audit;
use freehold_store::audit::{AuditFilter, AuditLog, FaultKind, show};
use freehold_types::audit::{AuditEvent, AuditKind, CheckpointReason};

use crate::common::{
    check, copy, decision, dir_of, open, overwrite, public_key, record_many, segments, settings,
};

const DIR: &str = "FREEHOLD_AUDIT_TEST_DIR";

/// Not a test of its own: what the other tests run as a process to kill. Records for ever with two
/// threads, and prints a sequence after the trail has said that it is kept.
#[test]
fn recording_process() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut settings = settings(Path::new(&dir));
    // Small segments and many checkpoints, so that all of it is killed at some time.
    settings.segment_bytes = 30_000;
    settings.checkpoint_records = 25;
    let log = match AuditLog::open(settings) {
        Ok(log) => log,
        Err(error) => {
            println!("refused: {error}");
            return;
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let log = &log;
            scope.spawn(move || {
                for i in 0.. {
                    let sequence = log.record(&decision(2 * i + thread)).expect("kept");
                    let line = format!("kept {sequence};\n");
                    std::io::stdout()
                        .lock()
                        .write_all(line.as_bytes())
                        .expect("told");
                }
            });
        }
    });
}

fn start(dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::recording_process", "--exact", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// The next sequence that the child prints; `None` at its end. A line cut by the kill was still
/// told after the trail had said yes, but nobody can read it.
fn next_kept(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<u64> {
    lines.by_ref().find_map(|line| {
        let line = line.ok()?;
        let (_, sequence) = line.split_once("kept ")?;
        sequence.strip_suffix(';')?.parse().ok()
    })
}

#[test]
fn killed_again_and_again_the_trail_loses_nothing_and_stays_one_chain() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let mut told = HashSet::new();
    // After so many records each; the moment within a write, a signature or a rename is chance.
    for records in [1, 37, 400, 1_111, 2_500] {
        let (mut child, stdout) = start(data.path());
        let mut lines = stdout.lines();
        for _ in 0..records {
            let sequence = next_kept(&mut lines).expect("the child records for ever");
            assert!(told.insert(sequence), "{sequence} was given twice");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(sequence) = next_kept(&mut lines) {
            assert!(told.insert(sequence), "{sequence} was given twice");
        }
    }
    assert!(told.len() >= 4_049);

    open(settings(data.path())).shutdown().unwrap();
    let report = check(&dir, public_key(data.path()));
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.unclean_starts, 5, "{report}");
    assert_eq!(report.unproved_records, 0);
    let filter = AuditFilter {
        kind: Some(AuditKind::Decision),
        ..AuditFilter::default()
    };
    let kept = show(&dir, filter).unwrap();
    let kept: HashSet<u64> = kept.map(|record| record.unwrap().sequence).collect();
    let lost: Vec<_> = told.difference(&kept).collect();
    assert!(lost.is_empty(), "{lost:?}");
    // At most one record per thread and kill was kept without anybody having been told, and a
    // line of the child that the kill cut.
    assert!(kept.len() - told.len() <= 20);
}

#[test]
fn a_second_process_is_refused_and_harms_nothing() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(settings(data.path())).unwrap();
    record_many(&log, 0..3);
    let (mut child, stdout) = start(data.path());
    let mut lines = stdout.lines();
    let refusal = lines
        .by_ref()
        .find_map(|line| {
            line.ok()?
                .split_once("refused: ")
                .map(|(_, why)| why.to_owned())
        })
        .expect("the child is refused");
    let pid = format!("process {}", std::process::id());
    assert!(refusal.contains(&pid), "{refusal}");
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    record_many(&log, 3..6);
    log.shutdown().unwrap();
    let report = check(&dir_of(data.path()), log.public_key());
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.decisions, 6);
}

/// A crash can end the file at any byte after the last checkpoint: whole records are kept, the torn
/// one goes, and the trail says so.
#[test]
fn a_tail_torn_at_any_byte_is_repaired() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let log = open(settings(data.path()));
    record_many(&log, 0..2);
    log.checkpoint().unwrap();
    record_many(&log, 2..5);
    log.flush().unwrap();
    // As a kill would leave it: not closed.
    let crashed = tempfile::tempdir().unwrap();
    copy(&dir, crashed.path());
    log.shutdown().unwrap();
    let segment = std::fs::read(&segments(crashed.path())[0]).unwrap();
    let ends: Vec<usize> = (1..=segment.len())
        .filter(|end| segment[end - 1] == b'\n')
        .collect();
    assert_eq!(ends.len(), 7);

    for length in ends[3]..=segment.len() {
        overwrite(&segments(crashed.path())[0], &segment[..length]);
        let whole = ends.iter().filter(|end| **end <= length).count() as u64;
        let torn = length - ends[whole as usize - 1];
        let found = check(crashed.path(), log.public_key());
        assert_eq!(found.records, whole);
        if torn > 0 {
            assert_eq!(found.faults[0].kind, FaultKind::TornTail, "{found}");
            assert_eq!(found.faults[0].place.line, whole + 1);
        } else {
            assert!(found.is_intact(), "{found}");
            assert_eq!(found.unproved_records, whole - 4);
        }
        // Opening flushes to the disk: not for each of the middle bytes.
        if length % 16 == 0 || ends.contains(&length) || ends.contains(&(length + 1)) {
            assert_repaired(data.path(), crashed.path(), whole, torn as u64);
        }
    }
}

/// Opens a copy of a crashed trail with the same key, and looks at what became of it.
fn assert_repaired(keys: &Path, crashed: &Path, whole: u64, torn: u64) {
    let data = tempfile::tempdir().unwrap();
    for key in ["audit.key", "audit.key.pub"] {
        std::fs::copy(keys.join(key), data.path().join(key)).unwrap();
    }
    let dir = dir_of(data.path());
    copy(crashed, &dir);
    open(settings(data.path())).shutdown().unwrap();
    let report = check(&dir, public_key(keys));
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.records, whole + 2);
    let mut shown = show(&dir, AuditFilter::default()).unwrap();
    let start = shown.nth(whole as usize).unwrap().unwrap();
    let AuditEvent::Checkpoint(start) = start.event else {
        panic!("{start:?}");
    };
    assert_eq!(start.statement.reason, CheckpointReason::StartedUnclean);
    assert_eq!(
        start.statement.torn_bytes,
        Some(torn).filter(|torn| *torn > 0)
    );
}

/// Killed after a segment was begun and before its checkpoint was written.
#[test]
fn an_empty_or_torn_new_segment_is_gone_on_with() {
    for rest in ["", "{\"hash\":\"00"] {
        let data = tempfile::tempdir().unwrap();
        let dir = dir_of(data.path());
        let log = open(settings(data.path()));
        record_many(&log, 0..4);
        log.shutdown().unwrap();
        std::fs::write(dir.join("audit-0000000002.jsonl"), rest).unwrap();
        let log = open(settings(data.path()));
        record_many(&log, 4..8);
        log.shutdown().unwrap();
        let report = check(&dir, log.public_key());
        assert!(report.is_intact(), "{report}");
        assert_eq!((report.segments, report.decisions), (2, 8));
    }
}
