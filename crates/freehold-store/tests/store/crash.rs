//! The process is killed with SIGKILL while it records, again and again.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use freehold_ports::Ledger;
use freehold_store::{DurableLedger, RecentQuery};
use freehold_types::RequestId;

use crate::common::{BASE, BOUND, outcome, settings};
use crate::homes::{Home, assert_sums_are_of_the_outcomes, on_both_homes};

const DIR: &str = "FREEHOLD_STORE_TEST_DIR";
const DATABASE: &str = "FREEHOLD_STORE_TEST_DATABASE";

on_both_homes!(
    killed_again_and_again_the_ledger_loses_and_doubles_nothing,
    a_second_process_is_refused_and_harms_nothing,
);

/// Not a test of its own: what the other tests run as a process to kill. Records for ever with two
/// threads, and prints an id after the ledger has said that it is kept.
#[test]
fn recording_process() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut settings = settings(Path::new(&dir));
    settings.database = std::env::var(DATABASE).unwrap().parse().unwrap();
    // Small segments, so that closing, draining and deleting happen all the time.
    settings.spool.segment_bytes = 20_000;
    let ledger = match DurableLedger::open(settings) {
        Ok(ledger) => ledger,
        Err(error) => {
            println!("refused: {error}");
            return;
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let ledger = &ledger;
            scope.spawn(move || {
                for i in 0.. {
                    let outcome = outcome(BASE + 2 * i + thread);
                    ledger.record(&outcome).expect("kept");
                    let line = format!("id {}\n", outcome.id);
                    std::io::stdout()
                        .lock()
                        .write_all(line.as_bytes())
                        .expect("told");
                }
            });
        }
    });
}

fn start(home: &Home) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::recording_process", "--exact", "--nocapture"])
        .env(DIR, home.dir().join("gateway"))
        .env(DATABASE, home.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// The next id that the child prints; `None` at its end. A line cut by the kill was still told
/// after the ledger had said yes, but nobody can read it.
fn next_id(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<RequestId> {
    lines.by_ref().find_map(|line| {
        let line = line.ok()?;
        let (_, id) = line.split_once("id req_")?;
        id.parse().ok()
    })
}

async fn killed_again_and_again_the_ledger_loses_and_doubles_nothing(home: Home) {
    let mut told = Vec::new();
    // After so many records each; the moment within a write, a commit or a deletion is chance.
    for records in [1, 37, 400, 1_111, 2_500] {
        let (mut child, stdout) = start(&home);
        let mut lines = stdout.lines();
        for _ in 0..records {
            told.push(next_id(&mut lines).expect("the child records for ever"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between our last look and its death counts as well.
        while let Some(id) = next_id(&mut lines) {
            told.push(id);
        }
    }
    assert!(told.len() >= 4_049);
    let ids: HashSet<_> = told.iter().copied().collect();
    assert_eq!(ids.len(), told.len());

    let ledger = home.open();
    ledger.flush(BOUND).await.unwrap();
    let reader = ledger.reader();
    let kept = reader.recent(&RecentQuery::newest(100_000)).await.unwrap();
    let kept: HashSet<_> = kept.iter().map(|outcome| outcome.id).collect();
    for id in &told {
        assert!(kept.contains(id), "{id} is lost");
    }
    // At most one record per thread and kill was kept without anybody having been told; the id is
    // the primary key, so whatever is there is there once. The sums must say the same.
    let rows = home.rows().await;
    let untold = rows - told.len() as u64;
    assert!(untold <= 20, "{untold} rows that nobody was told of");
    let report = reader
        .usage(&freehold_store::UsageQuery::default())
        .await
        .unwrap();
    assert_eq!(report.totals.requests, rows);
    assert_eq!(
        report.totals.cost_nano_usd.nanos(),
        i64::try_from(rows).unwrap() * 1_500
    );
    assert_sums_are_of_the_outcomes(&home).await;
    ledger.shutdown(BOUND).await.unwrap();
}

async fn a_second_process_is_refused_and_harms_nothing(home: Home) {
    let ledger = home.open();
    let kept = outcome(BASE);
    ledger.record(&kept).unwrap();
    let (mut child, stdout) = start(&home);
    let mut lines = stdout.lines();
    let refusal = lines
        .by_ref()
        .find_map(|line| {
            line.ok()?
                .split_once("refused: ")
                .map(|(_, why)| why.to_owned())
        })
        .expect("the child is refused");
    assert!(
        refusal.contains(&format!("process {}", std::process::id())),
        "{refusal}"
    );
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(ledger.reader().outcome(kept.id).await.unwrap(), Some(kept));
    ledger.shutdown(BOUND).await.unwrap();
}
