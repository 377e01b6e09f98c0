//! Cost by day in the columns of the FinOps Open Cost and Usage Specification (FOCUS) 1.2.
//!
//! Rented: one row for each class of tokens of a deployment, a key, a team, a flow and a day. Owned:
//! one row for the time that requests took, one for the idle time that fell on them. The sum over all
//! rows is the ledger's sum, to the nano-dollar.

use std::collections::BTreeMap;

use anyhow::Result;
use freehold_types::outcome::CostBasis;
use freehold_types::usage::ServiceTier;
use freehold_types::{
    AttemptRecord, BackendId, DeploymentId, FlowName, KeyName, NanoUsd, Outcome, Perimeter, Region,
    TeamName,
};

use super::attempts::costs;
use super::cells::Sink;
use super::focus_prices::{CLASSES, Class, Prices};
use super::focus_row::{Charge, Quantity, row};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// What rows are kept apart by, within a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) backend: BackendId,
    pub(super) deployment: DeploymentId,
    pub(super) perimeter: Perimeter,
    pub(super) region: Option<Region>,
    pub(super) key: KeyName,
    pub(super) team: Option<TeamName>,
    pub(super) flow: Option<FlowName>,
    pub(super) tier: &'static str,
    /// `None` when the cost is unknown.
    pub(super) basis: Option<Basis>,
}

impl Group {
    /// The model's name as its backend knows it.
    pub(super) fn model(&self) -> &str {
        let named = self.deployment.as_str();
        named
            .strip_prefix(self.backend.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(named)
    }
}

/// [`CostBasis`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Basis {
    Tokens,
    Hours,
    Reported,
}

impl From<CostBasis> for Basis {
    fn from(basis: CostBasis) -> Self {
        match basis {
            CostBasis::Tokens => Self::Tokens,
            CostBasis::Hours => Self::Hours,
            CostBasis::Reported => Self::Reported,
        }
    }
}

/// What a group came to.
#[derive(Clone, Debug, Default)]
struct Amounts {
    cost_nanos: i128,
    idle_nanos: i128,
    attempts: u64,
    /// By class, in the order of [`CLASSES`].
    units: [u64; CLASSES.len()],
}

/// Adds outcomes up, from the newest to the oldest, and writes each day when it is over.
pub(super) struct Focus {
    sink: Box<dyn Sink>,
    prices: Prices,
    day_ms: u64,
    groups: BTreeMap<Group, Amounts>,
    rows: u64,
    /// Attempts whose cost is unknown: nothing is known of them but that.
    pub(super) unknown: u64,
}

impl Focus {
    pub(super) fn new(sink: Box<dyn Sink>, prices: Prices) -> Self {
        Self {
            sink,
            prices,
            day_ms: 0,
            groups: BTreeMap::new(),
            rows: 0,
            unknown: 0,
        }
    }

    /// # Errors
    /// When a day that is over cannot be written.
    pub(super) fn add(&mut self, outcome: &Outcome) -> Result<()> {
        let day_ms = outcome.started_unix_ms - outcome.started_unix_ms % DAY_MS;
        if day_ms != self.day_ms {
            self.write_day()?;
            self.day_ms = day_ms;
        }
        for (attempt, cost) in outcome.attempts.iter().zip(costs(outcome)) {
            self.add_attempt(outcome, attempt, cost);
        }
        Ok(())
    }

    fn add_attempt(&mut self, outcome: &Outcome, attempt: &AttemptRecord, cost: Option<NanoUsd>) {
        let usage = attempt.usage.consistent();
        let has_usage = usage.total_tokens() > 0;
        if !has_usage && cost.is_none_or(|cost| cost == NanoUsd::ZERO) {
            return;
        }
        if cost.is_none() {
            self.unknown += 1;
        }
        let basis = attempt.cost.map_or(CostBasis::Reported, |cost| cost.basis);
        let group = Group {
            backend: attempt.backend.clone(),
            deployment: attempt.deployment.clone(),
            perimeter: attempt.perimeter,
            region: attempt.region.clone(),
            key: outcome.key.clone(),
            team: outcome.team.clone(),
            flow: outcome.flow.clone(),
            tier: match usage.service_tier {
                ServiceTier::Standard => "",
                other => other.as_str(),
            },
            basis: cost.map(|_| basis.into()),
        };
        let idle = attempt.cost.map_or(NanoUsd::ZERO, |cost| cost.idle_share);
        let amounts = self.groups.entry(group).or_default();
        amounts.cost_nanos += cost.map_or(0, |cost| i128::from(cost.nanos()));
        amounts.idle_nanos += i128::from(idle.nanos());
        amounts.attempts += 1;
        for (sum, class) in amounts.units.iter_mut().zip(CLASSES) {
            *sum = sum.saturating_add(class.units_of(&usage));
        }
    }

