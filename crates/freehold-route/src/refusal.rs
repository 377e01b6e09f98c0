//! The error of an empty plan: which rule it was, without naming what the caller may not know.

use std::time::Duration;

use freehold_types::{
    Availability, CandidateInput, Decision, Error, ErrorKind, ErrorSource, Request, Retry,
};

use crate::needs::{param, words};
use crate::rank::{Stage, exclusion, window_needed};

/// Why no deployment can serve: the reason of those that came furthest.
pub(crate) fn error(request: &Request, decision: &Decision) -> Error {
    let inputs = &decision.inputs;
    let stages: Vec<(Stage, &CandidateInput)> = inputs
        .candidates
        .iter()
        .filter_map(|candidate| Some((exclusion(inputs, candidate)?.0, candidate)))
        .collect();
    let route = &inputs.route;
    let Some(furthest) = stages.iter().map(|(stage, _)| *stage).max() else {
        return Error::new(
            ErrorKind::Unavailable,
            format!("no deployment is configured for `{route}`"),
        )
        .on_side(ErrorSource::Internal);
    };
    let there = stages
        .iter()
        .filter(|(stage, _)| *stage == furthest)
        .map(|(_, candidate)| *candidate);
    match furthest {
        Stage::Policy => policy(decision),
        Stage::Capability => capability(request, route, there),
        Stage::Window => window(request, decision, there),
        Stage::Health => health(route, there),
    }
}

fn policy(decision: &Decision) -> Error {
    // Lists of deployments are the operator's business; labels and perimeters the caller may know.
    let reasons: Vec<&str> = decision
        .inputs
        .permit
        .iter()
        .map(String::as_str)
        .filter(|reason| !reason.starts_with("deployments:"))
        .collect();
    let message = format!(
        "policy permits no deployment of `{}` for this request: {}",
        decision.inputs.route,
        reasons.join("; ")
    );
    Error::new(ErrorKind::PolicyRefused, message).with_code("policy_unsatisfiable")
}

fn capability<'a>(
    request: &Request,
    route: &str,
    mut candidates: impl Iterator<Item = &'a CandidateInput>,
) -> Error {
    let Some(lacks) = candidates.find_map(|candidate| candidate.lacks) else {
        return Error::new(
            ErrorKind::Internal,
            "a capability is missing that nobody named",
        );
    };
    let message = format!(
        "no deployment of `{route}` that may serve this request does {}",
        words(lacks)
    );
    Error::unsupported(param(request, lacks), message).with_retry(Retry::Never)
}

fn window<'a>(
    request: &Request,
    decision: &Decision,
    candidates: impl Iterator<Item = &'a CandidateInput>,
) -> Error {
    let limit = candidates
        .filter_map(|candidate| candidate.window_tokens)
        .max()
        .unwrap_or(0);
    let features = &decision.inputs.features;
    let message = format!(
        "the context window of `{}` is {limit} tokens at most; the prompt has about {} and {} are \
         asked for the answer, {} together at least. Shorten the prompt or ask for fewer tokens.",
        decision.inputs.route,
        features.prompt_tokens,
        features.max_output_tokens,
        window_needed(features),
    );
    let field = if request.prompt.is_some() {
        "prompt"
    } else {
        "messages"
    };
    Error::new(ErrorKind::ContextOverflow, message)
        .with_param(field)
        .with_code("context_length_exceeded")
        .with_retry(Retry::Never)
}

fn health<'a>(route: &str, candidates: impl Iterator<Item = &'a CandidateInput>) -> Error {
    let shortest_ms = candidates
        .filter_map(|candidate| match candidate.availability {
            Availability::Down { for_ms } => Some(for_ms),
            _ => None,
        })
        .min()
        .unwrap_or(0);
    let pause = Duration::from_millis(shortest_ms);
    let message = format!(
        "every deployment of `{route}` that may serve this request is failing or asked for a pause; \
         try again in {} s",
        shortest_ms.div_ceil(1_000).max(1)
    );
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::After(pause))
}
