//! Limits and budgets that many gateways keep together, in Valkey or Redis.

mod ask;
mod link;
mod outage;
mod pending;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{
    BoxFuture, Clock, Denial, Meter, Period, Reservation, ReserveError, Scope, Shortage, Standing,
    Used,
};
use freehold_types::{NanoUsd, RequestId};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::Notify;

use self::ask::{Call, LapsedHold, Reply, Short, budget_key};
use self::link::Link;
use self::outage::Allowance;
use self::pending::{Pending, Settlement};
use super::{History, MeterError, PeriodStart, Standings};
use crate::Life;

pub use self::outage::Stance;

/// How long a client should wait for other requests to end: nobody can foresee when they do.
const UNFORESEEN_RETRY: Duration = Duration::from_secs(1);
/// Settlements that are sent at the same time.
const SETTLED_AT_ONCE: usize = 32;
/// Pause before a server that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Where the accounts are, and what holds while they cannot be reached.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// `redis://`, `rediss://` (TLS) or `unix://`; may hold a password.
    pub url: SecretString,
    /// Gateways that share accounts have the same; others on the same server have another.
    pub namespace: String,
    /// A request longer than this without a sign of life from its gateway counts as ended.
    pub lease: Duration,
    /// How long the server may take to answer.
    pub timeout: Duration,
    /// What holds while it does not.
    pub stance: Stance,
    /// Which life of a gateway reserves: when it is over, the next life of the same gateway can tell
    /// what it never sent.
    pub life: Life,
}

impl SharedSettings {
    /// The usual: a minute's lease, half a second to answer, nothing admitted without an answer.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            namespace: "freehold".to_owned(),
            lease: Duration::from_secs(60),
            timeout: Duration::from_millis(500),
            stance: Stance::Deny,
            life: Life::begin(),
        }
    }

    /// Asks the server whether it is there and can keep accounts.
    ///
    /// # Errors
    /// Why not, without the address.
    pub async fn reach(&self) -> Result<(), ReserveError> {
        let unreachable = |error: MeterError| ReserveError::Unreachable(error.to_string());
        let link = Link::new(self.clone()).map_err(unreachable)?;
        let nothing = Call::Standings(vec![]);
        link.ask(&nothing)
            .await
            .map(drop)
            .map_err(ReserveError::Unreachable)
    }
}

/// A request whose gateway gave no sign of life until its lease was over. What it reserved counts as
/// spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapsed {
    /// The request.
    pub id: RequestId,
    /// The money that it reserved.
    pub reserved: NanoUsd,
    /// The life of a gateway in which it was reserved.
    pub life: Option<Life>,
}

/// How the shared accounts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// The budgets that were asked for, in their order.
    pub standings: Vec<Standings>,
    /// Requests under way at all gateways.
    pub held: u64,
    /// Requests of dead gateways that nobody has settled.
    pub lapsed: u64,
}

/// How a request under way was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the shared accounts.
    Shared,
    /// By this gateway's own allowance, while they were away.
    Allowed,
}

/// The meter of a gateway that is one of many.
pub struct SharedMeter {
    inner: Arc<Inner>,
    /// Ends with the meter.
    tasks: [tokio::task::AbortHandle; 2],
}

struct Inner {
    link: Link,
    clock: Arc<dyn Clock>,
    allowance: Option<Allowance>,
    under_way: Mutex<HashMap<RequestId, Way>>,
    pending: Mutex<Pending>,
    more: Notify,
    life: Life,
    /// Requests whose gateway died before they were settled: those that the server told of last.
    lapsed: Mutex<Vec<Lapsed>>,
}

impl Drop for SharedMeter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl SharedMeter {
    /// A meter over this server, which need not be there yet. Must be called within a runtime.
    ///
    /// # Errors
    /// When the address cannot be one.
    pub fn new(settings: SharedSettings, clock: Arc<dyn Clock>) -> Result<Self, MeterError> {
        let allowance = Allowance::new(&settings.stance, Arc::clone(&clock));
        let (lease, life) = (settings.lease, settings.life);
        let inner = Arc::new(Inner {
            link: Link::new(settings)?,
            clock,
            allowance,
            under_way: Mutex::default(),
            pending: Mutex::default(),
            more: Notify::new(),
            life,
            lapsed: Mutex::default(),
        });
        let settling = tokio::spawn(Arc::clone(&inner).settle_pending());
        let renewing = tokio::spawn(Arc::clone(&inner).renew(lease / 3));
        Ok(Self {
            inner,
            tasks: [settling.abort_handle(), renewing.abort_handle()],
        })
    }

    /// Takes those requests of dead gateways that the server told of since the last call: at most a
    /// hundred each time that this gateway gives a sign of life, and all of them in turns. Whoever
    /// knows what they really used says so by [`SharedMeter::settle_lapsed`]; the others come again.
    pub fn take_lapsed(&self) -> Vec<Lapsed> {
        std::mem::take(&mut *self.inner.lapsed.lock())
    }

