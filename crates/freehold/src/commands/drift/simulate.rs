//! `freehold drift simulate`: how soon changes are found, by playing many records.

use std::io::Write as _;

use anyhow::{Result, ensure};
use freehold_proof::drift::{Play, Played, play};
use serde::Serialize;

use super::courses;
use crate::cli::DriftSimulateArgs;
use crate::commands::usage::{align_right, table};

/// By how much the mean changes.
const CHANGES: [f64; 6] = [0.0, -0.05, -0.1, -0.2, -0.3, -0.4];

/// A change, and how its records ended.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    play: Play,
    #[serde(flatten)]
    played: Played,
}

pub(super) fn run(args: &DriftSimulateArgs) -> Result<()> {
    let watch = courses::watch(&args.watch)?;
    ensure!(
        (0.0..=1.0).contains(&args.before),
        "--before is a mean from 0 to 1"
    );
    let rows: Vec<Row> = CHANGES
        .into_iter()
        .map(|change| {
            let of = Play {
                probes: usize::from(args.probes),
                before: args.before,
                change,
                runs: usize::from(args.runs),
            };
            let mut random = fastrand::Rng::with_seed(args.seed);
            Row {
                play: of,
                played: play(&watch, &of, args.records, || random.f64()),
            }
        })
        .collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    let mut told = table(["change", "found", "runs until found", "dated late"]);
    for row in &rows {
        let played = &row.played;
        let share = |count: u64, of: u64| {
            if of == 0 {
                String::new()
            } else {
                format!("{:.1} %", count as f64 * 100.0 / of as f64)
            }
        };
        let runs = if played.alarms > 0 {
            format!("{:.1}", played.runs_mean)
        } else {
            String::new()
        };
        told.add_row([
            format!("{:+.2}", row.play.change),
            share(played.alarms, played.courses),
            runs,
            share(played.misdated, played.alarms),
        ]);
    }
    align_right(&mut told, 0..4);
    writeln!(out, "{}", told.trim_fmt())?;
    Ok(())
}
