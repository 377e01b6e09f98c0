//! Limits and budgets, the same in one process and shared by many: each test runs on both.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod desk;
mod gateways;
mod outages;

use std::time::Duration;

use freehold_ports::{Limits, Period, ReserveError, Shortage};
use freehold_store::meter::PeriodStart;
use freehold_types::NanoUsd;
use futures_util::future::join_all;
use proptest::prelude::*;

use desk::{Desk, NOON, daily, key, team, usd};

/// Each of these runs on both homes.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $name() { super::$name(super::Desk::local()).await; })*
        }
        mod shared {
            $(#[tokio::test] async fn $name() { super::$name(super::Desk::shared()).await; })*
        }
    };
}

on_both![
    a_hundred_at_once_pass_a_budget_for_ten_ten_times,
    what_was_not_used_is_free_again,
    a_spent_budget_is_there_again_the_next_day,
    a_request_over_midnight_counts_for_the_day_it_began,
    nothing_with_a_budget_is_admitted_before_its_past_is_known,
    one_bound_too_tight_takes_nothing_from_the_others,
    a_wait_is_as_long_as_it_says,
    amounts_beyond_all_sense_stay_whole_numbers,
    whatever_comes_a_budget_is_not_passed,
];

async fn a_hundred_at_once_pass_a_budget_for_ten_ten_times(desk: Desk) {
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked: Vec<_> = (0..100).map(|_| desk.ask(&bounds, 10, usd(0.1))).collect();
    let admitted = join_all(asked.iter().map(|asked| desk.meter.reserve(asked))).await;
    assert_eq!(
        admitted.iter().filter(|admitted| admitted.is_ok()).count(),
        10
    );
    assert_eq!(desk.spent(&bounds[0].scope).await, (usd(0.0), usd(1.0)));
}

async fn what_was_not_used_is_free_again(desk: Desk) {
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 10, usd(0.8));
    assert_eq!(desk.denial(&asked).await, None);
    let second = desk.ask(&bounds, 10, usd(0.5));
    // Only what is reserved is in its way, and that may be over soon.
    let denial = desk.denial(&second).await.unwrap();
    assert_eq!(denial.retry_after, Some(Duration::from_secs(1)));
    // Once is once.
    desk.settle(&asked, 3, usd(0.2)).await;
    desk.settle(&asked, 3, usd(0.2)).await;
    assert_eq!(desk.spent(&bounds[0].scope).await, (usd(0.2), usd(0.0)));
    assert_eq!(desk.denial(&second).await, None);
    assert_eq!(
        desk.denial(&second).await,
        None,
        "the same id is reserved once"
    );
    assert_eq!(desk.spent(&bounds[0].scope).await, (usd(0.2), usd(0.5)));
    desk.settle(&second, 0, NanoUsd::ZERO).await;
    assert_eq!(desk.held().await, 0);
}

async fn a_spent_budget_is_there_again_the_next_day(desk: Desk) {
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(1.0));
    assert_eq!(desk.denial(&asked).await, None);
    desk.settle(&asked, 1, usd(1.0)).await;
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(0.01))).await.unwrap();
    let midnight = Duration::from_secs(12 * 3_600);
    assert_eq!(denial.retry_after, Some(midnight));
    assert_eq!(denial.scope, bounds[0].scope);
    // What can never fit is told at once; what is free is not in question.
    let never = desk.denial(&desk.ask(&bounds, 1, usd(1.01))).await.unwrap();
    assert_eq!(never.retry_after, None);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.0))).await, None);
    desk.advance(midnight - Duration::from_millis(1));
    assert!(
        desk.denial(&desk.ask(&bounds, 1, usd(0.01)))
            .await
            .is_some()
    );
    desk.advance(Duration::from_millis(1));
    desk.open(&bounds).await;
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.01))).await, None);
}

async fn a_request_over_midnight_counts_for_the_day_it_began(desk: Desk) {
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(0.9));
    assert_eq!(desk.denial(&asked).await, None);
    desk.advance(Duration::from_secs(13 * 3_600));
    desk.open(&bounds).await;
    desk.settle(&asked, 1, usd(0.9)).await;
    assert_eq!(desk.spent(&bounds[0].scope).await, Default::default());
}

async fn nothing_with_a_budget_is_admitted_before_its_past_is_known(desk: Desk) {
    let bounds = [key(Limits::default()), team("acme", daily(1.0))];
    let asked = desk.ask(&bounds, 1, usd(0.4));
    let error = desk.meter.reserve(&asked).await.unwrap_err();
    assert!(matches!(error, ReserveError::Unreachable(_)), "{error}");
    let today = PeriodStart::holding(Period::Day, NOON);
    let budget = [(bounds[1].scope.clone(), today)];
    assert_eq!(desk.meter.unknown(&budget).await.unwrap(), budget);
    // Told twice is told once.
    for _ in 0..2 {
        let told = desk.meter.restore(bounds[1].scope.clone(), today, usd(0.7));
        told.await.unwrap();
    }
    assert_eq!(desk.meter.unknown(&budget).await.unwrap(), []);
    let denial = desk.denial(&asked).await.unwrap();
    assert_eq!(denial.scope, bounds[1].scope);
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.3))).await, None);
}

