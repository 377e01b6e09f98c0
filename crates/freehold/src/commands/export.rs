//! `freehold export`: the ledger in files that other programs read.

mod attempts;
mod cells;
mod focus;
mod focus_prices;
mod focus_row;
mod parquet;
mod place;

use std::collections::HashMap;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use freehold_config::Settings;
use freehold_store::Reader;
use freehold_types::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use time::OffsetDateTime;

use self::attempts::rows;
use self::cells::{Csv, JsonLines, Sink};
use self::focus::Focus;
use self::focus_prices::{Prices, Provider};
use self::parquet::{GROUP_ROWS, Parquet};
pub(crate) use self::place::Place;
use super::outcomes::{PAGE, Pages};
use super::time_range;
use super::usage::filters;
use crate::cli::{ExportArgs, ExportFormat};

/// What was written.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Written {
    format: &'static str,
    since_unix_ms: Option<u64>,
    until_unix_ms: u64,
    requests: u64,
    rows: u64,
    /// Attempts whose cost is unknown: their rows have no cost, or a cost of nothing in FOCUS.
    unknown_cost_attempts: u64,
}

pub(crate) async fn run(args: ExportArgs, settings: &Settings) -> Result<()> {
    let reader = Reader::open(&settings.ledger.database, &settings.ledger.spool.dir);
    let now = OffsetDateTime::now_utc();
    let written = export(&args, &reader, || prices(settings), now).await?;
    tell(&args, &written)
}

async fn export(
    args: &ExportArgs,
    reader: &Reader,
    prices: impl FnOnce() -> Prices,
    now: OffsetDateTime,
) -> Result<Written> {
    let format = format_of(args)?;
    let (since, until) = time_range::between(args.since.as_deref(), args.until.as_deref(), now)?;
    let now_unix_ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    // What comes in meanwhile belongs to the next export.
    let until = until.unwrap_or(u64::MAX).min(now_unix_ms.saturating_add(1));
    let mut pages = Pages::new(reader, since, until, filters(&args.only), PAGE);
    let place = if is_standard_output(args) {
        None
    } else {
        Some(Place::new(&args.out, args.force)?)
    };
    let out: Box<dyn Write + Send> = match &place {
        Some(place) => Box::new(place.writer()?),
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let mut table = table(format, out, prices)?;
    let mut written = Written {
        format: name(format),
        since_unix_ms: since,
        until_unix_ms: until,
        ..Written::default()
    };
    let progress = progress();
    while let Some(outcomes) = pages.next().await.context("cannot read the ledger")? {
        for outcome in &outcomes {
            table.add(outcome)?;
            written.requests += 1;
        }
        progress.set_position(written.requests);
    }
    progress.finish_and_clear();
    table.finish(&mut written)?;
    if let Some(place) = place {
        place.keep()?;
    }
    Ok(written)
}

fn is_standard_output(args: &ExportArgs) -> bool {
    args.out == Path::new("-")
}

/// Says what was written: on standard error where the file goes to standard output.
fn tell(args: &ExportArgs, written: &Written) -> Result<()> {
    let mut told = std::io::stderr().lock();
    match (args.json, is_standard_output(args)) {
        (true, false) => {
            let report = serde_json::to_string_pretty(written)?;
            writeln!(std::io::stdout().lock(), "{report}")?;
        }
        (true, true) => writeln!(told, "{}", serde_json::to_string(written)?)?,
        (false, false) => {
            let (file, rows, requests) = (args.out.display(), written.rows, written.requests);
            writeln!(told, "{file}: {rows} rows of {requests} requests")?;
        }
        (false, true) => {}
    }
    if written.unknown_cost_attempts > 0 {
        writeln!(
            told,
            "The cost of {} attempts is unknown and in no sum: configure a price for their models.",
            written.unknown_cost_attempts
        )?;
    }
    Ok(())
}

/// A spinner where somebody looks.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} requests, {per_sec}");
    match style {
        Ok(style) => ProgressBar::new_spinner().with_style(style),
        Err(_) => ProgressBar::hidden(),
    }
}

/// What the command line says, or the file's name.
fn format_of(args: &ExportArgs) -> Result<ExportFormat> {
    let named = args.out.extension().and_then(|ending| ending.to_str());
    let format = match (args.format, named) {
        (Some(format), _) => format,
        (None, Some("parquet")) => ExportFormat::Parquet,
        (None, Some("csv")) => ExportFormat::Csv,
        (None, Some("jsonl" | "ndjson")) => ExportFormat::Jsonl,
        _ => bail!("say what to write: --format parquet, csv, jsonl or focus"),
    };
    if format == ExportFormat::Parquet && is_standard_output(args) {
        bail!("Parquet needs a file: name one with --out");
    }
    Ok(format)
}

const fn name(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Parquet => "parquet",
        ExportFormat::Csv => "csv",
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Focus => "focus",
    }
}

/// What outcomes become.
enum Table {
    Attempts {
        sink: Box<dyn Sink>,
        rows: u64,
        unknown: u64,
    },
    Focus(Box<Focus>),
}

fn table(
    format: ExportFormat,
    out: Box<dyn Write + Send>,
    prices: impl FnOnce() -> Prices,
) -> Result<Table> {
    let columns = attempts::COLUMNS;
    let sink: Box<dyn Sink> = match format {
        ExportFormat::Focus => {
            let sink = Box::new(Csv::new(out, focus_row::COLUMNS)?);
            return Ok(Table::Focus(Box::new(Focus::new(sink, prices()))));
        }
        ExportFormat::Parquet => Box::new(Parquet::new(out, columns, GROUP_ROWS)?),
        ExportFormat::Csv => Box::new(Csv::new(out, columns)?),
        ExportFormat::Jsonl => Box::new(JsonLines::new(out, columns)),
    };
    Ok(Table::Attempts {
        sink,
        rows: 0,
        unknown: 0,
    })
}

impl Table {
    fn add(&mut self, outcome: &Outcome) -> Result<()> {
        match self {
            Self::Focus(focus) => focus.add(outcome),
            Self::Attempts {
                sink,
                rows: count,
                unknown,
            } => {
                for row in rows(outcome) {
                    sink.row(&row)?;
                    *count += 1;
                }
                let unpriced = attempts::costs(outcome).into_iter();
                *unknown += unpriced.filter(Option::is_none).count() as u64;
                Ok(())
            }
        }
    }

    fn finish(self, written: &mut Written) -> Result<()> {
        match self {
            Self::Focus(focus) => {
                written.unknown_cost_attempts = focus.unknown;
                written.rows = focus.finish()?;
            }
            Self::Attempts {
                sink,
                rows,
                unknown,
            } => {
                sink.finish()?;
                written.unknown_cost_attempts = unknown;
                written.rows = rows;
            }
        }
        Ok(())
    }
}

/// Who serves, and how it is paid for today.
fn prices(settings: &Settings) -> Prices {
    let hosted = settings.hosted.iter();
    let backends = hosted.clone().map(|entry| {
        let provider = Provider {
            name: entry.settings.row.name.clone(),
            price: entry.price.clone(),
            price_provider: entry.settings.row.price_provider.clone(),
        };
        (entry.settings.id.clone(), provider)
    });
    let embedded = settings.embedded.iter().map(|entry| &entry.deployment);
    let deployments = hosted
        .flat_map(|entry| &entry.deployments)
        .chain(embedded)
        .map(|deployment| (deployment.id.clone(), deployment.price.clone()));
    Prices::new(
        deployments.collect::<HashMap<_, _>>(),
        backends.collect::<HashMap<_, _>>(),
    )
}

#[cfg(test)]
mod tests;
