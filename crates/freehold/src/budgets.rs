//! Keeps a meter's knowledge of the past complete: what was spent of budgets before it began to
//! count, read from the ledger, and what requests of gateways that died really used.

mod gauges;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use freehold_config::Settings;
use freehold_ports::{Bound, Clock, Period, Scope, Used};
use freehold_store::meter::{History, LocalMeter, PeriodStart, SharedMeter, SharedSettings};
use freehold_store::{GroupBy, Journal, Life, Reader, UsageQuery};
use freehold_types::{NanoUsd, RequestId, TeamName};

use self::gauges::Gauges;
pub(crate) use self::gauges::describe as describe_metrics;

/// How often it is looked whether something is not known.
const LOOK: Duration = Duration::from_secs(1);
/// Budgets that are asked about in one question: more would hold up everybody else at the accounts.
const ASKED_AT_ONCE: usize = 1_000;
/// Days and months are opened so long before they begin, in milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

/// Where limits and budgets are counted.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) meter: Arc<dyn History>,
    /// When many gateways share them.
    shared: Option<Arc<SharedMeter>>,
    /// Knows what earlier lives of this gateway sent.
    journal: Option<Arc<Journal>>,
}

impl Accounts {
    /// In this process, or in the server of the settings.
    pub(crate) fn open(
        shared: Option<&SharedSettings>,
        journal: Option<Arc<Journal>>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self> {
        let Some(settings) = shared else {
            return Ok(Self {
                meter: Arc::new(LocalMeter::new(Arc::clone(clock))),
                shared: None,
                journal,
            });
        };
        let mut settings = settings.clone();
        if let Some(journal) = &journal {
            settings.life = journal.life();
        }
        let meter = Arc::new(SharedMeter::new(settings, Arc::clone(clock))?);
        Ok(Self {
            meter: meter.clone(),
            shared: Some(meter),
            journal,
        })
    }
}

/// What is limited now, and where its past is read.
pub(crate) struct Past {
    accounts: Accounts,
    reader: Reader,
    clock: Arc<dyn Clock>,
    bounds: ArcSwap<Vec<Bound>>,
    asked: tokio::sync::Mutex<Asked>,
}

/// The budgets, and which of them are known.
#[derive(Default)]
struct Asked {
    /// What the list was made of.
    bounds: Arc<Vec<Bound>>,
    periods: Vec<PeriodStart>,
    list: Vec<(Scope, PeriodStart)>,
    /// Whether all were known once: then only a part is looked at each time, from here on.
    all_known: bool,
    next: usize,
}

impl Asked {
    /// Lists the budgets anew where they are others than last time: that takes a while with many keys.
    fn renew(&mut self, bounds: Arc<Vec<Bound>>, now_unix_ms: u64) {
        let kinds = [Period::Day, Period::Month, Period::Total].into_iter();
        let moments = [now_unix_ms, now_unix_ms + AHEAD_MS];
        let periods: Vec<_> = kinds
            .flat_map(|period| moments.map(|unix_ms| PeriodStart::holding(period, unix_ms)))
            .collect();
        if Arc::ptr_eq(&bounds, &self.bounds) && periods == self.periods {
            return;
        }
        *self = Self {
            list: budgets(&bounds, now_unix_ms),
            bounds,
            periods,
            ..Self::default()
        };
    }

