//! What is known of the past, in any order of failures.

use freehold_ports::{
    BoxFuture, Budget, Ledger as _, Limits, Meter, Reservation, ReserveError, Standing,
    SystemClock, UnderWay as _,
};
use freehold_store::meter::Standings;
use freehold_store::{DurableLedger, StoreSettings};
use freehold_testkit::redis::{Persistence, Server};
use freehold_types::outcome::Timing;
use freehold_types::{Dialect, Outcome, OutcomeStatus, Sensitivity, Usage};
use parking_lot::Mutex;

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

/// A request that used something, at a cost that may not be known.
fn outcome(id: RequestId, cost: Option<NanoUsd>) -> Outcome {
    Outcome {
        id,
        started_unix_ms: SystemClock::new().unix_ms(),
        dialect: Dialect::OpenaiChat,
        route: "auto".into(),
        key: "app".into(),
        team: None,
        flow: None,
        sensitivity: Sensitivity::Internal,
        findings: BTreeMap::new(),
        redacted: BTreeMap::new(),
        status: OutcomeStatus::Completed,
        http_status: 200,
        error: None,
        streamed: false,
        attempts: vec![],
        usage: Usage {
            output_tokens: 7,
            ..Usage::default()
        },
        cost,
        timing: Timing::default(),
        decision: None,
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    }
}

/// A key that may spend $1 in all.
fn bound() -> Bound {
    Bound {
        scope: Scope::Key("app".into()),
        limits: Arc::new(Limits {
            budgets: vec![Budget {
                period: Period::Total,
                hard: NanoUsd::from_usd(1.0),
                soft: None,
            }],
            ..Limits::default()
        }),
    }
}

/// A gateway's life, as far as its accounts go.
struct Gateway {
    ledger: DurableLedger,
    journal: Arc<Journal>,
    past: Arc<Past>,
}

impl Gateway {
    fn begin(home: &std::path::Path, server: &Server) -> Self {
        let ledger = DurableLedger::open(StoreSettings::new(home)).unwrap();
        let spool = &StoreSettings::new(home).spool.dir;
        let journal = Journal::open(spool, |outcome| ledger.record(outcome)).unwrap();
        let journal = Arc::new(journal);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let settings = SharedSettings {
            // The shortest time in which a dead one is known to be dead, and a live one is not.
            lease: Duration::from_millis(600),
            ..SharedSettings::new(server.url())
        };
        let accounts = Accounts::open(Some(&settings), Some(Arc::clone(&journal)), &clock).unwrap();
        let past = Past::new(accounts, ledger.reader(), clock);
        past.bounds.store(Arc::new(vec![bound()]));
        Self {
            ledger,
            journal,
            past,
        }
    }

    async fn reserve(&self, cents: i64) -> RequestId {
        let now = SystemClock::new().unix_ms();
        let asked = Reservation {
            id: RequestId::at(now),
            started_unix_ms: now,
            bounds: vec![bound()],
            tokens: 1,
            cost: NanoUsd::from_nanos(cents * 10_000_000),
        };
        self.past.accounts.meter.reserve(&asked).await.unwrap();
        asked.id
    }

