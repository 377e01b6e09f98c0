//! Limits and budgets of one process, in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{
    Bound, BoxFuture, Clock, Denial, Limits, Meter, Period, Remaining, Reservation, ReserveError,
    Scope, Shortage, Standing, Used,
};
use freehold_types::{NanoUsd, RequestId};
use parking_lot::Mutex;

use super::rolling::Rolling;
use super::{History, PeriodStart, Standings};

/// Days and months that are remembered of each budget: a request may end long after it began.
const PERIODS_REMEMBERED: usize = 3;
/// How long a client should wait for other requests to end: nobody can foresee when they do.
const UNFORESEEN_RETRY: Duration = Duration::from_secs(1);

/// The meter of a single gateway: exact within this process.
///
/// What was spent before the start is told by [`History::restore`]; until then nothing that has a
/// hard budget is admitted.
pub struct LocalMeter {
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    scopes: HashMap<Scope, State>,
    /// What is reserved and not settled: for each bound, in the reservation's order, the second in
    /// which it was reserved.
    held: HashMap<RequestId, Vec<u64>>,
}

/// What one scope has used.
#[derive(Default)]
struct State {
    requests: Rolling,
    tokens: Rolling,
    running: u64,
    /// The periods of whose earlier spending somebody has told.
    known: HashSet<Period>,
    spends: HashMap<Period, BTreeMap<PeriodStart, Spend>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spend {
    spent: NanoUsd,
    reserved: NanoUsd,
    told: bool,
}

impl LocalMeter {
    /// A meter that knows of no spending yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            books: Mutex::default(),
        }
    }

    /// Tells what a scope had spent in a day or month before anything was reserved of it.
    pub(super) fn told(&self, scope: Scope, period: PeriodStart, spent: NanoUsd) {
        let mut books = self.books.lock();
        let state = books.scopes.entry(scope).or_default();
        if state.known.insert(period.period) {
            state.spend(period).spent += spent;
        }
    }

    /// Requests that are reserved and not settled.
    pub fn held(&self) -> usize {
        self.books.lock().held.len()
    }

    fn reserve_now(&self, asked: &Reservation) -> Result<Standing, ReserveError> {
        let now = self.clock.monotonic();
        let mut books = self.books.lock();
        if books.held.contains_key(&asked.id) {
            return Ok(books.standing(&asked.bounds, now));
        }
        for bound in &asked.bounds {
            let state = books.scopes.entry(bound.scope.clone()).or_default();
            match state.shortage(&bound.limits, asked, now) {
                Ok(None) => {}
                Ok(Some((shortage, retry_after))) => {
                    return Err(ReserveError::Denied(Box::new(Denial {
                        scope: bound.scope.clone(),
                        shortage,
                        retry_after,
                        standing: books.standing(&asked.bounds, now),
                    })));
                }
                Err(Untold) => {
                    return Err(ReserveError::Unreachable(format!(
                        "what {} has spent so far is not known yet",
                        bound.scope
                    )));
                }
            }
        }
        let mut seconds = Vec::with_capacity(asked.bounds.len());
        for bound in &asked.bounds {
            let state = books.scopes.entry(bound.scope.clone()).or_default();
            seconds.push(state.take(&bound.limits, asked, now));
        }
        books.held.insert(asked.id, seconds);
        Ok(books.standing(&asked.bounds, now))
    }
}

impl Meter for LocalMeter {
    fn reserve<'a>(
        &'a self,
        reservation: &'a Reservation,
    ) -> BoxFuture<'a, Result<Standing, ReserveError>> {
        Box::pin(std::future::ready(self.reserve_now(reservation)))
    }

    fn settle(&self, reservation: Reservation, used: Used) {
        let mut books = self.books.lock();
        let Some(seconds) = books.held.remove(&reservation.id) else {
            return;
        };
        for (bound, second) in reservation.bounds.iter().zip(seconds) {
            if let Some(state) = books.scopes.get_mut(&bound.scope) {
                state.settle(bound, &reservation, used, second);
            }
        }
    }
}

impl History for LocalMeter {
    fn unknown<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<(Scope, PeriodStart)>, ReserveError>> {
        let books = self.books.lock();
        let is_known = |(scope, period): &&(Scope, PeriodStart)| {
            let state = books.scopes.get(scope);
            state.is_some_and(|state| state.known.contains(&period.period))
        };
        let unknown = budgets.iter().filter(|budget| !is_known(budget)).cloned();
        Box::pin(std::future::ready(Ok(unknown.collect())))
    }

    fn restore(
        &self,
        scope: Scope,
        period: PeriodStart,
        spent: NanoUsd,
    ) -> BoxFuture<'_, Result<(), ReserveError>> {
        self.told(scope, period, spent);
        Box::pin(std::future::ready(Ok(())))
    }

    fn standings<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<Standings>, ReserveError>> {
        let books = self.books.lock();
        let standings = budgets.iter().map(|(scope, period)| {
            let spends = books.scopes.get(scope).map(|state| &state.spends);
            let periods = spends.and_then(|spends| spends.get(&period.period));
            let spend = periods.and_then(|periods| periods.get(period)).copied();
            let Spend {
                spent, reserved, ..
            } = spend.unwrap_or_default();
            Standings {
                scope: scope.clone(),
                period: *period,
                spent,
                reserved,
            }
        });
        Box::pin(std::future::ready(Ok(standings.collect())))
    }
}

