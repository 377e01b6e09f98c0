//! Writing, reopening, rotating, signing, showing.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use freehold_ports::{Audit, AuditError};
use freehold_store::SyncPolicy;
use freehold_store::audit::{AuditFilter, AuditLog, AuditLogError, VerifyOptions, show, verify};
use freehold_types::audit::{
    AuditEvent, AuditKind, AuditRecord, Checkpoint, CheckpointReason, CheckpointStatement,
};

use crate::common::{
    administration, check, decision, dir_of, open, public_key, record_many, request, segments,
    settings,
};

fn all(dir: &Path) -> Vec<AuditRecord> {
    let records = show(dir, AuditFilter::default()).unwrap();
    records.map(Result::unwrap).collect()
}

fn statements(dir: &Path) -> Vec<CheckpointStatement> {
    let records = all(dir).into_iter();
    let statement = |record: AuditRecord| match record.event {
        AuditEvent::Checkpoint(Checkpoint { statement, .. }) => Some(statement),
        _ => None,
    };
    records.filter_map(statement).collect()
}

#[test]
fn what_is_recorded_comes_back_chained_and_signed() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let log = open(settings(data.path()));
    assert_eq!(log.record(&decision(0)).unwrap(), 2);
    assert_eq!(log.record(&administration("policy.yaml")).unwrap(), 3);
    log.shutdown().unwrap();
    assert_eq!(log.record(&decision(1)), Err(AuditError::Closed));
    assert_eq!(log.ready(), Err(AuditError::Closed));

    let records = all(&dir);
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(records[1].event, decision(0));
    assert_eq!(records[2].event, administration("policy.yaml"));
    let reasons: Vec<_> = statements(&dir).iter().map(|s| s.reason).collect();
    assert_eq!(
        reasons,
        [CheckpointReason::Started, CheckpointReason::Stopped]
    );
    assert_eq!(statements(&dir)[1].count, 2);

    let report = check(&dir, log.public_key());
    assert!(report.is_intact(), "{report}");
    assert_eq!(
        (report.decisions, report.administration, report.checkpoints),
        (1, 1, 2)
    );
    assert_eq!(report.proved.unwrap().sequence, 4);
    assert_eq!(report.unproved_records, 0);
}

/// The chain can be checked with nothing but SHA-256: previous hash, then the record's bytes.
#[test]
fn the_chain_is_what_the_documentation_says() {
    use sha2::{Digest, Sha256};
    let data = tempfile::tempdir().unwrap();
    let log = open(settings(data.path()));
    record_many(&log, 0..5);
    log.shutdown().unwrap();
    let text = std::fs::read_to_string(&segments(&dir_of(data.path()))[0]).unwrap();
    let mut previous = "0".repeat(64);
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["previous"], previous);
        let record = line.split_once("\"record\":").unwrap().1;
        let record = record.strip_suffix('}').unwrap();
        let mut hash = Sha256::new();
        hash.update(hex::decode(&previous).unwrap());
        hash.update(record);
        previous = hex::encode(hash.finalize());
        assert_eq!(value["hash"], previous);
    }
}

#[test]
fn a_restart_continues_the_chain_in_the_same_segment() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    for run in 0..4 {
        let log = open(settings(data.path()));
        record_many(&log, run * 10..run * 10 + 10);
        log.shutdown().unwrap();
    }
    assert_eq!(segments(&dir).len(), 1);
    let report = check(&dir, public_key(data.path()));
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.records, 4 * 12);
    assert_eq!(report.sequences, Some((1, 48)));
    assert_eq!(report.unclean_starts, 0);
}

#[test]
fn segments_are_rotated_by_size_and_each_begins_with_a_checkpoint() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let mut settings = settings(data.path());
    settings.segment_bytes = 4_000;
    for run in 0..3 {
        let log = open(settings.clone());
        record_many(&log, run * 20..run * 20 + 20);
        log.shutdown().unwrap();
    }
    let segments = segments(&dir);
    assert!(segments.len() > 8, "{segments:?}");
    for segment in &segments {
        let text = std::fs::read_to_string(segment).unwrap();
        assert!(text.len() < 5_500, "{}", text.len());
        assert!(text.lines().next().unwrap().contains("\"checkpoint\""));
    }
    let report = check(&dir, public_key(data.path()));
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.decisions, 60);
}