    /// What a request of a dead gateway used.
    pub fn settle_lapsed(&self, id: RequestId, used: Used) {
        self.inner.push(Settlement {
            id,
            used,
            charged: None,
        });
    }

    /// How much of these budgets is used, and how many requests are under way at all gateways.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn census(&self, budgets: &[(Scope, PeriodStart)]) -> Result<Census, ReserveError> {
        let reply = self.inner.ask(&Call::Standings(keys(budgets))).await?;
        let spends = reply.standings.into_iter().zip(budgets);
        let standings = spends.map(|(spend, (scope, period))| Standings {
            scope: scope.clone(),
            period: *period,
            spent: amount(&spend.spent),
            reserved: amount(&spend.reserved),
        });
        Ok(Census {
            standings: standings.collect(),
            held: reply.held,
            lapsed: reply.lapsed_count,
        })
    }

    /// Waits until everything that was settled is told to the server.
    pub async fn flush(&self) {
        while !self.inner.pending.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the server's clock appear to have gone on by so much.
    #[cfg(feature = "testing")]
    pub fn advance(&self, time: Duration) {
        self.inner.link.advance(time);
    }
}

impl Meter for SharedMeter {
    fn reserve<'a>(
        &'a self,
        reservation: &'a Reservation,
    ) -> BoxFuture<'a, Result<Standing, ReserveError>> {
        Box::pin(self.inner.reserve(reservation))
    }

    fn settle(&self, reservation: Reservation, used: Used) {
        let way = self.inner.under_way.lock().remove(&reservation.id);
        let charged = match way {
            None => return,
            Some(Way::Shared) => None,
            Some(Way::Allowed) => {
                if let Some(allowance) = &self.inner.allowance {
                    allowance.settle(&reservation, used);
                }
                Some(budget_keys(&reservation))
            }
        };
        let id = reservation.id;
        self.inner.push(Settlement { id, used, charged });
    }
}

impl History for SharedMeter {
    fn unknown<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<(Scope, PeriodStart)>, ReserveError>> {
        Box::pin(async move {
            if budgets.is_empty() {
                return Ok(vec![]);
            }
            let reply = self.inner.ask(&Call::Unknown(keys(budgets))).await?;
            let missing = reply.missing.into_iter();
            Ok(missing
                .filter_map(|index| budgets.get(index).cloned())
                .collect())
        })
    }

    fn restore(
        &self,
        scope: Scope,
        period: PeriodStart,
        spent: NanoUsd,
    ) -> BoxFuture<'_, Result<(), ReserveError>> {
        Box::pin(async move {
            let call = Call::restore(budget_key(&scope, period), spent, period);
            self.inner.ask(&call).await.map(drop)
        })
    }

    fn standings<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<Standings>, ReserveError>> {
        Box::pin(async move { Ok(self.census(budgets).await?.standings) })
    }
}

impl Inner {
    async fn ask(&self, call: &Call) -> Result<Reply, ReserveError> {
        self.link.ask(call).await.map_err(ReserveError::Unreachable)
    }

    async fn reserve(&self, asked: &Reservation) -> Result<Standing, ReserveError> {
        match self.ask(&Call::reserve(asked, self.life)).await {
            Ok(Reply {
                short: Some(short),
                standing,
                ..
            }) => Err(self.denial(asked, &short, ask::tightest(standing))),
            Ok(reply) => {
                if let Some(allowance) = &self.allowance {
                    allowance.over();
                }
                self.under_way.lock().insert(asked.id, Way::Shared);
                Ok(ask::tightest(reply.standing))
            }
            Err(error) => {
                // It may have been taken all the same.
                self.pending.lock().give_back(asked.id);
                self.more.notify_one();
                let Some(allowance) = &self.allowance else {
                    return Err(error);
                };
                let standing = allowance.reserve(asked).await?;
                tracing::warn!(%error, id = %asked.id, "admitted by this gateway's own allowance");
                self.under_way.lock().insert(asked.id, Way::Allowed);
                Ok(standing)
            }
        }
    }

