//! `freehold usage`: what was used, and what it cost.

use std::io::Write;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use freehold_store::{
    Edges, Filters, GroupBy, Reader, StoreSettings, Totals, UsageQuery, UsageReport,
};
use freehold_types::{BackendId, DeploymentId, FlowName, KeyName, Perimeter, RouteName, TeamName};
use time::OffsetDateTime;

use super::time_range;
use crate::cli::{Dimension, OnlyArgs, Side, UsageArgs};

pub(crate) async fn run(args: UsageArgs, settings: &StoreSettings) -> anyhow::Result<()> {
    let query = query(&args, OffsetDateTime::now_utc())?;
    let report = Reader::open(&settings.database, &settings.spool.dir)
        .usage(&query)
        .await
        .with_context(|| format!("cannot read the ledger {}", settings.database))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if args.csv {
        write_csv(&report, &query.group_by, &mut out)?;
    } else if report.totals.requests > 0 {
        writeln!(out, "{}", table_of(&report, &query.group_by).trim_fmt())?;
        // Not among the rows, which other programs may read.
        let mut notes = std::io::stderr().lock();
        for (_, meaning) in doubts(&report.totals) {
            writeln!(notes, "{meaning}")?;
        }
    } else if query.since_unix_ms.is_some()
        || query.until_unix_ms.is_some()
        || query.filters != Filters::default()
    {
        writeln!(out, "Nothing of that kind was recorded in that time.")?;
    } else {
        writeln!(
            out,
            "Nothing was recorded yet in {}.\nStart the gateway with `freehold serve`, and ask it \
             something: `freehold chat`.",
            settings.database
        )?;
    }
    Ok(())
}

/// What a report is of.
pub(crate) fn query(args: &UsageArgs, now: OffsetDateTime) -> anyhow::Result<UsageQuery> {
    let (since_unix_ms, until_unix_ms) =
        time_range::between(args.since.as_deref(), args.until.as_deref(), now)?;
    let mut group_by = Vec::new();
    for group in args.by.iter().map(|by| group(*by)) {
        if !group_by.contains(&group) {
            group_by.push(group);
        }
    }
    Ok(UsageQuery {
        since_unix_ms,
        until_unix_ms,
        group_by,
        filters: filters(&args.only),
        edges: Edges::Exact,
    })
}

/// What counts, as it is typed.
pub(crate) fn filters(only: &OnlyArgs) -> Filters {
    Filters {
        flow: only.flow.as_deref().map(FlowName::from),
        key: only.key.as_deref().map(KeyName::from),
        team: only.team.as_deref().map(TeamName::from),
        route: only.route.as_deref().map(RouteName::from),
        deployment: only.deployment.as_deref().map(DeploymentId::from),
        backend: only.backend.as_deref().map(BackendId::from),
        perimeter: only.perimeter.map(|side| match side {
            Side::Inside => Perimeter::Inside,
            Side::Outside => Perimeter::Outside,
        }),
        sensitivity: only.sensitivity,
        status: None,
    }
}

fn group(by: Dimension) -> GroupBy {
    match by {
        Dimension::Model => GroupBy::Model,
        Dimension::Sensitivity => GroupBy::Sensitivity,
        Dimension::Deployment => GroupBy::Deployment,
        Dimension::Backend => GroupBy::Backend,
        Dimension::Route => GroupBy::Route,
        Dimension::Key => GroupBy::Key,
        Dimension::Team => GroupBy::Team,
        Dimension::Flow => GroupBy::Flow,
        Dimension::Perimeter => GroupBy::Perimeter,
        Dimension::Status => GroupBy::Status,
        Dimension::Day => GroupBy::Day,
        Dimension::Hour => GroupBy::Hour,
    }
}

/// Why a cost may not be what the invoice says: a column's name, and what is counted in it.
type Doubt = (&'static str, &'static str);

const COST_GAP: Doubt = (
    "cost gap",
    "COST GAP counts requests whose cost may differ from the invoice: no price is known for a service \
     tier or a hosted tool, or the gateway died before the answer's end.",
);
const DOUBTFUL: Doubt = (
    "doubtful",
    "DOUBTFUL counts requests whose upstream reported usage that cannot be; what was counted in its \
     place is marked: freehold explain shows one.",
);

/// Those doubts that there are: nobody else needs to see their columns.
fn doubts(totals: &Totals) -> Vec<Doubt> {
    let counts = [totals.cost_gap_requests, totals.doubtful_usage_requests];
    let doubts = [COST_GAP, DOUBTFUL].into_iter().zip(counts);
    let doubts = doubts.filter(|(_, count)| *count > 0);
    doubts.map(|(doubt, _)| doubt).collect()
}