    /// What is spent in cents, once nothing is under way and so many are still not settled.
    async fn spent_cents(&self, lapsed: u64) -> i64 {
        let budget = (bound().scope, PeriodStart::holding(Period::Total, 0));
        let shared = self.past.accounts.shared.as_ref().unwrap();
        let begun = std::time::Instant::now();
        loop {
            self.past.reconcile().await.unwrap();
            shared.flush().await;
            let census = shared.census(std::slice::from_ref(&budget)).await.unwrap();
            if (census.held, census.lapsed) == (0, lapsed) {
                assert_eq!(census.standings[0].reserved, NanoUsd::ZERO);
                return census.standings[0].spent.nanos() / 10_000_000;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{census:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn cents(cents: i64) -> NanoUsd {
    NanoUsd::from_nanos(cents * 10_000_000)
}

/// One request in each state in which a gateway can die.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_knows_what_it_sent_and_what_it_did_not() {
    let server = Server::start(Persistence::AppendOnly).unwrap();
    let (home, other_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dead = Gateway::begin(home.path(), &server);
    dead.past.refresh().await.unwrap();
    // Reserved and not noted; noted and perhaps sent; recorded, at a known cost and at an unknown one.
    let _not_noted = dead.reserve(10).await;
    let noted = dead.reserve(10).await;
    drop(dead.journal.begin(&outcome(noted, Some(cents(4)))).unwrap());
    let known = dead.reserve(10).await;
    dead.ledger.record(&outcome(known, Some(cents(3)))).unwrap();
    let unknown = dead.reserve(10).await;
    dead.ledger.record(&outcome(unknown, None)).unwrap();
    drop(dead);

    // Another gateway cannot tell of anything, as it has neither the ledger nor the journal.
    let other = Gateway::begin(other_home.path(), &server);
    assert_eq!(other.spent_cents(4).await, 40);
    let next = Gateway::begin(home.path(), &server);
    assert_eq!(next.spent_cents(0).await, 4 + 3 + 10);
}

/// Knows which budgets were opened, and in which order.
#[derive(Default)]
struct Opened(Mutex<Vec<(PeriodStart, NanoUsd)>>);

impl Meter for Opened {
    fn reserve<'a>(&'a self, _: &'a Reservation) -> BoxFuture<'a, Result<Standing, ReserveError>> {
        Box::pin(std::future::ready(Ok(Standing::default())))
    }

    fn settle(&self, _: Reservation, _: Used) {}
}

impl History for Opened {
    fn unknown<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<(Scope, PeriodStart)>, ReserveError>> {
        Box::pin(std::future::ready(Ok(budgets.to_vec())))
    }

    fn restore(
        &self,
        _: Scope,
        period: PeriodStart,
        spent: NanoUsd,
    ) -> BoxFuture<'_, Result<(), ReserveError>> {
        self.0.lock().push((period, spent));
        Box::pin(std::future::ready(Ok(())))
    }

    fn standings<'a>(
        &'a self,
        _: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<Standings>, ReserveError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }
}

/// 2026-11-30 23:58 UTC.
struct LateInTheMonth;

impl Clock for LateInTheMonth {
    fn unix_ms(&self) -> u64 {
        1_796_083_080_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn what_is_to_come_is_opened_without_a_ledger() {
    let dir = tempfile::tempdir().unwrap();
    // No database, and nothing that could be read as one.
    let file = dir.path().join("ledger.db");
    std::fs::write(&file, "not a database").unwrap();
    let opened = Arc::new(Opened::default());
    let accounts = Accounts {
        meter: opened.clone(),
        shared: None,
        journal: None,
    };
    let reader = Reader::open(file, dir.path());
    let past = Past::new(accounts, reader, Arc::new(LateInTheMonth));
    let Limits { budgets, .. } = &*bound().limits;
    let budget = |period| Budget {
        period,
        ..budgets[0]
    };
    let limits = Limits {
        budgets: [Period::Day, Period::Month].map(budget).into(),
        ..Limits::default()
    };
    past.bounds.store(Arc::new(vec![Bound {
        limits: Arc::new(limits),
        ..bound()
    }]));
    assert!(past.refresh().await.is_err(), "the ledger cannot be read");
    let december = 1_796_083_200_000;
    let opened: Vec<_> = opened.0.lock().iter().map(|(period, _)| *period).collect();
    assert_eq!(
        opened,
        [Period::Day, Period::Month].map(|period| PeriodStart::holding(period, december))
    );
}

/// Knows every budget until it forgets them, and how many it was asked about.
#[derive(Default)]
struct Forgetful {
    known: Mutex<HashSet<(Scope, PeriodStart)>>,
    asked: Mutex<Vec<usize>>,
}

impl Meter for Forgetful {
    fn reserve<'a>(&'a self, _: &'a Reservation) -> BoxFuture<'a, Result<Standing, ReserveError>> {
        Box::pin(std::future::ready(Ok(Standing::default())))
    }

    fn settle(&self, _: Reservation, _: Used) {}
}

impl History for Forgetful {
    fn unknown<'a>(
        &'a self,
        budgets: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<(Scope, PeriodStart)>, ReserveError>> {
        self.asked.lock().push(budgets.len());
        let known = self.known.lock();
        let unknown = budgets.iter().filter(|budget| !known.contains(budget));
        Box::pin(std::future::ready(Ok(unknown.cloned().collect())))
    }

    fn restore(
        &self,
        scope: Scope,
        period: PeriodStart,
        _: NanoUsd,
    ) -> BoxFuture<'_, Result<(), ReserveError>> {
        self.known.lock().insert((scope, period));
        Box::pin(std::future::ready(Ok(())))
    }

    fn standings<'a>(
        &'a self,
        _: &'a [(Scope, PeriodStart)],
    ) -> BoxFuture<'a, Result<Vec<Standings>, ReserveError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }
}

#[tokio::test]
async fn of_many_budgets_a_part_is_asked_about_until_something_is_lost() {
    const COUNT: usize = 2 * ASKED_AT_ONCE + 500;
    let dir = tempfile::tempdir().unwrap();
    let meter = Arc::new(Forgetful::default());
    let accounts = Accounts {
        meter: meter.clone(),
        shared: None,
        journal: None,
    };
    let ledger = DurableLedger::open(StoreSettings::new(dir.path())).unwrap();
    ledger.flush(Duration::from_secs(60)).await.unwrap();
    let past = Past::new(accounts, ledger.reader(), Arc::new(LateInTheMonth));
    let many = |count: usize| {
        let bounds = (0..count).map(|number| Bound {
            scope: Scope::Key(format!("key-{number}").into()),
            ..bound()
        });
        past.bounds.store(Arc::new(bounds.collect()));
    };
    let asked = || std::mem::take(&mut *meter.asked.lock());
    many(COUNT);
    past.refresh().await.unwrap();
    assert_eq!(
        (meter.known.lock().len(), asked()),
        (COUNT, vec![1_000, 1_000, 500])
    );
    for expected in [1_000, 1_000, 500, 1_000] {
        past.refresh().await.unwrap();
        assert_eq!(asked(), [expected]);
    }
    meter.known.lock().clear();
    past.refresh().await.unwrap();
    assert_eq!(
        (meter.known.lock().len(), asked()),
        (COUNT, vec![1_000, 1_000, 1_000, 500])
    );
    // Others are asked about in full.
    many(COUNT + 1);
    past.refresh().await.unwrap();
    assert_eq!(
        (meter.known.lock().len(), asked()),
        (COUNT + 1, vec![1_000, 1_000, 501])
    );
}
