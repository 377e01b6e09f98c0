use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

/// 2026-11-21 12:00 UTC.
const NOON: u64 = 1_795_262_400_000;

#[derive(Default)]
struct ClockAt(AtomicU64);

impl Clock for ClockAt {
    fn unix_ms(&self) -> u64 {
        NOON + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn usd(usd: f64) -> NanoUsd {
    NanoUsd::from_nanos((usd * 1e9).round() as i64)
}

fn key(limits: Limits) -> Bound {
    Bound {
        scope: Scope::Key("app".into()),
        limits: Arc::new(limits),
    }
}

fn daily(hard: f64) -> Limits {
    Limits {
        budgets: vec![Budget {
            period: Period::Day,
            hard: Some(usd(hard)),
            soft: None,
        }],
        ..Limits::default()
    }
}

struct Desk {
    clock: Arc<ClockAt>,
    meter: LocalMeter,
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(ClockAt::default());
        let meter = LocalMeter::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { clock, meter }
    }

    /// A desk that knows of nothing spent before.
    fn open(bounds: &[Bound]) -> Self {
        let desk = Self::new();
        for (scope, period) in desk.meter.unknown(bounds) {
            let period = PeriodStart::holding(period, NOON);
            desk.meter.restore(scope, period, NanoUsd::ZERO);
        }
        desk
    }

    fn ask(&self, bounds: &[Bound], tokens: u64, cost: NanoUsd) -> Reservation {
        Reservation {
            id: RequestId::at(self.clock.unix_ms()),
            started_unix_ms: self.clock.unix_ms(),
            bounds: bounds.to_vec(),
            tokens,
            cost,
        }
    }

    fn denial(&self, asked: &Reservation) -> Option<Denial> {
        match self.meter.reserve_now(asked) {
            Ok(_) => None,
            Err(ReserveError::Denied(denial)) => Some(*denial),
            Err(error) => panic!("{error}"),
        }
    }

    fn spent(&self, scope: &Scope) -> (NanoUsd, NanoUsd) {
        let standings = self.meter.standings();
        let found = standings.iter().find(|standing| standing.scope == *scope);
        found.map_or_else(Default::default, |found| (found.spent, found.reserved))
    }
}

#[test]
fn a_hundred_at_once_pass_a_budget_for_ten_ten_times() {
    let bounds = [key(daily(1.0))];
    let desk = Desk::open(&bounds);
    let barrier = Barrier::new(100);
    let admitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let asked = desk.ask(&bounds, 10, usd(0.1));
                barrier.wait();
                if desk.meter.reserve_now(&asked).is_ok() {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 10);
    assert_eq!(desk.spent(&bounds[0].scope), (usd(0.0), usd(1.0)));
}

#[test]
fn what_was_not_used_is_free_again() {
    let bounds = [key(daily(1.0))];
    let desk = Desk::open(&bounds);
    let asked = desk.ask(&bounds, 10, usd(0.8));
    assert_eq!(desk.denial(&asked), None);
    let second = desk.ask(&bounds, 10, usd(0.5));
    let denial = desk.denial(&second).unwrap();
    // Only what is reserved is in its way, and that may be over soon.
    assert_eq!(denial.retry_after, Some(UNFORESEEN_RETRY));
    let used = Used {
        tokens: 3,
        cost: usd(0.2),
    };
    desk.meter.settle(asked.clone(), used);
    // Once is once.
    desk.meter.settle(asked, used);
    assert_eq!(desk.spent(&bounds[0].scope), (usd(0.2), usd(0.0)));
    assert_eq!(desk.denial(&second), None);
    assert_eq!(desk.denial(&second), None, "the same id is reserved once");
    assert_eq!(desk.spent(&bounds[0].scope), (usd(0.2), usd(0.5)));
    desk.meter.settle(second, Used::default());
    assert_eq!(desk.meter.held(), 0);
}

#[test]
fn a_spent_budget_is_there_again_the_next_day() {
    let bounds = [key(daily(1.0))];
    let desk = Desk::open(&bounds);
    let asked = desk.ask(&bounds, 1, usd(1.0));
    assert_eq!(desk.denial(&asked), None);
    let cost = usd(1.0);
    desk.meter.settle(asked, Used { tokens: 1, cost });
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(0.01))).unwrap();
    let midnight = Duration::from_secs(12 * 3_600);
    assert_eq!(denial.retry_after, Some(midnight));
    assert_eq!(denial.scope, bounds[0].scope);
    // What can never fit is told at once; what is free is not in question.
    let never = desk.denial(&desk.ask(&bounds, 1, usd(1.01))).unwrap();
    assert_eq!(never.retry_after, None);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.0))), None);
    let midnight_ms = u64::try_from(midnight.as_millis()).unwrap();
    desk.clock.0.store(midnight_ms - 1, Ordering::Relaxed);
    assert!(desk.denial(&desk.ask(&bounds, 1, usd(0.01))).is_some());
    desk.clock.0.store(midnight_ms, Ordering::Relaxed);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.01))), None);
}

