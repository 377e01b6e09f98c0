//! What was spent of budgets before this process began to count: read from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::Settings;
use anyhow::Result;
use freehold_ports::{Bound, Clock, Period, Scope};
use freehold_store::meter::{LocalMeter, PeriodStart};
use freehold_store::{GroupBy, Reader, UsageQuery};
use freehold_types::{KeyName, NanoUsd, TeamName};

/// How soon a ledger that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// Whose each key is.
type Teams = HashMap<KeyName, TeamName>;

/// Keeps a meter's knowledge of the past complete.
#[derive(Clone)]
pub(crate) struct Past {
    pub(crate) meter: Arc<LocalMeter>,
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Past {
    /// Reads what these bounds have spent. While the ledger cannot be read, requests with a hard
    /// budget are refused, and it is asked again and again.
    pub(crate) async fn restore(&self, settings: &Settings) {
        let bounds = settings.bounds();
        let teams: Teams = settings
            .keys
            .iter()
            .filter_map(|key| Some((key.name.clone(), key.team.clone()?)))
            .collect();
        if let Err(error) = self.try_restore(&bounds, &teams).await {
            tracing::error!(
                error = format!("{error:#}"),
                "what was spent of budgets cannot be read: requests under a budget are refused until it is"
            );
            let past = self.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(RETRY).await;
                    if past.try_restore(&bounds, &teams).await.is_ok() {
                        return tracing::info!("what was spent of budgets is known again");
                    }
                }
            });
        }
    }

    async fn try_restore(&self, bounds: &[Bound], teams: &Teams) -> Result<()> {
        let now_unix_ms = self.clock.unix_ms();
        let mut spent: BTreeMap<PeriodStart, Spent> = BTreeMap::new();
        for (scope, period) in self.meter.unknown(bounds) {
            let period = PeriodStart::holding(period, now_unix_ms);
            if !spent.contains_key(&period) {
                spent.insert(period, self.spent_since(period, teams).await?);
            }
            let known = spent.get(&period).map(|spent| spent.of(&scope));
            self.meter.restore(scope, period, known.unwrap_or_default());
        }
        Ok(())
    }

    async fn spent_since(&self, period: PeriodStart, teams: &Teams) -> Result<Spent> {
        let mut spent = Spent::default();
        for group in [GroupBy::Key, GroupBy::Flow] {
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
                        GroupBy::Key => spent.add_key(&name, teams.get(name.as_str()), cost),
                        _ => spent.add(Scope::Flow(name.into()), cost),
                    }
                }
            }
        }
        Ok(spent)
    }
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

    /// What a key spends, its team spends, and the teams that that is a part of.
    fn add_key(&mut self, key: &str, team: Option<&TeamName>, cost: NanoUsd) {
        self.add(Scope::Key(key.into()), cost);
        for team in team.into_iter().flat_map(TeamName::lineage) {
            self.add(Scope::Team(team), cost);
        }
    }

    fn of(&self, scope: &Scope) -> NanoUsd {
        self.scopes.get(scope).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_part_of_a_team_spends_the_team_spends() {
        let mut spent = Spent::default();
        let nanos = NanoUsd::from_nanos;
        spent.add_key("a", Some(&"acme/search".into()), nanos(3));
        spent.add_key("b", Some(&"acme/search/ads".into()), nanos(4));
        spent.add_key("c", Some(&"acme".into()), nanos(5));
        spent.add_key("acme", None, nanos(6));
        let team = |name: &str| spent.of(&Scope::Team(name.into())).nanos();
        assert_eq!(
            [team("acme"), team("acme/search"), team("acme/search/ads")],
            [12, 7, 4]
        );
        assert_eq!(spent.of(&Scope::Key("acme".into())).nanos(), 6);
        assert_eq!(spent.of(&Scope::Flow("acme".into())).nanos(), 0);
    }
}
