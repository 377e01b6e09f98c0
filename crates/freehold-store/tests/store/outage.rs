//! The database is locked, absent, unwritable, broken, replaced: outcomes wait, and come in.

use std::fs;
use std::path::Path;

use freehold_ports::Ledger;
use freehold_store::{RecentQuery, SqliteLedger, StoreSettings, UsageQuery};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::common::{BASE, BOUND, outcome, record_many, rows_in, settings};

async fn connect(database: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database);
    options.connect().await.unwrap()
}

/// Waits until the ledger has noticed that the database cannot be used.
async fn until_error(ledger: &SqliteLedger, part: &str) {
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

async fn requests(ledger: &SqliteLedger) -> u64 {
    let report = ledger.reader().usage(&UsageQuery::default()).await.unwrap();
    report.totals.requests
}

#[tokio::test]
async fn a_locked_database_holds_nothing_up_and_gets_everything_later() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();

    let mut other = connect(&settings.database).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let outcomes = record_many(&ledger, 300);
    until_error(&ledger, "locked").await;
    ledger.ready().unwrap();
    assert!(ledger.status().waiting_bytes > 0);
    // Reports are complete all the same.
    assert_eq!(requests(&ledger).await, 301);
    let found = ledger.reader().outcome(outcomes[299].id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&outcomes[299]));

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&settings.database).await, 301);
    assert_eq!(ledger.status().duplicates, 0);
    ledger.shutdown(BOUND).await.unwrap();
}

/// Starts with a database that cannot be used, records, lets `mend` repair it.
async fn starts_without(
    spoil: impl FnOnce(&StoreSettings),
    error: &str,
    mend: impl FnOnce(&StoreSettings),
) {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    spoil(&settings);
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    ledger.ready().unwrap();
    record_many(&ledger, 10);
    until_error(&ledger, error).await;
    assert!(!ledger.status().database_reachable);
    let bound = std::time::Duration::from_millis(20);
    let late = ledger.flush(bound).await.unwrap_err();
    assert!(late.to_string().contains("wait in the spool"), "{late}");
    mend(&settings);
    ledger.flush(BOUND).await.unwrap();
    assert!(ledger.status().database_reachable);
    assert_eq!(rows_in(&settings.database).await, 10);
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
    settings.database = path.join("ledger.db");
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 10);
    until_error(&ledger, "cannot create the directory").await;
    fs::remove_file(&blocked).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&settings.database).await, 10);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn starts_while_the_database_cannot_be_opened() {
    starts_without(
        |settings| fs::create_dir(&settings.database).unwrap(),
        "unable to open",
        |settings| fs::remove_dir(&settings.database).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn starts_while_the_database_is_corrupt_and_never_touches_it() {
    let garbage = "this is no database ".repeat(1_000);
    starts_without(
        |settings| fs::write(&settings.database, &garbage).unwrap(),
        "not a database",
        |settings| {
            assert_eq!(fs::read_to_string(&settings.database).unwrap(), garbage);
            fs::rename(
                &settings.database,
                settings.database.with_extension("broken"),
            )
            .unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_database_that_is_removed_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 10);
    ledger.flush(BOUND).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", settings.database.display());
        fs::remove_file(path).unwrap();
    }
    let late = outcome(BASE + 100);
    ledger.record(&late).unwrap();
    ledger.flush(BOUND).await.unwrap();
    // The segment that was still in the spool is written again, whole.
    assert_eq!(rows_in(&settings.database).await, 11);
    assert_eq!(ledger.reader().outcome(late.id).await.unwrap(), Some(late));
    assert_eq!(requests(&ledger).await, 11);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_database_replaced_by_its_backup_gets_what_the_spool_still_has_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 5);
    ledger.flush(BOUND).await.unwrap();
    let backup = dir.path().join("backup.db");
    let mut connection = connect(&settings.database).await;
    sqlx::query("VACUUM INTO ?")
        .bind(backup.display().to_string())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    ledger.record(&outcome(BASE + 50)).unwrap();
    ledger.flush(BOUND).await.unwrap();

    fs::rename(&backup, &settings.database).unwrap();
    ledger.record(&outcome(BASE + 51)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&settings.database).await, 7);
    assert_eq!(requests(&ledger).await, 7);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_row_that_the_database_never_takes_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    let mut connection = connect(&settings.database).await;
    sqlx::raw_sql(
        "CREATE TRIGGER no_cursed BEFORE INSERT ON outcomes WHEN NEW.key_name = 'cursed'
         BEGIN SELECT RAISE(ABORT, 'cursed'); END",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut cursed = outcome(BASE + 5);
    cursed.key = "cursed".into();
    ledger.record(&outcome(BASE + 4)).unwrap();
    ledger.record(&cursed).unwrap();
    ledger.record(&outcome(BASE + 6)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&settings.database).await, 3);
    let status = ledger.status();
    assert_eq!((status.spool.quarantined, status.inserted), (1, 3));
    let kept = fs::read_dir(settings.spool.dir.join("quarantine")).unwrap();
    let kept: Vec<_> = kept
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(
        kept.len() == 1 && kept[0].contains(&cursed.id.to_string()),
        "{kept:?}"
    );
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn an_outcome_recorded_twice_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(settings(dir.path())).unwrap();
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

#[tokio::test]
async fn several_gateways_that_start_at_once_share_a_new_database() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("shared.db");
    let ledgers: Vec<_> = (0..6)
        .map(|i| {
            let mut settings = settings(&dir.path().join(format!("gateway-{i}")));
            settings.database = database.clone();
            SqliteLedger::open(settings).unwrap()
        })
        .collect();
    for ledger in &ledgers {
        record_many(ledger, 50);
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
    }
    assert_eq!(rows_in(&database).await, 300);
    for ledger in &ledgers {
        assert_eq!(requests(ledger).await, 300);
        assert_eq!(ledger.status().inserted, 50);
    }
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}

#[tokio::test]
async fn an_end_without_the_database_keeps_everything_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    fs::create_dir(&settings.database).unwrap();
    let ledger = SqliteLedger::open(settings.clone()).unwrap();
    record_many(&ledger, 20);
    let bound = std::time::Duration::from_millis(30);
    let error = ledger.shutdown(bound).await.unwrap_err();
    assert!(error.to_string().contains("wait in the spool"), "{error}");
    drop(ledger);
    fs::remove_dir(&settings.database).unwrap();
    let ledger = reopen(&settings).await;
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(rows_in(&settings.database).await, 20);
    ledger.shutdown(BOUND).await.unwrap();
}

/// The drainer of a ledger that was dropped lets go of the spool after its current step.
async fn reopen(settings: &StoreSettings) -> SqliteLedger {
    let open = async {
        loop {
            match SqliteLedger::open(settings.clone()) {
                Ok(ledger) => return ledger,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(BOUND, open).await.unwrap()
}
