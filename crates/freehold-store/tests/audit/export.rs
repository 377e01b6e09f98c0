//! Part of a trail, verified without the trail.

use std::path::Path;

use freehold_store::audit::{
    AuditLogError, Edge, ExportSummary, PublicKey, Report, Span, export, verify_export,
};

use crate::common::{BASE, check, decision, dir_of, open, pinned, record_many, settings};
use freehold_ports::Audit;

/// Sequences: 1 start, 2 to 6, 7 checkpoint, 8 to 12, 13 checkpoint, 14 to 18, not closed.
fn trail(data: &Path) -> (freehold_store::audit::AuditLog, PublicKey) {
    let log = open(settings(data));
    record_many(&log, 0..5);
    log.checkpoint().unwrap();
    record_many(&log, 5..10);
    log.checkpoint().unwrap();
    record_many(&log, 10..15);
    let key = log.public_key();
    (log, key)
}

fn exported(dir: &Path, span: Span) -> (Vec<u8>, ExportSummary) {
    let mut bytes = Vec::new();
    let summary = export(dir, span, &mut bytes).unwrap();
    (bytes, summary)
}

fn verified(bytes: &[u8], key: PublicKey) -> Result<Report, AuditLogError> {
    verify_export(bytes, &pinned(key), &mut |_| {})
}

fn span(from: u64, to: u64) -> Span {
    Span {
        from: Some(Edge::Sequence(from)),
        to: Some(Edge::Sequence(to)),
    }
}

#[test]
fn a_part_is_enclosed_by_checkpoints_and_proves_itself() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let (log, key) = trail(data.path());
    for (from, to, first, last, signed) in [
        (9, 10, 7, 13, true),
        (1, 1, 1, 1, true),
        (2, 9, 1, 13, true),
        (7, 7, 7, 7, true),
        (13, 13, 13, 13, true),
        (3, 4, 1, 7, true),
        (12, 15, 7, 18, false),
    ] {
        let (bytes, summary) = exported(&dir, span(from, to));
        assert_eq!((summary.first, summary.last), (first, last), "{from}-{to}");
        assert_eq!(summary.records, last - first + 1);
        assert_eq!(summary.signed, signed);
        let report = verified(&bytes, key).unwrap();
        assert!(report.is_intact(), "{from}-{to}: {report}");
        assert_eq!(report.sequences, Some((first, last)));
        assert_eq!(report.unproved_records == 0, signed);
    }
    let whole = exported(&dir, Span::default()).1;
    assert_eq!((whole.first, whole.last), (1, 18));
    let none = export(&dir, span(50, 60), &mut Vec::new()).unwrap_err();
    assert!(matches!(none, AuditLogError::EmptySpan), "{none}");
    drop(log);
    assert!(check(&dir, key).is_intact());
}

#[test]
fn a_part_can_be_asked_for_by_time() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let (_log, key) = trail(data.path());
    let all = Span {
        from: Some(Edge::UnixMs(BASE)),
        to: Some(Edge::UnixMs(BASE + 1_000_000)),
    };
    assert_eq!(exported(&dir, all).1.records, 18);
    let begin = Span {
        from: None,
        to: Some(Edge::UnixMs(BASE + 4)),
    };
    let (bytes, summary) = exported(&dir, begin);
    assert_eq!((summary.first, summary.last), (1, 7));
    assert!(verified(&bytes, key).unwrap().is_intact());
}

#[test]
fn any_flipped_bit_of_an_export_is_found() {
    let data = tempfile::tempdir().unwrap();
    let (_log, key) = trail(data.path());
    let (bytes, _) = exported(&dir_of(data.path()), span(9, 10));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        match verified(&changed, key) {
            Err(_) => assert_eq!(line, 1),
            Ok(report) => {
                let first = report.faults.first().unwrap_or_else(|| panic!("byte {at}"));
                assert_eq!(first.place.line, line, "byte {at}: {report}");
            }
        }
    }
}

#[test]
fn lines_left_out_of_an_export_are_found() {
    let data = tempfile::tempdir().unwrap();
    let (_log, key) = trail(data.path());
    let (bytes, _) = exported(&dir_of(data.path()), span(9, 10));
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for without in 1..lines.len() {
        let mut rest = lines.clone();
        rest.remove(without);
        let report = verified(rest.concat().as_bytes(), key).unwrap();
        assert!(!report.is_intact(), "without line {without}");
    }
}

#[test]
fn a_damaged_part_is_not_exported() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let (log, _) = trail(data.path());
    log.record(&decision(99)).unwrap();
    log.shutdown().unwrap();
    let file = dir.join("audit-0000000001.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    lines[8] = lines[8].replace("acme", "acne");
    std::fs::write(&file, lines.concat()).unwrap();
    let error = export(&dir, span(8, 9), &mut Vec::new()).unwrap_err();
    assert!(
        matches!(&error, AuditLogError::Damaged { line: 9, .. }),
        "{error}"
    );
    // Before the damage all is well.
    export(&dir, span(2, 3), &mut Vec::new()).unwrap();
}
