use std::collections::BTreeMap;
use std::path::PathBuf;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use freehold_ports::Ledger as _;
use freehold_store::{DurableLedger, StoreSettings, UsageQuery};
use freehold_types::outcome::{Cost, CostBasis, Timing};
use freehold_types::{
    AttemptRecord, BackendId, DeploymentId, Dialect, ErrorKind, FlowName, KeyName, NanoUsd,
    OutcomeStatus, Perimeter, PriceBasis, RequestId, RouteName, Sensitivity, Usage, UsageBasis,
};
use serde_json::Value;

use super::*;
use crate::cli::OnlyArgs;

/// 2026-11-20T23:59:59.000Z, a second before midnight.
const EVENING: u64 = 1_795_219_199_000;

fn attempt(deployment: &str, usage: Usage, cost: Option<Cost>) -> AttemptRecord {
    let backend = deployment
        .split_once('/')
        .map_or("", |(backend, _)| backend);
    AttemptRecord {
        deployment: DeploymentId::new(deployment),
        backend: BackendId::new(backend),
        reported_model: None,
        perimeter: if backend == "own" {
            Perimeter::Inside
        } else {
            Perimeter::Outside
        },
        region: None,
        started_us: 10,
        duration_us: 2_000_000,
        first_token_us: Some(300_000),
        error: None,
        usage,
        cost,
    }
}

fn tokens(input_tokens: u64, cached_input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        input_tokens,
        cached_input_tokens,
        output_tokens,
        basis: UsageBasis::Reported,
        ..Usage::default()
    }
}

fn cost(total: i64, idle: i64, basis: CostBasis) -> Option<Cost> {
    Some(Cost {
        total: NanoUsd::from_nanos(total),
        idle_share: NanoUsd::from_nanos(idle),
        basis,
        gap: None,
        book: None,
    })
}

fn outcome(number: u128, started_unix_ms: u64, attempts: Vec<AttemptRecord>) -> Outcome {
    let costs: Option<Vec<NanoUsd>> = attempts
        .iter()
        .map(|attempt| attempt.cost.map(|cost| cost.total))
        .collect();
    Outcome {
        id: RequestId::try_from(format!("req_{number:032x}")).unwrap(),
        started_unix_ms,
        dialect: Dialect::OpenaiChat,
        route: RouteName::new("auto"),
        key: KeyName::new("app"),
        team: None,
        flow: Some(FlowName::new("=support, \"eu\"")),
        sensitivity: Sensitivity::Internal,
        findings: BTreeMap::from([("person".to_owned(), 2)]),
        redacted: BTreeMap::new(),
        status: if attempts.is_empty() {
            OutcomeStatus::Refused
        } else {
            OutcomeStatus::Completed
        },
        http_status: 200,
        error: None,
        streamed: false,
        usage: attempts
            .iter()
            .fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage)),
        cost: costs.map(|costs| costs.into_iter().sum()),
        attempts,
        timing: Timing {
            total_us: 2_100_000,
            first_token_us: Some(300_100),
            overhead_us: 90,
        },
        decision: None,
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    }
}

/// Refused; one rented after a fallback; one owned; one of unknown cost.
fn samples() -> Vec<Outcome> {
    let mut failed = attempt("openai/gpt-4.1", tokens(1_000, 0, 0), None);
    failed.cost = cost(2_000_001, 0, CostBasis::Tokens);
    failed.error = Some((&freehold_types::Error::new(ErrorKind::BadUpstream, "x")).into());
    let served = attempt(
        "openai/gpt-4.1",
        tokens(1_000, 400, 77),
        cost(2_016_007, 0, CostBasis::Tokens),
    );
    let owned = attempt(
        "own/small",
        tokens(50, 0, 9),
        cost(1_234_567, 234_567, CostBasis::Hours),
    );
    let unpriced = attempt("else/m", tokens(5, 0, 5), None);
    vec![
        outcome(1, EVENING, vec![]),
        outcome(2, EVENING, vec![failed, served]),
        outcome(3, EVENING + 1_001, vec![owned]),
        outcome(4, EVENING + 2_000, vec![unpriced]),
    ]
}

struct Home {
    dir: tempfile::TempDir,
    reader: Reader,
}

