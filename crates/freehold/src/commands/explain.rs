//! `freehold explain`: why a request went where it went, decided again from the record.

use std::io::Write;

use anyhow::{Context, bail};
use freehold_route::{ReplayError, contributions, replay};
use freehold_store::{Reader, RecentQuery, StoreSettings};
use freehold_types::outcome::ErrorSummary;
use freehold_types::{
    CandidateRecord, Decision, Features, NanoUsd, Outcome, OutcomeStatus, RequestId, UsageBasis,
};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::usage::{align_right, printable, table};
use crate::cli::ExplainArgs;

pub(crate) async fn run(args: ExplainArgs, settings: &StoreSettings) -> anyhow::Result<()> {
    let reader = Reader::open(&settings.database, &settings.spool.dir);
    let outcome = find(&args, &reader, settings).await?;
    let replayed = Replayed::of(outcome.decision.as_ref());
    {
        let mut out = std::io::stdout().lock();
        if args.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&told(&outcome))?)?;
        } else {
            writeln!(out, "{}\n\n{}", text(&outcome), replayed.text())?;
        }
    }
    if let Replayed::Different(_) = replayed {
        bail!("what was recorded is not what its inputs lead to: the record was changed");
    }
    Ok(())
}

/// The record, and whether it can be decided again.
pub(crate) fn told(outcome: &Outcome) -> Value {
    let replayed = Replayed::of(outcome.decision.as_ref());
    json!({"outcome": outcome, "replay": replayed.word()})
}

async fn find(
    args: &ExplainArgs,
    reader: &Reader,
    settings: &StoreSettings,
) -> anyhow::Result<Outcome> {
    let unreadable = || format!("cannot read the ledger {}", settings.database);
    let Some(id) = &args.id else {
        let newest = reader
            .recent(&RecentQuery::newest(1))
            .await
            .with_context(unreadable)?;
        return newest
            .into_iter()
            .next()
            .with_context(|| format!("nothing was recorded yet in {}", settings.database));
    };
    let id: RequestId = id
        .trim()
        .parse()
        .with_context(|| format!("`{}`", printable(id)))?;
    reader
        .outcome(id)
        .await
        .with_context(unreadable)?
        .with_context(|| {
            format!(
                "{id} is not in {}: does the gateway that served it use this ledger?",
                settings.database
            )
        })
}

/// What came of deciding again.
#[derive(Debug, PartialEq)]
enum Replayed {
    /// The inputs lead to what was recorded.
    Same,
    /// They lead elsewhere.
    Different(Vec<String>),
    /// It cannot be decided again, and why.
    None(String),
}

