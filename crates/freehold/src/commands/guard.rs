//! `freehold guard`: what the guard finds, and how good it is at it.

mod data;
mod eval;
mod table;

use std::io::{Read, Write};

use anyhow::Context;
use freehold_guard::Guard;
use serde_json::json;

use crate::cli::{GuardArgs, GuardCommand, GuardScanArgs};

/// Runs one of the guard's commands with the guard of the configuration.
pub(crate) fn run(args: GuardArgs, guard: &Guard) -> anyhow::Result<()> {
    match args.command {
        GuardCommand::Scan(args) => scan(&args, guard),
        GuardCommand::Eval(args) => eval::run(&args, guard),
    }
}

/// Prints what is found in a text: types and places, never the text.
fn scan(args: &GuardScanArgs, guard: &Guard) -> anyhow::Result<()> {
    let text = match &args.file {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .read_to_string(&mut text)
                .context("cannot read standard input as UTF-8")?;
            text
        }
    };
    let scan = guard.scan_text(&text);
    let found = &scan.hits;
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<_> = found
            .iter()
            .map(|one| {
                json!({
                    "entity": one.entity.as_str(),
                    "start": one.range.start,
                    "end": one.range.end,
                    "confidence": one.confidence,
                })
            })
            .collect();
        let report = json!({
            "findings": rows,
            "incomplete": scan.incomplete.map(|why| why.to_string()),
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    if let Some(why) = scan.incomplete {
        writeln!(
            out,
            "Not everything could be read: {why}. Policy treats such a request as restricted."
        )?;
    }
    if found.is_empty() {
        writeln!(out, "Nothing was found.")?;
    } else {
        writeln!(out, "{}", table::findings(&text, found).trim_fmt())?;
    }
    Ok(())
}
