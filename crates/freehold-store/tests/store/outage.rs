//! The database is locked, absent, unwritable, broken, replaced: outcomes wait, and come in.

use std::fs;

use freehold_ports::Ledger;
use freehold_store::{DurableLedger, RecentQuery, StoreSettings};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::common::{BASE, BOUND, outcome, record_many, settings};
use crate::homes::{Home, assert_sums_are_of_the_outcomes, on_both_homes, requests, rows_in};

on_both_homes!(
    a_locked_database_holds_nothing_up_and_gets_everything_later,
    starts_while_the_database_cannot_be_used,
    a_row_that_the_database_never_takes_does_not_hold_up_the_others,
    an_outcome_recorded_twice_counts_once,
    an_end_without_the_database_keeps_everything_for_the_next_start,
);

/// Waits until the ledger has noticed that the database cannot be used.
pub(crate) async fn until_error(ledger: &DurableLedger, part: &str) {
    let noticed = async {
        while !ledger
            .status()
            .database_error
            .is_some_and(|error| error.contains(part))
        {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(BOUND, noticed).await;
    assert!(in_time.is_ok(), "{:?}", ledger.status());
}

async fn a_locked_database_holds_nothing_up_and_gets_everything_later(home: Home) {
    let ledger = home.open();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();

    let mut other = home.connect().await;
    let (lock, complaint) = if home.is_postgres() {
        (
            "BEGIN; LOCK TABLE outcomes IN EXCLUSIVE MODE",
            "did not answer",
        )
    } else {
        ("BEGIN IMMEDIATE", "locked")
    };
    other.run(lock).await;
    let outcomes = record_many(&ledger, 300);
    until_error(&ledger, complaint).await;
    ledger.ready().unwrap();
    assert!(ledger.status().waiting_bytes > 0);
    // Reports are complete all the same.
    assert_eq!(requests(&ledger).await, 301);
    let found = ledger.reader().outcome(outcomes[299].id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&outcomes[299]));

    other.run("ROLLBACK").await;
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(home.rows().await, 301);
    assert_sums_are_of_the_outcomes(&home).await;
    ledger.shutdown(BOUND).await.unwrap();
}

async fn starts_while_the_database_cannot_be_used(home: Home) {
    home.take_away();
    let ledger = home.open();
    ledger.ready().unwrap();
    record_many(&ledger, 10);
    until_error(&ledger, home.complaint()).await;
    assert!(!ledger.status().database_reachable);
    let bound = std::time::Duration::from_millis(20);
    let late = ledger.flush(bound).await.unwrap_err();
    assert!(late.to_string().contains("wait in the spool"), "{late}");
    home.bring_back();
    ledger.flush(BOUND).await.unwrap();
    assert!(ledger.status().database_reachable);
    assert_eq!(home.rows().await, 10);
    assert_eq!(requests(&ledger).await, 10);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn starts_while_the_database_s_directory_cannot_be_used() {
    let elsewhere = tempfile::tempdir().unwrap();
    let blocked = elsewhere.path().join("volume");
    let path = blocked.clone();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    // A file where the directory should be: not even root can create the database below it.
    fs::write(&blocked, "not mounted").unwrap();
    let file = path.join("ledger.db");
    settings.database = file.as_path().into();
    let ledger = DurableLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 10);
    until_error(&ledger, "cannot create the directory").await;
    fs::remove_file(&blocked).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&file).await, 10);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn starts_while_the_database_is_corrupt_and_never_touches_it() {
    let garbage = "this is no database ".repeat(1_000);
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let file = dir.path().join("ledger.db");
    fs::write(&file, &garbage).unwrap();
    let ledger = DurableLedger::open(settings).unwrap();
    record_many(&ledger, 10);
    until_error(&ledger, "not a database").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), garbage);
    fs::rename(&file, file.with_extension("broken")).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&file).await, 10);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_removed_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = DurableLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 10);
    ledger.flush(BOUND).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(dir.path().join(format!("ledger.db{suffix}"))).unwrap();
    }
    let late = outcome(BASE + 100);
    ledger.record(&late).unwrap();
    ledger.flush(BOUND).await.unwrap();
    // The segment that was still in the spool is written again, whole.
    assert_eq!(rows_in(&dir.path().join("ledger.db")).await, 11);
    assert_eq!(ledger.reader().outcome(late.id).await.unwrap(), Some(late));
    assert_eq!(requests(&ledger).await, 11);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_database_replaced_by_its_backup_gets_what_the_spool_still_has_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = DurableLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 5);
    ledger.flush(BOUND).await.unwrap();
    let backup = dir.path().join("backup.db");
    let file = dir.path().join("ledger.db");
    let options = SqliteConnectOptions::new().filename(&file);
    let mut connection = options.connect().await.unwrap();
    sqlx::query("VACUUM INTO ?")
        .bind(backup.display().to_string())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    ledger.record(&outcome(BASE + 50)).unwrap();
    ledger.flush(BOUND).await.unwrap();

    fs::rename(&backup, &file).unwrap();
    ledger.record(&outcome(BASE + 51)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&file).await, 7);
    assert_eq!(requests(&ledger).await, 7);
    ledger.shutdown(BOUND).await.unwrap();
}

