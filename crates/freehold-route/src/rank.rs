//! From the router's inputs to a ranking: a pure function, so that a decision can be made again.

use std::cmp::Ordering;
use std::fmt::Write as _;

use freehold_types::{
    Availability, CandidateInput, CandidateRecord, Decision, Features, Objective, RouterInputs,
    Weights,
};

use crate::affinity;
use crate::difficulty::difficulty;
use crate::needs::words;

/// Version of the rules and constants behind a decision. To be raised whenever one of them changes,
/// so that an old decision is not replayed with new rules.
pub const VERSION: u32 = 1;

/// Tokens that an answer probably has when the client allows as many.
const EXPECTED_OUTPUT_TOKENS: u64 = 400;
/// The same when the model is asked to think first.
const EXPECTED_THINKING_TOKENS: u64 = 2_000;
/// What a model that is still loading adds to the expected time.
const LOADING_MS: f64 = 30_000.0;
/// The estimate of prompt tokens may be too high by so much: a prompt is only refused when it
/// overflows even so.
const ESTIMATE_SLACK_PERMILLE: u64 = 150;
/// Equal deployments whose expected time differs by no more than this factor share conversations.
const REPLICA_LATENCY_FACTOR: f64 = 2.0;

/// Why a deployment is out of the question, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Policy,
    Capability,
    Window,
    Health,
}

/// The weights an objective has when the route sets none.
pub const fn default_weights(objective: Objective) -> Weights {
    match objective {
        Objective::Cheapest => Weights {
            cost: 1.0,
            latency: 0.05,
            quality: 0.0,
        },
        Objective::Fastest => Weights {
            cost: 0.05,
            latency: 1.0,
            quality: 0.0,
        },
        Objective::Best => Weights {
            cost: 0.05,
            latency: 0.02,
            quality: 1.0,
        },
        Objective::Ordered => Weights {
            cost: 0.0,
            latency: 0.0,
            quality: 0.0,
        },
    }
}

/// Tokens that the answer will probably have.
pub(crate) fn expected_output_tokens(features: &Features) -> u64 {
    let usual = if features.thinking > 0 {
        EXPECTED_THINKING_TOKENS
    } else {
        EXPECTED_OUTPUT_TOKENS
    };
    match features.max_output_tokens {
        0 => usual,
        most => usual.min(most),
    }
}

/// Tokens that the prompt and the room for its answer need, at least.
pub(crate) fn window_needed(features: &Features) -> u64 {
    let slack = features
        .prompt_tokens
        .saturating_mul(ESTIMATE_SLACK_PERMILLE)
        / 1_000;
    (features.prompt_tokens - slack).saturating_add(features.max_output_tokens.max(1))
}

/// To six decimals: survives its JSON form exactly.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Why a candidate is out of the question.
pub(crate) fn exclusion(
    inputs: &RouterInputs,
    candidate: &CandidateInput,
) -> Option<(Stage, String)> {
    if let Some(denied) = &candidate.denied {
        return Some((Stage::Policy, format!("policy: {denied}")));
    }
    if let Some(lacks) = candidate.lacks {
        return Some((Stage::Capability, format!("does not do {}", words(lacks))));
    }
    let needed = window_needed(&inputs.features);
    if let Some(window) = candidate.window_tokens
        && needed > u64::from(window)
    {
        let reason = format!("context window of {window} tokens, at least {needed} needed");
        return Some((Stage::Window, reason));
    }
    match candidate.availability {
        Availability::Down { for_ms } => {
            let seconds = for_ms.div_ceil(1_000);
            Some((
                Stage::Health,
                format!("not available for another {seconds} s"),
            ))
        }
        Availability::Up | Availability::Probing | Availability::Loading => None,
    }
}

struct Ranked<'a> {
    candidate: &'a CandidateInput,
    latency_ms: f64,
    good_enough: bool,
    score: f64,
    /// Deployments of one group are replicas of its first member.
    group_score: f64,
    overloaded: bool,
    draw: u64,
}

/// Makes the decision.
pub(crate) fn decide(inputs: RouterInputs) -> Decision {
    let difficulty = difficulty(&inputs.features);
    let required = (difficulty + inputs.quality_margin).clamp(0.0, 1.0);
    let mut excluded = Vec::new();
    let mut open = Vec::new();
    for candidate in &inputs.candidates {
        match exclusion(&inputs, candidate) {
            Some((_, reason)) => excluded.push(CandidateRecord {
                deployment: candidate.deployment.clone(),
                rank: None,
                score: None,
                reason,
            }),
            None => open.push(candidate),
        }
    }
    let mut ranked = scored(&inputs, &open, required);
    if inputs.objective != Objective::Ordered {
        group_replicas(&mut ranked, inputs.features.affinity_bucket);
    }
    ranked.sort_by(order);
    let mut candidates: Vec<_> = (0_u32..)
        .zip(&ranked)
        .map(|(rank, entry)| CandidateRecord {
            deployment: entry.candidate.deployment.clone(),
            rank: Some(rank),
            score: Some(entry.score),
            reason: reason(&inputs, entry, difficulty),
        })
        .collect();
    candidates.extend(excluded);
    Decision {
        objective: inputs.objective,
        difficulty,
        candidates,
        inputs,
    }
}

