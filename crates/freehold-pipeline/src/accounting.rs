//! What is remembered between requests: how deployments are doing, and owned machines' meters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_cost::{OwnedMeter, PriceBook, Ticket};
use freehold_ports::Clock;
use freehold_route::{Began, BreakerSettings, Health, Sample, Verdict, Vitals};
use freehold_types::outcome::{Cost, CostGap};
use freehold_types::usage::UsageDoubt;
use freehold_types::{BackendId, Deployment, DeploymentId, Error, NanoUsd, PriceBasis, Usage};
use parking_lot::Mutex;

use crate::log::micros;
use crate::pipeline::Pipeline;
use crate::snapshot::Snapshot;

/// Deployments whose health is kept. Clients can name models that nobody listed; their number must
/// not grow without bound.
const DEPLOYMENTS_MAX: usize = 4_096;

/// An attempt under way, to be given back to [`Accounting::end`].
#[derive(Debug)]
pub(crate) struct UnderWay {
    ticket: Option<Ticket>,
    began: Option<Began>,
}

/// An attempt that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) error: Option<&'a Error>,
    pub(crate) usage: Usage,
    /// From its begin to its first token, and to its end.
    pub(crate) first_token: Option<Duration>,
    pub(crate) duration: Duration,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    us: u64,
    unix_ms: u64,
}

/// What an owned machine has cost since the gateway started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedStanding {
    /// The machine's backend.
    pub backend: BackendId,
    /// What an hour costs now; zero when it is no longer configured.
    pub per_hour: NanoUsd,
    /// All of the time, at the price of each moment.
    pub wall: NanoUsd,
    /// What of it the requests that have ended carry, their shares of idle time included.
    pub charged: NanoUsd,
    /// Idle time that no request has carried yet. What is missing to `wall` belongs to requests that
    /// are being served.
    pub idle: NanoUsd,
}

/// What is remembered between requests.
pub(crate) struct Accounting {
    clock: Arc<dyn Clock>,
    prices: ArcSwap<PriceBook>,
    vitals: Mutex<HashMap<DeploymentId, Vitals>>,
    meters: Mutex<HashMap<BackendId, OwnedMeter>>,
    /// Gaps of costs that were told.
    told_gaps: Mutex<HashSet<(DeploymentId, CostGap)>>,
}

