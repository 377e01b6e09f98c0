//! The disk is full, or a file cannot grow: what was promised stays, and nothing is half written.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use freehold_ports::{Audit, AuditError};
use freehold_store::SyncPolicy;
use freehold_store::audit::AuditLog;

use crate::common::{check, decision, dir_of, public_key, settings};

const DIR: &str = "FREEHOLD_AUDIT_DISK_DIR";

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
    let log = AuditLog::open(settings(Path::new(&dir))).unwrap();
    for i in 0..200 {
        log.record(&decision(i)).unwrap();
        log.ready().unwrap();
    }
    log.shutdown().unwrap();
    println!("kept 200");
}

/// A write that the kernel cuts short is a real one here: `RLIMIT_FSIZE` lets a file grow to the
/// byte and no further. The signal that comes with it is ignored, as it is in containers that set
/// no limit.
#[test]
fn a_write_cut_short_is_taken_back_and_made_again_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let shell = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
    let output = run(shell, "disk::process_with_small_files", data.path());
    assert!(text(&output).contains("kept 200"), "{}", text(&output));
    let report = check(&dir_of(data.path()), public_key(data.path()));
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.decisions, 200);
    assert!(report.segments > 5, "{report}");
}

/// Not a test of its own: runs with a file system of one megabyte at the directory.
#[test]
fn process_on_a_small_disk() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let small = Path::new(&dir);
    let filler = small.join("filler");
    std::fs::write(&filler, vec![b'x'; 600 << 10]).unwrap();
    let mut settings = settings(small);
    settings.reserve_bytes = 64 << 10;
    settings.sync = SyncPolicy::Always;
    let log = AuditLog::open(settings).unwrap();

    // Requests are let in for as long as there is room.
    let mut kept = 0;
    while log.ready().is_ok() {
        log.record(&decision(kept))
            .expect("what was let in is kept");
        kept += 1;
    }
    let let_in = kept;
    assert!(let_in > 50, "{let_in}");
    // Those under way are kept in the space held back; then there is really no more.
    let error = loop {
        match log.record(&decision(kept)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(kept >= let_in + 10, "{kept} after {let_in}");
    assert!(matches!(error, AuditError::Unwritable(_)), "{error}");
    assert!(log.ready().is_err());
    assert!(log.status().trouble.is_some());
    assert!(log.status().failed_records >= 1);

    // Somebody makes room: the trail notices by itself.
    std::fs::remove_file(&filler).unwrap();
    let begin = Instant::now();
    while log.ready().is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    log.record(&decision(kept)).unwrap();
    kept += 1;
    assert_eq!(log.status().trouble, None);
    log.shutdown().unwrap();
    let report = check(&dir_of(small), log.public_key());
    assert!(report.is_intact(), "{report}");
    // A record may be there although its flush failed and `record` said so.
    assert!(report.decisions >= kept, "{report}");
    println!("small disk: kept {kept}");
}

/// Where this user may mount nothing, a full disk cannot be had; then it says so, and
/// `a_write_cut_short_is_taken_back_and_made_again_elsewhere` is what remains.
#[test]
fn a_full_disk_refuses_new_work_first_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$FREEHOLD_AUDIT_DISK_DIR\"";
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
