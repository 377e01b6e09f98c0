//! `freehold prices owned`: what owned machines have cost, and what of it requests carry.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use freehold_store::{Edges, Filters, GroupBy, Reader, StoreSettings, UsageQuery};
use freehold_types::{BackendId, NanoUsd};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::usage::{align_right, printable, table};
use crate::money::machines::{self, Machine};

/// What a machine has cost. `carried` and `idle` together are all of its time.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct OwnedRow {
    backend: String,
    since: String,
    until: String,
    per_hour_nano_usd: NanoUsd,
    /// All of its time.
    wall_nano_usd: NanoUsd,
    /// The part of it in which the gateway did not run.
    away_nano_usd: NanoUsd,
    /// What requests carry, their shares of idle time included.
    carried_nano_usd: NanoUsd,
    /// What no request carries.
    idle_nano_usd: NanoUsd,
    requests: u64,
}

impl OwnedRow {
    pub(super) fn new(name: &str, machine: &Machine, carried: NanoUsd, requests: u64) -> Self {
        let wall = machine.wall();
        Self {
            backend: name.to_owned(),
            since: moment(machine.since_unix_ms),
            until: moment(machine.until_unix_ms),
            per_hour_nano_usd: machine.per_hour_nano_usd,
            wall_nano_usd: wall,
            away_nano_usd: machine.away_nano_usd,
            carried_nano_usd: carried,
            // Requests that have ended since the time was written are not in it yet: less than nothing
            // is nothing.
            idle_nano_usd: NanoUsd::from_nanos((wall.nanos() - carried.nanos()).max(0)),
            requests,
        }
    }
}

pub(super) async fn run(
    json: bool,
    ledger: &StoreSettings,
    home: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let path = machines::file_in(home);
    let record =
        machines::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader = Reader::open(&ledger.database, &ledger.spool.dir);
    let mut rows = Vec::new();
    for (name, machine) in &record.machines {
        let query = UsageQuery {
            since_unix_ms: Some(machine.since_unix_ms),
            until_unix_ms: None,
            group_by: vec![GroupBy::Backend],
            filters: Filters {
                backend: Some(BackendId::from(name.as_str())),
                ..Filters::default()
            },
            edges: Edges::Exact,
        };
        let report = reader
            .usage(&query)
            .await
            .with_context(|| format!("cannot read the ledger {}", ledger.database))?;
        let totals = &report.totals;
        rows.push(OwnedRow::new(
            name,
            machine,
            totals.cost_nano_usd,
            totals.requests,
        ));
    }
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?);
    }
    if rows.is_empty() {
        return Ok(writeln!(
            out,
            "No owned machine has been counted yet. `usd_per_hour` or `owned` below a backend in \
             freehold.yaml says what an hour of it costs."
        )?);
    }
    Ok(writeln!(out, "{}", table_of(&rows))?)
}

fn table_of(rows: &[OwnedRow]) -> String {
    let mut table = table([
        "backend",
        "since",
        "USD per hour",
        "time USD",
        "of it away",
        "requests",
        "they carry",
        "idle",
        "idle %",
    ]);
    for row in rows {
        let share = match row.wall_nano_usd.nanos() {
            0 => String::new(),
            _ => format!(
                "{:.1}",
                100.0 * row.idle_nano_usd.usd() / row.wall_nano_usd.usd()
            ),
        };
        table.add_row([
            printable(&row.backend),
            row.since.clone(),
            row.per_hour_nano_usd.usd().to_string(),
            row.wall_nano_usd.to_string(),
            row.away_nano_usd.to_string(),
            row.requests.to_string(),
            row.carried_nano_usd.to_string(),
            row.idle_nano_usd.to_string(),
            share,
        ]);
    }
    align_right(&mut table, 2..9);
    table.trim_fmt()
}

fn moment(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}