fn table_of(report: &UsageReport, group_by: &[GroupBy]) -> Table {
    let doubts = doubts(&report.totals);
    let names = group_by.iter().map(|by| by.as_str());
    let columns = names.chain([
        "requests",
        "completed",
        "cancelled",
        "failed",
        "refused",
        "tokens in",
        "cached",
        "out",
        "cost USD",
        "cost unknown",
        "estimated",
        "p50 ms",
        "p95 ms",
    ]);
    let mut table = table(columns.chain(doubts.iter().map(|(name, _)| *name)));
    let cells = |totals: &Totals| {
        let counts = doubts.iter().map(|doubt| match *doubt {
            COST_GAP => totals.cost_gap_requests.to_string(),
            _ => totals.doubtful_usage_requests.to_string(),
        });
        cells(totals).into_iter().chain(counts).collect::<Vec<_>>()
    };
    for row in &report.rows {
        let groups = row.group.iter().map(|(_, value)| match value {
            Some(value) => printable(value),
            None => "(none)".to_owned(),
        });
        table.add_row(groups.chain(cells(&row.totals)).collect::<Vec<_>>());
    }
    if report.rows.len() > 1 && !group_by.is_empty() {
        let label = |index| {
            if index == 0 {
                "total".to_owned()
            } else {
                String::new()
            }
        };
        let labels = (0..group_by.len()).map(label);
        table.add_row(labels.chain(cells(&report.totals)).collect::<Vec<_>>());
    }
    align_right(
        &mut table,
        group_by.len()..group_by.len() + 13 + doubts.len(),
    );
    table
}

/// One line a row, without the total. Costs are in US dollars with nine decimals, what is known of
/// them: an unknown cost is no number.
fn write_csv(
    report: &UsageReport,
    group_by: &[GroupBy],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let names = group_by.iter().map(|by| by.as_str());
    csv.write_record(names.chain([
        "requests",
        "completed",
        "cancelled",
        "failed",
        "refused",
        "attempts",
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_usd",
        "unknown_cost_requests",
        "estimated_requests",
        "latency_p50_ms",
        "latency_p95_ms",
        "cost_gap_requests",
        "doubtful_usage_requests",
    ]))?;
    for row in &report.rows {
        let groups = row.group.iter();
        let groups =
            groups.map(|(_, value)| value.as_deref().map_or_else(String::new, unformulaic));
        let totals = &row.totals;
        let counts = [
            totals.requests,
            totals.completed,
            totals.cancelled,
            totals.failed,
            totals.refused,
            totals.attempts,
            totals.input_tokens,
            totals.cached_input_tokens,
            totals.cache_write_tokens,
            totals.output_tokens,
            totals.reasoning_tokens,
        ];
        let latency = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.1}"));
        let rest = [
            match cost(totals).as_str() {
                // What is known of it; nothing where nothing is.
                "unknown" => String::new(),
                _ => totals.cost_nano_usd.to_string(),
            },
            totals.unknown_cost_requests.to_string(),
            totals.estimated_requests.to_string(),
            latency(totals.latency_p50_ms),
            latency(totals.latency_p95_ms),
            totals.cost_gap_requests.to_string(),
            totals.doubtful_usage_requests.to_string(),
        ];
        let counts = counts.iter().map(u64::to_string);
        csv.write_record(groups.chain(counts).chain(rest))?;
    }
    csv.flush()?;
    Ok(())
}

/// Names are clients' words: a spreadsheet must not take one for a formula (OWASP, CSV injection).
fn unformulaic(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

fn cells(totals: &Totals) -> [String; 13] {
    let latency = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    [
        totals.requests.to_string(),
        totals.completed.to_string(),
        totals.cancelled.to_string(),
        totals.failed.to_string(),
        totals.refused.to_string(),
        totals.input_tokens.to_string(),
        totals.cached_input_tokens.to_string(),
        totals.output_tokens.to_string(),
        cost(totals),
        totals.unknown_cost_requests.to_string(),
        totals.estimated_requests.to_string(),
        latency(totals.latency_p50_ms),
        latency(totals.latency_p95_ms),
    ]
}

/// An unknown cost is never shown as nothing.
pub(super) fn cost(totals: &Totals) -> String {
    match (totals.unknown_cost_requests, totals.cost_nano_usd.nanos()) {
        (0, _) => totals.cost_nano_usd.to_string(),
        (_, 0) => "unknown".to_owned(),
        _ => format!(">={}", totals.cost_nano_usd),
    }
}

/// A table without lines, so that its columns can be cut and sorted by other programs.
pub(super) fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        header
            .into_iter()
            .map(str::to_uppercase)
            .collect::<Vec<_>>(),
    );
    table
}