impl Home {
    async fn with(outcomes: &[Outcome]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = StoreSettings::new(dir.path());
        let ledger = DurableLedger::open(settings.clone()).unwrap();
        for outcome in outcomes {
            ledger.record(outcome).unwrap();
        }
        ledger
            .shutdown(std::time::Duration::from_secs(60))
            .await
            .unwrap();
        let reader = Reader::open(&settings.database, &settings.spool.dir);
        Self { dir, reader }
    }

    fn args(&self, file: &str) -> ExportArgs {
        ExportArgs {
            format: None,
            out: self.dir.path().join(file),
            since: None,
            until: None,
            force: false,
            json: false,
            only: OnlyArgs::default(),
        }
    }

    async fn export(&self, args: &ExportArgs) -> Result<Written> {
        let now = OffsetDateTime::from_unix_timestamp(1_795_300_000).unwrap();
        export(args, &self.reader, prices, now).await
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap()
    }
}

fn prices() -> Prices {
    let per_hour = NanoUsd::from_nanos(3_600_000_000);
    let small = (
        DeploymentId::new("own/small"),
        PriceBasis::Hourly { per_hour },
    );
    let openai = Provider {
        name: "OpenAI".to_owned(),
        price: None,
        price_provider: Some("openai".to_owned()),
    };
    Prices::new(
        HashMap::from([small]),
        HashMap::from([(BackendId::new("openai"), openai)]),
    )
}

#[tokio::test]
async fn every_format_holds_the_same_rows() {
    let home = Home::with(&samples()).await;
    for file in ["a.csv", "a.jsonl", "a.parquet"] {
        let written = home.export(&home.args(file)).await.unwrap();
        assert_eq!((written.requests, written.rows), (4, 5), "{file}");
        assert_eq!(written.unknown_cost_attempts, 1);
    }
    let mut csv = csv::Reader::from_path(home.dir.path().join("a.csv")).unwrap();
    let header: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    let csv: Vec<_> = csv.records().map(Result::unwrap).collect();
    let lines = home.text("a.jsonl");
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let file = std::fs::File::open(home.dir.path().join("a.parquet")).unwrap();
    let parquet = SerializedFileReader::new(file).unwrap();
    let rows: Vec<_> = parquet
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!((csv.len(), lines.len(), rows.len()), (5, 5, 5));
    let names: Vec<_> = attempts::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(header, names);
    for ((csv, line), row) in csv.iter().zip(&lines).zip(&rows) {
        for ((name, field), cell) in row.get_column_iter().zip(csv) {
            let json = match &line[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(cell.trim_start_matches('\''), json, "{name}");
            let field = match field {
                Field::Null => String::new(),
                Field::Str(text) => text.clone(),
                Field::TimestampMillis(unix_ms) => cells::moment(u64::try_from(*unix_ms).unwrap()),
                Field::Decimal(decimal) => {
                    let bytes: [u8; 8] = decimal.data().try_into().unwrap();
                    assert_eq!((decimal.precision(), decimal.scale()), (18, 9));
                    NanoUsd::from_nanos(i64::from_be_bytes(bytes)).to_string()
                }
                other => other.to_string(),
            };
            assert_eq!(field, json, "{name}");
        }
    }
    // From the newest; a formula is none in a spreadsheet.
    assert_eq!(lines[0]["deployment"], "else/m");
    assert_eq!(lines[0]["cost_usd"], Value::Null);
    assert_eq!(lines[1]["cost_usd"], "0.001234567");
    assert_eq!(lines[1]["started_at"], "2026-11-21T00:00:00.001Z");
    assert_eq!(&csv[0][6], "'=support, \"eu\"");
    let finals = lines.iter().filter(|line| line["is_final"] == true);
    assert_eq!(finals.count(), 4);
}

#[tokio::test]
async fn what_is_exported_is_read_as_the_ledger_is() {
    let home = Home::with(&samples()).await;
    let args = crate::workload_source::ReadArgs::default();
    let now = OffsetDateTime::from_unix_timestamp(1_795_300_000).unwrap();
    let settings = StoreSettings::new(home.dir.path());
    let ledger = crate::workload_source::read_at(&[], Some(&settings), &args, now);
    let ledger = ledger.await.unwrap().workload;
    let told: Vec<_> = ledger
        .arrivals
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let model = ledger.model_of(one).unwrap_or("-").to_owned();
            let tokens = (one.input_tokens, one.cached_tokens, one.output_tokens);
            (one.at_us, tokens, model, ledger.cost_of(index))
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, (1_000, 400, 77), "gpt-4.1".to_owned(), Some(4_016_008)),
            (1_001_000, (50, 0, 9), "small".to_owned(), Some(1_234_567)),
            (2_000_000, (5, 0, 5), "m".to_owned(), None),
        ]
    );
    // It was looked at until now.
    assert_eq!(ledger.began_unix_ms, Some(EVENING));
    assert_eq!(ledger.duration_us, (1_795_300_000_001 - EVENING) * 1_000);
    for file in ["a.csv", "a.jsonl", "a.parquet"] {
        let export = home.args(file);
        home.export(&export).await.unwrap();
        let files = [export.out];
        let read = crate::workload_source::read_at(&files, None, &args, now).await;
        let read = read.unwrap();
        assert_eq!(read.workload.arrivals.len(), 3, "{file}");
        assert_eq!(read.workload.flows, ledger.flows, "{file}");
        assert_eq!(
            read.workload.costs_nano_usd, ledger.costs_nano_usd,
            "{file}"
        );
        for (read, own) in read.workload.arrivals.iter().zip(&ledger.arrivals) {
            assert_eq!(
                (read.at_us, read.input_tokens),
                (own.at_us, own.input_tokens),
                "{file}"
            );
            assert_eq!(read.cached_tokens, own.cached_tokens, "{file}");
        }
        assert_eq!(read.report.bad_rows, 0, "{file}: {:?}", read.report);
        assert_eq!(read.report.left_out.values().sum::<u64>(), 2, "{file}");
    }
    let nobody = crate::workload_source::ReadArgs {
        only: OnlyArgs {
            key: Some("app".to_owned()),
            ..OnlyArgs::default()
        },
        ..args
    };
    let file = home.args("a.csv").out;
    let error = crate::workload_source::read_at(&[file], None, &nobody, now).await;
    assert!(error.unwrap_err().to_string().contains("--ledger"));
}

