//! `freehold sim eval`: how far predictions are off.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use freehold_sim::{
    Errors, FittedConstants, HeldOut, Measured, RecordedRun, RunFigures, cross_validate, fit,
    predict_rows,
};
use serde::Serialize;
use serde_json::json;

use crate::cli::SimEvalArgs;
use crate::commands::usage::{align_right, table};

/// A recorded run and what is said about it.
#[derive(Serialize)]
struct Compared {
    pair: String,
    measured: RunFigures,
    predicted: RunFigures,
    errors: RunFigures,
}

pub(super) fn run(args: &SimEvalArgs) -> anyhow::Result<()> {
    let read = super::measurements(&args.data)?;
    let told = if args.bundled {
        predict_rows(&read.rows, &FittedConstants::bundled())
    } else {
        cross_validate(&read.rows)
    };
    let of = |is_mixture: bool| Errors::of(told.iter().filter(|row| row.is_mixture == is_mixture));
    let (dense, mixture) = (of(false), of(true));
    let pairs = by_pair(&told);
    let runs = recorded(args, &read.rows)?;
    let out = &mut std::io::stdout().lock();
    if args.json {
        let mut value = json!({
            "held_out": !args.bundled, "rows": read.rows.len(), "left_out": read.skipped.len(),
            "dense": dense, "mixture": mixture, "runs": runs,
        });
        if args.rows {
            value["pairs"] = json!(pairs);
        }
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
    }
    let how = if args.bundled {
        "by the bundled constants"
    } else {
        "each pair of model and GPU by constants fitted on all others"
    };
    writeln!(
        out,
        "{} measurements, {} left out; throughput, {how}\n",
        read.rows.len(),
        read.skipped.len()
    )?;
    let mut shown = vec![
        ("dense models".to_owned(), dense),
        ("mixtures".to_owned(), mixture),
    ];
    if args.rows {
        shown.extend(pairs);
    }
    writeln!(out, "{}", errors_table(&shown))?;
    if dense.unpredicted + mixture.unpredicted > 0 {
        writeln!(
            out,
            "\nRows that do not fit into their GPUs by our reckoning are no part of the errors."
        )?;
    }
    if !runs.is_empty() {
        writeln!(
            out,
            "\nRecorded runs of vLLM, simulated with constants fitted without them\n"
        )?;
        writeln!(out, "{}", runs_table(&runs))?;
    }
    Ok(())
}

fn by_pair(told: &[HeldOut]) -> Vec<(String, Errors)> {
    let mut pairs: BTreeMap<&str, Vec<&HeldOut>> = BTreeMap::new();
    for row in told {
        pairs.entry(&row.pair).or_default().push(row);
    }
    pairs
        .into_iter()
        .map(|(pair, rows)| (pair.to_owned(), Errors::of(rows.into_iter())))
        .collect()
}

/// Every recorded run of the directory, with constants that have not seen its model on its GPU.
fn recorded(args: &SimEvalArgs, rows: &[Measured]) -> anyhow::Result<Vec<Compared>> {
    let directory = args.data.join("hardware");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("vllm_run_") && name.ends_with("_meta.json.gz"))
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| compared(args, &directory, name, rows))
        .collect()
}

fn compared(
    args: &SimEvalArgs,
    directory: &Path,
    name: &str,
    rows: &[Measured],
) -> anyhow::Result<Compared> {
    let stem = name.trim_end_matches("_meta.json.gz");
    let meta = super::data::text(&directory.join(name))?;
    let requests = super::data::text(&directory.join(format!("{stem}_requests.jsonl.gz")))?;
    let gpu = stem
        .trim_start_matches("vllm_run_")
        .split('_')
        .next()
        .unwrap_or_default();
    let run =
        RecordedRun::read(&meta, &requests, gpu).with_context(|| format!("cannot use {name}"))?;
    let pair = run.pair();
    let constants = if args.bundled {
        FittedConstants::bundled()
    } else {
        let others: Vec<Measured> = rows
            .iter()
            .filter(|row| row.pair() != pair)
            .cloned()
            .collect();
        fit(&others)
    };
    let predicted = run.predict(&constants)?;
    Ok(Compared {
        pair,
        measured: run.measured,
        predicted,
        errors: predicted.errors(&run.measured),
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn errors_table(shown: &[(String, Errors)]) -> String {
    let mut table = table(["", "rows", "do not fit", "median error", "P90", "bias"]);
    for (name, errors) in shown {
        table.add_row([
            name.clone(),
            errors.rows.to_string(),
            errors.unpredicted.to_string(),
            percent(errors.median),
            percent(errors.p90),
            percent(errors.bias),
        ]);
    }
    align_right(&mut table, [1, 2, 3, 4, 5]);
    table.to_string()
}

/// One figure's name, and where it is.
type Figure = (&'static str, fn(&RunFigures) -> f64);

fn runs_table(runs: &[Compared]) -> String {
    let mut table = table(["run", "figure", "measured", "predicted", "error"]);
    for run in runs {
        let figures: [Figure; 4] = [
            ("tokens/s", |figures| figures.output_tokens_per_s),
            ("ms per token", |figures| figures.tpot_ms),
            ("latency, ms", |figures| figures.latency_ms),
            ("first token, ms", |figures| figures.ttft_ms),
        ];
        for (name, of) in figures {
            table.add_row([
                run.pair.clone(),
                name.to_owned(),
                format!("{:.1}", of(&run.measured)),
                format!("{:.1}", of(&run.predicted)),
                percent(of(&run.errors)),
            ]);
        }
    }
    align_right(&mut table, [2, 3, 4]);
    table.to_string()
}
