//! `freehold quality`: what users say of answers, and what agents' work shows, beside errors.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};
use freehold_loops::FeedbackBody;
use freehold_store::{
    AgentTotals, Edges, FeedbackRow, Filters, GroupBy, Reader, Rollouts, StoreSettings, Totals,
    UsageQuery, UsageRow,
};
use freehold_types::FlowName;
use freehold_types::rollout::MIRRORED;
use serde::Serialize;
use time::OffsetDateTime;

use super::time_range;
use super::usage::{align_right, printable, table};
use crate::cli::{QualityArgs, QualityBy};

/// The latest so many words of feedback are looked at.
const FEEDBACK_MAX: u64 = 1_000_000;

/// What a line is of; `None` where requests have none.
type Group = Vec<Option<String>>;

/// One line.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Line {
    group: Group,
    requests: u64,
    completed: u64,
    failed: u64,
    refused: u64,
    #[serde(flatten)]
    agent: AgentTotals,
    /// How often users gave a score.
    feedback: u64,
    mean_score: Option<f64>,
    #[serde(skip)]
    score_sum: f64,
}

pub(crate) async fn run(args: QualityArgs, settings: &StoreSettings) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let (since, _) = time_range::between(Some(&args.since), None, now)?;
    let query = UsageQuery {
        since_unix_ms: since,
        until_unix_ms: None,
        // The flow tells clients' requests from mirrored ones.
        group_by: std::iter::once(GroupBy::Flow)
            .chain(args.by.iter().map(|by| group(*by)))
            .collect(),
        filters: Filters {
            flow: args.flow.as_deref().map(FlowName::from),
            ..Filters::default()
        },
        edges: Edges::Exact,
    };
    let unread = || format!("cannot read the ledger {}", settings.database);
    let report = Reader::open(&settings.database, &settings.spool.dir)
        .usage(&query)
        .await
        .with_context(unread)?;
    let feedback = Rollouts::new(settings.database.clone())
        .feedback(since.unwrap_or(0), FEEDBACK_MAX)
        .await
        .with_context(unread)?;
    let mut lines = BTreeMap::new();
    for row in &report.rows {
        add_requests(&mut lines, row);
    }
    for row in &feedback {
        add_feedback(&mut lines, row, &args);
    }
    let lines: Vec<Line> = lines.into_values().collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?;
    } else if lines.is_empty() {
        writeln!(out, "Nothing of that kind was recorded in that time.")?;
    } else {
        writeln!(out, "{}", told(&lines, &args.by))?;
    }
    Ok(())
}

fn group(by: QualityBy) -> GroupBy {
    match by {
        QualityBy::Flow => GroupBy::Flow,
        QualityBy::Deployment => GroupBy::Deployment,
        QualityBy::Model => GroupBy::Model,
        QualityBy::Key => GroupBy::Key,
        QualityBy::Day => GroupBy::Day,
    }
}

fn line(lines: &mut BTreeMap<Group, Line>, group: Group) -> &mut Line {
    lines.entry(group).or_insert_with_key(|group| Line {
        group: group.clone(),
        ..Line::default()
    })
}

fn add_requests(lines: &mut BTreeMap<Group, Line>, row: &UsageRow) {
    let mut values = row.group.iter().map(|(_, value)| value.clone());
    let flow = values.next().flatten();
    if flow.is_some_and(|flow| flow.starts_with(MIRRORED)) {
        return;
    }
    let line = line(lines, values.collect());
    let Totals {
        requests,
        completed,
        failed,
        refused,
        agent,
        ..
    } = row.totals;
    line.requests += requests;
    line.completed += completed;
    line.failed += failed;
    line.refused += refused;
    line.agent.tool_results += agent.tool_results;
    line.agent.tool_errors += agent.tool_errors;
    line.agent.repeated_calls += agent.repeated_calls;
    line.agent.looping_requests += agent.looping_requests;
    line.agent.retried_requests += agent.retried_requests;
}

fn add_feedback(lines: &mut BTreeMap<Group, Line>, row: &FeedbackRow, args: &QualityArgs) {
    let parsed: Result<FeedbackBody, _> = serde_json::from_str(&row.body);
    let Ok(body) = parsed else {
        tracing::warn!(id = %row.id, "this feedback cannot be read and is left out");
        return;
    };
    let Some(score) = body.score else {
        return;
    };
    if args.flow.is_some() && body.flow != args.flow {
        return;
    }
    let group = args.by.iter().map(|by| of_feedback(*by, row, &body));
    let line = line(lines, group.collect());
    line.feedback += 1;
    line.score_sum += score;
    line.mean_score = Some(line.score_sum / line.feedback as f64);
}

fn of_feedback(by: QualityBy, row: &FeedbackRow, body: &FeedbackBody) -> Option<String> {
    match by {
        QualityBy::Flow => body.flow.clone(),
        QualityBy::Deployment => body.deployment.clone(),
        QualityBy::Model => {
            let deployment = body.deployment.as_deref()?;
            let (_, model) = deployment.split_once('/').unwrap_or(("", deployment));
            Some(model.to_owned())
        }
        QualityBy::Key => Some(body.key.clone()),
        QualityBy::Day => {
            let seconds = i64::try_from(row.at_unix_ms / 1_000).ok()?;
            let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
            Some(time.date().to_string())
        }
    }
}

fn told(lines: &[Line], by: &[QualityBy]) -> String {
    let names = by.iter().map(|by| group(*by).as_str());
    let columns: Vec<_> = names
        .chain([
            "requests",
            "completed",
            "failed",
            "refused",
            "score",
            "scores",
            "tool results",
            "with error",
            "repeated calls",
            "looping",
            "retried",
        ])
        .collect();
    let width = columns.len();
    let mut rows = table(columns);
    let share = |part: u64, of: u64| {
        if of == 0 {
            "-".to_owned()
        } else {
            format!("{:.1} %", part as f64 / of as f64 * 100.0)
        }
    };
    for line in lines {
        let groups = line.group.iter().map(|value| match value {
            Some(value) => printable(value),
            None => "(none)".to_owned(),
        });
        let cells = [
            line.requests.to_string(),
            share(line.completed, line.requests),
            line.failed.to_string(),
            line.refused.to_string(),
            line.mean_score
                .map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}")),
            line.feedback.to_string(),
            line.agent.tool_results.to_string(),
            share(line.agent.tool_errors, line.agent.tool_results),
            line.agent.repeated_calls.to_string(),
            line.agent.looping_requests.to_string(),
            line.agent.retried_requests.to_string(),
        ];
        rows.add_row(groups.chain(cells).collect::<Vec<_>>());
    }
    align_right(&mut rows, by.len()..width);
    rows.trim_fmt()
}