impl Accounting {
    pub(crate) fn new(clock: Arc<dyn Clock>, prices: PriceBook) -> Self {
        Self {
            clock,
            prices: ArcSwap::from_pointee(prices),
            vitals: Mutex::default(),
            meters: Mutex::default(),
            told_gaps: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn prices(&self) -> Arc<PriceBook> {
        self.prices.load_full()
    }

    /// Starts the meters of owned machines: their idle time counts from here on. A machine's meter
    /// goes on through a reload, at another price when that has changed. One that is no longer
    /// configured stands still; requests under way on it still end.
    pub(crate) fn watch(&self, snapshot: &Snapshot) {
        let now_us = micros(self.clock.monotonic());
        let mut prices = HashMap::new();
        for deployment in snapshot.deployments() {
            if let PriceBasis::Hourly { per_hour } = deployment.price {
                prices.insert(&deployment.backend, per_hour);
            }
        }
        let mut meters = self.meters.lock();
        for (backend, meter) in meters.iter_mut() {
            let per_hour = prices.remove(backend).unwrap_or_default();
            meter.reprice(per_hour, now_us);
        }
        for (backend, per_hour) in prices {
            meters.insert(backend.clone(), OwnedMeter::new(per_hour, now_us));
        }
    }

    /// What each owned machine has cost, by name.
    fn owned(&self) -> Vec<OwnedStanding> {
        let now_us = micros(self.clock.monotonic());
        let mut meters = self.meters.lock();
        let standings = meters.iter_mut().map(|(backend, meter)| OwnedStanding {
            backend: backend.clone(),
            per_hour: meter.per_hour(),
            wall: meter.wall(now_us),
            charged: meter.charged(),
            idle: meter.idle_pool(now_us),
        });
        let mut standings: Vec<_> = standings.collect();
        drop(meters);
        standings.sort_by(|one, other| one.backend.cmp(&other.backend));
        standings
    }

    /// How a deployment is doing.
    pub(crate) fn health(&self, deployment: &Deployment) -> Health {
        let now_ms = self.now_ms();
        match self.vitals.lock().get(&deployment.id) {
            Some(vitals) => vitals.health(now_ms),
            None => Vitals::new(BreakerSettings::default()).health(now_ms),
        }
    }

    /// An attempt begins.
    pub(crate) fn begin(&self, deployment: &Deployment) -> UnderWay {
        let now_us = micros(self.clock.monotonic());
        let mut vitals = self.vitals.lock();
        if !vitals.contains_key(&deployment.id) && vitals.len() < DEPLOYMENTS_MAX {
            vitals.insert(
                deployment.id.clone(),
                Vitals::new(BreakerSettings::default()),
            );
        }
        let began = vitals
            .get_mut(&deployment.id)
            .map(|vitals| vitals.begin(now_us / 1_000));
        drop(vitals);
        let ticket = match deployment.price {
            PriceBasis::Hourly { .. } => {
                let mut meters = self.meters.lock();
                meters
                    .get_mut(&deployment.backend)
                    .map(|meter| meter.begin(now_us))
            }
            _ => None,
        };
        UnderWay { ticket, began }
    }

    /// The time, for [`Accounting::end`].
    pub(crate) fn now(&self) -> Now {
        Now {
            us: micros(self.clock.monotonic()),
            unix_ms: self.clock.unix_ms(),
        }
    }

    /// An attempt ends; what it cost, `None` when nobody can tell.
    pub(crate) fn end(&self, under_way: UnderWay, ended: &Ended<'_>, now: Now) -> Option<Cost> {
        let now_us = now.us;
        let Deployment {
            id, backend, price, ..
        } = ended.deployment;
        if let Some(began) = under_way.began
            && let Some(vitals) = self.vitals.lock().get_mut(id)
        {
            let sample = Sample {
                first_token_us: ended.first_token.map(micros),
                generating_us: ended
                    .first_token
                    .map_or(0, |first| micros(ended.duration.saturating_sub(first))),
                output_tokens: ended.usage.output_tokens,
            };
            vitals.end(began, Verdict::of(ended.error), sample, now_us / 1_000);
        }
        if let Some(doubt) = ended.usage.doubt {
            tell_doubt(id, doubt, ended.usage);
        }
        if let Some(ticket) = under_way.ticket {
            let mut meters = self.meters.lock();
            return Some(meters.get_mut(backend)?.end(ticket, now_us));
        }
        let prices = self.prices.load();
        let cost = prices.cost(price, &ended.usage, now.unix_ms).ok()?;
        if let Some(gap) = cost.gap {
            self.tell_gap(id, gap);
        }
        Some(cost)
    }

    /// Tells once what the costs of a deployment lack.
    fn tell_gap(&self, id: &DeploymentId, gap: CostGap) {
        let mut told = self.told_gaps.lock();
        if told.len() < DEPLOYMENTS_MAX && told.insert((id.clone(), gap)) {
            let lacking = match gap {
                CostGap::TierPrice => {
                    "no price is known for the service tier; the standard is taken"
                }
                CostGap::ToolFee => "no fee is known for a hosted tool; it is not in the cost",
                // Only what is recorded after a death has this, and it is told there.
                CostGap::Interrupted => return,
            };
            tracing::warn!(deployment = %id, "costs may differ from the invoice: {lacking}");
        }
    }

    fn now_ms(&self) -> u64 {
        micros(self.clock.monotonic()) / 1_000
    }
}

impl Pipeline {
    /// Prices requests by another book from here on. What was priced before stays as it is.
    pub fn use_prices(&self, prices: PriceBook) {
        self.accounting.prices.store(Arc::new(prices));
    }

    /// What each owned machine has cost since the gateway started, by name.
    pub fn owned(&self) -> Vec<OwnedStanding> {
        self.accounting.owned()
    }
}

/// Tells that an upstream reports what cannot be: its counts decide what is billed.
fn tell_doubt(id: &DeploymentId, doubt: UsageDoubt, usage: Usage) {
    metrics::counter!("freehold_doubtful_usage_total", "doubt" => doubt.as_str()).increment(1);
    tracing::warn!(
        deployment = %id,
        input_tokens = usage.input_tokens,
        output_tokens = usage.output_tokens,
        basis = ?usage.basis,
        "the upstream reported {}: what is recorded instead is above, and marked",
        doubt.as_str(),
    );
}