    /// The next budgets to look at.
    fn part(&mut self) -> &[(Scope, PeriodStart)] {
        if self.next >= self.list.len() {
            self.next = 0;
        }
        let from = self.next;
        self.next = self.list.len().min(from + ASKED_AT_ONCE);
        &self.list[from..self.next]
    }
}

impl Past {
    pub(crate) fn new(accounts: Accounts, reader: Reader, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            accounts,
            reader,
            clock,
            bounds: ArcSwap::default(),
            asked: tokio::sync::Mutex::default(),
        })
    }

    /// Reads what these settings' budgets have spent. While it cannot be read, requests with a hard
    /// budget are refused.
    pub(crate) async fn restore(&self, settings: &Settings) {
        self.bounds.store(Arc::new(settings.bounds()));
        if let Err(error) = self.refresh().await {
            tell_refresh(&error);
        }
    }

    /// Looks again and again.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refreshing = Told::new(tell_refresh, "what was spent of budgets is known again");
        let mut reconciling = Told::new(
            tell_reconcile,
            "requests of gateways that died are settled again",
        );
        let mut gauges = Gauges::default();
        loop {
            look.tick().await;
            refreshing.of(&self.refresh().await);
            reconciling.of(&self.reconcile().await);
            let bounds = self.bounds.load_full();
            gauges
                .show(&*self.accounts.meter, &bounds, self.clock.unix_ms())
                .await;
        }
    }

    /// Opens the budgets of which nobody has told what was spent.
    ///
    /// Accounts that lose what they know lose all of it: where everything was known once, a part of
    /// the budgets tells, and only what it does not find has all of them looked at again.
    async fn refresh(&self) -> Result<()> {
        let now_unix_ms = self.clock.unix_ms();
        let mut asked = self.asked.lock().await;
        asked.renew(self.bounds.load_full(), now_unix_ms);
        let meter = &self.accounts.meter;
        if asked.all_known && meter.unknown(asked.part()).await?.is_empty() {
            return Ok(());
        }
        asked.all_known = false;
        let mut unknown = vec![];
        for part in asked.list.chunks(ASKED_AT_ONCE) {
            unknown.extend(meter.unknown(part).await?);
            // Others want this thread meanwhile.
            tokio::task::yield_now().await;
        }
        let is_to_come = |(_, period): &(Scope, PeriodStart)| period.unix_ms > now_unix_ms;
        let (to_come, begun): (Vec<_>, Vec<_>) = unknown.into_iter().partition(is_to_come);
        // Nothing can have been spent of these, whether the ledger can be read or not.
        for (scope, period) in to_come {
            meter.restore(scope, period, NanoUsd::ZERO).await?;
        }
        let mut spent: BTreeMap<PeriodStart, Spent> = BTreeMap::new();
        for (scope, period) in begun {
            let spent = match spent.entry(period) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unread) => unread.insert(self.spent_since(period).await?),
            };
            let known = spent.of(&scope);
            meter.restore(scope, period, known).await?;
        }
        asked.all_known = true;
        Ok(())
    }

    /// Says what requests of gateways that died really used: where the ledger knows it, and where an
    /// earlier life of this gateway never sent them.
    async fn reconcile(&self) -> Result<()> {
        let Some(shared) = &self.accounts.shared else {
            return Ok(());
        };
        let lapsed = shared.take_lapsed();
        if lapsed.is_empty() {
            return Ok(());
        }
        let ids: Vec<RequestId> = lapsed.iter().map(|lapsed| lapsed.id).collect();
        let outcomes = self.reader.outcomes(&ids).await?;
        let outcomes: HashMap<_, _> = outcomes
            .iter()
            .map(|outcome| (outcome.id, outcome))
            .collect();
        for lapsed in lapsed {
            let id = lapsed.id;
            let used = if let Some(outcome) = outcomes.get(&id) {
                tracing::info!(%id, "a request of a gateway that died is settled by its record");
                Used {
                    tokens: outcome.usage.total_tokens(),
                    // A cost that nobody knows counts as what was reserved.
                    cost: outcome.cost.unwrap_or(lapsed.reserved),
                }
            } else if self.was_never_sent(lapsed.life) {
                tracing::info!(%id, "a request that this gateway never sent before it died is given back");
                Used::default()
            } else {
                continue;
            };
            shared.settle_lapsed(id, used);
        }
        Ok(())
    }

    /// Whether a request of that life, which the ledger does not know, was never sent.
    fn was_never_sent(&self, life: Option<Life>) -> bool {
        let journal = self.accounts.journal.as_ref();
        journal.is_some_and(|journal| life.is_some_and(|life| journal.has_told_all(life)))
    }

    async fn spent_since(&self, period: PeriodStart) -> Result<Spent> {
        let mut spent = Spent::default();
        for group in [GroupBy::Key, GroupBy::Team, GroupBy::Flow] {
            let query = UsageQuery {
                since_unix_ms: (period.period != Period::Total).then_some(period.unix_ms),
                group_by: vec![group],
                ..UsageQuery::default()
            };
            for row in self.reader.usage(&query).await?.rows {
                let name = row.group.into_iter().next().and_then(|(_, name)| name);
                if let Some(name) = name {
                    let cost = row.totals.cost_nano_usd;
                    match group {
                        GroupBy::Key => spent.add(Scope::Key(name.into()), cost),
                        GroupBy::Team => spent.add_team(&name.into(), cost),
                        _ => spent.add(Scope::Flow(name.into()), cost),
                    }
                }
            }
        }
        Ok(spent)
    }
}

/// Tells once when something begins to fail, and once when it works again.
struct Told {
    failing: bool,
    tell: fn(&anyhow::Error),
    again: &'static str,
}

impl Told {
    fn new(tell: fn(&anyhow::Error), again: &'static str) -> Self {
        let failing = false;
        Self {
            failing,
            tell,
            again,
        }
    }

    fn of(&mut self, result: &Result<()>) {
        match result {
            Ok(()) if self.failing => tracing::info!("{}", self.again),
            Err(error) if !self.failing => (self.tell)(error),
            _ => {}
        }
        self.failing = result.is_err();
    }
}

fn tell_reconcile(error: &anyhow::Error) {
    tracing::warn!(
        error = format!("{error:#}"),
        "what requests of gateways that died have used cannot be read: what they reserved counts as spent until it is"
    );
}

fn tell_refresh(error: &anyhow::Error) {
    tracing::error!(
        error = format!("{error:#}"),
        "what was spent of budgets cannot be read: requests under a budget are refused until it is"
    );
}

/// The budgets of now, and those of the day and month to come, each once.
fn budgets(bounds: &[Bound], now_unix_ms: u64) -> Vec<(Scope, PeriodStart)> {
    let mut budgets = vec![];
    // A team is the bound of each of its keys; this runs every second, over all keys.
    let mut seen = HashSet::new();
    for Bound { scope, limits } in bounds {
        for budget in &limits.budgets {
            for unix_ms in [now_unix_ms, now_unix_ms + AHEAD_MS] {
                let period = PeriodStart::holding(budget.period, unix_ms);
                if seen.insert((scope, period)) {
                    budgets.push((scope.clone(), period));
                }
            }
        }
    }
    budgets
}

/// What everybody has spent since some moment.
#[derive(Debug, Default)]
struct Spent {
    scopes: HashMap<Scope, NanoUsd>,
}

impl Spent {
    fn add(&mut self, scope: Scope, cost: NanoUsd) {
        *self.scopes.entry(scope).or_default() += cost;
    }

    /// What a team spends, the teams spend that it is a part of.
    fn add_team(&mut self, team: &TeamName, cost: NanoUsd) {
        for team in team.lineage() {
            self.add(Scope::Team(team), cost);
        }
    }

    fn of(&self, scope: &Scope) -> NanoUsd {
        self.scopes.get(scope).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
