//! Where rollouts stand, and what happened to them.

use std::io::Write;

use anyhow::Result;
use freehold_loops::{PairBody, Record};
use freehold_ports::{Clock, SystemClock};
use freehold_proof::rollout::{Evidence, Finding, Order, State, Step, next};
use freehold_proof::scorers::judge::Preferences;
use freehold_proof::{Standing, StratumJudgement};
use freehold_store::Rollouts;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{all, one};
use crate::cli::{HistoryArgs, StatusArgs};
use crate::commands::usage::printable;

/// A rollout as it stands.
#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    active: bool,
    stage: String,
    order: &'a Order,
    state: &'a State,
    /// Of the period under way.
    seen: &'a Evidence,
    /// What the scores say.
    scores: StratumJudgement,
    /// What the guards say.
    guards: Vec<Finding>,
    /// What follows.
    next: Step,
    /// What it saves.
    saving: Option<Saving>,
}

/// What a rollout saves, by what requests have cost on each side.
#[derive(Serialize)]
struct Saving {
    incumbent_usd_per_1000: f64,
    candidate_usd_per_1000: f64,
    realised_usd_per_1000: f64,
    /// If all requests of the flow cost what the candidate's do, at the rate of the period under way.
    realised_usd_per_month: Option<f64>,
    predicted_usd_per_month: Option<f64>,
}

pub(super) async fn show(args: &StatusArgs, store: &Rollouts) -> Result<()> {
    let records = match &args.rollout {
        Some(name) => vec![one(store, name).await?],
        None => all(store, !args.all).await?,
    };
    let mut out = std::io::stdout().lock();
    if records.is_empty() && !args.json {
        writeln!(
            out,
            "No flow moves. `freehold rollout plan --help` shows how to begin."
        )?;
        return Ok(());
    }
    let now = SystemClock::new().unix_ms();
    let mut statuses = Vec::new();
    for record in &records {
        let rows = store.evidence(&record.id).await?;
        let (seen, before) = record.evidence(&rows);
        let status = status(record, &seen, &before, now);
        if args.json {
            statuses.push(serde_json::to_value(&status)?);
        } else {
            writeln!(out, "{}", told(&status))?;
        }
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&statuses)?)?;
    }
    Ok(())
}

fn status<'a>(record: &'a Record, seen: &'a Evidence, before: &Evidence, now: u64) -> Status<'a> {
    let (order, state) = (&record.rollout.order, &record.rollout.state);
    let mut whole = before.clone();
    whole.merge(seen);
    Status {
        id: &record.id,
        active: record.active,
        stage: state.stage.told(order),
        order,
        state,
        scores: seen.scores(order),
        guards: seen.findings(order),
        next: next(order, state, seen, now),
        saving: saving(order, &whole, rate(seen, state, now)),
        seen,
    }
}

/// `None` until both sides have served clients.
fn saving(order: &Order, whole: &Evidence, per_month: Option<f64>) -> Option<Saving> {
    let per_1000 = |nanos: u64, requests: u64| {
        (requests > 0).then(|| nanos as f64 / 1e9 / requests as f64 * 1_000.0)
    };
    let incumbent = per_1000(whole.incumbent_nano_usd, whole.incumbent_requests)?;
    let candidate = per_1000(whole.candidate_nano_usd, whole.candidate_requests)?;
    Some(Saving {
        incumbent_usd_per_1000: incumbent,
        candidate_usd_per_1000: candidate,
        realised_usd_per_1000: incumbent - candidate,
        realised_usd_per_month: per_month
            .map(|requests| (incumbent - candidate) / 1_000.0 * requests),
        predicted_usd_per_month: order.saving_usd_per_month,
    })
}

/// Requests of the flow in a month, if it goes on as in this period; `None` when the period is too short to tell.
fn rate(seen: &Evidence, state: &State, now_unix_ms: u64) -> Option<f64> {
    const DAYS_A_MONTH: f64 = 365.25 / 12.0;
    const SHORTEST_MS: u64 = 10 * 60 * 1_000;
    let elapsed_ms = now_unix_ms.saturating_sub(state.entered_unix_ms);
    let requests = seen.incumbent_requests + seen.candidate_requests;
    let days = elapsed_ms as f64 / 86_400_000.0;
    (elapsed_ms >= SHORTEST_MS && requests > 0).then(|| requests as f64 / days * DAYS_A_MONTH)
}