    fn write_day(&mut self) -> Result<()> {
        for (group, amounts) in std::mem::take(&mut self.groups) {
            for (charge, quantity, nanos) in self.charges(&group, &amounts) {
                let provider = self.prices.provider(&group);
                let cells = row(
                    self.day_ms,
                    &group,
                    provider,
                    charge,
                    quantity,
                    (nanos, amounts.attempts),
                );
                self.sink.row(&cells)?;
                self.rows += 1;
            }
        }
        Ok(())
    }

    /// What a group is charged for.
    fn charges(&mut self, group: &Group, amounts: &Amounts) -> Vec<(Charge, Quantity, i128)> {
        let attempts = Quantity::Whole(amounts.attempts, "Requests");
        match group.basis {
            None => vec![(Charge::Unpriced, all_tokens(amounts, attempts), 0)],
            Some(Basis::Hours) => {
                let hours = |nanos: i128| match self.prices.per_hour(group) {
                    Some(per_hour) if nanos > 0 => Quantity::Hours { nanos, per_hour },
                    _ => attempts,
                };
                let busy = amounts.cost_nanos - amounts.idle_nanos;
                let mut charges = vec![(Charge::Busy, hours(busy), busy)];
                if amounts.idle_nanos != 0 {
                    charges.push((Charge::Idle, hours(amounts.idle_nanos), amounts.idle_nanos));
                }
                charges
            }
            Some(Basis::Tokens | Basis::Reported) => {
                let weights = self.prices.weights(group, self.day_ms);
                let shares = share(amounts.cost_nanos, &amounts.units, &weights);
                let Some(shares) = shares else {
                    let quantity = all_tokens(amounts, attempts);
                    return vec![(Charge::AllTokens, quantity, amounts.cost_nanos)];
                };
                let classes = CLASSES.into_iter().zip(amounts.units).zip(shares);
                classes
                    .filter(|((_, units), nanos)| *units > 0 || *nanos != 0)
                    .map(|((class, units), nanos)| {
                        let quantity = Quantity::Whole(units.max(1), class.unit());
                        (Charge::Class(class), quantity, nanos)
                    })
                    .collect()
            }
        }
    }

    /// Writes the last day; how many rows there are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.write_day()?;
        let rows = self.rows;
        self.sink.finish()?;
        Ok(rows)
    }
}

fn all_tokens(amounts: &Amounts, otherwise: Quantity) -> Quantity {
    let tokens = CLASSES.into_iter().zip(amounts.units);
    let tokens = tokens.filter(|(class, _)| class.unit() == Class::Input.unit());
    match tokens.map(|(_, units)| units).fold(0, u64::saturating_add) {
        0 => otherwise,
        tokens => Quantity::Whole(tokens, Class::Input.unit()),
    }
}

/// Shares an amount among classes in proportion to `units x weight`, exactly: what division leaves
/// over goes to the largest. `None` when nothing is known to share it by.
fn share(
    nanos: i128,
    units: &[u64; CLASSES.len()],
    weights: &[u64; CLASSES.len()],
) -> Option<[i128; CLASSES.len()]> {
    let parts: Vec<i128> = units
        .iter()
        .zip(weights)
        .map(|(units, weight)| i128::from(*units) * i128::from(*weight))
        .collect();
    let whole: i128 = parts.iter().sum();
    let largest = parts.iter().enumerate().max_by_key(|(_, part)| **part)?.0;
    if whole == 0 {
        return None;
    }
    let mut shares = [0; CLASSES.len()];
    for (share, part) in shares.iter_mut().zip(&parts) {
        // Amounts beyond all sense go to the largest class whole, rather than overflow.
        *share = nanos
            .checked_mul(*part)
            .map_or(0, |product| product / whole);
    }
    let shared: i128 = shares.iter().sum();
    shares[largest] += nanos - shared;
    Some(shares)
}

#[cfg(test)]
mod tests;