/// Numbers are compared by their last digits.
pub(super) fn align_right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Names that clients and upstreams chose must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use freehold_store::UsageRow;
    use freehold_types::NanoUsd;

    use super::*;

    fn totals(cost_nanos: i64, unknown_cost_requests: u64) -> Totals {
        Totals {
            requests: 3,
            completed: 3,
            cost_nano_usd: NanoUsd::from_nanos(cost_nanos),
            unknown_cost_requests,
            latency_p50_ms: Some(12.4),
            ..Totals::default()
        }
    }

    #[test]
    fn an_unknown_cost_is_not_free() {
        assert_eq!(cost(&totals(0, 0)), "0.000000000");
        assert_eq!(cost(&totals(0, 3)), "unknown");
        assert_eq!(cost(&totals(5, 1)), ">=0.000000005");
    }

    #[test]
    fn rows_are_followed_by_their_total() {
        let row = |name: Option<&str>, cost| UsageRow {
            group: vec![(GroupBy::Route, name.map(str::to_owned))],
            totals: totals(cost, 0),
        };
        let report = UsageReport {
            since_unix_ms: None,
            until_unix_ms: None,
            rows: vec![row(Some("a\u{1b}[2J"), 2_000_000_000), row(None, 1)],
            totals: totals(2_000_000_001, 0),
        };
        let text = table_of(&report, &[GroupBy::Route]).trim_fmt();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[1].contains("a\\u{1b}[2J") && lines[1].contains("2.000000000"),
            "{text}"
        );
        assert!(lines[2].contains("(none)"), "{text}");
        assert!(
            lines[3].contains("total") && lines[3].contains("2.000000001"),
            "{text}"
        );
    }

    #[test]
    fn doubts_have_columns_where_there_are_any() {
        let report = |totals: Totals| UsageReport {
            since_unix_ms: None,
            until_unix_ms: None,
            rows: vec![UsageRow {
                group: vec![],
                totals: totals.clone(),
            }],
            totals,
        };
        let header = |totals: Totals| {
            let text = table_of(&report(totals), &[]).trim_fmt();
            let mut lines = text.lines().map(str::to_owned);
            (lines.next().unwrap(), lines.next().unwrap())
        };
        let (names, _) = header(totals(5, 0));
        assert!(!names.contains("GAP") && !names.contains("DOUBTFUL"));
        assert!(doubts(&totals(5, 0)).is_empty());
        let one = Totals {
            doubtful_usage_requests: 77,
            ..totals(5, 0)
        };
        assert_eq!(doubts(&one), [DOUBTFUL]);
        let (names, cells) = header(one);
        assert!(
            names.ends_with("DOUBTFUL") && !names.contains("GAP"),
            "{names}"
        );
        assert!(cells.ends_with("77"), "{cells}");
        let both = Totals {
            cost_gap_requests: 33,
            doubtful_usage_requests: 77,
            ..totals(5, 0)
        };
        let (names, cells) = header(both);
        assert!(
            names.contains("COST GAP") && names.ends_with("DOUBTFUL"),
            "{names}"
        );
        assert!(cells.contains("33") && cells.ends_with("77"), "{cells}");
    }

    #[test]
    fn csv_holds_every_row_and_no_formula() {
        let row = |name: Option<&str>, cost| UsageRow {
            group: vec![(GroupBy::Flow, name.map(str::to_owned))],
            totals: totals(cost, 0),
        };
        let report = UsageReport {
            since_unix_ms: None,
            until_unix_ms: None,
            rows: vec![
                row(Some("=HYPERLINK(1)"), 1_500_000_000),
                row(Some("a,\"b\""), 1),
                UsageRow {
                    totals: totals(0, 2),
                    ..row(None, 0)
                },
            ],
            totals: totals(1_500_000_001, 0),
        };
        let mut out = Vec::new();
        write_csv(&report, &[GroupBy::Flow], &mut out).unwrap();
        let mut lines = csv::Reader::from_reader(&out[..]);
        let header = lines.headers().unwrap().clone();
        assert_eq!((&header[0], &header[12]), ("flow", "cost_usd"));
        assert_eq!(
            (&header[17], &header[18]),
            ("cost_gap_requests", "doubtful_usage_requests")
        );
        let rows: Vec<_> = lines.records().map(Result::unwrap).collect();
        let told: Vec<_> = rows
            .iter()
            .map(|row| (&row[0], &row[1], &row[12], &row[15]))
            .collect();
        assert_eq!(
            told,
            [
                ("'=HYPERLINK(1)", "3", "1.500000000", "12.4"),
                ("a,\"b\"", "3", "0.000000001", "12.4"),
                ("", "3", "", "12.4"),
            ]
        );
    }

    #[test]
    fn a_range_must_have_a_length_and_groups_count_once() {
        let args = |since: &str, until: &str| UsageArgs {
            since: Some(since.to_owned()),
            until: Some(until.to_owned()),
            by: vec![Dimension::Day, Dimension::Key, Dimension::Day],
            only: OnlyArgs::default(),
            json: false,
            csv: false,
        };
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert!(query(&args("1h", "2h"), now).is_err());
        let query = query(&args("2h", "1h"), now).unwrap();
        assert_eq!(query.group_by, [GroupBy::Day, GroupBy::Key]);
        assert_eq!(query.since_unix_ms, Some(1_699_992_800_000));
    }
}
