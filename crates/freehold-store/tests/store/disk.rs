//! The disk is full, or a file cannot grow: what was promised stays, and nothing is half written.

use std::path::Path;
use std::process::{Command, Output};

use freehold_ports::{Ledger, LedgerError};
use freehold_store::DurableLedger;
use freehold_types::Outcome;

use crate::common::{BASE, BOUND, outcome, settings};
use crate::homes::rows_in;

const DIR: &str = "FREEHOLD_STORE_DISK_DIR";

/// Runs one of this file's tests as a process of its own, through a shell line that ends with
/// `exec "$0" "$@"`.
fn run(shell: &str, test: &str, dir: &Path) -> Output {
    Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(DIR, dir)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Not a test of its own: runs where no file may grow beyond a few records.
#[test]
fn process_with_small_files() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let ledger = DurableLedger::open(settings(Path::new(&dir))).unwrap();
    for i in 0..200 {
        ledger.record(&outcome(BASE + i)).unwrap();
        ledger.ready().unwrap();
    }
    println!("kept 200");
    // The process ends here: the database cannot grow either.
    std::process::exit(0);
}

/// A write that the kernel cuts short is a real one here: `RLIMIT_FSIZE` lets a file grow to the
/// byte and no further. The signal that comes with it is ignored, as it is in containers that set
/// no limit.
#[tokio::test]
async fn a_write_cut_short_is_taken_back_and_made_again_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let shell = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
    let output = run(shell, "disk::process_with_small_files", dir.path());
    assert!(text(&output).contains("kept 200"), "{}", text(&output));

    let ledger = DurableLedger::open(settings(dir.path())).unwrap();
    let status = ledger.status().spool;
    assert!(status.segments > 5, "{status:?}");
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&dir.path().join("ledger.db")).await, 200);
    assert_eq!(ledger.status().spool.quarantined, 0);
    ledger.shutdown(BOUND).await.unwrap();
}

/// Not a test of its own: runs with a file system of one megabyte at the directory.
#[tokio::test]
async fn process_on_a_small_disk() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let small = Path::new(&dir);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut settings = settings(small);
    settings.spool.reserve_bytes = 64 << 10;
    // Away until the end, so that nothing is drained and the disk fills up.
    let database = elsewhere.path().join("ledger.db");
    settings.database = database.as_path().into();
    std::fs::create_dir(&database).unwrap();
    let filler = small.join("filler");
    std::fs::write(&filler, vec![b'x'; 600 << 10]).unwrap();

    let ledger = DurableLedger::open(settings.clone()).unwrap();
    let mut kept = Vec::new();
    let keep = |kept: &mut Vec<Outcome>| {
        let outcome = outcome(BASE + kept.len() as u64);
        let result = ledger.record(&outcome);
        if result.is_ok() {
            kept.push(outcome);
        }
        result
    };
    // Requests are let in for as long as there is room.
    while ledger.ready().is_ok() {
        keep(&mut kept).expect("what was let in is kept");
    }
    let let_in = kept.len();
    assert!(let_in > 50, "{let_in}");
    // Those under way are kept in the space held back; then there is really no more.
    let error = loop {
        if let Err(error) = keep(&mut kept) {
            break error;
        }
    };
    assert!(kept.len() >= let_in + 10, "{} after {let_in}", kept.len());
    assert!(matches!(error, LedgerError::Io(_)), "{error}");
    assert!(ledger.ready().is_err());
    assert!(ledger.status().spool.trouble.is_some());

    // Somebody makes room: the ledger notices by itself.
    std::fs::remove_file(&filler).unwrap();
    let noticed = async {
        while ledger.ready().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, noticed).await.unwrap();
    keep(&mut kept).unwrap();
    assert_eq!(ledger.status().spool.trouble, None);

    std::fs::remove_dir(&database).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&database).await, kept.len() as i64);
    let reader = ledger.reader();
    for outcome in &kept {
        assert!(reader.outcome(outcome.id).await.unwrap().is_some());
    }
    assert_eq!(ledger.status().spool.quarantined, 0);
    ledger.shutdown(BOUND).await.unwrap();
    println!("small disk: kept {}", kept.len());
}

/// Needs a mount of its own; where the kernel grants none to this user, the test says so, and
/// `a_write_cut_short_is_taken_back_and_made_again_elsewhere` is what remains.
#[test]
fn a_full_disk_refuses_new_work_first_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$FREEHOLD_STORE_DISK_DIR\"";
    let namespaces = ["unshare -m", "unshare -Urm"].into_iter().find(|unshare| {
        let probe = Command::new("sh")
            .args(["-c", &format!("{unshare} sh -c '{mount}'")])
            .env(DIR, dir.path())
            .output();
        probe.is_ok_and(|output| output.status.success())
    });
    let Some(unshare) = namespaces else {
        println!("NOT RUN: this user may not mount a small file system");
        return;
    };
    let shell = format!("exec {unshare} sh -c '{mount} && exec \"$0\" \"$@\"' \"$0\" \"$@\"");
    let output = run(&shell, "disk::process_on_a_small_disk", dir.path());
    assert!(
        text(&output).contains("small disk: kept"),
        "{}",
        text(&output)
    );
}
