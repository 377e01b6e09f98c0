//! `freehold feedback`: what users say of answers.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};
use freehold_loops::FeedbackBody;
use freehold_store::{FeedbackRow, Rollouts, StoreSettings};
use serde::Serialize;
use time::OffsetDateTime;

use super::time_range;
use super::usage::{align_right, printable, table};
use crate::cli::{FeedbackArgs, FeedbackBy};

/// The latest so many are looked at.
const ROWS_MAX: u64 = 1_000_000;

/// One line.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Line {
    /// What it is of.
    group: Vec<String>,
    /// How often users said something.
    count: u64,
    /// How often with a score.
    scored: u64,
    /// The mean of these.
    mean_score: Option<f64>,
    #[serde(skip)]
    sum: f64,
    /// How often which label.
    labels: BTreeMap<String, u64>,
}

pub(crate) async fn run(args: FeedbackArgs, settings: &StoreSettings) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let (since, _) = time_range::between(Some(&args.since), None, now)?;
    let store = Rollouts::new(settings.database.clone());
    let rows = store
        .feedback(since.unwrap_or(0), ROWS_MAX)
        .await
        .with_context(|| format!("feedback is kept in {}", settings.database))?;
    let lines = lines(&rows, &args.by, args.flow.as_deref());
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?;
    } else if lines.is_empty() {
        writeln!(
            out,
            "Nobody said anything. Programs tell with POST /v1/feedback: docs/rollout.md."
        )?;
    } else {
        writeln!(out, "{}", told(&lines, &args.by))?;
    }
    Ok(())
}

fn lines(rows: &[FeedbackRow], by: &[FeedbackBy], flow: Option<&str>) -> Vec<Line> {
    let mut lines: BTreeMap<Vec<String>, Line> = BTreeMap::new();
    for row in rows {
        let parsed: Result<FeedbackBody, _> = serde_json::from_str(&row.body);
        let Ok(body) = parsed else {
            tracing::warn!(id = %row.id, "this feedback cannot be read and is left out");
            continue;
        };
        if flow.is_some() && body.flow.as_deref() != flow {
            continue;
        }
        let group: Vec<_> = by.iter().map(|by| value(*by, row, &body)).collect();
        let line = lines.entry(group.clone()).or_default();
        line.group = group;
        line.count += 1;
        if let Some(score) = body.score {
            line.scored += 1;
            line.sum += score;
            line.mean_score = Some(line.sum / line.scored as f64);
        }
        if let Some(label) = body.label {
            *line.labels.entry(label).or_default() += 1;
        }
    }
    lines.into_values().collect()
}

fn value(by: FeedbackBy, row: &FeedbackRow, body: &FeedbackBody) -> String {
    let text = match by {
        FeedbackBy::Flow => body.flow.clone(),
        FeedbackBy::Deployment => body.deployment.clone(),
        FeedbackBy::Rollout => body
            .rollout
            .as_ref()
            .map(|part| format!("{} {}", part.rollout, part.side)),
        FeedbackBy::Day => {
            let seconds = i64::try_from(row.at_unix_ms / 1_000).unwrap_or(0);
            let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
            time.map(|time| time.date().to_string())
        }
    };
    text.unwrap_or_else(|| "-".to_owned())
}

fn told(lines: &[Line], by: &[FeedbackBy]) -> String {
    let mut head: Vec<&str> = by
        .iter()
        .map(|by| match by {
            FeedbackBy::Flow => "flow",
            FeedbackBy::Deployment => "deployment",
            FeedbackBy::Day => "day",
            FeedbackBy::Rollout => "rollout",
        })
        .collect();
    head.extend(["count", "mean score", "labels"]);
    let mut rows = table(head);
    for line in lines {
        let labels: Vec<_> = line
            .labels
            .iter()
            .map(|(label, count)| format!("{label} {count}"))
            .collect();
        let mut cells: Vec<String> = line.group.iter().map(|text| printable(text)).collect();
        cells.push(line.count.to_string());
        cells.push(
            line.mean_score
                .map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}")),
        );
        cells.push(labels.join(", "));
        rows.add_row(cells);
    }
    align_right(&mut rows, by.len()..by.len() + 2);
    rows.trim_fmt()
}
