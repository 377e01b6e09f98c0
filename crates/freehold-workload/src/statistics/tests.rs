use super::*;
use crate::{Arrival, ModelIndex, PrefixRange};

fn at(at_us: u64, input_tokens: u32) -> Arrival {
    Arrival {
        at_us,
        input_tokens,
        output_tokens: 10,
        ..Arrival::default()
    }
}

fn workload(arrivals: Vec<Arrival>, duration_us: u64) -> Workload {
    Workload {
        arrivals,
        duration_us,
        flows: vec!["a".to_owned(), "b".to_owned()],
        ..Workload::default()
    }
}

#[test]
fn volumes_are_per_day() {
    let told = statistics(&workload(vec![at(0, 100), at(1, 300)], DAY_US / 2), &[]);
    assert!((told.days - 0.5).abs() < 1e-12);
    assert!((told.all.requests_per_day - 4.0).abs() < 1e-12);
    assert!((told.all.input_tokens_per_day - 800.0).abs() < 1e-9);
    assert!((told.all.output_tokens_per_day - 40.0).abs() < 1e-9);
    assert_eq!(told.reuse, None);
    assert_eq!(told.hour_of_week, None);
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let arrivals = (1..=100).map(|length| at(0, length)).collect();
    let told = statistics(&workload(arrivals, DAY_US), &[]).all.input;
    assert_eq!((told.p50, told.p90, told.p95, told.p99), (50, 90, 95, 99));
    assert_eq!(told.max, 100);
    assert!((told.mean - 50.5).abs() < 1e-12);
}

#[test]
fn equal_gaps_have_no_variation_and_a_pair_of_bursts_has_one() {
    let even = workload((0..10).map(|index| at(index * 5, 1)).collect(), 100);
    assert_eq!(statistics(&even, &[]).all.inter_arrival_cv, Some(0.0));
    // Gaps 0 and 10: mean 5, deviation 5.
    let bursts = workload(vec![at(0, 1), at(0, 1), at(10, 1)], 100);
    assert_eq!(statistics(&bursts, &[]).all.inter_arrival_cv, Some(1.0));
    let at_once = workload(vec![at(3, 1); 5], 100);
    assert_eq!(statistics(&at_once, &[]).all.inter_arrival_cv, None);
}

#[test]
fn the_peak_is_of_whole_hours_only() {
    // Three whole hours with 1, 4 and 1 requests, and a begun one with many.
    let mut arrivals = vec![at(0, 1)];
    arrivals.extend([at(HOUR_US, 1); 4]);
    arrivals.push(at(2 * HOUR_US, 1));
    arrivals.extend([at(3 * HOUR_US, 1); 50]);
    let told = statistics(&workload(arrivals, 3 * HOUR_US + 60_000_000), &[]);
    assert_eq!(told.all.peak_hour_to_mean, Some(2.0));
    let short = workload(vec![at(0, 1), at(1, 1)], HOUR_US);
    assert_eq!(statistics(&short, &[]).all.peak_hour_to_mean, None);
}

#[test]
fn hours_of_the_week_begin_on_monday() {
    // 2026-11-16 was a Monday.
    let monday_ms = 1_794_787_200_000;
    assert_eq!(hour_of_week_at(monday_ms * 1_000), 0);
    let mut traffic = workload(vec![at(1, 1), at(2, 1), at(HOUR_US + 5, 1)], 2 * HOUR_US);
    traffic.began_unix_ms = Some(monday_ms);
    let hours = statistics(&traffic, &[]).hour_of_week.unwrap();
    assert_eq!(hours.len(), WEEK_HOURS);
    assert_eq!(&hours[..3], &[Some(2.0), Some(1.0), None]);
    // Begun at half past, the first whole hour is the next one.
    traffic.began_unix_ms = Some(monday_ms - 1_800_000);
    let hours = statistics(&traffic, &[]).hour_of_week.unwrap();
    assert_eq!(hours[0], Some(1.0));
    assert_eq!(hours.iter().flatten().count(), 1);
}

#[test]
fn flows_sessions_models_and_costs_are_told_apart() {
    let mut arrivals = vec![at(0, 100), at(1, 1_000), at(2, 100)];
    arrivals[1].flow = FlowIndex(1);
    arrivals[0].session = 7;
    arrivals[2].session = 7;
    arrivals[0].model = ModelIndex(0);
    let traffic = Workload {
        costs_nano_usd: vec![5, crate::UNKNOWN_COST, 7],
        models: vec!["small".to_owned()],
        ..workload(arrivals, DAY_US)
    };
    let told = statistics(&traffic, &[]);
    assert_eq!(told.flows[0].flow, "b");
    assert!((told.flows[0].token_share - 1_010.0 / 1_230.0).abs() < 1e-12);
    assert_eq!(told.flows[1].traffic.requests, 2);
    assert_eq!(told.flows[1].traffic.requests_per_session, Some(2.0));
    assert_eq!(told.all.sessions, 1);
    assert_eq!(
        (told.all.cost_nano_usd, told.all.unknown_cost_requests),
        (12, 1)
    );
    assert_eq!(told.models.get("small"), Some(&1));
}

fn with_blocks(requests: &[&[u64]]) -> Workload {
    let mut traffic = workload(Vec::new(), DAY_US);
    traffic.prefix_block_tokens = 10;
    for blocks in requests {
        let start = u32::try_from(traffic.prefix_blocks.len()).unwrap();
        let length = u32::try_from(blocks.len()).unwrap();
        traffic.prefix_blocks.extend_from_slice(blocks);
        traffic.arrivals.push(Arrival {
            prefix: PrefixRange { start, length },
            ..at(u64::from(start), length * 10)
        });
    }
    traffic
}

#[test]
fn a_block_is_found_only_behind_those_before_it() {
    // The last request has block 3, but behind another one than before.
    let traffic = with_blocks(&[&[1, 2, 3], &[1, 2, 4], &[9, 2, 3]]);
    let told = reuse(&traffic, &[]);
    assert_eq!(told.len(), 1);
    assert!((told[0].block_hit_rate - 2.0 / 9.0).abs() < 1e-12);
    assert!((told[0].token_hit_rate - 20.0 / 90.0).abs() < 1e-12);
}

#[test]
fn the_last_token_is_always_computed() {
    let told = reuse(&with_blocks(&[&[1, 2], &[1, 2]]), &[]);
    assert!((told[0].block_hit_rate - 0.5).abs() < 1e-12);
    assert!((told[0].token_hit_rate - 19.0 / 40.0).abs() < 1e-12);
}

#[test]
fn a_small_cache_forgets_what_was_used_longest_ago() {
    let traffic = with_blocks(&[&[1, 2], &[5, 6], &[1, 2]]);
    let told = reuse(&traffic, &[40, 30, 20]);
    let hits: Vec<f64> = told.iter().map(|told| told.block_hit_rate * 6.0).collect();
    // Without bounds and with four blocks both are there; with three, only the first block.
    for (hit, wanted) in hits.iter().zip([2.0, 2.0, 1.0, 0.0]) {
        assert!((hit - wanted).abs() < 1e-9, "{hits:?}");
    }
}