#[tokio::test]
async fn pages_meet_every_outcome_once_also_within_one_millisecond() {
    let mut outcomes = vec![];
    for number in 0..57_u64 {
        let moment = match number {
            0..30 => EVENING,
            30..40 => EVENING + 1,
            _ => EVENING + number,
        };
        outcomes.push(outcome(u128::from(number) + 1, moment, vec![]));
    }
    let home = Home::with(&outcomes).await;
    for page in [1, 2, 3, 7, 10, 57, 100] {
        let filters = freehold_store::Filters::default();
        let mut pages = Pages::new(&home.reader, None, EVENING + 1_000, filters, page);
        let mut met = vec![];
        while let Some(outcomes) = pages.next().await.unwrap() {
            assert!(!outcomes.is_empty());
            met.extend(
                outcomes
                    .iter()
                    .map(|outcome| (outcome.started_unix_ms, outcome.id)),
            );
        }
        assert_eq!(met.len(), 57, "{page}");
        assert!(
            met.is_sorted_by(|newer, older| newer.0 >= older.0),
            "{page}"
        );
        met.sort();
        met.dedup();
        assert_eq!(met.len(), 57, "{page}");
    }
}

#[tokio::test]
async fn a_range_and_filters_choose() {
    let home = Home::with(&samples()).await;
    let mut args = home.args("a.jsonl");
    args.since = Some("2026-11-21".to_owned());
    assert_eq!(home.export(&args).await.unwrap().requests, 2);
    args.out = home.dir.path().join("b.jsonl");
    args.only.backend = Some("own".to_owned());
    assert_eq!(home.export(&args).await.unwrap().requests, 1);
    args.out = home.dir.path().join("c.jsonl");
    args.until = Some("2026-11-21".to_owned());
    assert!(home.export(&args).await.is_err(), "an empty range");
}

