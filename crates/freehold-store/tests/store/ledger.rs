//! Record, drain, ask.

use freehold_ports::Ledger;
use freehold_store::{Reader, RecentQuery, UsageQuery};
use freehold_types::{Decision, Outcome, RequestId};

use crate::common::{BASE, BOUND, outcome, record_many};
use crate::homes::{Home, on_both_homes};

on_both_homes!(
    what_is_recorded_comes_back_whole,
    an_orderly_end_leaves_an_empty_spool_and_a_whole_database,
    a_decision_that_cannot_be_kept_does_not_take_the_bill_with_it,
    what_does_not_exist_yet_is_empty,
);

async fn what_is_recorded_comes_back_whole(home: Home) {
    let ledger = home.open();
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
    assert_eq!(home.rows().await, 1);
    let status = ledger.status();
    assert!(status.database_reachable);
    assert_eq!((status.inserted, status.waiting_bytes), (1, 0));
    ledger.shutdown(BOUND).await.unwrap();
}

async fn an_orderly_end_leaves_an_empty_spool_and_a_whole_database(home: Home) {
    let ledger = home.open();
    let outcomes = record_many(&ledger, 1_000);
    ledger.shutdown(BOUND).await.unwrap();
    assert_eq!(ledger.status().spool.segments, 0);
    // Kept for the next start all the same.
    let late = outcome(BASE + 5_000);
    ledger.record(&late).unwrap();
    drop(ledger);

    let settings = home.settings();
    assert_eq!(home.rows().await, 1_000);
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    assert_eq!(
        reader.outcome(outcomes[999].id).await.unwrap().as_ref(),
        Some(&outcomes[999])
    );
    assert_eq!(reader.outcome(late.id).await.unwrap().as_ref(), Some(&late));

    let ledger = home.open();
    ledger.flush(BOUND).await.unwrap();
    let recent = ledger
        .reader()
        .recent(&RecentQuery::newest(2))
        .await
        .unwrap();
    assert_eq!(recent, [late, outcomes[999].clone()]);
    ledger.shutdown(BOUND).await.unwrap();
}

async fn a_decision_that_cannot_be_kept_does_not_take_the_bill_with_it(home: Home) {
    let ledger = home.open();
    let with = |change: fn(&mut Decision)| {
        let mut outcome = outcome(BASE);
        outcome.decision.as_mut().map(change);
        outcome
    };
    let outcomes = [
        with(|decision| decision.difficulty = f64::NAN),
        with(|decision| decision.candidates[0].score = Some(f64::INFINITY)),
        with(|decision| decision.inputs.candidates[0].tokens_per_second = f64::INFINITY),
        with(|decision| decision.candidates[0].reason = "x".repeat(2 << 20)),
    ];
    for outcome in &outcomes {
        ledger.record(outcome).unwrap();
    }
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(ledger.status().spool.quarantined, 0);
    for outcome in outcomes {
        let found = ledger.reader().outcome(outcome.id).await.unwrap().unwrap();
        let score = |outcome: &Outcome| outcome.decision.as_ref()?.candidates[0].score;
        assert!(score(&found).is_none(), "{found:?}");
        assert_eq!(found.cost, outcome.cost);
        assert_eq!(found.attempts, outcome.attempts);
    }
    ledger.shutdown(BOUND).await.unwrap();
}

/// Answers are asked for from request handlers.
#[test]
fn answers_can_be_awaited_on_any_thread() {
    fn on_any_thread<T: Send>(_: T) {}
    let reader = Reader::open("ledger.db", "spool");
    on_any_thread(reader.usage(&UsageQuery::default()));
    on_any_thread(reader.outcome(RequestId::at(BASE)));
    on_any_thread(reader.recent(&RecentQuery::newest(1)));
}

async fn what_does_not_exist_yet_is_empty(home: Home) {
    let reader = Reader::open(home.database(), home.dir().join("none"));
    let report = reader.usage(&UsageQuery::default()).await.unwrap();
    assert_eq!((report.totals.requests, report.rows.len()), (0, 0));
    assert_eq!(reader.recent(&RecentQuery::newest(3)).await.unwrap(), []);
    assert_eq!(reader.outcome(RequestId::at(BASE)).await.unwrap(), None);
}
