//! Keeps a meter's knowledge of the past complete: what was spent of budgets before it began to
//! count, read from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use freehold_ports::{Bound, Clock, Period, Scope, Used};
use freehold_store::meter::{History, LocalMeter, PeriodStart, SharedMeter, SharedSettings};
use freehold_store::{GroupBy, Reader, UsageQuery};
use freehold_types::{NanoUsd, TeamName};

use crate::config::settings::Settings;

/// How often it is looked whether something is not known.
const LOOK: Duration = Duration::from_secs(1);
/// Days and months are opened so long before they begin, in milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

/// Where limits and budgets are counted.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) meter: Arc<dyn History>,
    /// When many gateways share them.
    shared: Option<Arc<SharedMeter>>,
}

impl Accounts {
    /// In this process, or in the server of the settings.
    pub(crate) fn open(shared: Option<&SharedSettings>, clock: &Arc<dyn Clock>) -> Result<Self> {
        let Some(settings) = shared else {
            return Ok(Self {
                meter: Arc::new(LocalMeter::new(Arc::clone(clock))),
                shared: None,
            });
        };
        let meter = Arc::new(SharedMeter::new(settings.clone(), Arc::clone(clock))?);
        Ok(Self {
            meter: meter.clone(),
            shared: Some(meter),
        })
    }
}

/// What is limited now, and where its past is read.
pub(crate) struct Past {
    accounts: Accounts,
    reader: Reader,
    clock: Arc<dyn Clock>,
    bounds: ArcSwap<Vec<Bound>>,
}

impl Past {
    pub(crate) fn new(accounts: Accounts, reader: Reader, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            accounts,
            reader,
            clock,
            bounds: ArcSwap::default(),
        })
    }

    /// Reads what these settings' budgets have spent. While it cannot be read, requests with a hard
    /// budget are refused.
    pub(crate) async fn restore(&self, settings: &Settings) {
        self.bounds.store(Arc::new(settings.bounds()));
        if let Err(error) = self.refresh().await {
            tell(&error);
        }
    }

    /// Looks again and again.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            look.tick().await;
            let refreshed = self.refresh().await;
            match &refreshed {
                Ok(()) if failing => tracing::info!("what was spent of budgets is known again"),
                Err(error) if !failing => tell(error),
                _ => {}
            }
            failing = refreshed.is_err();
        }
    }

    async fn refresh(&self) -> Result<()> {
        self.reconcile().await?;
        let now_unix_ms = self.clock.unix_ms();
        let budgets = budgets(&self.bounds.load(), now_unix_ms);
        let mut spent: BTreeMap<PeriodStart, Spent> = BTreeMap::new();
        for (scope, period) in self.accounts.meter.unknown(&budgets).await? {
            let is_to_come = period.unix_ms > now_unix_ms;
            if !is_to_come && !spent.contains_key(&period) {
                spent.insert(period, self.spent_since(period).await?);
            }
            let known = spent.get(&period).map(|spent| spent.of(&scope));
            let restored = self
                .accounts
                .meter
                .restore(scope, period, known.unwrap_or_default());
            restored.await?;
        }
        Ok(())
    }

    /// Says what requests of gateways that died really used, where the ledger knows it.
    async fn reconcile(&self) -> Result<()> {
        let Some(shared) = &self.accounts.shared else {
            return Ok(());
        };
        for id in shared.lapsed() {
            let Some(outcome) = self.reader.outcome(id).await? else {
                continue;
            };
            tracing::info!(%id, "a request of a gateway that died is settled by its record");
            let used = Used {
                tokens: outcome.usage.total_tokens(),
                cost: outcome.cost.unwrap_or_default(),
            };
            shared.settle_lapsed(id, used);
        }
        Ok(())
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

fn tell(error: &anyhow::Error) {
    tracing::error!(
        error = format!("{error:#}"),
        "what was spent of budgets cannot be read: requests under a budget are refused until it is"
    );
}

/// The budgets of now, and those of the day and month to come.
fn budgets(bounds: &[Bound], now_unix_ms: u64) -> Vec<(Scope, PeriodStart)> {
    let mut budgets = vec![];
    for Bound { scope, limits } in bounds {
        for budget in &limits.budgets {
            for unix_ms in [now_unix_ms, now_unix_ms + AHEAD_MS] {
                let period = PeriodStart::holding(budget.period, unix_ms);
                let budget = (scope.clone(), period);
                if !budgets.contains(&budget) {
                    budgets.push(budget);
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
mod tests {
    use freehold_ports::{Budget, Limits};

    use super::*;

    #[test]
    fn what_a_part_of_a_team_spends_the_team_spends() {
        let mut spent = Spent::default();
        let nanos = NanoUsd::from_nanos;
        spent.add_team(&"acme/search".into(), nanos(3));
        spent.add_team(&"acme/search/ads".into(), nanos(4));
        spent.add_team(&"acme".into(), nanos(5));
        spent.add(Scope::Key("acme".into()), nanos(6));
        let team = |name: &str| spent.of(&Scope::Team(name.into())).nanos();
        assert_eq!(
            [team("acme"), team("acme/search"), team("acme/search/ads")],
            [12, 7, 4]
        );
        assert_eq!(spent.of(&Scope::Key("acme".into())).nanos(), 6);
        assert_eq!(spent.of(&Scope::Flow("acme".into())).nanos(), 0);
    }

    #[test]
    fn days_and_months_are_opened_before_they_begin() {
        let budget = |period| Budget {
            period,
            hard: None,
            soft: None,
        };
        let bound = Bound {
            scope: Scope::Key("app".into()),
            limits: Arc::new(Limits {
                budgets: [Period::Day, Period::Month, Period::Total]
                    .map(budget)
                    .into(),
                ..Limits::default()
            }),
        };
        // 2026-11-21 12:00, 2026-11-21 23:58 and 2026-11-30 23:58 UTC.
        for (unix_ms, expected) in [
            (1_795_262_400_000, 3),
            (1_795_305_480_000, 4),
            (1_796_083_080_000, 5),
        ] {
            assert_eq!(
                budgets(std::slice::from_ref(&bound), unix_ms).len(),
                expected
            );
        }
    }
}
