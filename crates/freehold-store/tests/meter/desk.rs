//! A meter, a clock, and what a gateway asks of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freehold_ports::{
    Bound, Budget, Clock, Denial, Limits, Period, Reservation, ReserveError, Scope, Used,
};
use freehold_store::meter::{
    History, LocalMeter, PeriodStart, SharedMeter, SharedSettings, Stance,
};
use freehold_testkit::redis::{Persistence, Server};
use freehold_types::{NanoUsd, RequestId};

/// 2026-11-21 12:00 UTC.
pub(crate) const NOON: u64 = 1_795_262_400_000;

#[derive(Default)]
pub(crate) struct ClockAt(AtomicU64);

impl Clock for ClockAt {
    fn unix_ms(&self) -> u64 {
        NOON + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn usd(usd: f64) -> NanoUsd {
    NanoUsd::from_usd(usd).unwrap()
}

pub(crate) fn key(limits: Limits) -> Bound {
    Bound {
        scope: Scope::Key("app".into()),
        limits: Arc::new(limits),
    }
}

pub(crate) fn team(name: &str, limits: Limits) -> Bound {
    Bound {
        scope: Scope::Team(name.into()),
        limits: Arc::new(limits),
    }
}

pub(crate) fn daily(hard: f64) -> Limits {
    Limits {
        budgets: vec![Budget {
            period: Period::Day,
            hard: Some(usd(hard)),
            soft: None,
        }],
        ..Limits::default()
    }
}

/// The two homes.
#[derive(Clone)]
enum Home {
    Local(Arc<LocalMeter>),
    Shared(Arc<SharedMeter>),
}

/// One gateway's meter.
pub(crate) struct Desk {
    clock: Arc<ClockAt>,
    pub(crate) meter: Arc<dyn History>,
    home: Home,
    pub(crate) server: Option<Arc<Server>>,
}

impl Desk {
    pub(crate) fn local() -> Self {
        let clock = Arc::new(ClockAt::default());
        let meter = Arc::new(LocalMeter::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Self {
            clock,
            meter: meter.clone(),
            home: Home::Local(meter),
            server: None,
        }
    }

    pub(crate) fn shared() -> Self {
        Self::beside(Arc::new(Server::start(Persistence::AppendOnly).unwrap()))
    }

    /// A gateway at this server, with a lease of three seconds.
    pub(crate) fn beside(server: Arc<Server>) -> Self {
        Self::with(server, Stance::Deny)
    }

    pub(crate) fn with(server: Arc<Server>, stance: Stance) -> Self {
        let clock = Arc::new(ClockAt::default());
        let settings = SharedSettings {
            lease: Duration::from_secs(3),
            stance,
            ..SharedSettings::new(server.url())
        };
        let meter = SharedMeter::new(settings, Arc::clone(&clock) as Arc<dyn Clock>);
        let meter = Arc::new(meter.unwrap());
        Self {
            clock,
            meter: meter.clone(),
            home: Home::Shared(meter),
            server: Some(server),
        }
    }

    pub(crate) fn shared_meter(&self) -> &SharedMeter {
        match &self.home {
            Home::Shared(meter) => meter,
            Home::Local(_) => panic!("a local meter"),
        }
    }

    pub(crate) fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
        if let Home::Shared(meter) = &self.home {
            meter.advance(time);
        }
    }

    fn budgets(&self, bounds: &[Bound]) -> Vec<(Scope, PeriodStart)> {
        let budgets = bounds.iter().flat_map(|bound| {
            let periods = bound.limits.budgets.iter();
            periods.map(|budget| (bound.scope.clone(), budget.period))
        });
        budgets
            .map(|(scope, period)| (scope, PeriodStart::holding(period, self.clock.unix_ms())))
            .collect()
    }

    /// The budgets of which nobody has told what was spent.
    pub(crate) async fn unknown(&self, bounds: &[Bound]) -> Vec<(Scope, PeriodStart)> {
        self.meter.unknown(&self.budgets(bounds)).await.unwrap()
    }

    /// Tells that nothing was spent before.
    pub(crate) async fn open(&self, bounds: &[Bound]) {
        for (scope, period) in self.unknown(bounds).await {
            let told = self.meter.restore(scope, period, NanoUsd::ZERO);
            told.await.unwrap();
        }
    }

    pub(crate) fn ask(&self, bounds: &[Bound], tokens: u64, cost: NanoUsd) -> Reservation {
        Reservation {
            id: RequestId::at(self.clock.unix_ms()),
            started_unix_ms: self.clock.unix_ms(),
            bounds: bounds.to_vec(),
            tokens,
            cost,
        }
    }

    pub(crate) async fn denial(&self, asked: &Reservation) -> Option<Denial> {
        match self.meter.reserve(asked).await {
            Ok(_) => None,
            Err(ReserveError::Denied(denial)) => Some(*denial),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn settle(&self, asked: &Reservation, tokens: u64, cost: NanoUsd) {
        self.meter.settle(asked.clone(), Used { tokens, cost });
        if let Home::Shared(meter) = &self.home {
            meter.flush().await;
        }
    }

    /// What a scope has spent and reserved of its budget of this day.
    pub(crate) async fn spent(&self, scope: &Scope) -> (NanoUsd, NanoUsd) {
        let today = PeriodStart::holding(Period::Day, self.clock.unix_ms());
        let asked = [(scope.clone(), today)];
        let standings = self.meter.standings(&asked).await.unwrap();
        assert_eq!((&standings[0].scope, standings[0].period), (scope, today));
        (standings[0].spent, standings[0].reserved)
    }

    /// Requests that are reserved and not settled.
    pub(crate) async fn held(&self) -> u64 {
        match &self.home {
            Home::Local(meter) => meter.held() as u64,
            Home::Shared(meter) => meter.census(&[]).await.unwrap().held,
        }
    }
}
