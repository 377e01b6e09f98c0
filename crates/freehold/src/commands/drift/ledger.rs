//! `freehold drift ledger`: what live traffic says of drift, from what the gateway has recorded.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context, Result};
use freehold_proof::drift::{Course, Measure, Run, State, Watch, length, slow_above_ms};
use freehold_store::{Filters, Reader, StoreSettings};
use freehold_types::{Outcome, OutcomeStatus};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::courses::watch;
use crate::cli::DriftLedgerArgs;
use crate::commands::outcomes::Pages;
use crate::commands::time_range;
use crate::commands::usage::{align_right, printable, table};

/// Outcomes that are read at once.
const PAGE: usize = 2_000;
/// Of each stream the latest so many requests are looked at.
const REQUESTS_MAX: usize = 100_000;

/// One request, as far as drift is concerned.
#[derive(Clone, Copy)]
struct Seen {
    at_unix_ms: u64,
    answered: bool,
    output_tokens: u64,
    total_ms: u64,
}

/// The requests of one flow at one deployment.
#[derive(Debug, Serialize)]
struct Stream {
    flow: String,
    deployment: String,
    requests: usize,
    courses: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    course: Course,
    /// When the first batch after the change began, and when there was enough evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_at: Option<String>,
}

impl Told {
    fn has_changed(&self) -> bool {
        matches!(self.course.state, State::Changed { .. })
    }
}

/// False when something changed.
pub(super) async fn run(args: &DriftLedgerArgs, settings: &StoreSettings) -> Result<bool> {
    let watch = watch(&args.watch)?;
    let seen = read(args, settings).await?;
    let count = seen.len();
    let streams: Vec<Stream> = seen
        .into_iter()
        .map(|((flow, deployment), requests)| Stream {
            flow,
            deployment,
            requests: requests.len(),
            courses: courses(&requests, args, &watch, count),
        })
        .collect();
    let has_changed = streams
        .iter()
        .any(|stream| stream.courses.iter().any(Told::has_changed));
    let mut out = std::io::stdout().lock();
    if args.json {
        let told = serde_json::json!({"changed": has_changed, "streams": streams});
        writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
    } else if streams.is_empty() {
        writeln!(out, "Nothing was recorded in that time.")?;
    } else {
        writeln!(out, "{}", told(&streams))?;
    }
    Ok(!has_changed)
}

type Streams = BTreeMap<(String, String), Vec<Seen>>;

async fn read(args: &DriftLedgerArgs, settings: &StoreSettings) -> Result<Streams> {
    let now = OffsetDateTime::now_utc();
    let since = args.watch.since.as_deref().unwrap_or("30d");
    let (since, _) = time_range::between(Some(since), None, now)?;
    let until = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let filters = Filters {
        flow: args.flow.clone().map(Into::into),
        ..Filters::default()
    };
    let mut pages = Pages::new(&reader, since, until, filters, PAGE);
    let mut streams = Streams::new();
    let unread = || format!("cannot read the ledger {}", settings.database);
    while let Some(outcomes) = pages.next().await.with_context(unread)? {
        for outcome in &outcomes {
            if let Some((stream, seen)) = seen(outcome) {
                let requests = streams.entry(stream).or_default();
                if requests.len() < REQUESTS_MAX {
                    requests.push(seen);
                }
            }
        }
    }
    // They were read backwards.
    for requests in streams.values_mut() {
        requests.sort_by_key(|seen| seen.at_unix_ms);
    }
    Ok(streams)
}

/// `None` for what says nothing of a deployment: refused by the gateway, or left by its client.
fn seen(outcome: &Outcome) -> Option<((String, String), Seen)> {
    let last = outcome.attempts.last()?;
    let answered = match outcome.status {
        OutcomeStatus::Completed => true,
        OutcomeStatus::Failed => false,
        OutcomeStatus::Cancelled | OutcomeStatus::Refused => return None,
    };
    let flow = outcome.flow.as_ref().map_or("-", |flow| flow.as_str());
    let stream = (flow.to_owned(), last.deployment.to_string());
    let seen = Seen {
        at_unix_ms: outcome.started_unix_ms,
        answered,
        output_tokens: last.usage.output_tokens,
        total_ms: last.duration_us / 1_000,
    };
    Some((stream, seen))
}