fn told(status: &Status<'_>) -> String {
    let order = status.order;
    let mut lines = vec![format!(
        "{}  {}: {} -> {}, {}{}",
        status.id,
        printable(&order.flow),
        printable(&order.incumbent),
        printable(&order.candidate.model),
        status.stage,
        if status.state.paused { ", paused" } else { "" },
    )];
    if !status.active {
        return lines.join("\n");
    }
    let seen = status.seen;
    lines.push(format!(
        "  since {}: {} requests on the incumbent, {} on the candidate",
        time_of(status.state.entered_unix_ms),
        seen.incumbent_requests,
        seen.candidate_requests
    ));
    let skipped: Vec<_> = seen
        .skipped
        .iter()
        .map(|(reason, count)| format!("{count} because {reason}"))
        .collect();
    lines.push(format!(
        "  mirrored: {} chosen, {} scored, {} under way, {} left out{}; ${:.4}",
        seen.sampled,
        seen.scored,
        seen.under_way(),
        seen.skipped.values().sum::<u64>(),
        if skipped.is_empty() {
            String::new()
        } else {
            format!(" ({})", skipped.join(", "))
        },
        seen.mirror_nano_usd as f64 / 1e9,
    ));
    lines.push(scores(&status.scores));
    lines.extend(trust(&seen.judge));
    lines.extend(status.guards.iter().map(guard));
    if let Some(saving) = &status.saving {
        let realised = saving
            .realised_usd_per_month
            .map_or_else(String::new, |usd| {
                format!(", which is ${usd:.2} a month at this period's rate")
            });
        let predicted = saving
            .predicted_usd_per_month
            .map_or_else(String::new, |usd| {
                format!("; ${usd:.2} a month were predicted")
            });
        lines.push(format!(
            "  cost of 1,000 requests: ${:.4} before, ${:.4} now, ${:.4} saved{realised}{predicted}",
            saving.incumbent_usd_per_1000,
            saving.candidate_usd_per_1000,
            saving.realised_usd_per_1000,
        ));
    }
    lines.push(following(status));
    lines.join("\n")
}

/// What follows, in words.
fn following(status: &Status<'_>) -> String {
    let order = status.order;
    match &status.next {
        Step::Wait { missing } if missing.is_empty() => "  next: it is watched".to_owned(),
        Step::Wait { missing } => format!("  waits for {}", missing.join(", ")),
        Step::Propose { to, why } => format!(
            "  proposes {}: {why}. `freehold rollout accept {}`",
            to.told(order),
            status.id
        ),
        Step::Advance { to, why } => format!("  goes on to {}: {why}", to.told(order)),
        Step::Renew { why } => format!("  {why}"),
        Step::RollBack { why } => format!("  is called back: {why}"),
    }
}

fn scores(judged: &StratumJudgement) -> String {
    let all = &judged.all;
    let mut line = format!(
        "  scores: {:+.4} ({:+.4} to {:+.4}) by {} pairs; {}",
        all.difference,
        all.interval.low,
        all.interval.high,
        all.samples,
        word(judged.standing)
    );
    if judged.strata.len() > 1 {
        for (name, one) in &judged.strata {
            line.push_str(&format!(
                "\n    {name}: {:+.4} by {} pairs; {}",
                one.difference,
                one.samples,
                word(one.standing)
            ));
        }
    }
    line
}

fn guard(guard: &Finding) -> String {
    format!(
        "  guard {}: {} on the incumbent, {} on the candidate; {}",
        guard.what,
        share(guard.incumbent),
        share(guard.candidate),
        word(guard.judgement.standing)
    )
}

/// How far the judge of pairs can be trusted; `None` when none was asked.
fn trust(judge: &Preferences) -> Option<String> {
    let agreement = judge.agreement()?;
    let bias = judge.position_bias().map_or_else(String::new, |bias| {
        format!(", bias to the first answer {bias:+.2}")
    });
    Some(format!(
        "  judge: {:.1} % of {} pairs judged alike in both orders{bias}",
        agreement * 100.0,
        judge.pairs
    ))
}

fn share(mean: Option<f64>) -> String {
    mean.map_or_else(|| "?".to_owned(), |mean| format!("{:.1} %", mean * 100.0))
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Proven => "proven not worse",
        Standing::Refuted => "refuted",
        Standing::NotYet => "not yet",
    }
}

fn time_of(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "?".to_owned())
}

pub(super) async fn history(args: &HistoryArgs, store: &Rollouts) -> Result<()> {
    let records = match &args.rollout {
        Some(name) => vec![one(store, name).await?],
        None => all(store, false).await?,
    };
    let mut out = std::io::stdout().lock();
    let mut told = Vec::new();
    for record in &records {
        let order = &record.rollout.order;
        let mut pairs = Vec::new();
        for row in store.pairs(&record.id, args.pairs).await? {
            let body: PairBody = serde_json::from_str(&row.body)?;
            pairs.push((row, body));
        }
        if args.json {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(row, body)| {
                    serde_json::json!({
                        "request": row.request, "period": row.period, "at_unix_ms": row.at_unix_ms, "pair": body,
                    })
                })
                .collect();
            told.push(serde_json::json!({
                "id": record.id, "flow": order.flow, "active": record.active,
                "history": record.rollout.history, "pairs": pairs,
            }));
            continue;
        }
        writeln!(
            out,
            "{}  {}: {} -> {}",
            record.id,
            printable(&order.flow),
            printable(&order.incumbent),
            printable(&order.candidate.model)
        )?;
        for event in &record.rollout.history {
            writeln!(
                out,
                "  {}  {:<14} {}",
                time_of(event.at_unix_ms),
                event.stage.told(order),
                printable(&event.why)
            )?;
        }
        for (row, body) in &pairs {
            let scored = match (body.incumbent, body.candidate, &body.skipped) {
                (Some(incumbent), Some(candidate), _) => {
                    format!("incumbent {incumbent:.3}, candidate {candidate:.3}")
                }
                (_, _, Some(reason)) => format!("left out: {reason}"),
                _ => "?".to_owned(),
            };
            writeln!(
                out,
                "  {}  {}  {scored}",
                time_of(row.at_unix_ms),
                row.request
            )?;
        }
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
    }
    Ok(())
}
