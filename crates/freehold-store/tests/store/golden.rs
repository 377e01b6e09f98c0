//! Records of earlier versions stay readable. `format-1.spool` was written by another program
//! from the description of the format, and is never written again.

use std::fs;

use freehold_ports::Ledger;
use freehold_store::{DurableLedger, GroupBy, Reader, RecentQuery, UsageQuery};
use freehold_types::{NanoUsd, OutcomeStatus, UsageBasis};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::common::{BASE, BOUND, outcome, settings};
use crate::homes::{Home, on_both_homes, rows_in};

const FORMAT_1: &[u8] = include_bytes!("../golden/format-1.spool");

on_both_homes!(
    records_of_format_1_are_readable,
    a_torn_record_is_set_aside_and_the_others_are_kept,
);

async fn records_of_format_1_are_readable(home: Home) {
    let settings = home.settings();
    fs::create_dir_all(&settings.spool.dir).unwrap();
    let segment = "019aa4a37c007a1b8c2d3e4f50617283-0000000001.spool";
    fs::write(settings.spool.dir.join(segment), FORMAT_1).unwrap();

    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let waiting = reader.usage(&UsageQuery::default()).await.unwrap();
    let ledger = DurableLedger::open(settings.clone()).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(home.rows().await, 3);
    assert_eq!(ledger.status().spool.quarantined, 0);
    assert!(
        !settings.spool.dir.join(segment).exists(),
        "drained, so deleted"
    );

    let get = async |last: char| {
        let id = format!("req_019aa4a37c007a1b8c2d00000000000{last}");
        reader.outcome(id.parse().unwrap()).await.unwrap().unwrap()
    };
    let served = get('1').await;
    assert_eq!(served.cost, Some(NanoUsd::from_nanos(2_400)));
    assert_eq!(served.usage.input_tokens, 220);
    assert_eq!(served.usage.basis, UsageBasis::Estimated);
    assert_eq!(served.attempts.len(), 2);
    assert_eq!(
        served.attempts[0].error.as_ref().unwrap().upstream_status,
        Some(504)
    );
    assert_eq!(served.timing.first_token_us, Some(9_000));
    let refused = get('2').await;
    assert_eq!(
        (refused.status, refused.http_status),
        (OutcomeStatus::Refused, 404)
    );
    // Its decision is of a router that is no more; everything that a bill needs is there.
    let cancelled = get('3').await;
    assert_eq!(
        (cancelled.status, cancelled.cost),
        (OutcomeStatus::Cancelled, None)
    );
    assert_eq!(cancelled.usage.output_tokens, 3);
    assert_eq!(cancelled.decision, None);

    let query = UsageQuery {
        group_by: vec![GroupBy::Deployment],
        ..UsageQuery::default()
    };
    let report = reader.usage(&query).await.unwrap();
    let costs: Vec<_> = report
        .rows
        .iter()
        .map(|row| row.totals.cost_nano_usd.nanos())
        .collect();
    assert_eq!(costs, [1_500, 900, 0]);
    assert_eq!(report.totals.unknown_cost_requests, 1);
    assert_eq!(report.totals, waiting.totals);
    ledger.shutdown(BOUND).await.unwrap();
}

/// A process was killed within a write, and a disk gave back something else in another place.
async fn a_torn_record_is_set_aside_and_the_others_are_kept(home: Home) {
    let settings = home.settings();
    fs::create_dir_all(&settings.spool.dir).unwrap();
    let segment = |number: u32| format!("019aa4a37c007a1b8c2d3e4f50617283-{number:010}.spool");
    let second = FORMAT_1[1..]
        .windows(4)
        .position(|four| four == &FORMAT_1[..4])
        .unwrap();
    let mut flipped = FORMAT_1.to_vec();
    flipped[second / 2] ^= 1;
    fs::write(settings.spool.dir.join(segment(1)), &flipped).unwrap();
    let torn = &FORMAT_1[..FORMAT_1.len() - 7];
    fs::write(settings.spool.dir.join(segment(2)), torn).unwrap();

    let ledger = DurableLedger::open(settings.clone()).unwrap();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    // The first record is whole in the second segment; two are in both, and count once.
    assert_eq!(home.rows().await, 4);
    let status = ledger.status();
    assert_eq!((status.inserted, status.duplicates), (4, 1));
    assert!(status.spool.quarantined >= 2, "{status:?}");
    ledger.shutdown(BOUND).await.unwrap();
}

/// Written by a program whose migrations were compiled in by `sqlx::migrate!`: three outcomes,
/// dumped as SQL.
const SQLITE_1: &str = include_str!("../golden/sqlite-1.sql");

#[tokio::test]
async fn a_database_of_the_first_release_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let file = dir.path().join("ledger.db");
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(SQLITE_1)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();

    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let early = reader.usage(&UsageQuery::default()).await.unwrap_err();
    assert!(early.to_string().contains("earlier version"), "{early}");
    let ledger = DurableLedger::open(settings.clone()).unwrap();
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(ledger.status().database_error, None);
    assert_eq!(rows_in(&file).await, 4);
    for by in [GroupBy::Day, GroupBy::Hour] {
        let query = UsageQuery {
            group_by: vec![by],
            ..UsageQuery::default()
        };
        let report = reader.usage(&query).await.unwrap();
        assert_eq!((report.rows.len(), report.totals.requests), (1, 4));
        assert_eq!(report.totals.cost_nano_usd.nanos(), 6_000);
        assert_eq!(report.totals.latency_p50_ms, Some(35.0));
    }
    let recent = ledger.reader().recent(&RecentQuery::newest(9)).await;
    assert_eq!(recent.unwrap().len(), 4);
    ledger.shutdown(BOUND).await.unwrap();
}
