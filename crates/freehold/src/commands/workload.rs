//! `freehold workload`: what traffic is like, and the same in freehold's own form.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Result, bail};
use comfy_table::Table;
use freehold_store::StoreSettings;
use freehold_types::NanoUsd;
use freehold_workload::{
    ImportReport, Imported, Reuse, TrafficStatistics, WorkloadStatistics, statistics, write_csv,
    write_jsonl,
};
use serde::Serialize;

use super::export::Place;
use super::usage::{align_right, printable, table};
use crate::cli::{
    WorkloadArgs, WorkloadCommand, WorkloadConvertArgs, WorkloadForm, WorkloadShowArgs,
};
use crate::workload_source;

/// Caches whose hit rates are shown, tokens.
const CACHE_TOKENS: [u64; 3] = [100_000, 1_000_000, 10_000_000];
/// So many flows are shown; JSON has all.
const FLOWS_SHOWN: usize = 20;
/// So many bad rows are shown; JSON has all that are kept.
const BAD_ROWS_SHOWN: usize = 10;

/// What `show --json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    report: ImportReport,
    statistics: WorkloadStatistics,
}

pub(crate) async fn run(args: WorkloadArgs, ledger: Option<&StoreSettings>) -> Result<()> {
    match args.command {
        WorkloadCommand::Show(args) => show(args, ledger).await,
        WorkloadCommand::Convert(args) => convert(args, ledger).await,
    }
}

async fn show(args: WorkloadShowArgs, ledger: Option<&StoreSettings>) -> Result<()> {
    let from = &args.from;
    let imported = workload_source::read(&from.files, ledger, &from.read).await?;
    let shown = Shown {
        statistics: statistics(&imported.workload, &CACHE_TOKENS),
        report: imported.report,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    } else {
        write!(out, "{}", text_of(&shown))?;
    }
    Ok(())
}

async fn convert(args: WorkloadConvertArgs, ledger: Option<&StoreSettings>) -> Result<()> {
    let form = form_of(&args)?;
    let from = &args.from;
    let imported = workload_source::read(&from.files, ledger, &from.read).await?;
    if args.out == Path::new("-") {
        write_as(form, &imported, BufWriter::new(std::io::stdout().lock()))?;
    } else {
        let place = Place::new(&args.out, args.force)?;
        write_as(form, &imported, place.writer()?)?;
        place.keep()?;
    }
    let mut told = std::io::stderr().lock();
    if args.json {
        let report = serde_json::to_string_pretty(&imported.report)?;
        if args.out == Path::new("-") {
            writeln!(told, "{report}")?;
        } else {
            writeln!(std::io::stdout().lock(), "{report}")?;
        }
        return Ok(());
    }
    writeln!(
        told,
        "{}: {} requests",
        args.out.display(),
        imported.workload.arrivals.len()
    )?;
    write!(told, "{}", report_of(&imported.report))?;
    Ok(())
}

fn write_as(form: WorkloadForm, imported: &Imported, out: impl Write) -> Result<()> {
    let (workload, notes) = (&imported.workload, &imported.report.notes);
    match form {
        WorkloadForm::Jsonl => write_jsonl(workload, notes, out)?,
        WorkloadForm::Csv => write_csv(workload, notes, out)?,
    }
    Ok(())
}

/// What the command line says, or the file's name.
fn form_of(args: &WorkloadConvertArgs) -> Result<WorkloadForm> {
    let named = args.out.extension().and_then(|ending| ending.to_str());
    match (args.to, named) {
        (Some(form), _) => Ok(form),
        (None, Some("jsonl" | "ndjson")) => Ok(WorkloadForm::Jsonl),
        (None, Some("csv")) => Ok(WorkloadForm::Csv),
        _ => bail!("say what to write: --to jsonl or csv"),
    }
}

fn text_of(shown: &Shown) -> String {
    let told = &shown.statistics;
    let names: Vec<&str> = shown
        .report
        .formats
        .iter()
        .map(|format| format.as_str())
        .collect();
    let generated = if told.is_generated {
        ", in part made up: see the notes"
    } else {
        ""
    };
    let mut text = format!(
        "{} requests over {}, read as {}{generated}\n\n",
        told.all.requests,
        duration(told.days),
        names.join(" and ")
    );
    text.push_str(&traffic_table(told).trim_fmt());
    text.push_str("\n\n");
    text.push_str(&lengths_table(&told.all).trim_fmt());
    text.push('\n');
    if let Some(reuse) = &told.reuse {
        text.push_str("\nPrompt cache at best\n");
        for line in reuse.iter().map(reuse_line) {
            text.push_str(&line);
        }
    }
    if told.models.len() > 1 {
        let mut models: Vec<(&String, &u64)> = told.models.iter().collect();
        models.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let models = models.iter().take(10);
        let models: Vec<String> = models
            .map(|(name, requests)| format!("{} {requests}", printable(name)))
            .collect();
        text.push_str(&format!("\nModels: {}\n", models.join(", ")));
    }
    text.push('\n');
    text.push_str(&report_of(&shown.report));
    text
}

