//! What the audit tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freehold_ports::{Audit, Clock};
use freehold_store::SyncPolicy;
use freehold_store::audit::{AuditLog, AuditSettings, PublicKey, Report, VerifyOptions, verify};
use freehold_types::audit::{
    Administration, AdministrativeAct, AuditAttempt, AuditDecision, AuditEvent, PermitSummary,
};
use freehold_types::{OutcomeStatus, Perimeter, RequestId, Sensitivity};

/// 2025-11-21T04:00:00Z.
pub(crate) const BASE: u64 = 1_763_697_600_000;

/// A clock that goes on by a millisecond whenever it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn unix_ms(&self) -> u64 {
        BASE + self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Settings under which nothing is signed but by request, at the begin of segments, and at the end.
pub(crate) fn settings(data_dir: &Path) -> AuditSettings {
    let mut settings = AuditSettings::new(data_dir);
    settings.checkpoint_records = 1_000_000;
    settings.checkpoint_interval = Duration::from_secs(3_600);
    settings.reserve_bytes = 0;
    settings.sync = SyncPolicy::Every(Duration::from_millis(1));
    settings
}

pub(crate) fn open(settings: AuditSettings) -> AuditLog {
    AuditLog::open_with_clock(settings, Arc::new(Ticking::default())).unwrap()
}

pub(crate) fn dir_of(data_dir: &Path) -> PathBuf {
    AuditSettings::new(data_dir).dir
}

pub(crate) fn request(number: u64) -> RequestId {
    format!("req_{number:032x}").parse().unwrap()
}

/// A decision about a request of this number; every third is refused.
pub(crate) fn decision(number: u64) -> AuditEvent {
    let refused = number % 3 == 2;
    let attempt = AuditAttempt {
        backend: "embedded".into(),
        deployment: "embedded/smol".into(),
        error: None,
        perimeter: Perimeter::Inside,
        region: Some("eu-central-1".into()),
    };
    AuditEvent::Decision(AuditDecision {
        attempts: if refused { vec![] } else { vec![attempt] },
        findings: [("email_address".into(), 2), ("iban".into(), 1)].into(),
        redacted: [("phone_number".into(), 1)].into(),
        flow: Some("support".into()),
        key: format!("team-{}", number % 2).as_str().into(),
        permit: (!refused).then(|| PermitSummary {
            mask: vec!["iban".into()],
            perimeters: vec![Perimeter::Inside],
            regions: vec![],
            stored: None,
            tags: vec![],
        }),
        refusal: refused.then(|| "policy_refused".into()),
        request: request(number),
        route: Some("auto".into()),
        rules: vec!["finance-stays-inside".into()],
        sensitivity: Sensitivity::Confidential,
        started_unix_ms: BASE + number,
        status: if refused {
            OutcomeStatus::Refused
        } else {
            OutcomeStatus::Completed
        },
        tenant: Some("acme".into()),
    })
}

pub(crate) fn administration(object: &str) -> AuditEvent {
    AuditEvent::Administration(Administration {
        act: AdministrativeAct::PolicyChanged,
        actor: "cli".into(),
        after: Some("ab".repeat(32).parse().unwrap()),
        before: None,
        object: object.into(),
    })
}

pub(crate) fn record_many(log: &AuditLog, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.record(&decision(number)).unwrap();
    }
}

pub(crate) fn pinned(key: PublicKey) -> VerifyOptions {
    VerifyOptions {
        public_keys: vec![key],
        anchor: None,
    }
}

pub(crate) fn check(dir: &Path, key: PublicKey) -> Report {
    verify(dir, &pinned(key), &mut |_| {}).unwrap()
}

/// The public key that lies beside the signing key.
pub(crate) fn public_key(data_dir: &Path) -> PublicKey {
    PublicKey::read(&data_dir.join("audit.key.pub")).unwrap()
}

/// The segments and the head file, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "lock")
        .collect();
    files.sort();
    files
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files = files(dir);
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jsonl")
    });
    files
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Writes a file without emptying it first, after which some file systems flush it when it is closed.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Copies a trail, without its lock.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files(from) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}
