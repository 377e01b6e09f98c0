//! `freehold advise`: rent or own, on real traffic.

mod configured;
mod interview;
mod question;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use freehold_config::Settings;
use freehold_planner::{Advice, Answers, Case, Proof, Traffic, report};
use freehold_store::StoreSettings;
use freehold_workload::{Imported, reuse};

use super::export::Place;
use crate::cli::AdviseArgs;
use crate::workload_source;

/// `settings` is what the gateway is configured to do, when that is to count.
pub(crate) async fn run(args: AdviseArgs, settings: Option<&Settings>) -> Result<()> {
    let answers = interview::answers(&args.known)?;
    if let Some(path) = &args.known.save_answers {
        write_file(path, &answers.to_yaml(), args.force)?;
    }
    let ledger = settings
        .filter(|_| args.ledger)
        .map(|settings| &settings.ledger);
    let imported = workload_source::read(&args.trace, ledger, &args.read).await?;
    let proofs = proofs(&args, ledger).await?;
    let advice = answer(&args, &imported, (answers.clone(), proofs), settings)?;
    if let Some(path) = &args.html {
        let page = report::html(&advice, &answers, &title(&args))?;
        write_file(path, &page, args.force)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&advice)?)?;
    } else {
        write!(out, "{}", report::text(&advice))?;
        if let Some(path) = &args.html {
            writeln!(out, "\nThe whole report: {}", path.display())?;
        }
    }
    Ok(())
}

fn answer(
    args: &AdviseArgs,
    imported: &Imported,
    (answers, proofs): (Answers, Vec<Proof>),
    settings: Option<&Settings>,
) -> Result<Advice> {
    let workload = &imported.workload;
    let reusable = reuse(workload, &[])
        .first()
        .map(|found| found.token_hit_rate);
    let has_blocks = workload.prefix_block_tokens > 0;
    let traffic = Traffic::of(workload, reusable.filter(|_| has_blocks))?;
    let mut notes = Vec::new();
    let prices = question::prices(args, workload, &mut notes)?;
    let found = question::search(args, workload, &answers, &mut notes)?;
    let assumptions = question::assumptions(&args.known)?;
    notes.extend(imported.report.notes.iter().cloned());
    let bad = imported.report.bad_rows;
    if bad > 0 {
        notes.push(format!(
            "{bad} of {} rows could not be read and are not in it; `freehold workload show` lists them",
            imported.report.rows
        ));
    }
    let models = found
        .candidates
        .iter()
        .map(|candidate| candidate.model.clone());
    let hosts = prices.hosts(models);
    let mut flow_bounds = question::flow_bounds(&args.known, workload)?;
    if let Some(settings) = settings {
        flow_bounds.extend(configured::bounds(
            settings,
            workload,
            &flow_bounds,
            &mut notes,
        ));
    }
    Ok(freehold_planner::advise(Case {
        workload,
        traffic: &traffic,
        hosts,
        api: prices.api,
        candidates: found.candidates,
        rejected: found.rejected,
        assumptions,
        answers,
        flow_bounds,
        proofs,
        settings: question::settings(args),
        notes,
    })?)
}

/// What was proven: what a file says, and where it says nothing, what the ledger's rollouts found.
async fn proofs(args: &AdviseArgs, ledger: Option<&StoreSettings>) -> Result<Vec<Proof>> {
    let mut proofs = question::proofs(&args.known)?;
    let Some(ledger) = ledger else {
        return Ok(proofs);
    };
    for found in super::rollout::proofs(ledger).await? {
        let is_same = |known: &Proof| known.flow == found.flow && known.model == found.model;
        if !proofs.iter().any(is_same) {
            proofs.push(found);
        }
    }
    Ok(proofs)
}

fn title(args: &AdviseArgs) -> String {
    let names = args.trace.iter().map(|path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return "the gateway's ledger".to_owned();
    }
    names.join(", ")
}

fn write_file(path: &Path, text: &str, force: bool) -> Result<()> {
    let place = Place::new(path, force)?;
    let unwritten = || format!("cannot write {}", path.display());
    let mut writer = place.writer()?;
    writer.write_all(text.as_bytes()).with_context(unwritten)?;
    writer.flush().with_context(unwritten)?;
    place.keep()
}
