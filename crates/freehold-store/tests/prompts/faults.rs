//! Bad days: no disk, no room, no time. Whoever hands samples over never notices.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use freehold_guard::Scan;
use freehold_policy::Masked;
use freehold_ports::{Prompts, Sample, Text, Unkept};
use freehold_store::prompts::{Dropped, PromptFilter, PromptReader, PromptSettings, PromptStore};
use serde_json::json;

use crate::common::{Draft, PATIENCE, permit, request, settings, show};

#[tokio::test]
async fn a_directory_that_cannot_be_made_costs_samples_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let settings = settings(&file.join("data"));
    let kept = PromptStore::start(settings.clone()).unwrap();
    for _ in 0..3 {
        kept.keep(Draft::new("acme", "hello").sample());
        kept.flush(PATIENCE).await.unwrap();
    }
    let status = kept.status();
    assert_eq!(
        status.dropped.get(&Dropped::Unwritable),
        Some(&3),
        "{status:?}"
    );
    assert!(status.trouble.is_some());
    // And when the way is free, it goes on.
    std::fs::remove_file(&file).unwrap();
    let draft = Draft::new("acme", "hello");
    kept.keep(draft.sample());
    kept.flush(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!((status.stored, &status.trouble), (1, &None), "{status:?}");
    assert!(show(&settings, &draft).await.unwrap().is_some());
}

#[tokio::test]
async fn a_database_that_is_none_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let text = "this is somebody's diary, not a database".repeat(50);
    std::fs::write(&settings.database, &text).unwrap();
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(Draft::new("acme", "hello").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 0);
    assert_eq!(std::fs::read_to_string(&settings.database).unwrap(), text);
}

#[tokio::test]
async fn the_store_takes_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let settings = PromptSettings {
        limit_bytes: 200_000,
        ..settings(dir.path())
    };
    let kept = PromptStore::start(settings.clone()).unwrap();
    for _ in 0..20 {
        kept.keep(Draft::new("acme", &noise()).sample());
        kept.flush(PATIENCE).await.unwrap();
    }
    let status = kept.status();
    assert!(status.stored > 0, "{status:?}");
    assert!(status.dropped[&Dropped::StoreFull] > 0, "{status:?}");
    assert_eq!(status.trouble, None, "it is as it should be");
    kept.shutdown(PATIENCE).await.unwrap();
    let bytes = std::fs::metadata(&settings.database).unwrap().len();
    assert!(bytes < 260_000, "{bytes}");
}

/// A sample whose text is made only when the test says so; then it is none.
fn stuck(weight_bytes: usize) -> (Sample, mpsc::Sender<()>) {
    let draft = Draft::new("acme", "stuck");
    let (go, wait) = mpsc::channel();
    let storing = permit(&json!({"keep_days": 1})).storing(draft.id).unwrap();
    let sample = Sample::new(storing, draft.facts(), weight_bytes, move |_| {
        // The other end may be gone: that means go as well.
        let _ = wait.recv();
        Err(Unkept::Unmaskable)
    });
    (sample, go)
}

