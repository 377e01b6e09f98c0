//! What is remembered between requests: how deployments are doing, and owned machines' meters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_cost::{OwnedMeter, PriceBook, Ticket};
use freehold_ports::Clock;
use freehold_route::{Began, BreakerSettings, Health, Sample, Verdict, Vitals};
use freehold_types::outcome::Cost;
use freehold_types::{BackendId, Deployment, DeploymentId, Error, NanoUsd, PriceBasis, Usage};
use parking_lot::Mutex;

use crate::log::micros;
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

struct Meter {
    per_hour: NanoUsd,
    meter: OwnedMeter,
}

/// What is remembered between requests.
pub(crate) struct Accounting {
    clock: Arc<dyn Clock>,
    prices: PriceBook,
    vitals: Mutex<HashMap<DeploymentId, Vitals>>,
    meters: Mutex<HashMap<BackendId, Meter>>,
}

impl Accounting {
    pub(crate) fn new(clock: Arc<dyn Clock>, prices: PriceBook) -> Self {
        Self {
            clock,
            prices,
            vitals: Mutex::default(),
            meters: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn prices(&self) -> &PriceBook {
        &self.prices
    }

    /// Starts the meters of owned machines: their idle time counts from here on. A machine's meter
    /// goes on through a reload unless its price has changed.
    pub(crate) fn watch(&self, snapshot: &Snapshot) {
        let now_us = micros(self.clock.monotonic());
        let mut meters = self.meters.lock();
        for deployment in snapshot.deployments() {
            if let PriceBasis::Hourly { per_hour } = deployment.price {
                let known = meters.get(&deployment.backend).map(|meter| meter.per_hour);
                if known != Some(per_hour) {
                    let meter = OwnedMeter::new(per_hour, now_us);
                    meters.insert(deployment.backend.clone(), Meter { per_hour, meter });
                }
            }
        }
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
                    .map(|meter| meter.meter.begin(now_us))
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
        if let Some(ticket) = under_way.ticket {
            let mut meters = self.meters.lock();
            return Some(meters.get_mut(backend)?.meter.end(ticket, now_us));
        }
        self.prices.cost(price, &ended.usage, now.unix_ms).ok()
    }

    fn now_ms(&self) -> u64 {
        micros(self.clock.monotonic()) / 1_000
    }
}