impl Replayed {
    fn of(decision: Option<&Decision>) -> Self {
        let Some(recorded) = decision else {
            return Self::None("the request ended before anything was decided".to_owned());
        };
        match replay(recorded) {
            Ok(again) if again == *recorded => Self::Same,
            Ok(again) => Self::Different(differences(recorded, &again)),
            Err(error @ ReplayError::OtherVersion { .. }) => Self::None(error.to_string()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different(_) => "different",
            Self::None(_) => "none",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Same => "decided again from the record: the same".to_owned(),
            Self::Different(differences) => {
                format!(
                    "decided again from the record: DIFFERENT\n  {}",
                    differences.join("\n  ")
                )
            }
            Self::None(reason) => format!("not decided again: {reason}"),
        }
    }
}

fn differences(recorded: &Decision, again: &Decision) -> Vec<String> {
    let mut list = Vec::new();
    if recorded.objective != again.objective {
        list.push(format!(
            "objective: recorded {}, now {}",
            recorded.objective, again.objective
        ));
    }
    if recorded.difficulty.to_bits() != again.difficulty.to_bits() {
        list.push(format!(
            "difficulty: recorded {}, now {}",
            recorded.difficulty, again.difficulty
        ));
    }
    let longest = recorded.candidates.len().max(again.candidates.len());
    for place in 0..longest {
        let (was, now) = (recorded.candidates.get(place), again.candidates.get(place));
        if was != now {
            list.push(format!(
                "place {place}: recorded {}, now {}",
                brief(was),
                brief(now)
            ));
        }
    }
    if list.is_empty() {
        list.push("the inputs".to_owned());
    }
    list
}

fn brief(candidate: Option<&CandidateRecord>) -> String {
    candidate.map_or_else(
        || "nothing".to_owned(),
        |candidate| {
            printable(&format!(
                "{} (rank {}, score {}, {})",
                candidate.deployment,
                candidate
                    .rank
                    .map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
                candidate
                    .score
                    .map_or_else(|| "-".to_owned(), |score| score.to_string()),
                candidate.reason
            ))
        },
    )
}

fn text(outcome: &Outcome) -> String {
    let mut sections = vec![header(outcome)];
    if let Some(decision) = &outcome.decision {
        sections.push(reasons(decision));
        sections.push(candidates(decision));
    }
    if !outcome.attempts.is_empty() {
        sections.push(attempts(outcome));
    }
    sections.join("\n\n")
}

fn header(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let mut line = |label: &str, text: String| {
        lines.push(format!("{label:<11} {}", printable(&text)));
    };
    line(
        "request",
        format!("{} at {}", outcome.id, moment(outcome.started_unix_ms)),
    );
    let flow = outcome
        .flow
        .as_ref()
        .map_or_else(String::new, |flow| format!(", flow {flow}"));
    let streamed = if outcome.streamed { ", streamed" } else { "" };
    line(
        "asked",
        format!(
            "`{}` by {}{flow}, {}{streamed}",
            outcome.route,
            outcome.key,
            word(&outcome.dialect)
        ),
    );
    let error = outcome
        .error
        .as_ref()
        .map_or_else(String::new, |e| format!(", {}", error_text(e)));
    line(
        "status",
        format!(
            "{}, HTTP {}{error}",
            word(&outcome.status),
            outcome.http_status
        ),
    );
    line("deployment", served_by(outcome));
    line(
        "sensitivity",
        format!("{}{}", outcome.sensitivity, found(outcome)),
    );
    let usage = &outcome.usage;
    let estimated = if usage.basis == UsageBasis::Estimated {
        " (estimated)"
    } else {
        ""
    };
    line(
        "tokens",
        format!(
            "{} in, {} of them cached; {} out{estimated}",
            usage.input_tokens, usage.cached_input_tokens, usage.output_tokens
        ),
    );
    line("cost", cost(outcome.cost));
    line("time", time(outcome));
    lines.join("\n")
}

/// What the guard found, as a continuation; empty when it found nothing.
fn found(outcome: &Outcome) -> String {
    let findings: Vec<_> = outcome
        .findings
        .iter()
        .map(|(kind, count)| format!("{count} x {kind}"))
        .collect();
    if findings.is_empty() {
        String::new()
    } else {
        format!(", found {}", findings.join(", "))
    }
}

/// Where the time went.
fn time(outcome: &Outcome) -> String {
    let timing = &outcome.timing;
    let first = timing.first_token_us.map_or_else(String::new, |us| {
        format!(", first token after {}", duration(us))
    });
    format!(
        "{} in all{first}, {} in Freehold before the first attempt",
        duration(timing.total_us),
        duration(timing.overhead_us)
    )
}

/// The deployment that answered, or that was answering when the client left.
fn served_by(outcome: &Outcome) -> String {
    let answered = matches!(
        outcome.status,
        OutcomeStatus::Completed | OutcomeStatus::Cancelled
    );
    let attempt = outcome
        .attempts
        .iter()
        .rev()
        .find(|attempt| attempt.error.is_none());
    let Some(attempt) = attempt.filter(|_| answered) else {
        return "none".to_owned();
    };
    let region = attempt
        .region
        .as_ref()
        .map_or_else(String::new, |region| format!(", {region}"));
    let reported = attempt
        .reported_model
        .as_ref()
        .map_or_else(String::new, |model| {
            format!("; the upstream calls it {model}")
        });
    format!(
        "{} ({}{region}){reported}",
        attempt.deployment, attempt.perimeter
    )
}

fn reasons(decision: &Decision) -> String {
    let inputs = &decision.inputs;
    let mut lines = Vec::new();
    let mut line = |label: &str, text: String| {
        lines.push(format!("{label:<11} {}", printable(&text)));
    };
    line(
        "route",
        format!(
            "{}: {}, at most {} attempts",
            inputs.route, decision.objective, inputs.max_attempts
        ),
    );
    line("features", features(&inputs.features));
    let parts = contributions(&inputs.features);
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("{} {:+.3}", part.feature, part.log_odds))
        .collect();
    line(
        "difficulty",
        format!("{:.3} of 1, from {}", decision.difficulty, parts.join(", ")),
    );
    let needs: Vec<_> = inputs.needs.iter().map(word).collect();
    line(
        "needs",
        if needs.is_empty() {
            "nothing special".to_owned()
        } else {
            needs.join(", ")
        },
    );
    for reason in &inputs.permit {
        line("policy", reason.clone());
    }
    lines.join("\n")
}