fn reuse_line(reuse: &Reuse) -> String {
    let size = match reuse.cache_tokens {
        None => "without bounds".to_owned(),
        Some(tokens) => format!("{} tokens", count(to_real(tokens))),
    };
    format!(
        "  {size}: {:.1} % of blocks, {:.1} % of input tokens\n",
        100.0 * reuse.block_hit_rate,
        100.0 * reuse.token_hit_rate
    )
}

fn traffic_table(told: &WorkloadStatistics) -> Table {
    let mut table = table([
        "flow",
        "requests",
        "a day",
        "in a day",
        "cached a day",
        "out a day",
        "peak/mean hour",
        "gap cv",
        "per session",
        "cost usd",
    ]);
    let row = |name: String, traffic: &TrafficStatistics| {
        let optional = |number: Option<f64>| {
            number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
        };
        vec![
            name,
            traffic.requests.to_string(),
            count(traffic.requests_per_day),
            count(traffic.input_tokens_per_day),
            count(traffic.cached_tokens_per_day),
            count(traffic.output_tokens_per_day),
            optional(traffic.peak_hour_to_mean),
            optional(traffic.inter_arrival_cv),
            optional(traffic.requests_per_session),
            cost(traffic),
        ]
    };
    for flow in told.flows.iter().take(FLOWS_SHOWN) {
        table.add_row(row(printable(&flow.flow), &flow.traffic));
    }
    if told.flows.len() > FLOWS_SHOWN {
        let more = told.flows.len() - FLOWS_SHOWN;
        table.add_row(vec![format!("({more} more)")]);
    }
    if told.flows.len() > 1 {
        table.add_row(row("total".to_owned(), &told.all));
    }
    align_right(&mut table, 1..10);
    table
}

fn lengths_table(traffic: &TrafficStatistics) -> Table {
    let mut table = table(["tokens", "mean", "p50", "p90", "p95", "p99", "max"]);
    for (name, lengths) in [("input", traffic.input), ("output", traffic.output)] {
        table.add_row(vec![
            name.to_owned(),
            format!("{:.0}", lengths.mean),
            lengths.p50.to_string(),
            lengths.p90.to_string(),
            lengths.p95.to_string(),
            lengths.p99.to_string(),
            lengths.max.to_string(),
        ]);
    }
    align_right(&mut table, 1..7);
    table
}

/// How it was read: what is bad, left out and assumed.
fn report_of(report: &ImportReport) -> String {
    let mut text = String::new();
    if report.bad_rows > 0 {
        text.push_str(&format!(
            "Bad rows: {} of {}, counted in no figure\n",
            report.bad_rows, report.rows
        ));
        for bad in report.bad.iter().take(BAD_ROWS_SHOWN) {
            text.push_str(&format!("  {}\n", printable(&bad.to_string())));
        }
        if report.bad_rows > BAD_ROWS_SHOWN as u64 {
            for (reason, rows) in &report.bad_reasons {
                text.push_str(&format!("  in all {rows}: {}\n", printable(reason)));
            }
        }
    }
    if !report.left_out.is_empty() {
        text.push_str("Left out\n");
        for (why, rows) in &report.left_out {
            text.push_str(&format!("  {rows} rows: {why}\n"));
        }
    }
    if !report.notes.is_empty() {
        text.push_str("Notes\n");
        for note in &report.notes {
            text.push_str(&format!("  {}\n", printable(note)));
        }
    }
    text
}

/// An unknown cost is never shown as nothing.
fn cost(traffic: &TrafficStatistics) -> String {
    let known = NanoUsd::from_nanos(traffic.cost_nano_usd).usd();
    match (traffic.unknown_cost_requests, traffic.cost_nano_usd) {
        (0, _) => format!("{known:.2}"),
        (unknown, _) if unknown == traffic.requests => "unknown".to_owned(),
        _ => format!(">={known:.2}"),
    }
}

/// A volume as people say it: 1.23M.
fn count(number: f64) -> String {
    let scales = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    for (scale, letter) in scales {
        if number >= scale {
            let unit = if letter == "k" { 1e3 } else { scale };
            return format!("{:.2}{letter}", number / unit);
        }
    }
    format!("{number:.0}")
}

fn duration(days: f64) -> String {
    if days >= 2.0 {
        format!("{days:.1} days")
    } else if days * 24.0 >= 2.0 {
        format!("{:.1} hours", days * 24.0)
    } else {
        format!("{:.1} minutes", days * 1440.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size to look at")]
fn to_real(count: u64) -> f64 {
    count as f64
}
