//! Record, drain, ask.

use crate::common::{BASE, BOUND, outcome, record_many, rows_in, settings};
use freehold_ports::Ledger;
use freehold_store::{Reader, RecentQuery, SqliteLedger};
use freehold_types::RequestId;

#[tokio::test]
async fn what_is_recorded_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(settings(dir.path())).unwrap();
    ledger.ready().unwrap();
    let recorded = outcome(BASE);
    ledger.record(&recorded).unwrap();
    // At once, from wherever it is by now.
    let reader = ledger.reader();
    assert_eq!(
        reader.outcome(recorded.id).await.unwrap().as_ref(),
        Some(&recorded)
    );
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(reader.outcome(recorded.id).await.unwrap(), Some(recorded));
    assert_eq!(reader.outcome(RequestId::at(BASE)).await.unwrap(), None);
    assert_eq!(rows_in(&settings(dir.path()).database).await, 1);
    let status = ledger.status();
    assert!(status.database_reachable);
    assert_eq!((status.inserted, status.waiting_bytes), (1, 0));
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn an_orderly_end_leaves_an_empty_spool_and_a_whole_database() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(settings(dir.path())).unwrap();
    let outcomes = record_many(&ledger, 1_000);
    ledger.shutdown(BOUND).await.unwrap();
    assert_eq!(ledger.status().spool.segments, 0);
    // Kept for the next start all the same.
    let late = outcome(BASE + 5_000);
    ledger.record(&late).unwrap();
    drop(ledger);

    let settings = settings(dir.path());
    assert_eq!(rows_in(&settings.database).await, 1_000);
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    assert_eq!(
        reader.outcome(outcomes[999].id).await.unwrap().as_ref(),
        Some(&outcomes[999])
    );
    assert_eq!(reader.outcome(late.id).await.unwrap().as_ref(), Some(&late));

    let ledger = SqliteLedger::open(settings).unwrap();
    ledger.flush(BOUND).await.unwrap();
    let recent = ledger
        .reader()
        .recent(&RecentQuery::newest(2))
        .await
        .unwrap();
    assert_eq!(recent, [late, outcomes[999].clone()]);
    ledger.shutdown(BOUND).await.unwrap();
}
