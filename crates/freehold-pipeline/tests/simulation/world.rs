//! A gateway's core, made as the dice say, on a clock that only moves when everything waits.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use freehold_guard::Guard;
use freehold_pipeline::{Pipeline, Snapshot};
use freehold_policy::{Policy, PolicySettings, Surroundings};
use freehold_ports::{Account, Backend, Bound, Budget, Clock, Limits, Period, Scope};
use freehold_route::{RouteSettings, RouteSpec, RouteTable, RouteTimeouts};
use freehold_store::meter::{History as _, LocalMeter, PeriodStart, Standings};
use freehold_types::{
    BackendId, Capability, Deployment, DeploymentId, NanoUsd, Objective, PriceBasis, RequestId,
    Sensitivity, Site,
};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::books::{Books, Journal, SlowMeter, Spans};
use super::dice::Dice;
use super::upstream::{Counts, Upstream};

/// A moment of no day's end.
const BEGUN_UNIX_MS: u64 = 1_700_000_000_000;
/// The key whose money is short.
pub(crate) const TIGHT: &str = "tight";
/// The key that nothing limits.
pub(crate) const FREE: &str = "free";

/// What happened, in order.
pub(crate) struct Trace {
    start: Instant,
    lines: Mutex<Vec<String>>,
}

impl Trace {
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let at = self.start.elapsed().as_millis();
        self.lines.lock().push(format!("{at:>9} ms  {what}"));
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock())
    }
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn unix_ms(&self) -> u64 {
        BEGUN_UNIX_MS + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The guard, made once.
fn guard() -> Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    let guard = GUARD.get_or_init(|| Guard::new(&freehold_guard::Settings::default()).unwrap());
    guard.clone()
}

/// What is above `internal` stays inside.
fn policy() -> Policy {
    let settings = serde_json::json!({"outside_up_to": "internal"});
    let settings: PolicySettings = serde_json::from_value(settings).unwrap();
    Policy::compile(&settings, &Surroundings::default())
        .unwrap()
        .0
}

/// How the gateway is set up, and what its upstreams are like.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Whether each backend stands inside, and which price it has.
    backends: Vec<(bool, PriceBasis, u64)>,
    pub(crate) settings: RouteSettings,
    /// The order of the route's targets.
    order: Vec<usize>,
    hard: NanoUsd,
    limits: Limits,
}

impl Setup {
    pub(crate) fn draw(dice: &Dice) -> Self {
        let many = usize::try_from(dice.number(1..5)).unwrap();
        let trouble = dice.pick(&[1, 2, 2, 3, 5, 20]);
        let backends = (0..many).map(|_| (dice.one_in(2), price(dice), trouble));
        let backends = backends.collect();
        let mut order: Vec<_> = (0..many).collect();
        dice.shuffle(&mut order);
        let hard = NanoUsd::from_nanos(i64::try_from(dice.number(1..2_000_000)).unwrap());
        let maybe = |most| dice.one_in(3).then(|| dice.number(1..most));
        Self {
            backends,
            settings: settings(dice),
            order,
            hard,
            limits: Limits {
                requests_per_minute: maybe(20),
                tokens_per_minute: maybe(20_000),
                concurrent: maybe(6),
                budgets: vec![],
            },
        }
    }

    /// The same backends, on another route.
    pub(crate) fn redrawn(&self, dice: &Dice) -> Self {
        let mut order = self.order.clone();
        dice.shuffle(&mut order);
        let settings = RouteSettings {
            hedge_after_ms: self.settings.hedge_after_ms,
            retries: self.settings.retries,
            max_attempts: self.settings.max_attempts,
            ..settings(dice)
        };
        Self {
            order,
            settings,
            ..self.clone()
        }
    }

    pub(crate) fn deployments(&self) -> impl Iterator<Item = String> {
        (0..self.backends.len()).map(|number| format!("b{number}/m"))
    }

    fn account(&self, name: &str) -> Account {
        let limits = match name {
            TIGHT => Limits {
                budgets: vec![Budget {
                    period: Period::Total,
                    hard: Some(self.hard),
                    soft: None,
                }],
                ..self.limits.clone()
            },
            _ => return Account::of_key(name),
        };
        Account {
            bounds: vec![Bound {
                scope: Scope::Key(name.into()),
                limits: Arc::new(limits),
            }],
            ..Account::of_key(name)
        }
    }
}

fn price(dice: &Dice) -> PriceBasis {
    match dice.number(0..3) {
        0 => PriceBasis::Hourly {
            per_hour: NanoUsd::from_nanos(1_000_000_000),
        },
        _ => PriceBasis::PerToken {
            input_per_million: NanoUsd::from_nanos(1_000_000_000),
            cached_input_per_million: None,
            output_per_million: NanoUsd::from_nanos(2_000_000_000),
        },
    }
}

fn settings(dice: &Dice) -> RouteSettings {
    RouteSettings {
        objective: dice.pick(&Objective::ALL),
        retries: u32::try_from(dice.number(0..4)).unwrap(),
        max_attempts: u32::try_from(dice.number(1..5)).unwrap(),
        hedge_after_ms: dice.one_in(3).then(|| dice.pause_ms()),
        timeouts: RouteTimeouts {
            connect_ms: None,
            first_byte_ms: Some(dice.pick(&[50, 500, 5_000, 60_000])),
            idle_ms: Some(dice.pick(&[50, 2_000, 120_000])),
        },
        ..RouteSettings::default()
    }
}

/// Everything of a schedule.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) trace: Arc<Trace>,
    pub(crate) setup: Setup,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) books: Arc<Books>,
    pub(crate) meter: Arc<SlowMeter>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) pipeline: Arc<Pipeline>,
    clock: Arc<PausedClock>,
}