    fn denial(&self, asked: &Reservation, short: &Short, standing: Standing) -> ReserveError {
        let Some(bound) = asked.bounds.get(short.bound) else {
            return ReserveError::Unreachable("the accounts answered what nobody asked".to_owned());
        };
        let limits = &bound.limits;
        let budget = limits.budgets.get(short.budget.unwrap_or_default());
        let waited = short.wait_ms.and_then(|ms| u64::try_from(ms).ok());
        let waited = waited.map(Duration::from_millis);
        let (shortage, retry_after) = match (short.what.as_str(), budget) {
            ("requests", _) => {
                let limit = limits.requests_per_minute.unwrap_or_default();
                (Shortage::Requests { limit }, waited)
            }
            ("tokens", _) => {
                let limit = limits.tokens_per_minute.unwrap_or_default();
                let needed = asked.tokens;
                (Shortage::Tokens { limit, needed }, waited)
            }
            ("concurrent", _) => {
                let limit = limits.concurrent.unwrap_or_default();
                let retry = (limit > 0).then_some(UNFORESEEN_RETRY);
                (Shortage::Concurrent { limit }, retry)
            }
            ("budget", Some(budget)) => {
                let amount = |text: &Option<String>| amount(text.as_deref().unwrap_or_default());
                let period = PeriodStart::holding(budget.period, asked.started_unix_ms);
                let retry = match short.way.as_deref() {
                    Some("soon") => Some(UNFORESEEN_RETRY),
                    Some("next") => period.ends_after(self.clock.unix_ms()),
                    _ => None,
                };
                let shortage = Shortage::Budget {
                    period: budget.period,
                    limit: budget.hard.unwrap_or_default(),
                    taken: amount(&short.spent) + amount(&short.reserved),
                    needed: asked.cost,
                };
                (shortage, retry)
            }
            ("over", _) => {
                return ReserveError::Unreachable("they answered too late".to_owned());
            }
            _ => {
                return ReserveError::Unreachable(format!(
                    "what {} has spent so far is not known yet",
                    bound.scope
                ));
            }
        };
        ReserveError::Denied(Box::new(Denial {
            scope: bound.scope.clone(),
            shortage,
            retry_after,
            standing,
        }))
    }

    fn push(&self, settlement: Settlement) {
        self.pending.lock().push(settlement);
        self.more.notify_one();
    }

    /// Tells the server what was used, until it has understood.
    async fn settle_pending(self: Arc<Self>) {
        let mut failing = false;
        loop {
            let batch = self.pending.lock().first(SETTLED_AT_ONCE);
            if batch.is_empty() {
                self.more.notified().await;
                continue;
            }
            let sending = batch.iter().map(|settlement| self.settle(settlement));
            let results = futures_util::future::join_all(sending).await;
            let told: Vec<_> = results.iter().map(Result::is_ok).collect();
            self.pending.lock().told(&told);
            let failed = results.iter().find_map(|result| result.as_ref().err());
            if let Some(error) = failed {
                if !failing {
                    tracing::warn!(%error, "usage waits to be settled until the accounts answer");
                }
                tokio::time::sleep(RETRY).await;
            } else if failing {
                tracing::info!("the accounts answer again: usage that waited is settled");
            }
            failing = failed.is_some();
        }
    }

    async fn settle(&self, settlement: &Settlement) -> Result<(), ReserveError> {
        let Settlement { id, used, charged } = settlement;
        let reply = self.ask(&Call::settle(*id, *used, charged.clone())).await?;
        for budget in reply.alerts {
            tracing::warn!(budget, "a budget's alert is reached");
        }
        Ok(())
    }

    /// Says again and again which requests are under way.
    async fn renew(self: Arc<Self>, every: Duration) {
        let mut pause = tokio::time::interval(every);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut skip = 0;
        loop {
            pause.tick().await;
            let ids: Vec<_> = {
                let under_way = self.under_way.lock();
                let shared = under_way.iter().filter(|(_, way)| **way == Way::Shared);
                shared.map(|(id, _)| *id).collect()
            };
            match self.ask(&Call::renew(ids, skip)).await {
                Ok(reply) => {
                    skip = reply.skip;
                    let lapsed = reply.lapsed.iter().filter_map(lapsed);
                    *self.lapsed.lock() = lapsed.collect();
                }
                Err(error) => tracing::warn!(%error, "the accounts do not answer"),
            }
        }
    }
}

fn amount(nanos: &str) -> NanoUsd {
    NanoUsd::from_nanos(nanos.parse().unwrap_or(0))
}

fn lapsed(hold: &LapsedHold) -> Option<Lapsed> {
    Some(Lapsed {
        id: hold.id.parse().ok()?,
        reserved: amount(&hold.cost),
        life: hold.life.parse().ok(),
    })
}

fn keys(budgets: &[(Scope, PeriodStart)]) -> Vec<String> {
    budgets
        .iter()
        .map(|(scope, period)| budget_key(scope, *period))
        .collect()
}

fn budget_keys(reservation: &Reservation) -> Vec<String> {
    let mut keys = vec![];
    for bound in &reservation.bounds {
        for budget in &bound.limits.budgets {
            let period: Period = budget.period;
            let period = PeriodStart::holding(period, reservation.started_unix_ms);
            keys.push(budget_key(&bound.scope, period));
        }
    }
    keys
}