#[test]
fn checkpoints_come_by_number_by_time_and_by_request() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let mut settings = settings(data.path());
    settings.checkpoint_records = 10;
    settings.checkpoint_interval = Duration::from_millis(20);
    let log = open(settings);
    record_many(&log, 0..35);
    // The keeper is to sign what is left when the time has come.
    let (sender, signed) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while log.status().checkpoint_sequence != log.status().sequence {
                std::thread::yield_now();
            }
            sender.send(()).unwrap();
        });
        signed.recv_timeout(Duration::from_secs(60)).unwrap();
    });
    let anchor = log.checkpoint().unwrap();
    assert_eq!(anchor.sequence(), log.status().sequence);
    log.shutdown().unwrap();

    let statements = statements(&dir);
    let periodic = |s: &&CheckpointStatement| s.reason == CheckpointReason::Periodic;
    assert!(statements.iter().filter(periodic).count() >= 1);
    assert_eq!(statements.iter().map(|s| s.count).sum::<u64>(), 35);
    let options = VerifyOptions {
        public_keys: vec![log.public_key()],
        anchor: Some(anchor),
    };
    let report = verify(&dir, &options, &mut |_| {}).unwrap();
    assert!(report.is_intact() && report.anchored, "{report}");
}

#[test]
fn many_threads_make_one_chain() {
    for sync in [
        SyncPolicy::Every(Duration::from_millis(1)),
        SyncPolicy::Always,
    ] {
        let data = tempfile::tempdir().unwrap();
        let mut settings = settings(data.path());
        settings.segment_bytes = 20_000;
        settings.checkpoint_records = 50;
        settings.sync = sync;
        let log = AuditLog::open(settings).unwrap();
        let mut told: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u64)
                .map(|thread| {
                    let log = &log;
                    scope.spawn(move || {
                        let record = |i: u64| log.record(&decision(thread * 100 + i)).unwrap();
                        (0..100).map(record).collect::<Vec<u64>>()
                    })
                })
                .collect();
            let told = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            told.collect()
        });
        log.shutdown().unwrap();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), 800);
        let report = check(&dir_of(data.path()), log.public_key());
        assert!(report.is_intact(), "{report}");
        assert_eq!(report.decisions, 800);
        assert!(report.checkpoints >= 10, "{report}");
    }
}

