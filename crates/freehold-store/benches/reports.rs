//! How long the reports of a large ledger take, and what a request pays for its record meanwhile.
//!
//! Fills a ledger with so many outcomes of the last 30 days (50 keys in 10 teams, 4 flows, 5 models),
//! by SQL inside the database; that the sums are those of the records is checked before anything is
//! measured. Only the hours that are read record by record have whole records; the others' are
//! empty, to save disk: 10 million rows take about 3 GB for a while. Everything is removed at the end.
//!
//! `cargo bench -p freehold-store --bench reports -- [ROWS] [sqlite|postgres]`

#![expect(clippy::print_stdout, reason = "a benchmark's answer")]

#[expect(dead_code, reason = "the benchmarks need a part of what tests share")]
#[path = "../tests/store/common.rs"]
mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::outcome;
use freehold_ports::Ledger;
use freehold_store::{
    Database, DurableLedger, Edges, GroupBy, Reader, StoreSettings, UsageQuery, UsageReport,
};
use freehold_testkit::postgres::{Server, Settings};
use freehold_types::{Outcome, Perimeter};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

const ROWS_DEFAULT: u64 = 200_000;
const HOUR_MS: u64 = 3_600_000;
const DAYS: u64 = 30;
/// Rows per statement.
const PART: u64 = 250_000;
/// What is recorded while a report runs.
const RECORDS: u64 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = arguments.iter().find_map(|argument| argument.parse().ok());
    let rows = rows.unwrap_or(ROWS_DEFAULT);
    let asked = |home: &str| {
        let homes = ["sqlite", "postgres"];
        let named = |argument: &String| homes.contains(&argument.as_str());
        !arguments.iter().any(named) || arguments.iter().any(|argument| argument == home)
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    if asked("sqlite") {
        let file = dir.path().join("sqlite/ledger.db");
        runtime.block_on(measure(dir.path(), &Database::Sqlite(file.clone()), rows));
        std::fs::remove_dir_all(dir.path().join("sqlite")).expect("removed");
    }
    if asked("postgres") {
        let server = Server::start(Settings {
            more: vec![
                ("shared_buffers", "512MB".to_owned()),
                ("max_wal_size", "512MB".to_owned()),
            ],
            ..Settings::default()
        });
        let server = server.expect("PostgreSQL");
        let url = server.url(&server.database().expect("a database"));
        let database: Database = url.parse().expect("a URL");
        runtime.block_on(measure_postgres(dir.path(), &database, &url, rows));
    }
}

async fn measure(dir: &Path, database: &Database, rows: u64) {
    println!("\nSQLite, {rows} outcomes");
    let settings = settings(&dir.join("sqlite"), database);
    create(&settings).await;
    let url = format!("sqlite:{database}");
    let mut connection = SqliteConnection::connect(&url).await.expect("opened");
    let begin = Instant::now();
    for pragma in [
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -400000",
    ] {
        let sql = AssertSqlSafe(format!("PRAGMA {pragma}"));
        sqlx::query(sql)
            .execute(&mut connection)
            .await
            .expect("set");
    }
    for statement in statements(rows, Dialect::Sqlite) {
        let sql = sqlx::raw_sql(AssertSqlSafe(statement));
        sql.execute(&mut connection).await.expect("filled");
    }
    let back = sqlx::query("PRAGMA journal_mode = WAL");
    back.execute(&mut connection).await.expect("set");
    connection.close().await.expect("closed");
    println!("filled in {:.0?}", begin.elapsed());
    report(&settings, rows).await;
}

async fn measure_postgres(dir: &Path, database: &Database, url: &str, rows: u64) {
    println!("\nPostgreSQL, {rows} outcomes");
    let settings = settings(&dir.join("postgres"), database);
    create(&settings).await;
    let mut connection = PgConnection::connect(url).await.expect("connected");
    let begin = Instant::now();
    for statement in statements(rows, Dialect::Postgres) {
        let sql = sqlx::raw_sql(AssertSqlSafe(statement));
        sql.execute(&mut connection).await.expect("filled");
    }
    let analyse = sqlx::query("VACUUM ANALYZE");
    analyse.execute(&mut connection).await.expect("analysed");
    connection.close().await.expect("closed");
    println!("filled in {:.0?}", begin.elapsed());
    report(&settings, rows).await;
}

fn settings(dir: &Path, database: &Database) -> StoreSettings {
    let mut settings = StoreSettings::new(dir);
    settings.database = database.clone();
    settings
}

