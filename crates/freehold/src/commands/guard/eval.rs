//! `freehold guard eval`: the guard, and others beside it, on annotated texts.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use freehold_guard::Guard;
use freehold_guard::evaluate::{
    InjectionReport, PiiReport, Predicted, evaluate_injection, evaluate_pii,
};
use indicatif::ProgressBar;
use serde::Serialize;

use super::data::{self, Foreign, Set, Texts};
use super::table;
use crate::cli::GuardEvalArgs;

/// The entity whose confidence is a probability and not a boundary.
const INJECTION: &str = "prompt_injection";

/// What one finder did on one set.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) set: String,
    pub(super) finder: String,
    /// Time per text; absent for findings that were read from a file.
    pub(super) speed: Option<Speed>,
    #[serde(flatten)]
    pub(super) result: Result,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Result {
    Pii(PiiReport),
    Injection(InjectionReport),
}

/// How long texts took.
#[derive(Serialize)]
pub(super) struct Speed {
    /// Median, microseconds per text.
    pub(super) p50_us: f64,
    /// 99th percentile, microseconds per text.
    pub(super) p99_us: f64,
    /// All bytes over all time, microseconds per 4,096 bytes.
    pub(super) us_per_4_kb: f64,
}

pub(super) fn run(args: &GuardEvalArgs, guard: &Guard) -> anyhow::Result<()> {
    let sets = data::read(&args.data, &args.set)?;
    let others = args
        .beside
        .iter()
        .map(|text| {
            let Some((name, path)) = text.split_once('=') else {
                bail!("--beside wants NAME=FILE, and got {text:?}");
            };
            Ok((name.to_owned(), data::read_foreign(path.as_ref())?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for set in &sets {
        rows.push(ours(set, guard, args));
        for (name, foreign) in &others {
            rows.extend(theirs(set, name, foreign, args)?);
        }
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        writeln!(out, "{}", table::report(&rows))?;
    }
    Ok(())
}

fn ours(set: &Set, guard: &Guard, args: &GuardEvalArgs) -> Row {
    let mut watch = Watch::default();
    let result = match &set.texts {
        Texts::Spans(samples) => {
            let progress = progress(&set.name, samples.len());
            let mut find = |text: &str| {
                watch
                    .time(text, || guard.scan_text(text))
                    .hits
                    .into_iter()
                    .filter(|one| one.entity.as_str() != INJECTION)
                    .map(|one| Predicted {
                        kind: one.entity.to_string(),
                        range: one.range,
                    })
                    .collect()
            };
            let report = evaluate_pii(samples, &args.ignore, &mut |sample| {
                progress.inc(1);
                find(&sample.text)
            });
            progress.finish_and_clear();
            Result::Pii(report)
        }
        Texts::Labels(samples) => {
            let mut score = |text: &str| {
                watch
                    .time(text, || guard.scan_text(text))
                    .hits
                    .iter()
                    .filter(|one| one.entity.as_str() == INJECTION)
                    .map(|one| one.confidence)
                    .fold(0.0, f32::max)
            };
            Result::Injection(evaluate_injection(samples, args.threshold, &mut score))
        }
    };
    Row {
        set: set.name.clone(),
        finder: "freehold".to_owned(),
        speed: Some(watch.speed()),
        result,
    }
}

/// Nothing for labelled texts: findings say nothing about them.
fn theirs(
    set: &Set,
    name: &str,
    foreign: &Foreign,
    args: &GuardEvalArgs,
) -> anyhow::Result<Option<Row>> {
    let Texts::Spans(samples) = &set.texts else {
        return Ok(None);
    };
    let missing = samples
        .iter()
        .find(|sample| !foreign.contains_key(&(set.name.clone(), sample.id.clone())));
    if let Some(sample) = missing {
        // What was never looked at must not count as clean.
        return Err(anyhow::anyhow!("{} of {} is missing", sample.id, set.name))
            .with_context(|| format!("the findings of {name}"));
    }
    let report = evaluate_pii(samples, &args.ignore, &mut |sample| {
        let spans = &foreign[&(set.name.clone(), sample.id.clone())];
        data::to_bytes(&sample.text, spans)
    });
    Ok(Some(Row {
        set: set.name.clone(),
        finder: name.to_owned(),
        speed: None,
        result: Result::Pii(report),
    }))
}

fn progress(name: &str, count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new(count as u64).with_message(name.to_owned())
}

#[derive(Default)]
struct Watch {
    times: Vec<Duration>,
    bytes: usize,
}

impl Watch {
    fn time<T>(&mut self, text: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.times.push(start.elapsed());
        self.bytes += text.len();
        result
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn speed(mut self) -> Speed {
        self.times.sort_unstable();
        let us = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let total: Duration = self.times.iter().sum();
        Speed {
            p50_us: us(self.times.get(self.times.len() / 2)),
            p99_us: us(self.times.get(self.times.len() * 99 / 100)),
            us_per_4_kb: total.as_secs_f64() * 1e6 * 4096.0 / self.bytes.max(1) as f64,
        }
    }
}