impl Books {
    fn standing(&mut self, bounds: &[Bound], now: Duration) -> Standing {
        let mut standing = Standing::default();
        for Bound { scope, limits } in bounds {
            if let Some(state) = self.scopes.get_mut(scope) {
                standing.tighten(state.standing(limits, now));
            }
        }
        standing
    }
}

/// Nobody has told what was spent before.
struct Untold;

impl State {
    /// What there is too little of for this request, and how long to wait for it.
    fn shortage(
        &mut self,
        limits: &Limits,
        asked: &Reservation,
        now: Duration,
    ) -> Result<Option<(Shortage, Option<Duration>)>, Untold> {
        for budget in &limits.budgets {
            let Some(limit) = budget.hard else {
                continue;
            };
            let period = PeriodStart::holding(budget.period, asked.started_unix_ms);
            if !self.known.contains(&budget.period) {
                return Err(Untold);
            }
            let spend = *self.spend(period);
            let taken = spend.spent + spend.reserved;
            // What costs nothing cannot pass a budget.
            if asked.cost > NanoUsd::ZERO && taken + asked.cost > limit {
                let shortage = Shortage::Budget {
                    period: budget.period,
                    limit,
                    taken,
                    needed: asked.cost,
                };
                let retry = if asked.cost > limit {
                    // It does not fit into an empty budget either.
                    None
                } else if spend.spent + asked.cost <= limit {
                    Some(UNFORESEEN_RETRY)
                } else {
                    period.ends_after(asked.started_unix_ms)
                };
                return Ok(Some((shortage, retry)));
            }
        }
        if let Some(limit) = limits.concurrent
            && self.running >= limit
        {
            let retry = (limit > 0).then_some(UNFORESEEN_RETRY);
            return Ok(Some((Shortage::Concurrent { limit }, retry)));
        }
        let minute = [
            (&mut self.requests, 1, limits.requests_per_minute),
            (&mut self.tokens, asked.tokens, limits.tokens_per_minute),
        ];
        for (index, (rolling, needed, limit)) in minute.into_iter().enumerate() {
            let Some(limit) = limit else {
                continue;
            };
            let wait = rolling.wait(now, needed, limit);
            if wait != Some(Duration::ZERO) {
                let shortage = if index == 0 {
                    Shortage::Requests { limit }
                } else {
                    Shortage::Tokens { limit, needed }
                };
                return Ok(Some((shortage, wait)));
            }
        }
        Ok(None)
    }

    /// Takes what the request could use; the second of it.
    fn take(&mut self, limits: &Limits, asked: &Reservation, now: Duration) -> u64 {
        self.running += 1;
        let second = self.requests.add(now, 1);
        let second = self
            .tokens
            .add(now.max(Duration::from_secs(second)), asked.tokens);
        for budget in &limits.budgets {
            let spend = self.spend(PeriodStart::holding(budget.period, asked.started_unix_ms));
            spend.reserved += asked.cost;
        }
        second
    }

    fn settle(&mut self, bound: &Bound, asked: &Reservation, used: Used, second: u64) {
        self.running = self.running.saturating_sub(1);
        self.tokens.correct(second, asked.tokens, used.tokens);
        for budget in &bound.limits.budgets {
            let spend = self.spend(PeriodStart::holding(budget.period, asked.started_unix_ms));
            spend.reserved = NanoUsd::from_nanos(
                spend
                    .reserved
                    .nanos()
                    .saturating_sub(asked.cost.nanos())
                    .max(0),
            );
            spend.spent += used.cost;
            if let Some(soft) = budget.soft
                && spend.spent >= soft
                && !std::mem::replace(&mut spend.told, true)
            {
                tracing::warn!(
                    scope = %bound.scope,
                    period = ?budget.period,
                    spent_usd = %spend.spent,
                    alert_usd = %soft,
                    "a budget's alert is reached"
                );
            }
        }
    }

    fn spend(&mut self, period: PeriodStart) -> &mut Spend {
        let periods = self.spends.entry(period.period).or_default();
        while periods.len() >= PERIODS_REMEMBERED && !periods.contains_key(&period) {
            periods.pop_first();
        }
        periods.entry(period).or_default()
    }

    fn standing(&mut self, limits: &Limits, now: Duration) -> Standing {
        let remaining = |rolling: &mut Rolling, limit: Option<u64>| {
            limit.map(|limit| Remaining {
                limit,
                remaining: limit.saturating_sub(rolling.used(now)),
                reset: rolling.reset(now),
            })
        };
        Standing {
            requests: remaining(&mut self.requests, limits.requests_per_minute),
            tokens: remaining(&mut self.tokens, limits.tokens_per_minute),
        }
    }
}
