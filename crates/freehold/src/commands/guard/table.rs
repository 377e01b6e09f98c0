//! The guard's reports for people.

use std::fmt::Write;

use comfy_table::Table;
use freehold_guard::Hit;
use freehold_guard::evaluate::{InjectionReport, PiiReport, Proportion};

use super::eval::{Result, Row};
use crate::commands::usage::table;

/// Types and places. Lines and columns count from 1, columns in characters.
pub(super) fn findings(text: &str, found: &[Hit]) -> Table {
    let mut table = table(["entity", "line", "column", "length", "confidence"]);
    for one in found {
        let before = &text[..one.range.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        table.add_row([
            one.entity.to_string(),
            (before.matches('\n').count() + 1).to_string(),
            (before[line_start..].chars().count() + 1).to_string(),
            text[one.range.clone()].chars().count().to_string(),
            format!("{:.2}", one.confidence),
        ]);
    }
    table
}

/// All of an evaluation.
pub(super) fn report(rows: &[Row]) -> String {
    let mut text = String::new();
    let pii: Vec<_> = rows
        .iter()
        .filter_map(|row| match &row.result {
            Result::Pii(report) => Some((row, report)),
            Result::Injection(_) => None,
        })
        .collect();
    let injection: Vec<_> = rows
        .iter()
        .filter_map(|row| match &row.result {
            Result::Injection(report) => Some((row, report)),
            Result::Pii(_) => None,
        })
        .collect();
    let mut add = |title: &str, table: &Table| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title}\n\n{}\n", table.trim_fmt());
    };
    if !pii.is_empty() {
        add("Texts (share, 95 % interval)", &prompts(&pii));
        add("Classes of types", &classes(&pii));
        add("Annotated types", &kinds(&pii));
    }
    if !injection.is_empty() {
        add("Prompt injection", &injections(&injection));
    }
    text.trim_end().to_owned()
}

fn prompts(rows: &[(&Row, &PiiReport)]) -> Table {
    let mut table = table([
        "set",
        "finder",
        "texts",
        "missed",
        "residual",
        "clean flagged",
        "p50 us",
        "p99 us",
        "us per 4 KB",
    ]);
    for (row, report) in rows {
        let mut cells = vec![
            row.set.clone(),
            row.finder.clone(),
            report.prompts.to_string(),
            share(&report.missed),
            share(&report.residual),
            share(&report.flagged),
        ];
        cells.extend(speed(row));
        table.add_row(cells);
    }
    table
}

fn classes(rows: &[(&Row, &PiiReport)]) -> Table {
    let mut table = table([
        "set",
        "finder",
        "class",
        "precision",
        "recall",
        "F1",
        "F2",
        "F2 95 %",
    ]);
    for (row, report) in rows {
        for class in &report.classes {
            table.add_row([
                row.set.clone(),
                row.finder.clone(),
                class.class.to_owned(),
                share(&class.precision),
                share(&class.recall),
                format!("{:.3}", class.f1),
                format!("{:.3}", class.f2),
                format!("{:.3}-{:.3}", class.f2_interval.0, class.f2_interval.1),
            ]);
        }
    }
    table
}

fn kinds(rows: &[(&Row, &PiiReport)]) -> Table {
    let mut table = table([
        "set",
        "finder",
        "type",
        "spans",
        "found as such",
        "seen",
        "nothing left",
    ]);
    for (row, report) in rows {
        for kind in &report.kinds {
            table.add_row([
                row.set.clone(),
                row.finder.clone(),
                kind.kind.clone(),
                kind.seen.total.to_string(),
                kind.found.as_ref().map_or_else(|| "-".to_owned(), share),
                share(&kind.seen),
                share(&kind.covered),
            ]);
        }
    }
    table
}

fn injections(rows: &[(&Row, &InjectionReport)]) -> Table {
    let mut table = table([
        "set",
        "finder",
        "precision",
        "recall",
        "F1",
        "recall at 1 % false alarms",
        "p50 us",
        "p99 us",
        "us per 4 KB",
    ]);
    for (row, report) in rows {
        let mut cells = vec![
            row.set.clone(),
            row.finder.clone(),
            share(&report.precision),
            share(&report.recall),
            format!("{:.3}", report.f1),
            share(&report.recall_at_1_percent),
        ];
        cells.extend(speed(row));
        table.add_row(cells);
    }
    table
}

fn speed(row: &Row) -> [String; 3] {
    match &row.speed {
        Some(speed) => [speed.p50_us, speed.p99_us, speed.us_per_4_kb].map(|us| format!("{us:.0}")),
        None => std::array::from_fn(|_| "-".to_owned()),
    }
}

fn share(proportion: &Proportion) -> String {
    match proportion.share {
        Some(share) => format!(
            "{:.1} % of {} ({:.1}-{:.1})",
            share * 100.0,
            proportion.total,
            proportion.low * 100.0,
            proportion.high * 100.0
        ),
        None => "-".to_owned(),
    }
}