/// Lets a gateway make the tables.
async fn create(settings: &StoreSettings) {
    let ledger = DurableLedger::open(settings.clone()).expect("opens");
    ledger
        .flush(Duration::from_secs(60))
        .await
        .expect("migrated");
    ledger
        .shutdown(Duration::from_secs(60))
        .await
        .expect("ends");
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_millis()).expect("soon enough")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// SQL that fills all tables.
fn statements(rows: u64, dialect: Dialect) -> Vec<String> {
    let begin = now_ms() - DAYS * 24 * HOUR_MS;
    let mut statements = Vec::new();
    for from in (0..rows).step_by(usize::try_from(PART).expect("small")) {
        statements.push(fill(from, rows.min(from + PART), rows, begin, dialect));
    }
    for (table, time, length) in [
        ("usage_hourly", "hour_unix_ms", HOUR_MS),
        ("usage_daily", "day_unix_ms", 24 * HOUR_MS),
    ] {
        statements.push(sum(table, time, length, dialect));
    }
    statements
}

/// Inserts the rows from `from` to `to`, of so many in all, spread over the days since `begin`.
fn fill(from: u64, to: u64, rows: u64, begin: u64, dialect: Dialect) -> String {
    let span = DAYS * 24 * HOUR_MS;
    let series = match dialect {
        Dialect::Sqlite => format!(
            "WITH RECURSIVE series (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM series WHERE i < {to} - 1),"
        ),
        Dialect::Postgres => {
            format!(
                "WITH series AS (SELECT i FROM generate_series({from}::bigint, {to} - 1) AS i),"
            )
        }
    };
    let hex = match dialect {
        Dialect::Sqlite => "printf('%012x7000%016x', t, i)",
        Dialect::Postgres => "lpad(to_hex(t), 12, '0') || '70008' || lpad(to_hex(i), 15, '0')",
    };
    let id = match dialect {
        Dialect::Sqlite => "unhex(hex)",
        Dialect::Postgres => "hex::uuid",
    };
    let streamed = if dialect == Dialect::Sqlite {
        "1"
    } else {
        "true"
    };
    let detail = detail();
    let (early, late) = (begin + 2 * HOUR_MS, begin + span - 7 * HOUR_MS);
    let detail = format!("CASE WHEN t < {early} OR t > {late} THEN {detail} ELSE '{{}}' END");
    format!(
        "INSERT INTO outcomes (id, started_unix_ms, dialect, route, key_name, team, flow, sensitivity,
            status, http_status, streamed, attempts, deployment, backend, reported_model, perimeter,
            region, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
            input_audio_tokens, output_tokens, reasoning_tokens, output_audio_tokens, usage_basis,
            cost_nano_usd, total_us, first_token_us, overhead_us, detail)
         {series}
         timed AS (SELECT i, CAST({begin} + i * {span} / {rows} AS BIGINT) AS t,
             'key-' || (i % 50) AS k, 'org/team-' || (i % 10) AS m, 'flow-' || (i / 50 % 4) AS f,
             'openai/model-' || (i / 200 % 5) AS d,
             CASE WHEN i % 53 = 0 THEN 'cancelled' ELSE 'completed' END AS s FROM series),
         named AS (SELECT *, {hex} AS hex FROM timed)
         SELECT {id}, t, 'openai-chat', 'auto', k, m, f, 'internal', s, 200, {streamed}, 1, d, 'openai',
             'smol', 'outside', 'eu-central-1', 120, 20, 0, 0, 0, 30, 5, 0, 'counted', 1500, 42000, 9000,
             130, {detail}
         FROM named"
    )
}

/// The record as SQL: a real one, with the row's own values in their places.
fn detail() -> String {
    let mut one = Outcome {
        started_unix_ms: 1_111_111_111_111,
        key: "@k@".into(),
        team: Some("@m@".into()),
        flow: Some("@f@".into()),
        decision: None,
        ..outcome(0)
    };
    for attempt in &mut one.attempts {
        attempt.deployment = "@d@".into();
        attempt.backend = "openai".into();
        attempt.perimeter = Perimeter::Outside;
    }
    let id = one.id.to_string();
    let json = serde_json::to_string(&one).expect("serialises");
    let status = "\"status\":\"completed\"";
    assert!(json.contains(status) && json.contains(&id), "{json}");
    let mut sql = format!("'{json}'");
    let places = [
        (id.as_str(), "req_' || hex || '"),
        ("1111111111111", "' || t || '"),
        ("@k@", "' || k || '"),
        ("@m@", "' || m || '"),
        ("@f@", "' || f || '"),
        ("@d@", "' || d || '"),
        (status, "\"status\":\"' || s || '\""),
    ];
    for (place, value) in places {
        sql = sql.replace(place, value);
    }
    sql
}

