//! Shows what the guard misses and what it finds wrongly in an annotated set: for people who improve it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use freehold_guard::evaluate::{Predicted, Sample, class, evaluate_pii};
use freehold_guard::{Guard, Settings};

use crate::data::read;

/// Says nothing about what stands where.
const INJECTION: &str = "prompt_injection";

/// Characters shown on each side of a mistake.
const AROUND_CHARS: usize = 40;

/// What to show.
pub(crate) struct Shown {
    /// Types that count as not annotated.
    pub(crate) ignored: Vec<String>,
    /// One annotators' type or class, or none for all.
    pub(crate) kind: Option<String>,
    /// Mistakes of each type.
    pub(crate) most: usize,
}

/// Prints the figures of one set, then examples of mistakes by type.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a program for the terminal"
)]
pub(crate) fn show(path: &Path, shown: &Shown) -> Result<()> {
    let text = read(path)?;
    let samples: Vec<Sample> = text
        .lines()
        .map(|line| serde_json::from_str(line).context("a bad row"))
        .collect::<Result<_>>()?;
    let guard = Guard::new(&Settings::default())?;
    let report = evaluate_pii(&samples, &shown.ignored, &mut |sample| {
        find(&guard, &sample.text)
    });
    let percent = |share: Option<f64>| share.unwrap_or(0.0) * 100.0;
    for (what, share) in [
        ("missed", report.missed),
        ("residual", report.residual),
        ("flagged", report.flagged),
    ] {
        println!(
            "{what:<10} {:>6.2} % of {} ({:.1}-{:.1})",
            percent(share.share),
            share.total,
            share.low * 100.0,
            share.high * 100.0
        );
    }
    for row in &report.classes {
        println!(
            "{:<14} P {:>5.1} of {:<6} R {:>5.1} of {:<6} F1 {:.3}",
            row.class,
            percent(row.precision.share),
            row.precision.total,
            percent(row.recall.share),
            row.recall.total,
            row.f1
        );
    }
    for row in &report.kinds {
        println!(
            "{:<20} {:>6} seen {:>5.1} covered {:>5.1}",
            row.kind,
            row.seen.total,
            percent(row.seen.share),
            percent(row.covered.share)
        );
    }
    let mut mistakes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sample in &samples {
        collect(&guard, sample, shown, &mut mistakes);
    }
    for (what, lines) in mistakes {
        println!("== {what}: {}", lines.len());
        let step = (lines.len() / shown.most.max(1)).max(1);
        lines
            .iter()
            .step_by(step)
            .take(shown.most)
            .for_each(|line| println!("   {line}"));
    }
    Ok(())
}

fn find(guard: &Guard, text: &str) -> Vec<Predicted> {
    guard
        .scan_text(text)
        .hits
        .into_iter()
        .filter(|hit| hit.entity.as_str() != INJECTION)
        .map(|hit| Predicted {
            kind: hit.entity.to_string(),
            range: hit.range,
        })
        .collect()
}

/// Gold spans that are not wholly covered, and findings that touch no gold span.
fn collect(
    guard: &Guard,
    sample: &Sample,
    shown: &Shown,
    mistakes: &mut BTreeMap<String, Vec<String>>,
) {
    let text = sample.text.as_str();
    let is_shown = |kind: &str| {
        shown
            .kind
            .as_deref()
            .is_none_or(|wanted| wanted == kind || class(kind) == Some(wanted))
    };
    let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    ends.push(text.len());
    let found = find(guard, text);
    let covered = |at: usize| found.iter().any(|one| one.range.contains(&at));
    let mut gold: Vec<Range<usize>> = Vec::new();
    for span in &sample.spans {
        let range = ends[span.start.min(ends.len() - 1)]..ends[span.end.min(ends.len() - 1)];
        gold.push(range.clone());
        let is_ignored = shown
            .ignored
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&span.kind));
        let is_kept = text[range.clone()]
            .char_indices()
            .any(|(at, letter)| letter.is_alphanumeric() && !covered(range.start + at));
        if is_kept && !is_ignored && is_shown(&span.kind) {
            let by: Vec<String> = found
                .iter()
                .filter(|one| one.range.start < range.end && range.start < one.range.end)
                .map(|one| format!("{} {:?}", one.kind, &text[one.range.clone()]))
                .collect();
            let line = format!("{} {}", around(text, &range), by.join(", "));
            mistakes
                .entry(format!("left of {}", span.kind))
                .or_default()
                .push(line);
        }
    }
    for one in &found {
        let touches = gold
            .iter()
            .any(|gold| gold.start < one.range.end && one.range.start < gold.end);
        if !touches && is_shown(&one.kind) {
            mistakes
                .entry(format!("false {}", one.kind))
                .or_default()
                .push(around(text, &one.range));
        }
    }
}

/// A range with what stands around it.
fn around(text: &str, range: &Range<usize>) -> String {
    let before: Vec<char> = text[..range.start]
        .chars()
        .rev()
        .take(AROUND_CHARS)
        .collect();
    let before: String = before.into_iter().rev().collect();
    let after: String = text[range.end..].chars().take(AROUND_CHARS).collect();
    format!("{before:?} [[{:?}]] {after:?}", &text[range.clone()])
}
