//! Routes as the configuration gives them, in the router's words.

use std::collections::BTreeMap;

use freehold_route::{RouteSettings, RouteSpec, RouteTimeouts};
use freehold_types::{Objective, Weights};

use super::settings::{constraint, sensitivity};
use super::{Complaint, raw};

/// The routes of a configuration; whether their targets exist is checked when the table is made.
pub(crate) fn entries(raw: &BTreeMap<String, raw::Route>) -> Result<Vec<RouteSpec>, Complaint> {
    raw.iter().map(|(name, route)| entry(name, route)).collect()
}

fn entry(name: &str, raw: &raw::Route) -> Result<RouteSpec, Complaint> {
    let default = RouteSettings::default();
    let objective = match raw.objective {
        Some(raw::Objective::Cheapest) => Objective::Cheapest,
        Some(raw::Objective::Fastest) => Objective::Fastest,
        Some(raw::Objective::Best) => Objective::Best,
        Some(raw::Objective::Ordered) => Objective::Ordered,
        None if raw.targets.len() > 1 => Objective::Ordered,
        None => Objective::Cheapest,
    };
    let attempts = raw.attempts_max.unwrap_or(default.max_attempts);
    if !(1..=8).contains(&attempts) {
        return Err(Complaint::new(
            ["routes", name, "attempts_max"],
            "a plan has between 1 and 8 attempts",
        ));
    }
    if raw.retries.is_some_and(|retries| retries > 10) {
        return Err(Complaint::new(
            ["routes", name, "retries"],
            "at most 10 retries",
        ));
    }
    let everything = || vec!["*".to_owned()];
    Ok(RouteSpec {
        name: name.to_owned(),
        targets: if raw.targets.is_empty() {
            everything()
        } else {
            raw.targets.clone()
        },
        settings: RouteSettings {
            objective,
            weights: raw.weights.map(|weights| Weights {
                cost: weights.cost,
                latency: weights.latency,
                quality: weights.quality,
            }),
            sensitivity: raw.sensitivity.map(sensitivity),
            constraint: constraint(&raw.require),
            timeouts: RouteTimeouts {
                connect_ms: raw.connect_timeout_ms.map(u64::from),
                first_byte_ms: raw.first_byte_timeout_ms.map(u64::from),
                idle_ms: raw.idle_timeout_ms.map(u64::from),
            },
            max_attempts: attempts,
            retries: raw.retries.unwrap_or(default.retries),
            hedge_after_ms: raw.hedge_after_ms.map(u64::from),
            ..default
        },
    })
}