#[test]
fn a_request_over_midnight_counts_for_the_day_it_began() {
    let bounds = [key(daily(1.0))];
    let desk = Desk::open(&bounds);
    let asked = desk.ask(&bounds, 1, usd(0.9));
    assert_eq!(desk.denial(&asked), None);
    desk.clock.0.store(24 * 3_600_000, Ordering::Relaxed);
    let cost = usd(0.9);
    desk.meter.settle(asked, Used { tokens: 1, cost });
    assert_eq!(desk.spent(&bounds[0].scope), Default::default());
}

#[test]
fn nothing_with_a_budget_is_admitted_before_its_past_is_known() {
    let team = Bound {
        scope: Scope::Team("acme".into()),
        limits: Arc::new(daily(1.0)),
    };
    let bounds = [key(Limits::default()), team];
    let desk = Desk::new();
    let asked = desk.ask(&bounds, 1, usd(0.4));
    let error = desk.meter.reserve_now(&asked).unwrap_err();
    assert!(matches!(error, ReserveError::Unreachable(_)), "{error}");
    assert_eq!(
        desk.meter.unknown(&bounds),
        [(bounds[1].scope.clone(), Period::Day)]
    );
    let today = PeriodStart::holding(Period::Day, NOON);
    desk.meter.restore(bounds[1].scope.clone(), today, usd(0.7));
    // Told twice is told once.
    desk.meter.restore(bounds[1].scope.clone(), today, usd(0.7));
    assert_eq!(desk.meter.unknown(&bounds), []);
    let denial = desk.denial(&asked).unwrap();
    assert_eq!(denial.scope, bounds[1].scope);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.3))), None);
}

#[test]
fn one_bound_too_tight_takes_nothing_from_the_others() {
    let wide = Bound {
        scope: Scope::Team("acme".into()),
        limits: Arc::new(Limits {
            requests_per_minute: Some(100),
            concurrent: Some(100),
            ..daily(100.0)
        }),
    };
    let narrow = key(Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(1_000),
        concurrent: Some(1),
        ..Limits::default()
    });
    let bounds = [wide, narrow];
    let desk = Desk::open(&bounds);
    let first = desk.ask(&bounds, 600, usd(1.0));
    let standing = desk.meter.reserve_now(&first).unwrap();
    let requests = standing.requests.unwrap();
    assert_eq!((requests.limit, requests.remaining), (2, 1));
    assert_eq!(standing.tokens.unwrap().remaining, 400);
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(1.0))).unwrap();
    assert_eq!(denial.shortage, Shortage::Concurrent { limit: 1 });
    desk.meter.settle(
        first,
        Used {
            tokens: 100,
            cost: usd(0.5),
        },
    );
    let denial = desk.denial(&desk.ask(&bounds, 950, usd(1.0))).unwrap();
    assert_eq!(
        denial.shortage,
        Shortage::Tokens {
            limit: 1_000,
            needed: 950
        }
    );
    let wait = denial.retry_after.unwrap();
    assert!(wait > Duration::from_secs(59) && wait <= Duration::from_secs(61));
    let second = desk.ask(&bounds, 900, usd(1.0));
    assert_eq!(desk.denial(&second), None);
    desk.meter.settle(second, Used::default());
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(1.0))).unwrap();
    assert_eq!(denial.shortage, Shortage::Requests { limit: 2 });
    assert_eq!(desk.spent(&bounds[0].scope), (usd(0.5), usd(0.0)));
    let wait = u64::try_from(denial.retry_after.unwrap().as_millis()).unwrap();
    desk.clock.0.store(wait, Ordering::Relaxed);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(1.0))), None);
}

proptest! {
    /// Requests come, end and never end, in any order: what is spent and reserved together stays
    /// within the budget as long as nobody uses more than it reserved, and ends as the sum of what
    /// was used.
    #[test]
    fn a_budget_is_never_passed(
        steps in prop::collection::vec((any::<bool>(), 1_i64..40, 0_u64..101), 1..200),
    ) {
        let bounds = [key(daily(100e-9))];
        let desk = Desk::open(&bounds);
        let mut under_way: Vec<Reservation> = vec![];
        let mut used_in_all = 0;
        for (begins, amount, percent) in steps {
            if begins {
                let asked = desk.ask(&bounds, 1, NanoUsd::from_nanos(amount));
                if desk.denial(&asked).is_none() {
                    under_way.push(asked);
                }
            } else if let Some(asked) = under_way.pop() {
                let nanos = asked.cost.nanos() * i64::try_from(percent).unwrap() / 100;
                used_in_all += nanos;
                desk.meter.settle(asked, Used { tokens: 1, cost: NanoUsd::from_nanos(nanos) });
            }
            let (spent, reserved) = desk.spent(&bounds[0].scope);
            prop_assert!((spent + reserved).nanos() <= 100);
            prop_assert_eq!(spent.nanos(), used_in_all);
            let still: i64 = under_way.iter().map(|asked| asked.cost.nanos()).sum();
            prop_assert_eq!(reserved.nanos(), still);
        }
    }
}