fn scored<'a>(
    inputs: &RouterInputs,
    open: &[&'a CandidateInput],
    required: f64,
) -> Vec<Ranked<'a>> {
    let output_tokens = expected_output_tokens(&inputs.features);
    let latencies: Vec<f64> = open.iter().map(|c| latency_ms(c, output_tokens)).collect();
    let slowest_ms = latencies.iter().copied().fold(0.0, f64::max);
    let dearest = open.iter().filter_map(|c| c.cost).max().unwrap_or_default();
    let weights = weights(inputs);
    let whole = weights.cost + weights.latency + weights.quality;
    open.iter()
        .zip(latencies)
        .enumerate()
        .map(|(position, (candidate, latency_ms))| {
            // A cost that nobody knows is taken to be as high as the highest known one.
            let cost = candidate
                .cost
                .map_or(1.0, |cost| part(cost.usd(), dearest.usd()));
            let weighed = weights.cost * cost
                + weights.latency * part(latency_ms, slowest_ms)
                + weights.quality * (1.0 - candidate.quality);
            let weighed = weighed / whole.max(f64::MIN_POSITIVE);
            let good_enough = candidate.quality >= required - 1e-9;
            #[expect(clippy::cast_precision_loss, reason = "a place in a short list")]
            let score = match inputs.objective {
                Objective::Ordered => position as f64,
                // Those that are not good enough come behind all others, the best of them first.
                Objective::Cheapest if !good_enough => 2.0 - candidate.quality + weighed / 1_000.0,
                Objective::Cheapest | Objective::Fastest | Objective::Best => weighed,
            };
            let score = rounded(score);
            Ranked {
                candidate,
                latency_ms,
                good_enough,
                score,
                group_score: score,
                overloaded: false,
                draw: 0,
            }
        })
        .collect()
}

fn latency_ms(candidate: &CandidateInput, output_tokens: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an expectation")]
    let generating_ms = output_tokens as f64 * 1_000.0 / candidate.tokens_per_second.max(0.001);
    let loading_ms = match candidate.availability {
        Availability::Loading => LOADING_MS,
        _ => 0.0,
    };
    f64::from(candidate.first_token_ms) + generating_ms + loading_ms
}

fn weights(inputs: &RouterInputs) -> Weights {
    inputs
        .weights
        .filter(|w| w.cost + w.latency + w.quality > 0.0)
        .unwrap_or(default_weights(inputs.objective))
}

fn part(value: f64, whole: f64) -> f64 {
    if whole > 0.0 { value / whole } else { 0.0 }
}

/// Deployments of the same model at the same price and of similar speed are interchangeable. A
/// conversation stays on one of them, so that its prompt cache is found again, unless that one has
/// far more to do than another.
fn group_replicas(ranked: &mut [Ranked<'_>], bucket: u64) {
    ranked.sort_by(|a, b| a.score.total_cmp(&b.score).then_with(|| by_name(a, b)));
    for leader in 0..ranked.len() {
        let first = &ranked[leader];
        let members: Vec<usize> = (leader + 1..ranked.len())
            .filter(|&other| are_replicas(first, &ranked[other]))
            .collect();
        if members.is_empty() || first.draw != 0 {
            continue;
        }
        let group_score = first.group_score;
        let members: Vec<usize> = std::iter::once(leader).chain(members).collect();
        let loads = members.iter().map(|&m| ranked[m].candidate.in_flight);
        let least = loads.min().unwrap_or(0);
        for member in members {
            let entry = &mut ranked[member];
            entry.group_score = group_score;
            entry.overloaded =
                entry.candidate.in_flight > least.saturating_mul(2).saturating_add(4);
            entry.draw = affinity::draw(bucket, entry.candidate.deployment.as_str()).max(1);
        }
    }
}

fn are_replicas(a: &Ranked<'_>, b: &Ranked<'_>) -> bool {
    fn model<'a>(entry: &Ranked<'a>) -> &'a str {
        let id = entry.candidate.deployment.as_str();
        id.split_once('/').map_or(id, |(_, model)| model)
    }
    model(a) == model(b)
        && a.candidate.quality == b.candidate.quality
        && a.candidate.cost == b.candidate.cost
        && a.latency_ms.max(b.latency_ms)
            <= REPLICA_LATENCY_FACTOR * a.latency_ms.min(b.latency_ms).max(1.0)
}

fn order(a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
    a.group_score
        .total_cmp(&b.group_score)
        .then_with(|| a.overloaded.cmp(&b.overloaded))
        .then_with(|| b.draw.cmp(&a.draw))
        .then_with(|| by_name(a, b))
}

fn by_name(a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
    a.candidate.deployment.cmp(&b.candidate.deployment)
}

fn reason(inputs: &RouterInputs, entry: &Ranked<'_>, difficulty: f64) -> String {
    let candidate = entry.candidate;
    let quality = candidate.quality;
    let mut reason = String::with_capacity(128);
    // Writing to a string cannot fail.
    let _ = match inputs.objective {
        Objective::Ordered => write!(reason, "as the route lists it"),
        Objective::Cheapest if entry.good_enough => write!(
            reason,
            "good enough (quality {quality:.2} for difficulty {difficulty:.2})"
        ),
        Objective::Cheapest => write!(
            reason,
            "quality {quality:.2} is below difficulty {difficulty:.2}"
        ),
        Objective::Fastest | Objective::Best => write!(reason, "quality {quality:.2}"),
    };
    let _ = match candidate.cost {
        Some(cost) => write!(reason, ", about ${cost}"),
        None => write!(reason, ", cost unknown"),
    };
    let _ = write!(reason, ", about {:.1} s", entry.latency_ms / 1_000.0);
    let state = match candidate.availability {
        Availability::Probing => ", a probe after failures",
        Availability::Loading => ", still loading its model",
        Availability::Up | Availability::Down { .. } => "",
    };
    let replica = if entry.draw != 0 {
        ", chosen among replicas by conversation"
    } else {
        ""
    };
    reason.push_str(state);
    reason.push_str(replica);
    reason
}

#[cfg(test)]
mod tests;
