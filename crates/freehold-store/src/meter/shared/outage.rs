//! What holds while the shared accounts cannot be reached.

use std::sync::Arc;

use freehold_ports::{
    Bound, Budget, Clock, Limits, Meter as _, Period, Reservation, ReserveError, Standing, Used,
};
use freehold_types::NanoUsd;
use parking_lot::RwLock;

use crate::meter::{LocalMeter, PeriodStart};

/// What holds while the shared accounts cannot be reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stance {
    /// Nothing that is limited is admitted.
    #[default]
    Deny,
    /// This gateway admits a little by itself, and charges it when the accounts are back.
    Allow {
        /// The part of each limit per minute, and of each limit of requests at the same time, that
        /// this gateway takes for its own; 0 to 1.
        share: f64,
        /// What each key, team and flow may spend in one outage.
        spend: NanoUsd,
    },
}

/// A gateway's own little account.
pub(super) struct Allowance {
    share: f64,
    spend: NanoUsd,
    clock: Arc<dyn Clock>,
    /// Begun anew with each outage.
    meter: RwLock<Option<Arc<LocalMeter>>>,
}

impl Allowance {
    pub(super) fn new(stance: &Stance, clock: Arc<dyn Clock>) -> Option<Self> {
        match stance {
            Stance::Deny => None,
            Stance::Allow { share, spend } => Some(Self {
                share: share.clamp(0.0, 1.0),
                spend: *spend,
                clock,
                meter: RwLock::default(),
            }),
        }
    }

    /// The accounts are back: the next outage begins with a new allowance.
    pub(super) fn over(&self) {
        if self.meter.read().is_some() {
            // Requests of this outage that are still under way keep it alive.
            self.meter.write().take();
        }
    }

    pub(super) async fn reserve(&self, asked: &Reservation) -> Result<Standing, ReserveError> {
        let meter = {
            let mut meter = self.meter.write();
            let begin = || Arc::new(LocalMeter::new(Arc::clone(&self.clock)));
            Arc::clone(meter.get_or_insert_with(begin))
        };
        let asked = self.scaled(asked);
        for bound in &asked.bounds {
            let total = PeriodStart::holding(Period::Total, 0);
            meter.told(bound.scope.clone(), total, NanoUsd::ZERO);
        }
        meter.reserve(&asked).await
    }

    pub(super) fn settle(&self, reservation: &Reservation, used: Used) {
        if let Some(meter) = &*self.meter.read() {
            meter.settle(self.scaled(reservation), used);
        }
    }

    /// The same under this gateway's part of the limits.
    fn scaled(&self, asked: &Reservation) -> Reservation {
        let part = |limit: Option<u64>| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a limit, rounded down; the conversion saturates"
            )]
            limit.map(|limit| (limit as f64 * self.share) as u64)
        };
        let bounds = asked.bounds.iter().map(|bound| {
            let limits = &bound.limits;
            let has_budget = !limits.budgets.is_empty();
            let budget = Budget {
                period: Period::Total,
                hard: Some(self.spend),
                soft: None,
            };
            Bound {
                scope: bound.scope.clone(),
                limits: Arc::new(Limits {
                    requests_per_minute: part(limits.requests_per_minute),
                    tokens_per_minute: part(limits.tokens_per_minute),
                    concurrent: part(limits.concurrent),
                    budgets: has_budget.then_some(budget).into_iter().collect(),
                }),
            }
        });
        Reservation {
            bounds: bounds.collect(),
            ..asked.clone()
        }
    }
}