#[tokio::test]
async fn a_file_is_replaced_only_on_demand_and_only_as_a_whole() {
    let home = Home::with(&samples()).await;
    let mut args = home.args("a.csv");
    std::fs::write(&args.out, "mine").unwrap();
    let error = home.export(&args).await.unwrap_err().to_string();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(home.text("a.csv"), "mine");
    args.force = true;
    home.export(&args).await.unwrap();
    assert!(home.text("a.csv").starts_with("request_id,"));
    // Nothing else is left in the directory, and nothing appears where nothing can be written.
    let left = std::fs::read_dir(home.dir.path()).unwrap();
    let strange = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".tmp"));
    assert_eq!(strange.count(), 0);
    args.out = home.dir.path().join("missing/a.csv");
    assert!(home.export(&args).await.is_err());
    args.out = PathBuf::from("a.unknown");
    let error = home.export(&args).await.unwrap_err().to_string();
    assert!(error.contains("--format"), "{error}");
    args.out = PathBuf::from("-");
    args.format = Some(ExportFormat::Parquet);
    assert!(home.export(&args).await.is_err());
}

#[test]
fn parquet_is_written_a_group_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut sink = Parquet::new(file, attempts::COLUMNS, 10).unwrap();
    for number in 0..25 {
        for row in rows(&outcome(number, EVENING, vec![])) {
            sink.row(&row).unwrap();
        }
    }
    assert!(
        std::fs::metadata(&path).unwrap().len() > 1_000,
        "two groups are out"
    );
    Box::new(sink).finish().unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups().iter();
    assert_eq!(
        groups.map(|group| group.num_rows()).collect::<Vec<_>>(),
        [10, 10, 5]
    );
}

/// FOCUS's file of the samples.
async fn focus(home: &Home) -> (Written, Vec<BTreeMap<String, String>>, String) {
    let mut args = home.args("focus.csv");
    args.format = Some(ExportFormat::Focus);
    let written = home.export(&args).await.unwrap();
    let text = home.text("focus.csv");
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let rows = csv.deserialize().map(Result::unwrap).collect();
    (written, rows, text)
}

#[tokio::test]
async fn focus_sums_to_the_ledgers_nano_dollar() {
    let home = Home::with(&samples()).await;
    let (written, rows, text) = focus(&home).await;
    insta::assert_snapshot!("focus", text);
    assert_eq!((written.requests, written.unknown_cost_attempts), (4, 1));
    assert_eq!(written.rows, rows.len() as u64);
    let nanos = |row: &BTreeMap<String, String>| -> i64 {
        row["BilledCost"].replace('.', "").parse().unwrap()
    };
    let sum: i64 = rows.iter().map(nanos).sum();
    let report = home.reader.usage(&UsageQuery::default()).await.unwrap();
    assert_eq!(sum, report.totals.cost_nano_usd.nanos());
    assert_eq!(sum, 2_000_001 + 2_016_007 + 1_234_567);
    for row in &rows {
        for cost in ["EffectiveCost", "ListCost", "ContractedCost"] {
            assert_eq!(row[cost], row["BilledCost"]);
        }
        // Price times quantity is the cost.
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let product = number("ListUnitPrice") * number("PricingQuantity");
        assert!((product - number("ListCost")).abs() < 1e-10, "{row:?}");
        let tags: BTreeMap<String, String> = serde_json::from_str(&row["Tags"]).unwrap();
        assert_eq!(tags["flow"], "=support, \"eu\"");
    }
    let class = |class: &'static str| rows.iter().filter(move |row| row["x_Class"] == class);
    let idle = class("idle_time").map(nanos).sum::<i64>();
    assert_eq!(
        (class("busy_time").map(nanos).sum::<i64>(), idle),
        (1_000_000, 234_567)
    );
    let cached = class("cached_input").next().unwrap();
    assert_eq!(cached["ConsumedQuantity"], "400");
    assert_eq!(class("unknown").count(), 1);
}

#[test]
fn docs_describe_every_column_of_both_tables() {
    let page = include_str!("../../../../../docs/export.md");
    let described = |heading: &str| -> Vec<String> {
        let section = page.split(heading).nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| {
            let names = row.split('|').nth(1).unwrap_or_default();
            names
                .split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
    };
    let names = |columns: &[cells::Column]| -> Vec<String> {
        columns
            .iter()
            .map(|column| column.name.to_owned())
            .collect()
    };
    assert_eq!(described("\n## Attempts"), names(attempts::COLUMNS));
    let mut described = described("\n## FOCUS");
    let mut columns = names(focus_row::COLUMNS);
    described.sort();
    columns.sort();
    assert_eq!(described, columns);
}
