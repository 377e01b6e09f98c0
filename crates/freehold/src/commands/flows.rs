//! `freehold flows`: the workloads, with their volume, cost and speed.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use comfy_table::Table;
use freehold_route::DISCOVERED;
use freehold_store::{
    Edges, Filters, GroupBy, Reader, StoreSettings, Totals, UsageQuery, UsageRow,
};
use freehold_types::TeamName;
use serde::Serialize;
use time::OffsetDateTime;

use super::time_range;
use super::usage::{align_right, cost, printable, table};
use crate::cli::FlowsArgs;

/// One flow.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Flow {
    /// Its name; `None` for requests of no flow.
    flow: Option<String>,
    /// Who named it.
    origin: Origin,
    /// Its part of all requests, 0 to 1.
    request_share: f64,
    /// Its part of the cost that is known, 0 to 1.
    cost_share: f64,
    /// The part of its requests that inside backends served, 0 to 1; `None` when none was served.
    inside_share: Option<f64>,
    #[serde(flatten)]
    totals: Totals,
}

/// Who named a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    /// The caller, or its key.
    Named,
    /// Its instructions and tools.
    Discovered,
    /// Nobody: there are neither.
    None,
}

impl Origin {
    fn of(flow: Option<&str>) -> Self {
        match flow {
            None => Self::None,
            Some(name) if name.starts_with(DISCOVERED) => Self::Discovered,
            Some(_) => Self::Named,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Discovered => "discovered",
            Self::None => "-",
        }
    }
}

pub(crate) async fn run(args: FlowsArgs, settings: &StoreSettings) -> anyhow::Result<()> {
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let found = found(&args, args.team.as_deref(), &reader).await;
    let flows = found.with_context(|| format!("cannot read the ledger {}", settings.database))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&flows)?)?;
    } else if flows.is_empty() {
        writeln!(
            out,
            "Nothing was recorded. Start the gateway with `freehold serve`, and ask it something: \
             `freehold chat`."
        )?;
    } else {
        writeln!(out, "{}", table_of(&flows).trim_fmt())?;
    }
    Ok(())
}

/// The flows of a time, the most expensive first: those of a team and its parts, or all.
pub(crate) async fn found(
    args: &FlowsArgs,
    team: Option<&str>,
    reader: &Reader,
) -> anyhow::Result<Vec<Flow>> {
    let now = OffsetDateTime::now_utc();
    let (since_unix_ms, until_unix_ms) =
        time_range::between(args.since.as_deref(), args.until.as_deref(), now)?;
    let by = |group_by: Vec<GroupBy>| UsageQuery {
        since_unix_ms,
        until_unix_ms,
        group_by,
        filters: Filters {
            team: team.map(TeamName::from),
            ..Filters::default()
        },
        edges: Edges::Exact,
    };
    let whole = reader.usage(&by(vec![GroupBy::Flow])).await?;
    let parts = reader
        .usage(&by(vec![GroupBy::Flow, GroupBy::Perimeter]))
        .await?;
    Ok(flows(whole.rows, &whole.totals, &parts.rows))
}

fn name(row: &UsageRow) -> Option<String> {
    row.group.first().and_then(|(_, value)| value.clone())
}

fn flows(rows: Vec<UsageRow>, all: &Totals, by_perimeter: &[UsageRow]) -> Vec<Flow> {
    // Inside, and in all, of each flow; refused requests are on nobody's machines.
    let mut served: BTreeMap<Option<String>, (u64, u64)> = BTreeMap::new();
    for row in by_perimeter {
        let perimeter = row.group.get(1).and_then(|(_, value)| value.as_deref());
        let (inside, together) = served.entry(name(row)).or_default();
        if let Some(perimeter) = perimeter {
            *together += row.totals.requests;
            *inside += u64::from(perimeter == "inside") * row.totals.requests;
        }
    }
    rows.into_iter()
        .map(|row| {
            let flow = name(&row);
            let (inside, together) = served.get(&flow).copied().unwrap_or_default();
            Flow {
                origin: Origin::of(flow.as_deref()),
                request_share: share(row.totals.requests as f64, all.requests as f64),
                cost_share: share(nanos(&row.totals), nanos(all)),
                inside_share: (together > 0).then(|| share(inside as f64, together as f64)),
                flow,
                totals: row.totals,
            }
        })
        .collect()
}

fn nanos(totals: &Totals) -> f64 {
    totals.cost_nano_usd.nanos() as f64
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn table_of(flows: &[Flow]) -> Table {
    let header = [
        "flow",
        "origin",
        "requests",
        "share",
        "cost USD",
        "share",
        "inside",
        "failed",
        "tokens in",
        "out",
        "p50 ms",
        "p95 ms",
    ];
    let mut table = table(header);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let latency = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    for flow in flows {
        let totals = &flow.totals;
        table.add_row([
            flow.flow.as_deref().map_or("(none)".to_owned(), printable),
            flow.origin.as_str().to_owned(),
            totals.requests.to_string(),
            percent(flow.request_share),
            cost(totals),
            percent(flow.cost_share),
            flow.inside_share.map_or("-".to_owned(), percent),
            totals.failed.to_string(),
            totals.input_tokens.to_string(),
            totals.output_tokens.to_string(),
            latency(totals.latency_p50_ms),
            latency(totals.latency_p95_ms),
        ]);
    }
    align_right(&mut table, 2..header.len());
    table
}

#[cfg(test)]
mod tests {
    use freehold_types::NanoUsd;

    use super::*;

    fn row(group: &[(GroupBy, Option<&str>)], requests: u64, cost_nanos: i64) -> UsageRow {
        let group = group.iter();
        UsageRow {
            group: group
                .map(|(by, value)| (*by, value.map(str::to_owned)))
                .collect(),
            totals: Totals {
                requests,
                cost_nano_usd: NanoUsd::from_nanos(cost_nanos),
                ..Totals::default()
            },
        }
    }

    #[test]
    fn shares_are_of_everything() {
        let flow = |name| (GroupBy::Flow, name);
        let at = |perimeter| (GroupBy::Perimeter, perimeter);
        let rows = vec![
            row(&[flow(Some("support"))], 3, 900),
            row(&[flow(Some("auto-0123456789"))], 6, 100),
            row(&[flow(None)], 1, 0),
        ];
        let by_perimeter = [
            row(&[flow(Some("support")), at(Some("outside"))], 2, 900),
            row(&[flow(Some("support")), at(Some("inside"))], 1, 0),
            row(&[flow(Some("auto-0123456789")), at(Some("inside"))], 6, 100),
            row(&[flow(None), at(None)], 1, 0),
        ];
        let all = row(&[], 10, 1_000).totals;
        let flows = flows(rows, &all, &by_perimeter);
        let told: Vec<_> = flows
            .iter()
            .map(|flow| {
                (
                    flow.origin,
                    flow.request_share,
                    flow.cost_share,
                    flow.inside_share.map(|share| (share * 3.0).round()),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Origin::Named, 0.3, 0.9, Some(1.0)),
                (Origin::Discovered, 0.6, 0.1, Some(3.0)),
                (Origin::None, 0.1, 0.0, None),
            ]
        );
        let text = table_of(&flows).trim_fmt();
        assert!(text.lines().nth(2).unwrap().contains("60.0 %"), "{text}");
        let json = serde_json::to_value(&flows[0]).unwrap();
        assert_eq!(json["flow"], "support");
        assert_eq!(json["origin"], "named");
        assert_eq!(json["requests"], 3);
    }

    #[test]
    fn nothing_is_no_share() {
        assert_eq!(share(0.0, 0.0), 0.0);
    }
}