fn courses(requests: &[Seen], args: &DriftLedgerArgs, watch: &Watch, streams: usize) -> Vec<Told> {
    // A batch that is not full says too little.
    let batches: Vec<&[Seen]> = requests.chunks_exact(args.batch).collect();
    let baseline = batches.iter().take(watch.baseline_runs).copied().flatten();
    let answered: Vec<Seen> = baseline.filter(|seen| seen.answered).copied().collect();
    let mut latencies: Vec<u64> = answered.iter().map(|seen| seen.total_ms).collect();
    latencies.sort_unstable();
    let mut tokens: Vec<u64> = answered.iter().map(|seen| seen.output_tokens).collect();
    tokens.sort_unstable();
    let usual_tokens = tokens.get(tokens.len() / 2).copied();
    let slow_ms = slow_above_ms(&latencies);
    let flag = |is: bool| f64::from(u8::from(is));
    let run = |batch: &&[Seen]| {
        let mut run = Run::new();
        for (place, seen) in batch.iter().enumerate() {
            let mut put = |measure: Measure, value: f64| {
                if !args.watch.ignore.contains(&measure) {
                    let values = run.entry(measure).or_default();
                    values.insert(place.to_string(), value);
                }
            };
            put(Measure::Score, flag(seen.answered));
            if !seen.answered {
                continue;
            }
            if let Some(usual) = usual_tokens {
                put(Measure::Length, length(seen.output_tokens, usual));
            }
            if let Some(slow) = slow_ms {
                put(Measure::Slow, flag(seen.total_ms > slow));
            }
        }
        run
    };
    let runs: Vec<Run> = batches.iter().map(run).collect();
    let at = |run: usize| {
        let first = batches.get(run)?.first()?;
        let seconds = i64::try_from(first.at_unix_ms / 1_000).ok()?;
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        time.format(&Rfc3339).ok()
    };
    let told = watch.courses(&runs, streams).into_iter().map(|course| {
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
    told.collect()
}

fn told(streams: &[Stream]) -> String {
    let mut rows = table([
        "flow",
        "deployment",
        "requests",
        "measure",
        "usual",
        "last",
        "state",
    ]);
    let mut alerts = Vec::new();
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    for stream in streams {
        for one in &stream.courses {
            let course = &one.course;
            let name = match course.measure {
                Measure::Score => "answered",
                other => other.name(),
            };
            let (usual, state) = match course.state {
                State::Learning { runs_missing } => {
                    (None, format!("learning: {runs_missing} more batches"))
                }
                State::Steady { usual, .. } => (Some(usual), "steady".to_owned()),
                State::Changed { before, after, .. } => {
                    alerts.push(format!(
                        "CHANGED: {} at {}: {name} went from {before:.3} to {after:.3}, probably at {}; found at {}",
                        printable(&stream.flow),
                        printable(&stream.deployment),
                        one.since_at.as_deref().unwrap_or("?"),
                        one.found_at.as_deref().unwrap_or("?"),
                    ));
                    (Some(before), "CHANGED".to_owned())
                }
            };
            rows.add_row([
                printable(&stream.flow),
                printable(&stream.deployment),
                stream.requests.to_string(),
                name.to_owned(),
                number(usual),
                number(course.means.iter().rev().flatten().next().copied()),
                state,
            ]);
        }
    }
    align_right(&mut rows, [2, 4, 5]);
    let mut text = rows.trim_fmt();
    for alert in alerts {
        text.push('\n');
        text.push_str(&alert);
    }
    text
}
