//! `freehold drift show`: what a record says.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use freehold_proof::drift::{Course, Measure, Run, State, Watch, length, slow_above_ms};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record::{self, Asked, Line, Measured};
use crate::cli::{DriftShowArgs, WatchArgs};
use crate::commands::time_range;
use crate::commands::usage::{align_right, printable, table};

pub(super) fn run(args: &DriftShowArgs) -> Result<bool> {
    let watch = watch(&args.watch)?;
    let lines = record::read(&args.record)?;
    ensure!(
        !lines.is_empty(),
        "{} has no runs: `freehold drift probe --record` writes them",
        args.record.display()
    );
    let found = Found::of(&lines, &args.watch, &watch)?;
    found.print(args.json)?;
    Ok(!found.has_changed())
}

pub(super) fn watch(args: &WatchArgs) -> Result<Watch> {
    let watch = Watch {
        baseline_runs: args.baseline_runs,
        tolerance: args.tolerance,
        false_alarm_runs: args.false_alarm_runs,
        ..Watch::default()
    };
    watch.check()?;
    Ok(watch)
}

/// All that a record says.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    watch: Watch,
    changed: bool,
    deployments: Vec<Deployment>,
}

/// One model at one address, asked the same.
#[derive(Debug, Serialize)]
struct Deployment {
    model: String,
    url: String,
    probes: String,
    /// When each run began.
    runs: Vec<String>,
    /// Probes without an answer, by run.
    unanswered: Vec<usize>,
    courses: Vec<Told>,
}

/// A course, and when its change was.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    course: Course,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_at: Option<String>,
}

impl Found {
    pub(super) fn of(lines: &[Line], args: &WatchArgs, watch: &Watch) -> Result<Self> {
        let since = args.since.as_deref();
        let since = since.map(|text| time_range::parse(text, OffsetDateTime::now_utc()));
        let since = since.transpose().context("--since")?;
        let mut groups: Vec<(&Asked, Vec<&Line>)> = Vec::new();
        for line in lines {
            let at = OffsetDateTime::parse(&line.at, &Rfc3339)
                .with_context(|| format!("`{}` is no time", line.at))?;
            let at_unix_ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            if since.is_some_and(|since| at_unix_ms < since) {
                continue;
            }
            match groups.iter_mut().find(|(asked, _)| **asked == line.asked) {
                Some((_, lines)) => lines.push(line),
                None => groups.push((&line.asked, vec![line])),
            }
        }
        let streams = groups.len();
        let deployments = groups.into_iter().map(|(asked, lines)| {
            let runs = runs(&lines, args, watch);
            let at = |run: usize| lines.get(run).map(|line| line.at.clone());
            let courses = watch.courses(&runs, streams).into_iter().map(|course| {
                let (since_at, found_at) = match course.state {
                    State::Changed { since, found, .. } => (at(since), at(found)),
                    _ => (None, None),
                };
                Told {
                    course,
                    since_at,
                    found_at,
                }
            });
            let unanswered = |line: &&Line| {
                let errors = line.answers.iter().filter(|one| one.error.is_some());
                errors.count()
            };
            Deployment {
                model: asked.model.clone(),
                url: asked.url.clone(),
                probes: asked.probes.clone(),
                runs: lines.iter().map(|line| line.at.clone()).collect(),
                unanswered: lines.iter().map(unanswered).collect(),
                courses: courses.collect(),
            }
        });
        let deployments: Vec<Deployment> = deployments.collect();
        let is_changed = |told: &Told| matches!(told.course.state, State::Changed { .. });
        let changed = deployments
            .iter()
            .any(|deployment| deployment.courses.iter().any(is_changed));
        Ok(Self {
            watch: *watch,
            changed,
            deployments,
        })
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// When, what and how much.
    pub(super) fn alerts(&self) -> Vec<String> {
        let mut alerts = Vec::new();
        for deployment in &self.deployments {
            for told in &deployment.courses {
                if let State::Changed {
                    since,
                    found,
                    before,
                    after,
                } = told.course.state
                {
                    alerts.push(format!(
                        "CHANGED: {} at {}: {} went from {before:.3} to {after:.3}, probably with run {} ({}); found at run \
                         {} ({})",
                        printable(&deployment.model),
                        printable(&deployment.url),
                        told.course.measure.name(),
                        since + 1,
                        told.since_at.as_deref().unwrap_or_default(),
                        found + 1,
                        told.found_at.as_deref().unwrap_or_default()
                    ));
                }
            }
        }
        alerts
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        let mut rows = table(["model", "measure", "runs", "usual", "last", "state"]);
        for deployment in &self.deployments {
            for told in &deployment.courses {
                rows.add_row(cells(deployment, &told.course));
            }
        }
        align_right(&mut rows, 2..5);
        writeln!(out, "{}", rows.trim_fmt())?;
        let unanswered: usize = self
            .deployments
            .iter()
            .flat_map(|deployment| &deployment.unanswered)
            .sum();
        if unanswered > 0 {
            writeln!(out, "{unanswered} probes had no answer")?;
        }
        for alert in self.alerts() {
            writeln!(out, "{alert}")?;
        }
        Ok(())
    }
}

fn cells(deployment: &Deployment, course: &Course) -> [String; 6] {
    let (usual, state) = match course.state {
        State::Learning { runs_missing } => (None, format!("learning: {runs_missing} more runs")),
        State::Steady { usual, alarm } => {
            let share = alarm * 100.0;
            (Some(usual), format!("steady, {share:.0} % of an alarm"))
        }
        State::Changed { before, .. } => (Some(before), "CHANGED".to_owned()),
    };
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    [
        printable(&deployment.model),
        course.measure.name().to_owned(),
        course.means.iter().flatten().count().to_string(),
        number(usual),
        number(course.means.iter().rev().flatten().next().copied()),
        state,
    ]
}

/// What was measured, as numbers from 0 to 1.
fn runs(lines: &[&Line], args: &WatchArgs, watch: &Watch) -> Vec<Run> {
    let answered = |line: &Line| {
        let answers = line.answers.iter().filter(|one| one.error.is_none());
        answers.cloned().collect::<Vec<Measured>>()
    };
    let baseline = lines.iter().take(watch.baseline_runs);
    let latencies: Vec<u64> = baseline
        .flat_map(|line| answered(line))
        .map(|one| one.latency_ms)
        .collect();
    let slow_ms = slow_above_ms(&latencies);
    let run = |line: &&Line| {
        let mut run = Run::new();
        for one in answered(line) {
            for measure in Measure::ALL {
                if args.ignore.contains(&measure) {
                    continue;
                }
                let flag = |is: bool| f64::from(u8::from(is));
                let value = match measure {
                    Measure::Score => one.score.map(f64::from),
                    Measure::Similarity => one.similarity.map(f64::from),
                    Measure::Identical => one.is_identical.map(flag),
                    Measure::Length => one
                        .reference_chars
                        .map(|reference| length(one.chars, reference)),
                    Measure::Meaning => one.meaning.map(f64::from),
                    Measure::Refusals => Some(flag(one.refuses)),
                    Measure::Slow => slow_ms.map(|slow| flag(one.latency_ms > slow)),
                };
                if let Some(value) = value {
                    let values: &mut BTreeMap<String, f64> = run.entry(measure).or_default();
                    values.insert(one.id.clone(), value);
                }
            }
        }
        run
    };
    lines.iter().map(run).collect()
}