impl World {
    pub(crate) fn new(dice: &Dice) -> Self {
        let start = Instant::now();
        let clock = Arc::new(PausedClock(start));
        let trace = Arc::new(Trace {
            start,
            lines: Mutex::default(),
        });
        let setup = Setup::draw(dice);
        trace.note(format_args!("{setup:?}"));
        let counts = Arc::new(Counts::default());
        let upstreams = upstreams(&setup, dice, &counts, &trace);
        let away = dice.one_in(10).then(|| {
            let from = start + Duration::from_millis(dice.number(0..30_000));
            (from, from + Duration::from_millis(dice.pause_ms()))
        });
        let books = Arc::new(Books {
            dice: dice.clone(),
            trace: Arc::clone(&trace),
            away,
            handed: Mutex::default(),
        });
        let meter = Arc::new(meter(dice, &clock, &trace));
        let journal = Arc::new(Journal {
            dice: dice.clone(),
            next: AtomicU32::new(0),
            open: Mutex::default(),
            stray: AtomicU32::new(0),
        });
        let spans = Arc::new(Spans::default());
        let pipeline = Pipeline::new(
            snapshot(&setup, &upstreams),
            Arc::clone(&books) as Arc<_>,
            Arc::clone(&clock) as Arc<_>,
        );
        let pipeline = pipeline
            .with_meter(Arc::clone(&meter) as Arc<_>)
            .with_journal(Arc::clone(&journal) as Arc<_>)
            .with_tracer(Arc::clone(&spans) as Arc<_>);
        Self {
            dice: dice.clone(),
            trace,
            setup,
            upstreams,
            counts,
            books,
            meter,
            journal,
            spans,
            pipeline: Arc::new(pipeline),
            clock,
        }
    }

    pub(crate) fn reload(&self, setup: &Setup) {
        self.trace.note(format_args!("reloads: {setup:?}"));
        self.pipeline.reload(snapshot(setup, &self.upstreams));
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The id of the request of this number.
    pub(crate) fn id(&self, number: usize) -> RequestId {
        let ms = self.unix_ms();
        let id = format!("req_{ms:012x}7000800000000000{number:04x}");
        id.parse().unwrap()
    }

    pub(crate) fn account(&self, name: &str) -> Arc<Account> {
        Arc::new(self.setup.account(name))
    }

    /// What the tight key has spent and reserved.
    pub(crate) fn standing(&self) -> Option<Standings> {
        let total = PeriodStart::holding(Period::Total, BEGUN_UNIX_MS);
        let asked = [(Scope::Key(TIGHT.into()), total)];
        let standings = self.meter.inner.standings(&asked).now_or_never().unwrap();
        standings.unwrap().pop()
    }
}

fn meter(dice: &Dice, clock: &Arc<PausedClock>, trace: &Arc<Trace>) -> SlowMeter {
    let inner = LocalMeter::new(Arc::clone(clock) as Arc<_>);
    let total = PeriodStart::holding(Period::Total, BEGUN_UNIX_MS);
    let told = inner.restore(Scope::Key(TIGHT.into()), total, NanoUsd::ZERO);
    told.now_or_never().unwrap().unwrap();
    SlowMeter {
        inner,
        dice: dice.clone(),
        trace: Arc::clone(trace),
        taken: Mutex::default(),
        stray: AtomicU32::new(0),
        refused: AtomicU32::new(0),
    }
}

fn upstreams(
    setup: &Setup,
    dice: &Dice,
    counts: &Arc<Counts>,
    trace: &Arc<Trace>,
) -> Vec<Arc<Upstream>> {
    let backends = setup.backends.iter().enumerate();
    let upstreams = backends.map(|(number, &(is_inside, _, trouble))| {
        Arc::new(Upstream {
            id: BackendId::new(format!("b{number}")),
            site: if is_inside {
                Site::inside()
            } else {
                Site::outside()
            },
            dice: dice.clone(),
            trouble,
            closing: AtomicU64::new(0),
            counts: Arc::clone(counts),
            trace: Arc::clone(trace),
        })
    });
    upstreams.collect()
}

fn snapshot(setup: &Setup, upstreams: &[Arc<Upstream>]) -> Snapshot {
    let deployments = upstreams
        .iter()
        .zip(&setup.backends)
        .map(|(upstream, one)| {
            Arc::new(Deployment {
                id: DeploymentId::new(format!("{}/m", upstream.id)),
                backend: upstream.id.clone(),
                model: "m".to_owned(),
                site: upstream.site.clone(),
                dialects: vec![],
                capabilities: [Capability::Chat].into(),
                context_window_tokens: None,
                price: one.1.clone(),
                quality: 0.5,
                tokens_per_second: 50.0,
                first_token_ms: 100,
            })
        });
    let names: Vec<_> = setup.deployments().collect();
    let route = RouteSpec {
        name: "route".to_owned(),
        targets: setup.order.iter().map(|&at| names[at].clone()).collect(),
        settings: setup.settings.clone(),
    };
    // What ends a schedule: every backend by itself, once it has calmed down.
    let calm = names.iter().enumerate().map(|(number, name)| RouteSpec {
        name: format!("calm{number}"),
        targets: vec![name.clone()],
        settings: RouteSettings::default(),
    });
    let routes = std::iter::once(route).chain(calm).collect();
    let backends = upstreams
        .iter()
        .map(|one| (one.id.clone(), Arc::clone(one) as Arc<dyn Backend>));
    Snapshot {
        policy: policy(),
        flow_limits: HashMap::new(),
        default_sensitivity: Sensitivity::Internal,
        guard: guard(),
        routes: RouteTable::new(
            deployments.collect(),
            vec![],
            routes,
            setup.settings.clone(),
        )
        .unwrap(),
        backends: backends.collect(),
    }
}