/// Adds up the rows as the ledger does.
fn sum(table: &str, time: &str, length_ms: u64, dialect: Dialect) -> String {
    let dimensions =
        "key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status";
    let begin = format!("started_unix_ms / {length_ms} * {length_ms}");
    let (digest, made) = match dialect {
        Dialect::Sqlite => ("", String::new()),
        Dialect::Postgres => (
            "digest,",
            "decode(md5(concat_ws('/', key_name, team, flow, deployment, status)), 'hex'),"
                .to_owned(),
        ),
    };
    let bounds = [
        "1", "2", "5", "10", "20", "50", "100", "200", "500", "1000", "2000", "5000", "10000",
        "20000", "50000", "100000", "200000", "500000", "more",
    ];
    let latencies = bounds.map(|bound| format!("latency_{bound}"));
    let counts = bounds.map(|bound| match bound {
        "50" => "count(*) FILTER (WHERE status = 'completed')",
        _ => "0",
    });
    format!(
        "INSERT INTO {table} ({time}, {digest} {dimensions}, requests, attempts, input_tokens,
             cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
             estimated_requests, cost_nano_usd, unknown_cost_requests, {})
         SELECT {begin}, {made} {dimensions}, count(*), sum(attempts), sum(input_tokens),
             sum(cached_input_tokens), 0, sum(output_tokens), sum(reasoning_tokens), 0,
             sum(cost_nano_usd), 0, {}
         FROM outcomes GROUP BY {begin}, {dimensions}",
        latencies.join(","),
        counts.join(","),
    )
}

async fn report(settings: &StoreSettings, rows: u64) {
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    check(&reader, rows).await;
    let month = |by: &[GroupBy]| UsageQuery {
        since_unix_ms: Some(now_ms() - DAYS * 24 * HOUR_MS),
        group_by: by.to_vec(),
        ..UsageQuery::default()
    };
    for by in [
        &[GroupBy::Key, GroupBy::Model][..],
        &[GroupBy::Team, GroupBy::Day],
        &[GroupBy::Flow, GroupBy::Perimeter],
    ] {
        let mut times = Vec::new();
        let mut lines = 0;
        for _ in 0..7 {
            let begin = Instant::now();
            lines = reader.usage(&month(by)).await.expect("a report").rows.len();
            times.push(begin.elapsed());
        }
        times.sort();
        let names: Vec<_> = by.iter().map(|by| by.as_str()).collect();
        println!(
            "usage --since 30d --by {:<14} {lines:>4} rows: {:>6.1?} median, {:>6.1?} worst of {}",
            names.join(","),
            times[times.len() / 2],
            times[times.len() - 1],
            times.len(),
        );
    }
    let ledger = DurableLedger::open(settings.clone()).expect("opens");
    println!("record, nothing else runs:   {}", records(&ledger));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let mut reports = 0;
            while !stop.load(Ordering::Relaxed) {
                let query = month(&[GroupBy::Key, GroupBy::Model]);
                runtime.block_on(reader.usage(&query)).expect("a report");
                reports += 1;
            }
            reports
        });
        let told = records(&ledger);
        stop.store(true, Ordering::Relaxed);
        let reports: u32 = asking.join().expect("no panic");
        println!("record, reports run:         {told} ({reports} reports)");
    });
    ledger
        .shutdown(Duration::from_secs(60))
        .await
        .expect("drained");
}

/// An hour cut by a millisecond at each end is added up record by record, by the ledger's own logic:
/// the sums must say the same.
async fn check(reader: &Reader, rows: u64) {
    let hour = (now_ms() - 5 * HOUR_MS) / HOUR_MS * HOUR_MS;
    let between = |since, until| UsageQuery {
        since_unix_ms: Some(since),
        until_unix_ms: Some(until),
        group_by: vec![
            GroupBy::Key,
            GroupBy::Flow,
            GroupBy::Team,
            GroupBy::Deployment,
        ],
        edges: Edges::Exact,
        ..UsageQuery::default()
    };
    let ask =
        async |query: UsageQuery| -> UsageReport { reader.usage(&query).await.expect("a report") };
    let whole = ask(between(hour, hour + HOUR_MS)).await;
    let first = ask(between(hour, hour + HOUR_MS / 2)).await;
    let second = ask(between(hour + HOUR_MS / 2, hour + HOUR_MS)).await;
    let parts = first.totals.requests + second.totals.requests;
    assert_eq!(whole.totals.requests, parts);
    let cost = |report: &UsageReport| report.totals.cost_nano_usd.nanos();
    assert_eq!(cost(&whole), cost(&first) + cost(&second));
    assert_eq!(
        whole.totals.completed,
        first.totals.completed + second.totals.completed
    );
    let all = ask(UsageQuery::default()).await;
    assert_eq!(all.totals.requests, rows);
    println!("the sums of an hour are those of its {parts} records");
}

/// What `record` takes, in elapsed time, a few thousand times a second.
fn records(ledger: &DurableLedger) -> String {
    let mut times: Vec<Duration> = (0..RECORDS)
        .map(|_| {
            let one = outcome(now_ms());
            let begin = Instant::now();
            ledger.record(&one).expect("kept");
            let took = begin.elapsed();
            std::thread::sleep(Duration::from_micros(100));
            took
        })
        .collect();
    times.sort();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (times.len() as f64 * share) as usize;
        times.get(index).copied().unwrap_or_default()
    };
    format!(
        "p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}",
        at(0.5),
        at(0.99),
        at(0.999)
    )
}