/// While one thread writes and rotates, another verifies and finds nothing wrong.
#[test]
fn a_trail_can_be_verified_while_it_is_written() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let mut settings = settings(data.path());
    settings.segment_bytes = 20_000;
    settings.checkpoint_records = 20;
    let log = AuditLog::open(settings).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while number < 20_000 && !done.load(std::sync::atomic::Ordering::Relaxed) {
                log.record(&decision(number)).unwrap();
                number += 1;
            }
        });
        for _ in 0..12 {
            let report = check(&dir, log.public_key());
            if !report.is_intact() {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(report.is_intact(), "{report}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn records_are_shown_by_what_is_asked() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let mut settings = settings(data.path());
    settings.segment_bytes = 4_000;
    let log = open(settings);
    record_many(&log, 0..20);
    log.record(&administration("policy.yaml")).unwrap();
    log.shutdown().unwrap();
    let shown = |filter: AuditFilter| -> Vec<AuditRecord> {
        show(&dir, filter).unwrap().map(Result::unwrap).collect()
    };
    let whole = shown(AuditFilter::default());

    let by_request = shown(AuditFilter {
        request: Some(request(7)),
        ..AuditFilter::default()
    });
    assert_eq!(by_request.len(), 1);
    assert_eq!(by_request[0].event, decision(7));
    let nobody = AuditFilter {
        request: Some(request(77)),
        ..AuditFilter::default()
    };
    assert!(shown(nobody).is_empty());
    let by_key = AuditFilter {
        key: Some("team-1".into()),
        tenant: Some("acme".into()),
        ..AuditFilter::default()
    };
    assert_eq!(shown(by_key).len(), 10);
    let by_kind = AuditFilter {
        kind: Some(AuditKind::Administration),
        ..AuditFilter::default()
    };
    assert_eq!(shown(by_kind).len(), 1);
    let by_time = shown(AuditFilter {
        from_unix_ms: Some(whole[5].time_unix_ms),
        to_unix_ms: Some(whole[9].time_unix_ms),
        ..AuditFilter::default()
    });
    assert_eq!(by_time, whole[5..=9]);
    let oldest = AuditFilter {
        limit: Some(3),
        ..AuditFilter::default()
    };
    assert_eq!(shown(oldest), whole[..3]);
    let newest = AuditFilter {
        last: Some(3),
        ..AuditFilter::default()
    };
    assert_eq!(shown(newest), whole[whole.len() - 3..]);
}

#[test]
fn what_cannot_be_a_record_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let log = open(settings(data.path()));
    let record = show(&dir_of(data.path()), AuditFilter::default())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    // A checkpoint that somebody hands in again.
    assert!(matches!(
        log.record(&record.event),
        Err(AuditError::Unwritable(_))
    ));
    let AuditEvent::Decision(mut huge) = decision(0) else {
        unreachable!()
    };
    huge.rules = vec!["rule".into(); 100_000];
    let error = log.record(&AuditEvent::Decision(huge)).unwrap_err();
    assert!(matches!(error, AuditError::TooLarge { .. }), "{error}");
    log.record(&decision(1)).unwrap();
    log.shutdown().unwrap();
    assert!(check(&dir_of(data.path()), log.public_key()).is_intact());
}

#[cfg(unix)]
#[test]
fn the_signing_key_is_for_the_owner_only_and_openssl_could_read_the_public_one() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let log = open(settings(data.path()));
    let mode = |name: &str| {
        let metadata = std::fs::metadata(data.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("audit.key"), 0o600);
    assert_eq!(mode("audit"), 0o700);
    assert_eq!(mode("audit/audit-0000000001.jsonl"), 0o600);
    assert_eq!(public_key(data.path()), log.public_key());
    let pem = log.public_key().to_pem();
    assert!(
        pem.starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"),
        "{pem}"
    );
    assert_eq!(log.public_key().to_string().parse(), Ok(log.public_key()));
}

#[test]
fn a_key_file_that_holds_no_key_is_refused_and_a_lost_key_is_seen() {
    let data = tempfile::tempdir().unwrap();
    let dir = dir_of(data.path());
    let log = open(settings(data.path()));
    record_many(&log, 0..3);
    log.shutdown().unwrap();
    let first = log.public_key();
    let key_file = data.path().join("audit.key");
    std::fs::write(&key_file, "nonsense").unwrap();
    let error = AuditLog::open(settings(data.path())).unwrap_err();
    assert!(
        matches!(error, AuditLogError::NotASigningKey { .. }),
        "{error}"
    );

    std::fs::remove_file(&key_file).unwrap();
    let log = open(settings(data.path()));
    log.shutdown().unwrap();
    assert_ne!(log.public_key(), first);
    let report = check(&dir, first);
    assert!(!report.is_intact(), "{report}");
    assert!(report.to_string().contains("another key"), "{report}");
    let both = VerifyOptions {
        public_keys: vec![first, log.public_key()],
        anchor: None,
    };
    let report = verify(&dir, &both, &mut |_| {}).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.key_ids.len(), 2);
}

#[test]
fn there_is_no_trail_in_an_empty_directory() {
    let data = tempfile::tempdir().unwrap();
    let error = verify(data.path(), &VerifyOptions::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, AuditLogError::Nothing { .. }), "{error}");
    let error = show(data.path(), AuditFilter::default()).unwrap_err();
    assert!(matches!(error, AuditLogError::Nothing { .. }), "{error}");
}

#[test]
fn progress_is_told_and_the_report_is_json() {
    let data = tempfile::tempdir().unwrap();
    let log = open(settings(data.path()));
    record_many(&log, 0..3_000);
    log.shutdown().unwrap();
    let mut told = Vec::new();
    let report = verify(
        &dir_of(data.path()),
        &VerifyOptions::default(),
        &mut |progress| told.push(progress),
    )
    .unwrap();
    assert!(told.len() >= 2, "{told:?}");
    assert_eq!(told.last().unwrap().bytes, told[0].total_bytes);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["intact"], true);
    assert_eq!(json["decisions"], 3_000);
    assert!(report.to_string().contains("No public key was given"));
}
