//! How budgets stand, as metrics: a series for each budget of the configuration, and one for all of
//! those beyond a number.

use std::collections::BTreeMap;

use freehold_ports::{Bound, Period, Scope};
use freehold_store::meter::{History, PeriodStart};
use freehold_types::NanoUsd;
use metrics::{Label, describe_gauge, gauge};

/// Budgets that have series of their own; those beyond, in the order of their names, share `other`.
const SERIES_MAX: usize = 200;
/// Every so many looks: scrapes are no more frequent.
const EVERY: u32 = 5;
const OTHER: &str = "other";

/// What is shown, and what it means; docs/metrics.md says more.
const GAUGES: [(&str, &str); 4] = [
    (
        "freehold_budget_spent_usd",
        "What is spent of a budget in US dollars",
    ),
    (
        "freehold_budget_reserved_usd",
        "What requests under way may cost at most in US dollars",
    ),
    (
        "freehold_budget_limit_usd",
        "The hard stop of a budget in US dollars",
    ),
    (
        "freehold_budget_alert_usd",
        "The soft alert of a budget in US dollars",
    ),
];
/// Tells the installed recorder what the metrics of budgets mean.
pub(crate) fn describe() {
    for (name, meaning) in GAUGES {
        describe_gauge!(name, meaning);
    }
}

/// What tells a series apart: none of it comes from a request.
type Labels = (&'static str, String, &'static str);

/// One series of each gauge. `None` where a budget has no such amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    spent: NanoUsd,
    reserved: NanoUsd,
    limit: Option<NanoUsd>,
    alert: Option<NanoUsd>,
}

/// The gauges of budgets.
#[derive(Default)]
pub(super) struct Gauges {
    looks: u32,
    shown: BTreeMap<Labels, Shown>,
}

impl Gauges {
    /// Shows how the budgets stand, from time to time. While the accounts do not answer, they stay as
    /// they were.
    pub(super) async fn show(&mut self, meter: &dyn History, bounds: &[Bound], now_unix_ms: u64) {
        let is_due = self.looks == 0;
        self.looks = (self.looks + 1) % EVERY;
        if !is_due {
            return;
        }
        let budgets = current(bounds, now_unix_ms);
        let asked: Vec<_> = budgets.keys().cloned().collect();
        // Thousands at once would hold up everybody else at the shared accounts.
        let mut standings = Vec::with_capacity(asked.len());
        for asked in asked.chunks(SERIES_MAX) {
            match meter.standings(asked).await {
                Ok(found) => standings.extend(found),
                Err(error) => return tracing::debug!(%error, "budgets are not shown"),
            }
            tokio::task::yield_now().await;
        }
        let mut shown: BTreeMap<Labels, Shown> = BTreeMap::new();
        for (number, standing) in standings.iter().enumerate() {
            let budget = (standing.scope.clone(), standing.period);
            let (limit, alert) = budgets.get(&budget).copied().unwrap_or_default();
            let labels = labels(&standing.scope, standing.period.period, number < SERIES_MAX);
            let sum = shown.entry(labels).or_default();
            sum.spent += standing.spent;
            sum.reserved += standing.reserved;
            sum.limit = plus(sum.limit, limit);
            sum.alert = plus(sum.alert, alert);
        }
        // A budget that is gone is told to be none: a series cannot be taken back.
        for (labels, before) in &self.shown {
            let gone = Shown {
                limit: before.limit.map(|_| NanoUsd::ZERO),
                alert: before.alert.map(|_| NanoUsd::ZERO),
                ..Shown::default()
            };
            shown.entry(labels.clone()).or_insert(gone);
        }
        for (labels, shown) in &shown {
            set(labels, *shown);
        }
        self.shown = shown;
    }
}

/// A hard limit and an alert.
type Amounts = (Option<NanoUsd>, Option<NanoUsd>);

/// Today's, this month's and the total budgets. Of two of one scope and period, the lower amounts.
fn current(bounds: &[Bound], now_unix_ms: u64) -> BTreeMap<(Scope, PeriodStart), Amounts> {
    let mut budgets: BTreeMap<(Scope, PeriodStart), Amounts> = BTreeMap::new();
    for Bound { scope, limits } in bounds {
        for budget in &limits.budgets {
            let period = PeriodStart::holding(budget.period, now_unix_ms);
            let (limit, alert) = budgets.entry((scope.clone(), period)).or_default();
            *limit = lower(*limit, budget.hard);
            *alert = lower(*alert, budget.soft);
        }
    }
    budgets
}

fn lower(one: Option<NanoUsd>, other: Option<NanoUsd>) -> Option<NanoUsd> {
    one.into_iter().chain(other).min()
}

