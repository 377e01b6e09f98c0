use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;

fn dollars(usd: i64) -> NanoUsd {
    NanoUsd::from_nanos(usd * 1_000_000_000)
}

#[test]
fn a_request_alone_pays_for_its_time() {
    // 3.60 $/h is one milli-dollar per second.
    let mut meter = OwnedMeter::new(NanoUsd::from_nanos(3_600_000_000), 0);
    let ticket = meter.begin(0);
    let cost = meter.end(ticket, 5 * SECOND);
    assert_eq!(cost.total.nanos(), 5_000_000);
    assert_eq!(cost.idle_share, NanoUsd::ZERO);
    assert_eq!(cost.basis, CostBasis::Hours);
}

#[test]
fn shared_time_is_divided() {
    let mut meter = OwnedMeter::new(NanoUsd::from_nanos(3_600_000_000), 0);
    let first = meter.begin(0);
    let second = meter.begin(2 * SECOND);
    // 2 s alone, 4 s shared.
    assert_eq!(meter.end(first, 6 * SECOND).total.nanos(), 4_000_000);
    // 4 s shared, 1 s alone.
    assert_eq!(meter.end(second, 7 * SECOND).total.nanos(), 3_000_000);
    assert_eq!(meter.unattributed(7 * SECOND), NanoUsd::ZERO);
}

#[test]
fn idle_time_is_carried_by_the_work_that_follows() {
    // A minute idle, then one minute of work with a spread of a minute: half of the idle time.
    let mut meter = OwnedMeter::new(NanoUsd::from_nanos(3_600_000_000), 0);
    let ticket = meter.begin(60 * SECOND);
    let cost = meter.end(ticket, 120 * SECOND);
    assert_eq!(cost.idle_share.nanos(), 30_000_000);
    assert_eq!(cost.total.nanos(), 90_000_000);
    assert_eq!(meter.unattributed(120 * SECOND).nanos(), 30_000_000);
    assert_eq!(meter.idle_pool(120 * SECOND).nanos(), 30_000_000);
}

#[test]
fn without_a_spread_the_next_request_takes_all() {
    let mut meter = OwnedMeter::with_spread(dollars(2), 0, 0);
    let ticket = meter.begin(1_800 * SECOND);
    let cost = meter.end(ticket, 1_800 * SECOND);
    assert_eq!(cost.total, dollars(1));
    assert_eq!(cost.idle_share, dollars(1));
}

#[test]
fn a_clock_that_jumps_back_stands_still() {
    let mut meter = OwnedMeter::new(NanoUsd::from_nanos(3_600_000_000), 10 * SECOND);
    let ticket = meter.begin(10 * SECOND);
    let other = meter.begin(3 * SECOND);
    assert_eq!(meter.end(ticket, 2 * SECOND).total, NanoUsd::ZERO);
    assert_eq!(meter.end(other, 11 * SECOND).total.nanos(), 1_000_000);
}

#[test]
fn another_price_holds_from_its_moment_on() {
    // 3.60 $/h for a minute, then 7.20 $/h; one request all along.
    let mut meter = OwnedMeter::new(NanoUsd::from_nanos(3_600_000_000), 0);
    let ticket = meter.begin(0);
    meter.reprice(NanoUsd::from_nanos(7_200_000_000), 60 * SECOND);
    assert_eq!(meter.end(ticket, 120 * SECOND).total.nanos(), 180_000_000);
    assert_eq!(meter.wall(120 * SECOND).nanos(), 180_000_000);
    // Given away, it costs nothing more, and a request that still ends does not take the pool.
    let late = meter.begin(180 * SECOND);
    meter.reprice(NanoUsd::ZERO, 180 * SECOND);
    let cost = meter.end(late, 999 * SECOND);
    assert_eq!(cost.total, NanoUsd::ZERO);
    assert_eq!(meter.idle_pool(999 * SECOND).nanos(), 120_000_000);
    assert_eq!(meter.wall(9_999 * SECOND).nanos(), 300_000_000);
    assert_eq!(meter.charged().nanos(), 180_000_000);
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    End(usize),
    Look,
    Reprice(i64),
}

fn step() -> impl Strategy<Value = (Step, i64)> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        3 => any::<prop::sample::Index>().prop_map(|index| Step::End(index.index(64))),
        1 => Just(Step::Look),
        1 => prop_oneof![Just(0_i64), 1_i64..1_000_000_000_000].prop_map(Step::Reprice),
    ];
    // Mostly forward, sometimes back, sometimes a long way.
    let pause = prop_oneof![
        6 => 0_i64..5_000_000,
        1 => -3_000_000_i64..0,
        1 => Just(86_400_000_000_i64),
    ];
    (step, pause)
}

proptest! {
    /// Costs of ended requests and what is unattributed are the wall clock times the price.
    #[test]
    fn no_time_is_lost_or_charged_twice(
        per_hour in prop_oneof![Just(0_i64), 1_i64..1_000_000_000_000, Just(i64::MAX), Just(-5_i64)],
        spread_us in prop_oneof![Just(0_u64), Just(OwnedMeter::DEFAULT_SPREAD_US), any::<u32>().prop_map(u64::from)],
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let start_us = 1_000_000_000_u64;
        let mut meter = OwnedMeter::with_spread(NanoUsd::from_nanos(per_hour), start_us, spread_us);
        let (mut now_us, mut latest_us) = (start_us, start_us);
        let mut open = Vec::new();
        let mut charged = 0_i128;
        let (mut price, mut accrued) = (i128::from(per_hour.max(0)), 0_i128);
        for (step, pause_us) in steps {
            now_us = now_us.saturating_add_signed(pause_us);
            accrued += price * i128::from(now_us.saturating_sub(latest_us));
            latest_us = latest_us.max(now_us);
            match step {
                Step::Begin => open.push(meter.begin(now_us)),
                Step::End(index) if !open.is_empty() => {
                    let ticket = open.swap_remove(index % open.len());
                    let cost = meter.end(ticket, now_us);
                    prop_assert!(cost.idle_share >= NanoUsd::ZERO);
                    prop_assert!(cost.total >= cost.idle_share);
                    charged += i128::from(cost.total.nanos());
                }
                Step::Reprice(to) => {
                    meter.reprice(NanoUsd::from_nanos(to), now_us);
                    price = i128::from(to);
                }
                Step::End(_) | Step::Look => {}
            }
            let left = i128::from(meter.unattributed(now_us).nanos());
            let wall = accrued / HOUR_US;
            if wall < i128::from(i64::MAX) {
                prop_assert_eq!(charged + left, wall);
                prop_assert_eq!(i128::from(meter.wall(now_us).nanos()), wall);
                prop_assert_eq!(i128::from(meter.charged().nanos()), charged);
                prop_assert!(left >= 0);
                prop_assert!(i128::from(meter.idle_pool(now_us).nanos()) <= left);
                if open.is_empty() {
                    // With nobody being served, all that is left is idle time.
                    prop_assert!(left - i128::from(meter.idle_pool(now_us).nanos()) <= 1);
                }
            }
        }
    }
}