#[tokio::test]
async fn a_full_queue_drops_and_never_waits() {
    let dir = tempfile::tempdir().unwrap();
    let settings = PromptSettings {
        queue_records: 4,
        batch_records: 1,
        ..settings(dir.path())
    };
    let kept = PromptStore::start(settings).unwrap();
    let (first, go) = stuck(10);
    kept.keep(first);
    let begun = Instant::now();
    for _ in 0..1_000 {
        kept.keep(Draft::new("acme", "hello").sample());
    }
    assert!(begun.elapsed() < PATIENCE);
    let dropped = kept.status().dropped[&Dropped::QueueFull];
    // Four wait; a fifth may have been taken out already.
    assert!((995..=996).contains(&dropped), "{dropped}");
    go.send(()).unwrap();
    kept.flush(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!(status.stored + dropped, 1_000, "{status:?}");
    assert_eq!(status.dropped[&Dropped::Unmaskable], 1);
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let dir = tempfile::tempdir().unwrap();
    let settings = PromptSettings {
        queue_bytes: 1_000,
        ..settings(dir.path())
    };
    let kept = PromptStore::start(settings).unwrap();
    // One that is larger than all that may wait is taken when nothing waits.
    let (large, go) = stuck(5_000);
    kept.keep(large);
    kept.keep(Draft::new("acme", "hello").sample());
    assert_eq!(kept.status().dropped[&Dropped::QueueFull], 1);
    drop(go);
    kept.flush(PATIENCE).await.unwrap();
    kept.keep(Draft::new("acme", "hello").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 1);
}

#[tokio::test]
async fn a_defect_in_one_sample_costs_that_sample() {
    let dir = tempfile::tempdir().unwrap();
    let kept = PromptStore::start(settings(dir.path())).unwrap();
    let draft = Draft::new("acme", "hello");
    let storing = permit(&json!({"keep_days": 1})).storing(draft.id).unwrap();
    kept.keep(Sample::new(storing, draft.facts(), 1, |_| {
        panic!("a defect")
    }));
    kept.keep(draft.sample());
    kept.flush(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!(status.dropped[&Dropped::Defect], 1, "{status:?}");
    assert_eq!(status.stored, 1, "{status:?}");
}

#[test]
fn what_must_be_masked_cannot_be_handed_over_as_it_came() {
    let settings = json!({"outside_up_to": "confidential", "rules": [
        {"name": "m", "mask": "iban"}, {"name": "s", "store": {"keep_days": 1}}]});
    let settings: freehold_policy::PolicySettings = serde_json::from_value(settings).unwrap();
    let policy = freehold_policy::Policy::compile(&settings, &Default::default());
    let scan = Scan {
        findings: vec![freehold_guard::Finding {
            entity: "iban".to_owned().into(),
            path: "messages[0]".to_owned(),
            range: 0..4,
            confidence: 1.0,
            sensitivity: freehold_types::Sensitivity::Confidential,
        }],
        incomplete: None,
    };
    let labels = freehold_policy::Labels {
        default: freehold_types::Sensitivity::Public,
        route: None,
        key: None,
        claim: freehold_policy::Claim::None,
        scan: &scan,
    };
    let permit = policy.unwrap().0.decide(&labels, &Default::default(), []);
    let storing = permit.unwrap().storing(Draft::new("acme", "").id).unwrap();
    let receipt = Masked::as_asked(&storing.masks(&scan));
    let pass = storing.pass(&scan, &receipt).unwrap();
    let as_it_came = std::sync::Arc::new(request("hello"));
    assert!(Text::new(pass, as_it_came, None).is_err());
}

#[tokio::test]
async fn another_process_that_holds_the_database_costs_samples_only() {
    let dir = tempfile::tempdir().unwrap();
    let settings = PromptSettings {
        busy_timeout: Duration::from_millis(20),
        ..settings(dir.path())
    };
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(Draft::new("acme", "one").sample());
    kept.flush(PATIENCE).await.unwrap();
    let mut other = crate::common::raw(&settings).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    kept.keep(Draft::new("acme", "two").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 1);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    kept.keep(Draft::new("acme", "three").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 2, "{:?}", kept.status());
}

const DIR: &str = "FREEHOLD_PROMPTS_DISK_DIR";

/// Not a test of its own: runs where no file may grow beyond a few records.
#[tokio::test]
async fn process_with_small_files() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let kept = PromptStore::start(settings(std::path::Path::new(&dir))).unwrap();
    for _ in 0..60 {
        kept.keep(Draft::new("acme", &noise()).sample());
        kept.flush(PATIENCE).await.unwrap();
    }
    let status = kept.status();
    println!(
        "stored {}, dropped {}, trouble {}",
        status.stored,
        status.dropped[&Dropped::Unwritable],
        status.trouble.is_some()
    );
}

/// Text that does not compress to nothing.
fn noise() -> String {
    (0..20_000_u32)
        .map(|i| char::from_u32(0x4e00 + i.wrapping_mul(7_919) % 20_000).unwrap())
        .collect()
}

/// `RLIMIT_FSIZE` lets a file grow to the byte and no further, as a full disk does. The signal that
/// comes with it is ignored, as it is in containers that set no limit.
#[tokio::test]
async fn a_full_disk_costs_samples_only_and_leaves_the_store_whole() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["faults::process_with_small_files", "--exact", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("trouble true"), "{told}");
    let number = |word: &str| -> u64 {
        let rest = told.split(word).nth(1).unwrap().trim_start();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse().unwrap()
    };
    let (stored, dropped) = (number("stored"), number("dropped"));
    assert!(stored > 0 && dropped > 0, "{told}");
    assert_eq!(stored + dropped, 60, "{told}");
    // With room again, what was stored can be read, and more is stored.
    let settings = settings(dir.path());
    crate::common::store(&settings, &[Draft::new("acme", "more")]).await;
    let mut reader = PromptReader::open(settings).await.unwrap();
    let listed = reader.list(&PromptFilter::default()).await.unwrap();
    assert_eq!(listed.len() as u64, stored + 1);
    for about in listed {
        reader.read(about).await.unwrap();
    }
}