fn plus(one: Option<NanoUsd>, other: Option<NanoUsd>) -> Option<NanoUsd> {
    let both: Vec<_> = one.into_iter().chain(other).collect();
    (!both.is_empty()).then(|| both.into_iter().sum())
}

fn labels(scope: &Scope, period: Period, has_its_own: bool) -> Labels {
    let period = match period {
        Period::Day => "day",
        Period::Month => "month",
        Period::Total => "total",
    };
    let (kind, name) = match scope {
        Scope::Key(name) => ("key", name.as_str()),
        Scope::Team(name) => ("team", name.as_str()),
        Scope::Flow(name) => ("flow", name.as_str()),
    };
    if has_its_own {
        (kind, name.to_owned(), period)
    } else {
        (OTHER, OTHER.to_owned(), period)
    }
}

fn set((scope, name, period): &Labels, shown: Shown) {
    let labels = || {
        let labels = [("scope", *scope), ("name", name), ("period", *period)];
        labels
            .map(|(label, value)| Label::new(label, value.to_owned()))
            .to_vec()
    };
    gauge!("freehold_budget_spent_usd", labels()).set(shown.spent.usd());
    gauge!("freehold_budget_reserved_usd", labels()).set(shown.reserved.usd());
    if let Some(limit) = shown.limit {
        gauge!("freehold_budget_limit_usd", labels()).set(limit.usd());
    }
    if let Some(alert) = shown.alert {
        gauge!("freehold_budget_alert_usd", labels()).set(alert.usd());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freehold_ports::{Budget, Clock, Limits, SystemClock};
    use freehold_store::meter::LocalMeter;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    const SPENT: &str = "freehold_budget_spent_usd";
    const RESERVED: &str = "freehold_budget_reserved_usd";
    const LIMIT: &str = "freehold_budget_limit_usd";
    const ALERT: &str = "freehold_budget_alert_usd";

    /// Keys that may each spend $2 a day, and are alerted at $1.
    fn keys(count: usize) -> Vec<Bound> {
        let limits = Arc::new(Limits {
            budgets: vec![Budget {
                period: Period::Day,
                hard: NanoUsd::from_usd(2.0),
                soft: NanoUsd::from_usd(1.0),
            }],
            ..Limits::default()
        });
        let bound = |number| Bound {
            scope: Scope::Key(format!("key-{number:04}").into()),
            limits: Arc::clone(&limits),
        };
        (0..count).map(bound).collect()
    }

    /// What a scrape finds after these budgets were shown one after another; each has spent 50 cents.
    fn scrape(configurations: &[Vec<Bound>]) -> Vec<String> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let now = clock.unix_ms();
        let meter = LocalMeter::new(Arc::clone(&clock));
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        metrics::with_local_recorder(&recorder, || {
            let mut gauges = Gauges::default();
            for bounds in configurations {
                for budget in current(bounds, now).into_keys() {
                    let spent = NanoUsd::from_usd(0.5).unwrap();
                    runtime
                        .block_on(meter.restore(budget.0, budget.1, spent))
                        .unwrap();
                }
                for _ in 0..EVERY {
                    runtime.block_on(gauges.show(&meter, bounds, now));
                }
            }
        });
        let lines = handle.render();
        let series = lines.lines().filter(|line| line.contains('{'));
        series.map(str::to_owned).collect()
    }

    #[test]
    fn a_budget_is_shown_with_its_amounts_and_told_to_be_none_when_it_is_gone() {
        let series = scrape(&[keys(1)]);
        let of = |metric, amount: &str| {
            format!(r#"{metric}{{scope="key",name="key-0000",period="day"}} {amount}"#)
        };
        let mut expected = vec![
            of("freehold_budget_spent_usd", "0.5"),
            of(RESERVED, "0"),
            of(LIMIT, "2"),
            of(ALERT, "1"),
        ];
        expected.sort();
        let sorted = |mut series: Vec<String>| {
            series.sort();
            series
        };
        assert_eq!(sorted(series), expected);
        let mut none = [SPENT, RESERVED, LIMIT, ALERT].map(|metric| of(metric, "0"));
        none.sort();
        assert_eq!(sorted(scrape(&[keys(1), vec![]])), none);
    }

    #[test]
    fn thousands_of_budgets_have_a_bounded_number_of_series() {
        let series = scrape(&[keys(SERIES_MAX + 300)]);
        assert_eq!(series.len(), (SERIES_MAX + 1) * GAUGES.len());
        let rest = format!(r#"{SPENT}{{scope="other",name="other",period="day"}} 150"#);
        assert!(series.contains(&rest), "{rest}");
    }
}
