//! `freehold calibrate`: what a running server is like, told from how it serves a bounded load.

mod load;
mod prompts;
mod send;
mod tell;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use freehold_sim::{CalibratedServer, LoadRun, ServerLimits, calibrate, medians};
use serde::{Deserialize, Serialize};

use super::export::Place;
use crate::cli::CalibrateArgs;
use load::Plan;
use tell::Told;

/// Prompts' tokens of a step when nobody tells.
const STEP_TOKENS: u32 = 512;

/// What `--keep` writes and `--from` reads: times and token counts.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    model: String,
    limits: ServerLimits,
    /// Runs to fit on.
    fitted: Vec<LoadRun>,
    /// Runs to compare with.
    checked: Vec<LoadRun>,
}

pub(crate) async fn run(args: CalibrateArgs) -> Result<()> {
    let (mut record, notes) = match &args.from {
        Some(path) => (read(path)?, Vec::new()),
        None => {
            let plan = Plan::new(&args).await?;
            let mut out = std::io::stderr().lock();
            writeln!(out, "{}", plan.stated())?;
            drop(out);
            if args.dry_run {
                return Ok(());
            }
            measured(&args, plan).await?
        }
    };
    record.limits = limits(&args, record.limits);
    if let Some(path) = &args.keep {
        write(path, &(serde_json::to_string(&record)? + "\n"), args.force)?;
    }
    let server = server(&args, &record)?;
    if let Some(path) = &args.out {
        write(path, &server.to_json(), args.force)?;
    }
    let told = Told {
        fitted: medians(&server, &record.fitted)?,
        checked: medians(&server, &record.checked)?,
        is_own: args.server.is_none(),
        server,
        notes,
    };
    told.print(args.json, args.out.as_deref())
}

/// Sends the load.
async fn measured(args: &CalibrateArgs, plan: Plan) -> Result<(Record, Vec<String>)> {
    let clients = args.load.clients.iter().chain(&args.load.check);
    let limits = ServerLimits {
        slots: clients.copied().max().unwrap_or(1),
        step_tokens: STEP_TOKENS,
        cache_tokens: None,
        gpus: 1,
    };
    let model = plan.model().to_owned();
    let (fitted, checked, notes) = plan.send().await?;
    let record = Record {
        model,
        limits,
        fitted,
        checked,
    };
    Ok((record, notes))
}

/// What the command line says about the server goes before what the record says.
fn limits(args: &CalibrateArgs, known: ServerLimits) -> ServerLimits {
    let told = &args.told;
    ServerLimits {
        slots: told.server_slots.unwrap_or(known.slots),
        step_tokens: told.step_tokens.unwrap_or(known.step_tokens),
        cache_tokens: told.cache_tokens.or(known.cache_tokens),
        gpus: told.gpus.unwrap_or(known.gpus),
    }
}

fn server(args: &CalibrateArgs, record: &Record) -> Result<CalibratedServer> {
    let Some(path) = &args.server else {
        let fitted = calibrate(&record.model, &record.fitted, record.limits);
        return fitted.map_err(|error| match &args.keep {
            Some(path) => anyhow::Error::new(error).context(format!(
                "nothing was fitted; the times are in {}",
                path.display()
            )),
            None => error.into(),
        });
    };
    let known = read_server(path)?;
    let limits = limits(args, known.limits);
    Ok(known.with_limits(limits))
}

/// A measured server's file.
pub(crate) fn read_server(path: &Path) -> Result<CalibratedServer> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    CalibratedServer::from_json(&text)
        .with_context(|| format!("{name} is no file of `freehold calibrate --out`"))
}

fn read(path: &Path) -> Result<Record> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{name} is no file of `freehold calibrate --keep`"))
}

fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    let place = Place::new(path, force)?;
    let mut writer = place.writer()?;
    let unwritten = || format!("cannot write {}", path.display());
    writer.write_all(text.as_bytes()).with_context(unwritten)?;
    writer.flush().with_context(unwritten)?;
    place.keep()
}
