//! Trains the score of prompt injection and measures it.

mod corpus;
mod regression;

use std::path::Path;

use anyhow::{Context, Result};
use freehold_guard::training::injection::Linear;

use self::corpus::{Sample, bastion, load};
use self::regression::Regression;
use crate::data::rows;

const SEED: u64 = 20_250_102;
const FOLDS: usize = 5;

/// Trains on everything, calibrated on scores of held-out groups, and writes the model.
pub(crate) fn train(data: &Path, out: &Path) -> Result<()> {
    let samples = load(data, SEED)?;
    let calibration = calibrate(&cross_validate(&samples)?);
    let mut regression = Regression::new(&samples);
    regression.train(&samples, SEED);
    std::fs::write(out, regression.file(calibration))
        .with_context(|| format!("cannot write {}", out.display()))
}

/// Without a model: cross-validated with whole variants of attacks and templates held out. With a
/// model: on the set that is never trained on.
pub(crate) fn evaluate(data: &Path, model: Option<&Path>) -> Result<()> {
    if let Some(path) = model {
        let file =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let model = Linear::new(&file).context("not a model")?;
        let scores: Vec<(f32, bool)> = bastion(data)?
            .iter()
            .map(|sample| (probability(&model, &sample.text), sample.attack))
            .collect();
        report("bastioncorpus", &scores);
        for name in ["pupa_new", "wnut17_dev", "datafog_corpus"] {
            let rows = rows(&data.join(format!("guard/pii/{name}.jsonl.gz")))?;
            let scores: Vec<(f32, bool)> = rows
                .iter()
                .map(|row| (probability(&model, &row.text), false))
                .collect();
            report(name, &scores);
        }
        return Ok(());
    }
    let samples = load(data, SEED)?;
    let scored = cross_validate(&samples)?;
    let (slope, shift) = calibrate(&scored);
    let scores = |wanted: &dyn Fn(&Sample) -> bool| -> Vec<(f32, bool)> {
        scored
            .iter()
            .filter(|(sample, _)| wanted(sample))
            .map(|(sample, score)| {
                (
                    1.0 / (1.0 + (-(slope * score + shift)).exp()),
                    sample.attack,
                )
            })
            .collect()
    };
    report(
        "purplellama, variants out",
        &scores(&|sample| sample.source == "purplellama"),
    );
    report("all, groups out", &scores(&|_| true));
    for source in [
        "banking",
        "clinc",
        "mmlu",
        "documents",
        "tweets",
        "languages",
        "code",
        "templates",
        "jailbreak",
    ] {
        report(source, &scores(&|sample| sample.source == source));
    }
    Ok(())
}

/// Scores the lines of standard input.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a program for the terminal"
)]
pub(crate) fn score(path: &Path) -> Result<()> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let model = Linear::new(&file).context("not a model")?;
    for line in std::io::stdin().lines() {
        let line = line?.replace("\\n", "\n");
        println!(
            "{:.3} {:+.2} {line:?}",
            probability(&model, &line),
            raw(&model, &line)
        );
    }
    Ok(())
}

/// The worst window's score without calibration.
fn raw(model: &Linear<'_>, text: &str) -> f32 {
    let mut worst = f32::NEG_INFINITY;
    model.raw_windows(text, &mut |_, score| worst = worst.max(score));
    worst
}

fn probability(model: &Linear<'_>, text: &str) -> f32 {
    let mut worst = 0.0_f32;
    model.windows(text, &mut |_, score| worst = worst.max(score));
    worst
}

/// Each sample with its score by a model that saw nothing of its group.
fn cross_validate(samples: &[Sample]) -> Result<Vec<(&Sample, f32)>> {
    let mut scored = Vec::new();
    for fold in 0..FOLDS {
        let (held, rest): (Vec<&Sample>, Vec<&Sample>) = samples
            .iter()
            .partition(|sample| sample.group as usize % FOLDS == fold);
        let rest: Vec<Sample> = rest.into_iter().cloned().collect();
        let mut regression = Regression::new(&rest);
        regression.train(&rest, SEED);
        let file = regression.file((1.0, 0.0));
        let model = Linear::new(&file).context("not a model")?;
        scored.extend(
            held.into_iter()
                .map(|sample| (sample, raw(&model, &sample.text))),
        );
    }
    Ok(scored)
}

/// Of ordinary texts that the model has not seen, so many of a thousand have a probability of a half
/// or more. Look-alikes that were made to be hard do not count.
const FALSE_ALARMS_PER_THOUSAND: usize = 5;

/// Slope and shift of a logistic curve. The slope is Platt's, by gradient descent, with attacks and
/// ordinary texts weighing the same; the shift puts a half where few ordinary texts reach it, because
/// in real traffic attacks are rare.
fn calibrate(scored: &[(&Sample, f32)]) -> (f32, f32) {
    let attacks = scored
        .iter()
        .filter(|(sample, _)| sample.attack)
        .count()
        .max(1) as f64;
    let others = (scored.len() as f64 - attacks).max(1.0);
    let (mut slope, mut shift) = (1.0_f64, 0.0_f64);
    for _ in 0..3_000 {
        let (mut by_slope, mut by_shift) = (0.0, 0.0);
        for (sample, score) in scored.iter().filter(|(_, score)| score.is_finite()) {
            let score = f64::from(*score);
            let weight = if sample.attack {
                0.5 / attacks
            } else {
                0.5 / others
            };
            let error =
                1.0 / (1.0 + (-(slope * score + shift)).exp()) - f64::from(u8::from(sample.attack));
            by_slope += weight * error * score;
            by_shift += weight * error;
        }
        slope -= 0.5 * by_slope;
        shift -= 0.5 * by_shift;
    }
    let mut ordinary: Vec<f32> = scored
        .iter()
        .filter(|(sample, _)| !sample.attack && sample.source != "templates")
        .map(|(_, score)| *score)
        .collect();
    ordinary.sort_by(|one, other| other.total_cmp(one));
    let half = ordinary
        .get(ordinary.len() * FALSE_ALARMS_PER_THOUSAND / 1_000)
        .copied()
        .unwrap_or(0.0);
    (slope as f32, -(slope as f32) * half)
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of a program for the terminal"
)]
fn report(what: &str, scores: &[(f32, bool)]) {
    let attacks = scores.iter().filter(|(_, attack)| *attack).count();
    let others = scores.len() - attacks;
    let found = |from: f32| {
        scores
            .iter()
            .filter(|(score, attack)| *attack && *score >= from)
            .count()
    };
    let wrong = |from: f32| {
        scores
            .iter()
            .filter(|(score, attack)| !*attack && *score >= from)
            .count()
    };
    let (right, false_alarms) = (found(0.5), wrong(0.5));
    let precision = right as f64 / (right + false_alarms).max(1) as f64;
    let recall = right as f64 / attacks.max(1) as f64;
    let mut benign: Vec<f32> = scores
        .iter()
        .filter(|(_, attack)| !*attack)
        .map(|(score, _)| *score)
        .collect();
    benign.sort_by(|one, other| other.total_cmp(one));
    // The lowest threshold that at most one in a hundred ordinary texts reach.
    let threshold = benign
        .get(others / 100)
        .map_or(0.0, |score| score + f32::EPSILON);
    println!(
        "{what:<26} {attacks:>5} attacks {others:>6} others  P {precision:.3} R {recall:.3} F1 {:.3} false alarms {:.4}  recall at 1 % false alarms {:.3}",
        2.0 * precision * recall / (precision + recall).max(1e-9),
        false_alarms as f64 / others.max(1) as f64,
        found(threshold) as f64 / attacks.max(1) as f64,
    );
}
