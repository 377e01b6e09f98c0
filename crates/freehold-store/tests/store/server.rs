//! What only a server can do to a ledger: die, hang, be somebody else, ask for a password.

use std::time::Duration;

use freehold_ports::Ledger;
use freehold_store::{Database, DurableLedger, Reader, StoreSettings, UsageQuery};
use freehold_testkit::certificates::{Authority, Validity};
use freehold_testkit::postgres::{Server, Settings};
use freehold_types::{Outcome, Perimeter, Usage};

use crate::common::{BASE, BOUND, attempt, outcome, record_many, settings};
use crate::homes::{Home, requests};
use crate::outage::until_error;

fn settings_for(dir: &std::path::Path, url: &str) -> StoreSettings {
    let mut settings = settings(dir);
    settings.database = url.parse().unwrap();
    settings
}

fn count(server: &Server, name: &str, sql: &str) -> u64 {
    server.sql(name, sql).unwrap().parse().unwrap()
}

/// Asserts that rows and sums are exactly so many outcomes.
fn assert_holds(server: &Server, name: &str, outcomes: u64) {
    for sql in [
        "SELECT count(*) FROM outcomes",
        "SELECT sum(requests) FROM usage_hourly",
        "SELECT sum(requests) FROM usage_daily",
        "SELECT sum(input_tokens)::bigint / 120 FROM usage_daily",
    ] {
        assert_eq!(count(server, name, sql), outcomes, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_server_loses_and_doubles_nothing() {
    let server = Server::start(Settings::default()).unwrap();
    let name = server.database().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let replica = |number: u32| {
        let dir = dir.path().join(number.to_string());
        let mut settings = settings_for(&dir, &server.url(&name));
        // Many small transactions, so that a kill meets one.
        settings.batch_records = 20;
        DurableLedger::open(settings).unwrap()
    };
    let ledgers = [replica(0), replica(1)];
    let mut recorded = 0;
    for round in 0..4_u64 {
        let target = recorded + 500;
        for ledger in &ledgers {
            for index in 0..1_500 {
                let mut one = outcome(BASE + round * 10_000 + index);
                one.decision = None;
                ledger.record(&one).unwrap();
                recorded += 1;
            }
        }
        // In the middle of it: some are committed, and more are on their way.
        let begun = async {
            while ledgers
                .iter()
                .map(|ledger| ledger.status().inserted)
                .sum::<u64>()
                < target
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, begun).await.unwrap();
        server.kill();
        // Nobody who asks for room notices, and what comes meanwhile is kept.
        for ledger in &ledgers {
            ledger.ready().unwrap();
            let mut one = outcome(BASE + round * 10_000 + 9_000);
            one.decision = None;
            ledger.record(&one).unwrap();
            recorded += 1;
        }
        server.restart().unwrap();
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
        assert_eq!(ledger.status().spool.quarantined, 0);
    }
    assert_holds(&server, &name, recorded);
    assert_eq!(requests(&ledgers[0]).await, recorded);
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_found_again() {
    let server = Server::start(Settings::default()).unwrap();
    let name = server.database().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings_for(dir.path(), &server.url(&name));
    settings.answer_timeout = Duration::from_millis(500);
    let ledger = DurableLedger::open(settings).unwrap();
    record_many(&ledger, 10);
    ledger.flush(BOUND).await.unwrap();

    server.freeze();
    record_many(&ledger, 10);
    until_error(&ledger, "did not answer").await;
    ledger.ready().unwrap();
    server.thaw();
    ledger.flush(BOUND).await.unwrap();
    // The server may have finished what was given up: then it came twice and counts once.
    assert_holds(&server, &name, 20);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_password_is_shown_to_the_server_only() {
    let password = "never-shown-hunter2";
    let server = Server::start(Settings {
        password: Some(password.to_owned()),
        ..Settings::default()
    })
    .unwrap();
    let name = server.database().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let right = server.tcp_url(&name);
    let ledger = DurableLedger::open(settings_for(&dir.path().join("right"), &right)).unwrap();
    record_many(&ledger, 3);
    ledger.flush(BOUND).await.unwrap();
    assert_holds(&server, &name, 3);

    let wrong = right.replace("hunter2", "wrong");
    let settings = settings_for(&dir.path().join("wrong"), &wrong);
    let refused = DurableLedger::open(settings.clone()).unwrap();
    record_many(&refused, 1);
    until_error(&refused, "password authentication failed").await;
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let error = reader.usage(&UsageQuery::default()).await.unwrap_err();
    let told = format!(
        "{settings:?} {} {refused:?} {:?} {reader:?} {error:?} {}",
        settings.database,
        refused.status(),
        error.chain()
    );
    assert!(!told.contains("never-shown"), "{told}");
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_server_must_prove_who_it_is_when_it_is_asked_to() {
    let authority = Authority::new("the right one").unwrap();
    let stranger = Authority::new("a stranger").unwrap();
    let server = Server::start(Settings {
        tls: Some(authority.vouch(&["127.0.0.1"], Validity::Now).unwrap()),
        ..Settings::default()
    })
    .unwrap();
    let name = server.database().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = |authority: &Authority, file: &str| {
        let path = dir.path().join(file);
        std::fs::write(&path, authority.pem()).unwrap();
        let url = server.tcp_url(&name);
        format!("{url}?sslmode=verify-full&sslrootcert={}", path.display())
    };
    let deceived = settings_for(
        &dir.path().join("deceived"),
        &url(&stranger, "stranger.pem"),
    );
    let deceived = DurableLedger::open(deceived).unwrap();
    record_many(&deceived, 1);
    until_error(&deceived, "certificate").await;

    let known = settings_for(&dir.path().join("known"), &url(&authority, "authority.pem"));
    let ledger = DurableLedger::open(known).unwrap();
    record_many(&ledger, 5);
    ledger.flush(BOUND).await.unwrap();
    assert_holds(&server, &name, 5);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND application_name = 'freehold'";
    assert_eq!(count(&server, &name, encrypted), 1);
    ledger.shutdown(BOUND).await.unwrap();
}

/// Names are clients' and upstreams' words, and may hold what PostgreSQL's texts and indexes do not.
#[tokio::test]
async fn no_name_is_too_odd_or_too_long() {
    let home = Home::postgres();
    let ledger = home.open();
    let usage = Usage {
        input_tokens: 120,
        ..Usage::default()
    };
    let mut served = attempt("odd", "one", Perimeter::Outside, usage, Some(1));
    served.reported_model = Some("nul\0here".to_owned());
    let odd = Outcome {
        flow: Some("a\0b".into()),
        attempts: vec![served],
        ..outcome(BASE)
    };
    // Incompressible, so that no index entry could hold it.
    let long: String = (0..20_000_u32)
        .map(|index| {
            char::from(b'!' + u8::try_from(index.wrapping_mul(2_654_435_761) >> 26).unwrap())
        })
        .collect();
    let long = Outcome {
        flow: Some(long.as_str().into()),
        ..outcome(BASE)
    };
    ledger.record(&odd).unwrap();
    ledger.record(&long).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(ledger.status().spool.quarantined, 0);
    assert_eq!(home.rows().await, 2);
    let query = UsageQuery {
        group_by: vec![freehold_store::GroupBy::Flow],
        ..UsageQuery::default()
    };
    let report = ledger.reader().usage(&query).await.unwrap();
    let flows: Vec<_> = report
        .rows
        .iter()
        .filter_map(|row| row.group[0].1.clone())
        .collect();
    assert!(flows.contains(&"a\u{fffd}b".to_owned()), "{flows:?}");
    assert!(flows.contains(&long.flow.as_ref().unwrap().to_string()));
    // The record itself is as it was.
    assert_eq!(ledger.reader().outcome(odd.id).await.unwrap(), Some(odd));
    ledger.shutdown(BOUND).await.unwrap();
}

/// A role that may not create anything, a schema of its own, and defaults that are none of ours.
#[tokio::test]
async fn a_role_needs_no_more_than_its_rows() {
    let server = Server::start(Settings {
        more: vec![
            ("default_transaction_isolation", "serializable".to_owned()),
            ("synchronous_commit", "off".to_owned()),
        ],
        ..Settings::default()
    })
    .unwrap();
    let name = server.database().unwrap();
    server
        .sql(
            &name,
            "CREATE SCHEMA money; CREATE TABLE public._sqlx_migrations (version int)",
        )
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let owner = format!("{}?options=-csearch_path%3Dmoney", server.url(&name));
    let ledger = DurableLedger::open(settings_for(&dir.path().join("owner"), &owner)).unwrap();
    record_many(&ledger, 2);
    ledger.flush(BOUND).await.unwrap();
    ledger.shutdown(BOUND).await.unwrap();

    let grants = "CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA money TO clerk;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA money TO clerk";
    server.sql(&name, grants).unwrap();
    let clerk = owner.replace("freehold@", "clerk@");
    let ledger = DurableLedger::open(settings_for(&dir.path().join("clerk"), &clerk)).unwrap();
    record_many(&ledger, 3);
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(
        count(&server, &name, "SELECT count(*) FROM money.outcomes"),
        5
    );
    assert_eq!(requests(&ledger).await, 5);
    ledger.shutdown(BOUND).await.unwrap();
}

/// A gateway of an earlier version must not write to tables that it does not know.
#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let home = Home::postgres();
    let ledger = home.open();
    record_many(&ledger, 2);
    ledger.shutdown(BOUND).await.unwrap();
    drop(ledger);
    let newer =
        "INSERT INTO freehold_migrations (version, description, success, checksum, execution_time)
                 VALUES (99, 'newer', true, '', 0)";
    home.connect().await.run(newer).await;
    let ledger = crate::outage::reopen(&home.settings()).await;
    record_many(&ledger, 2);
    until_error(&ledger, "99").await;
    assert_eq!(home.rows().await, 2);
    let undone = "DELETE FROM freehold_migrations WHERE version = 99";
    home.connect().await.run(undone).await;
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(home.rows().await, 4);
    ledger.shutdown(BOUND).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_to_those_who_ask() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere: Database = "postgres://me:never-shown@127.0.0.1:1/ledger"
        .parse()
        .unwrap();
    let reader = Reader::open(&nowhere, dir.path());
    let error = reader.usage(&UsageQuery::default()).await.unwrap_err();
    assert!(error.chain().contains("refused"), "{}", error.chain());
    assert!(!error.chain().contains("never-shown"));
}

/// A deadlock or a serialisation failure is nobody's fault: the batch is done again at once, on the
/// same connection. Whoever went the way of an outage would wait for an hour here.
#[tokio::test]
async fn a_batch_that_was_in_the_way_is_tried_again_at_once() {
    let home = Home::postgres();
    home.open().shutdown(BOUND).await.unwrap();
    let mut other = home.connect().await;
    other
        .run(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('tries') < 3 THEN
                     RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure';
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER busy AFTER INSERT ON outcomes FOR EACH STATEMENT EXECUTE FUNCTION fail_twice()",
        )
        .await;
    let mut settings = home.settings_of("other");
    settings.retry = (Duration::from_secs(3_600), Duration::from_secs(3_600));
    let ledger = DurableLedger::open(settings).unwrap();
    ledger.record(&outcome(BASE)).unwrap();
    let taken = async {
        while ledger.status().inserted < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, taken).await.unwrap();
    assert_eq!(home.number("SELECT last_value FROM tries").await, 3);
    assert_eq!(home.rows().await, 1);
    ledger.shutdown(BOUND).await.unwrap();
}