async fn one_bound_too_tight_takes_nothing_from_the_others(desk: Desk) {
    let wide = Limits {
        requests_per_minute: Some(100),
        concurrent: Some(100),
        ..daily(100.0)
    };
    let narrow = Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(1_000),
        concurrent: Some(1),
        ..Limits::default()
    };
    let bounds = [team("acme", wide), key(narrow)];
    desk.open(&bounds).await;
    let first = desk.ask(&bounds, 600, usd(1.0));
    let standing = desk.meter.reserve(&first).await.unwrap();
    let requests = standing.requests.unwrap();
    assert_eq!((requests.limit, requests.remaining), (2, 1));
    assert_eq!(standing.tokens.unwrap().remaining, 400);
    let short = |denial: Option<freehold_ports::Denial>| denial.unwrap().shortage;
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(1.0))).await;
    assert_eq!(short(denial), Shortage::Concurrent { limit: 1 });
    desk.settle(&first, 100, usd(0.5)).await;
    let denial = desk.denial(&desk.ask(&bounds, 950, usd(1.0))).await;
    let (limit, needed) = (1_000, 950);
    assert_eq!(short(denial), Shortage::Tokens { limit, needed });
    // More than there ever is.
    let denial = desk.denial(&desk.ask(&bounds, 1_001, usd(1.0))).await;
    assert_eq!(denial.unwrap().retry_after, None);
    let second = desk.ask(&bounds, 900, usd(1.0));
    assert_eq!(desk.denial(&second).await, None);
    desk.settle(&second, 0, NanoUsd::ZERO).await;
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(1.0))).await;
    assert_eq!(short(denial), Shortage::Requests { limit: 2 });
    assert_eq!(desk.spent(&bounds[0].scope).await, (usd(0.5), usd(0.0)));
}

async fn a_wait_is_as_long_as_it_says(desk: Desk) {
    let bounds = [key(Limits {
        requests_per_minute: Some(1),
        ..Limits::default()
    })];
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.0))).await, None);
    let denial = desk.denial(&desk.ask(&bounds, 1, usd(0.0))).await.unwrap();
    let wait = denial.retry_after.unwrap();
    assert!(
        wait > Duration::from_secs(59) && wait <= Duration::from_secs(61),
        "{wait:?}"
    );
    // A server's clock goes on meanwhile: a little earlier, by more than the test takes.
    desk.advance(wait - Duration::from_secs(20));
    assert!(desk.denial(&desk.ask(&bounds, 1, usd(0.0))).await.is_some());
    desk.advance(Duration::from_secs(20));
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.0))).await, None);
}

async fn amounts_beyond_all_sense_stay_whole_numbers(desk: Desk) {
    let bounds = [key(daily(4_000_000_000.0))];
    desk.open(&bounds).await;
    // More nano-dollars than a float tells apart.
    let odd = NanoUsd::from_nanos(3_000_000_000_000_000_001);
    let asked = desk.ask(&bounds, u64::from(u32::MAX), odd);
    assert_eq!(desk.denial(&asked).await, None);
    assert_eq!(desk.spent(&bounds[0].scope).await, (NanoUsd::ZERO, odd));
    desk.settle(&asked, 1, odd).await;
    assert_eq!(desk.spent(&bounds[0].scope).await, (odd, NanoUsd::ZERO));
    let denial = desk.denial(&desk.ask(&bounds, 1, odd)).await.unwrap();
    assert!(matches!(denial.shortage, Shortage::Budget { taken, .. } if taken == odd));
}

/// Requests come, end and never end, in any order: what is spent and reserved together stays within
/// the budget as long as nobody uses more than it reserved, and ends as the sum of what was used.
async fn whatever_comes_a_budget_is_not_passed(desk: Desk) {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let step = (any::<bool>(), 1_i64..40, 0_u64..101);
    let steps = prop::collection::vec(step, 400)
        .new_tree(&mut runner)
        .unwrap();
    let bounds = [key(daily(100e-9))];
    desk.open(&bounds).await;
    let mut under_way = vec![];
    let mut used_in_all = 0;
    for (begins, amount, percent) in steps.current() {
        if begins {
            let asked = desk.ask(&bounds, 1, NanoUsd::from_nanos(amount));
            if desk.denial(&asked).await.is_none() {
                under_way.push(asked);
            }
        } else if let Some(asked) = under_way.pop() {
            let nanos = asked.cost.nanos() * i64::try_from(percent).unwrap() / 100;
            used_in_all += nanos;
            desk.settle(&asked, 1, NanoUsd::from_nanos(nanos)).await;
        }
        let (spent, reserved) = desk.spent(&bounds[0].scope).await;
        assert!((spent + reserved).nanos() <= 100);
        assert_eq!(spent.nanos(), used_in_all);
        let still: i64 = under_way.iter().map(|asked| asked.cost.nanos()).sum();
        assert_eq!(reserved.nanos(), still);
    }
    assert!(used_in_all > 20, "{used_in_all}");
}