fn features(features: &Features) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(features) else {
        return String::new();
    };
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{} {value}", name.replace('_', " ")));
    fields.collect::<Vec<_>>().join(", ")
}

fn candidates(decision: &Decision) -> String {
    if decision.candidates.is_empty() {
        return "No deployment was looked at.".to_owned();
    }
    let mut table = table(["rank", "deployment", "score", "cost usd", "reason"]);
    for candidate in &decision.candidates {
        let known = decision.inputs.candidates.iter();
        let expected = known
            .filter(|input| input.deployment == candidate.deployment)
            .find_map(|input| input.cost);
        table.add_row(vec![
            candidate
                .rank
                .map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
            printable(candidate.deployment.as_str()),
            candidate
                .score
                .map_or_else(|| "-".to_owned(), |score| format!("{score:.4}")),
            expected.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string()),
            printable(&candidate.reason),
        ]);
    }
    align_right(&mut table, [0, 2, 3]);
    format!("Candidates\n{}", table.trim_fmt())
}

fn attempts(outcome: &Outcome) -> String {
    let mut table = table([
        "attempt",
        "deployment",
        "began",
        "took",
        "first token",
        "cost usd",
        "end",
    ]);
    for (index, attempt) in outcome.attempts.iter().enumerate() {
        table.add_row(vec![
            (index + 1).to_string(),
            printable(attempt.deployment.as_str()),
            duration(attempt.started_us),
            duration(attempt.duration_us),
            attempt
                .first_token_us
                .map_or_else(|| "-".to_owned(), duration),
            match attempt.cost {
                Some(cost) => cost.total.to_string(),
                // What failed before any token is not billed.
                None if attempt.error.is_some() && attempt.usage.total_tokens() == 0 => {
                    "-".to_owned()
                }
                None => "unknown".to_owned(),
            },
            attempt
                .error
                .as_ref()
                .map_or_else(|| "served".to_owned(), error_text),
        ]);
    }
    align_right(&mut table, [0, 2, 3, 4, 5]);
    format!("Attempts\n{}", table.trim_fmt())
}

fn error_text(error: &ErrorSummary) -> String {
    let status = error
        .upstream_status
        .map_or_else(String::new, |status| format!(", HTTP {status}"));
    let param = error
        .param
        .as_ref()
        .map_or_else(String::new, |param| format!(", at {param}"));
    printable(&format!(
        "{} ({}{status}{param})",
        error.kind.as_str(),
        word(&error.side)
    ))
}

fn cost(cost: Option<NanoUsd>) -> String {
    cost.map_or_else(|| "unknown".to_owned(), |cost| format!("{cost} USD"))
}

/// Microseconds, in the unit that people would choose.
fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

fn moment(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix_ms} ms after 1970"))
}

/// The word that configuration, records and metrics use for it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
