//! The plan: which deployments are tried, in which order, and why.

use std::sync::Arc;

use freehold_cost::PriceBook;
use freehold_policy::Permit;
use freehold_types::{
    CandidateInput, Decision, Deployment, Error, Features, NanoUsd, PriceBasis, Request,
    RouterInputs,
};

use crate::features::features;
use crate::health::Health;
use crate::needs::{met, needs};
use crate::rank::{VERSION, decide, expected_output_tokens, rounded};
use crate::refusal;
use crate::table::Resolved;

/// Everything that a plan is made from.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// What is asked.
    pub request: &'a Request,
    /// What its `model` resolved to.
    pub route: &'a Resolved,
    /// What policy allows.
    pub permit: &'a Permit,
    /// List prices.
    pub prices: &'a PriceBook,
    /// How a deployment is doing.
    pub health: &'a dyn Fn(&Deployment) -> Health,
    /// Wall-clock time, Unix milliseconds: prices are dated.
    pub at_unix_ms: u64,
}

/// What to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The attempts, first to last: at least one, at most the route's bound.
    pub attempts: Vec<PlannedAttempt>,
    /// Why, for the ledger.
    pub decision: Decision,
}

/// One deployment to try.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedAttempt {
    /// The deployment.
    pub deployment: Arc<Deployment>,
    /// Why it has this place, in words.
    pub reason: String,
}

/// Nothing can serve.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Why, for the client.
    pub error: Error,
    /// Why, for the ledger.
    pub decision: Box<Decision>,
}

/// Makes a plan.
///
/// # Errors
/// `PolicyRefused` when policy permits none of the route's deployments; `Unsupported` (naming the
/// field) when none that it permits can do what is asked; `ContextOverflow` (naming the limit) when
/// the prompt fits none of those; `Unavailable` when what is left is failing.
pub fn plan(query: &Query<'_>) -> Result<Plan, Rejected> {
    let deployments = &query.route.deployments;
    let decision = decide(inputs(query, deployments));
    let wanted = decision.inputs.max_attempts as usize;
    let attempts: Vec<_> = decision
        .candidates
        .iter()
        .filter(|record| record.rank.is_some())
        .take(wanted)
        .filter_map(|record| {
            let found = deployments.iter().find(|d| d.id == record.deployment)?;
            Some(PlannedAttempt {
                deployment: Arc::clone(found),
                reason: record.reason.clone(),
            })
        })
        .collect();
    if attempts.is_empty() {
        return Err(Rejected {
            error: refusal::error(query.request, &decision),
            decision: Box::new(decision),
        });
    }
    Ok(Plan { attempts, decision })
}

/// Why a decision cannot be made again.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    /// It was made by other rules.
    #[error(
        "the decision was made by version {made_by} of the router's rules, this is version {VERSION}"
    )]
    OtherVersion {
        /// The version that made it.
        made_by: u32,
    },
}

/// Makes a decision again from its inputs. Equal to the recorded one unless somebody tampered with it.
///
/// # Errors
/// When it was made by another version of the rules.
pub fn replay(decision: &Decision) -> Result<Decision, ReplayError> {
    let made_by = decision.inputs.version;
    if made_by != VERSION {
        return Err(ReplayError::OtherVersion { made_by });
    }
    Ok(decide(decision.inputs.clone()))
}

fn inputs(query: &Query<'_>, deployments: &[Arc<Deployment>]) -> RouterInputs {
    let features = features(query.request);
    let needs: Vec<_> = needs(query.request).into_iter().collect();
    let settings = &query.route.settings;
    let candidates = deployments
        .iter()
        .map(|deployment| {
            let health = (query.health)(deployment);
            let lacking = |need: &&_| !met(**need, &deployment.capabilities);
            CandidateInput {
                deployment: deployment.id.clone(),
                denied: query.permit.allows(deployment).err().map(|d| d.to_string()),
                lacks: needs.iter().find(lacking).copied(),
                window_tokens: deployment.context_window_tokens,
                quality: finite(deployment.quality).clamp(0.0, 1.0),
                cost: expected_cost(query, deployment, &features, &health),
                first_token_ms: health.first_token_ms.unwrap_or(deployment.first_token_ms),
                tokens_per_second: finite(tokens_per_second(deployment, &health)).max(0.0),
                in_flight: health.in_flight,
                availability: health.availability,
            }
        })
        .collect();
    RouterInputs {
        version: VERSION,
        route: query.route.name.clone(),
        objective: settings.objective,
        weights: settings.weights,
        quality_margin: finite(settings.quality_margin),
        max_attempts: settings.max_attempts,
        features,
        needs,
        permit: query.permit.reasons().to_vec(),
        candidates,
    }
}

fn tokens_per_second(deployment: &Deployment, health: &Health) -> f64 {
    health
        .tokens_per_second
        .unwrap_or(deployment.tokens_per_second)
}

/// A number that survives its JSON form; zero for what is no number.
fn finite(value: f64) -> f64 {
    if value.is_finite() {
        rounded(value.clamp(-1e6, 1e6))
    } else {
        0.0
    }
}

/// What this request will probably cost here. An owned machine is paid for anyway: its cost is zero
/// unless the route counts its busy time.
fn expected_cost(
    query: &Query<'_>,
    deployment: &Deployment,
    features: &Features,
    health: &Health,
) -> Option<NanoUsd> {
    let output_tokens = expected_output_tokens(features);
    let PriceBasis::Hourly { per_hour } = &deployment.price else {
        let estimate = query.prices.estimate(
            &deployment.price,
            features.prompt_tokens,
            output_tokens,
            query.at_unix_ms,
        );
        return estimate.ok();
    };
    if !query.route.settings.count_busy_time {
        return Some(NanoUsd::ZERO);
    }
    let first_token_ms = health.first_token_ms.unwrap_or(deployment.first_token_ms);
    let speed = tokens_per_second(deployment, health).max(0.001);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate; the cast saturates and is never negative"
    )]
    let generating_us = (output_tokens as f64 * 1e6 / speed) as u64;
    let busy_us = generating_us.saturating_add(u64::from(first_token_ms) * 1_000);
    Some(PriceBook::busy_cost(*per_hour, busy_us))
}

#[cfg(test)]
mod tests;
