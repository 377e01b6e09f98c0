//! Several gateways with spools of their own share one database.

use freehold_ports::Ledger;
use freehold_store::{DurableLedger, GroupBy, UsageQuery};
use freehold_types::Outcome;

use crate::common::{BASE, BOUND, outcome, record_many};
use crate::homes::{Home, assert_sums_are_of_the_outcomes, on_both_homes, requests};

on_both_homes!(
    several_gateways_that_start_at_once_share_a_new_database,
    the_same_outcomes_from_two_spools_count_once,
);

fn open(home: &Home, count: usize) -> Vec<DurableLedger> {
    let names = (0..count).map(|index| format!("gateway-{index}"));
    names
        .map(|name| DurableLedger::open(home.settings_of(&name)).unwrap())
        .collect()
}

async fn several_gateways_that_start_at_once_share_a_new_database(home: Home) {
    let ledgers = open(&home, 6);
    for ledger in &ledgers {
        record_many(ledger, 50);
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
    }
    assert_eq!(home.rows().await, 300);
    for ledger in &ledgers {
        assert_eq!(requests(ledger).await, 300);
        assert_eq!(ledger.status().inserted, 50);
        assert_eq!(ledger.status().database_error, None);
    }
    assert_sums_are_of_the_outcomes(&home).await;
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}

/// A spool that was copied, with the machine that it was on, brings nothing twice.
async fn the_same_outcomes_from_two_spools_count_once(home: Home) {
    let ledgers = open(&home, 2);
    let outcomes: Vec<Outcome> = (0..500).map(|index| outcome(BASE + index)).collect();
    for outcome in &outcomes {
        for ledger in &ledgers {
            ledger.record(outcome).unwrap();
        }
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
    }
    assert_eq!(home.rows().await, 500);
    let counted = ledgers.iter().map(|ledger| ledger.status());
    let (inserted, duplicates) = counted.fold((0, 0), |(inserted, duplicates), status| {
        (inserted + status.inserted, duplicates + status.duplicates)
    });
    assert_eq!((inserted, duplicates), (500, 500));
    assert_sums_are_of_the_outcomes(&home).await;
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}

/// All gateways add to the same rows of sums all the time, in small batches: whoever takes them in
/// another order waits for one that waits for it.
#[tokio::test]
async fn gateways_that_add_to_the_same_rows_never_lock_each_other() {
    const KEYS: u64 = 40;
    const EACH: u64 = 2_000;
    let home = Home::postgres();
    let ledgers: Vec<_> = (0..4)
        .map(|index| {
            let mut settings = home.settings_of(&format!("gateway-{index}"));
            settings.batch_records = 50;
            DurableLedger::open(settings).unwrap()
        })
        .collect();
    for index in 0..EACH {
        for (number, ledger) in (0_u64..).zip(&ledgers) {
            // Every gateway meets the keys in another order.
            let key = (index * (2 * number + 1)) % KEYS;
            let one = Outcome {
                key: format!("key-{key}").as_str().into(),
                decision: None,
                ..outcome(BASE + index)
            };
            ledger.record(&one).unwrap();
        }
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
    }
    let deadlocks =
        "SELECT deadlocks::bigint FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(home.number(deadlocks).await, 0);
    assert_eq!(home.rows().await, 4 * EACH);
    assert_sums_are_of_the_outcomes(&home).await;
    let query = UsageQuery {
        group_by: vec![GroupBy::Key],
        ..UsageQuery::default()
    };
    let report = ledgers[0].reader().usage(&query).await.unwrap();
    assert_eq!(report.totals.requests, 4 * EACH);
    assert!(report.rows.len() <= 40, "{}", report.rows.len());
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}