async fn a_row_that_the_database_never_takes_does_not_hold_up_the_others(home: Home) {
    let ledger = home.open();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    let trigger = if home.is_postgres() {
        "CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'cursed'; END $$;
         CREATE TRIGGER no_cursed BEFORE INSERT ON outcomes FOR EACH ROW
         WHEN (NEW.key_name = 'cursed') EXECUTE FUNCTION curse()"
    } else {
        "CREATE TRIGGER no_cursed BEFORE INSERT ON outcomes WHEN NEW.key_name = 'cursed'
         BEGIN SELECT RAISE(ABORT, 'cursed'); END"
    };
    home.connect().await.run(trigger).await;
    let mut cursed = outcome(BASE + 5);
    cursed.key = "cursed".into();
    ledger.record(&outcome(BASE + 4)).unwrap();
    ledger.record(&cursed).unwrap();
    ledger.record(&outcome(BASE + 6)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(home.rows().await, 3);
    assert_sums_are_of_the_outcomes(&home).await;
    let status = ledger.status();
    assert_eq!((status.spool.quarantined, status.inserted), (1, 3));
    let kept = fs::read_dir(home.settings().spool.dir.join("quarantine")).unwrap();
    let kept: Vec<_> = kept
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(
        kept.len() == 1 && kept[0].contains(&cursed.id.to_string()),
        "{kept:?}"
    );
    ledger.shutdown(BOUND).await.unwrap();
}

async fn an_outcome_recorded_twice_counts_once(home: Home) {
    let ledger = home.open();
    let twice = outcome(BASE);
    // In one batch, and in a later one.
    ledger.record(&twice).unwrap();
    ledger.record(&twice).unwrap();
    assert_eq!(requests(&ledger).await, 1);
    ledger.flush(BOUND).await.unwrap();
    ledger.record(&twice).unwrap();
    assert_eq!(requests(&ledger).await, 1);
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(requests(&ledger).await, 1);
    let recent = ledger
        .reader()
        .recent(&RecentQuery::newest(5))
        .await
        .unwrap();
    assert_eq!(recent, [twice]);
    let status = ledger.status();
    assert_eq!((status.inserted, status.duplicates), (1, 2));
    ledger.shutdown(BOUND).await.unwrap();
}

async fn an_end_without_the_database_keeps_everything_for_the_next_start(home: Home) {
    home.take_away();
    let ledger = home.open();
    record_many(&ledger, 20);
    let bound = std::time::Duration::from_millis(30);
    let error = ledger.shutdown(bound).await.unwrap_err();
    assert!(error.to_string().contains("wait in the spool"), "{error}");
    drop(ledger);
    home.bring_back();
    let ledger = reopen(&home.settings()).await;
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(home.rows().await, 20);
    ledger.shutdown(BOUND).await.unwrap();
}

/// The drainer of a ledger that was dropped lets go of the spool after its current step.
pub(crate) async fn reopen(settings: &StoreSettings) -> DurableLedger {
    let open = async {
        loop {
            match DurableLedger::open(settings.clone()) {
                Ok(ledger) => return ledger,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(BOUND, open).await.unwrap()
}
