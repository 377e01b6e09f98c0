//! A constant workload, worked out by hand in the comments.
//!
//! One request a second with 1,000 tokens in and 250 out. A month has 730.5 hours: 2,629,800 requests.
//! The API takes 2 and 8 dollars per million: 0.002 + 0.002 a request, 10,519.20 a month.
//! One GPU serves twice that traffic, for 2 dollars an hour: 1,461 a month.

use freehold_planner::{Decision, Offer, Procurement, Range, Settings, Versus};

use crate::world::{World, near, point};

const ONE: [(&str, u32, u32); 1] = [("all", 1_000, 250)];

#[test]
fn rent_and_own_are_what_a_pocket_calculator_says() {
    // A quarter of a person for 120,000 a year: 2,500 a month. Owned: 1,461 + 2,500 = 3,961.
    let told = World::new(&ONE).assuming("run_fte: 0.25\n").advice();
    near(told.renting.api_usd, 10_519.20);
    near(told.best.month.gpus_usd, 1_461.0);
    near(told.best.month.people_usd, 2_500.0);
    near(told.best.own_usd.p50, 3_961.0);
    near(told.best.saving_vs_api.p50, 6_558.20);
    // Nothing is uncertain, so there is no spread.
    near(told.best.saving.p10, 6_558.20);
    near(told.best.saving.p90, 6_558.20);
    assert_eq!(told.verdict.decision, Decision::Own);
    assert_eq!((told.best.gpus_peak, told.best.busy), (1, 0.5));
    near(told.traffic.month.requests, 2_629_800.0);
    near(told.best.pay_back_months.unwrap().p50, 0.0);
}

#[test]
fn break_even_volume_and_utilisation_are_where_the_lines_cross() {
    // 10,519.20 x = 3,961 at x = 0.37655. 1,250 tokens x 86,400 s x 0.37655 = 40.667 million tokens a day.
    let told = World::new(&ONE).assuming("run_fte: 0.25\n").advice();
    let even = &told.break_even[0];
    assert_eq!(even.versus, Versus::Api);
    assert!((even.multiple.unwrap() - 0.3766).abs() < 2e-4);
    assert!((even.tokens_per_day.unwrap() / 40.667e6 - 1.0).abs() < 1e-3);
    // The GPU is busy for half of the time at load 1, so for 0.188 there; full is twice today's traffic.
    assert!((even.busy.unwrap() - 0.1883).abs() < 2e-4);
    assert!((even.utilisation.unwrap() - 0.1883).abs() < 2e-4);
    // The same from the other side: 3,961 / 10,519.20 of today's half.
    assert!((even.utilisation_needed.unwrap() - 0.1883).abs() < 2e-4);
    assert!((even.utilisation_now - 0.5).abs() < 1e-9);
    assert!((even.share_of_draws - 1.0).abs() < 1e-9);
}

#[test]
fn the_staircase_moves_the_break_even_with_a_host() {
    // The host takes 0.4 and 1.6: 0.0008 a request, 2,103.84 a month; owned costs 3,961. Keep renting, there.
    let told = World::new(&ONE)
        .hosted_at(0.4, 1.6)
        .assuming("run_fte: 0.25\n")
        .advice();
    assert_eq!(told.verdict.decision, Decision::Rent);
    let hosted = told.renting.hosted.as_ref().unwrap();
    near(hosted.usd, 2_103.84);
    near(hosted.saving.p50, 10_519.20 - 2_103.84);
    near(told.best.saving.p50, 2_103.84 - 3_961.0);
    assert!(
        told.verdict.headline.contains("at a host would save"),
        "{}",
        told.verdict.headline
    );
    // Just above twice the traffic a second GPU is needed: 2 x 1,461 + 2,500 = 5,422 = 2,103.84 x 2.5772.
    // Below that step owning was cheaper from 1.883 on, but it does not stay so.
    let even = &told.break_even[1];
    assert_eq!(even.versus, Versus::Hosted);
    assert!(
        (even.multiple.unwrap() - 2.5772).abs() < 2e-4,
        "{:?}",
        even.multiple
    );
    assert_eq!(even.gpus, Some(2));
}

#[test]
fn no_volume_is_enough_when_the_host_is_cheaper_than_a_full_gpu() {
    // A full GPU serves 2 x 2,629,800 requests for 1,461: 278 dollars per million requests. The host takes
    // 100 tokens' worth less: 0.1 and 0.4 per million tokens, 200 dollars per million requests.
    let told = World::new(&ONE).hosted_at(0.1, 0.4).advice();
    let even = &told.break_even[1];
    assert_eq!(even.multiple, None);
    // 1,461 / 525.96 of today's half: GPUs would have to be 139 % full.
    assert!(
        (even.utilisation_needed.unwrap() - 1.3889).abs() < 2e-4,
        "{even:?}"
    );
    assert!(even.share_of_draws.abs() < 1e-9);
}

#[test]
fn bought_machines_wear_draw_power_and_take_months_to_build() {
    let mut world = World::new(&ONE).assuming(
        "run_fte: 0.25\nnetwork_capex_percent: 10\nresidual_percent: 25\ncapital_percent: 8\n\
         server_power_factor: 1.5\npower_share: 0.8\npue: 1.25\nusd_per_kwh: 0.1\n\
         colocation_usd_per_kw_month: 100\nbuild_months: 3\nbuild_fte: 1\n",
    );
    world.settings = Settings {
        months: 12,
        ..world.settings
    };
    world.candidates[0].offer = Offer {
        buy: Some(Range::exactly(20_000.0)),
        sold_in: 8,
        ..Offer::unpriced("GPU")
    };
    let told = world.advice();
    let month = &told.best.month;
    // 22,000 with network: wear 16,500 / 48 = 343.75, capital 13,750 x 8 % / 12 = 91.667. Eight of them.
    near(month.gpus_usd, 3_483.33);
    // 700 W x 1.5 x 0.8 x 1.25 x 0.1 x 730.5 h = 76.7025, and 1.05 kW x 100 = 105. Eight of them.
    near(month.power_and_space_usd, 1_453.62);
    near(told.best.build_usd, 30_000.0);
    // 30,000 + 3 x 10,519.20 + 9 x 7,436.953 = 128,490.18 over twelve months.
    near(told.best.own_usd.p50, 10_707.52);
    near(told.best.saving.p50, -188.32);
    assert_eq!(told.best.procurement, Procurement::Buy);
    assert!(told.best.pay_back_months.is_none());
    assert_eq!(told.verdict.decision, Decision::Rent);

    // In cash: 30,000 + 176,000 back at 10,519.20 - 1,453.62 - 2,500 a month: 31.376 months after the third.
    world.settings.months = 48;
    near(world.advice().best.pay_back_months.unwrap().p50, 34.38);
}

#[test]
fn what_the_open_model_takes_more_and_leaves_to_the_api_is_paid() {
    let told = World::new(&ONE)
        .assuming("token_ratio: 1.6\nfallback_percent: 10\nthroughput_factor: 0.6\n")
        .advice();
    // Load 1.6 x 0.9 / 0.6 = 2.4: two GPUs. A tenth stays at the API.
    assert_eq!(told.best.gpus_peak, 2);
    near(told.best.month.fallback_usd, 1_051.92);
    near(told.best.month.total_usd(), 2_922.0 + 1_051.92);
}

#[test]
fn retries_tools_discounts_and_growth_are_on_the_bill() {
    let mut world = World::new(&ONE).assuming(
        "api_retry_percent: 5\napi_discount_percent: 20\ntool_usd_per_thousand_requests: 1\n\
         growth_percent_per_month: 21\n",
    );
    world.settings.months = 1;
    // (10,519.20 + 2,629.80 for tools) x 0.8 x 1.05, at the middle of the month: x 1.21 ^ 0.5 = 1.1.
    near(world.advice().best.api_usd.p50, 12_149.68);
}

#[test]
fn batches_and_repeated_beginnings_are_cheaper() {
    let mut world = World::new(&ONE).assuming("api_batch_percent: 40\n");
    world.api.batch_factor = 0.5;
    // 40 % of the tokens at half the price: 10,519.20 x 0.8.
    near(world.advice().best.api_usd.p50, 8_415.36);
}

#[test]
fn spot_commitment_and_scaling_pay_for_what_they_take() {
    let way = |procurement: Procurement| {
        let mut world =
            World::new(&ONE).assuming("reserved_discount_percent: 50\nspot_overhead_percent: 20\n");
        let candidate = &mut world.candidates[0];
        // Scales: three at the peak, 1.5 on average.
        let scaled = freehold_sim::LoadPoint {
            gpus_mean: 1.5,
            ..point(1.0, 3, 0.4)
        };
        candidate.curve = freehold_sim::LoadCurve::from_points(1, vec![scaled]).unwrap();
        candidate.offer.spot = Some(Range::exactly(0.5));
        let told = world.advice();
        let all = std::iter::once(&told.best).chain(&told.runners_up);
        all.clone()
            .find(|option| option.procurement == procurement)
            .unwrap()
            .month
            .gpus_usd
    };
    // 1.5 x 2 x 730.5; 1.5 x 1.2 x 0.5 x 730.5; 3 x 2 x 0.5 x 730.5.
    near(way(Procurement::OnDemand), 2_191.50);
    near(way(Procurement::Spot), 657.45);
    near(way(Procurement::Reserved), 2_191.50);
}

#[test]
fn the_best_of_several_is_found_and_the_others_are_told() {
    let mut world = World::new(&ONE);
    let mut dear = world.candidates[0].clone();
    dear.offer.on_demand = Some(Range::exactly(5.0));
    dear.offer.gpu = "DEAR".to_owned();
    let mut slow = world.candidates[0].clone();
    slow.offer.gpu = "SLOW".to_owned();
    slow.curve = freehold_sim::LoadCurve::from_points(1, vec![point(1.0, 4, 0.9)]).unwrap();
    world.candidates = vec![slow, dear, world.candidates[0].clone()];
    let told = world.advice();
    assert_eq!(told.best.gpu, "GPU");
    let others: Vec<&str> = told
        .runners_up
        .iter()
        .map(|option| option.gpu.as_str())
        .collect();
    // 5 x 730.5 against 4 x 2 x 730.5.
    assert!(
        others.contains(&"DEAR") && others.contains(&"SLOW"),
        "{others:?}"
    );
    let savings: Vec<f64> = told
        .runners_up
        .iter()
        .map(|option| option.saving.p50)
        .collect();
    assert!(savings.is_sorted_by(|a, b| a >= b), "{savings:?}");
}

#[test]
fn a_split_owns_what_pays_and_rents_the_rest() {
    // "write" takes 1,000 out: half of the requests, 1,314,900 x 0.008 = 10,519.20 a month. "read" takes
    // 40,000 in at 0.05 per million: 1,314,900 x 0.002 = 2,629.80. Work: 1,000 against 6,000, so "read" would
    // take 6 of the 7 GPUs, 8,766 a month.
    let mut world = World::new(&[("write", 0, 1_000), ("read", 40_000, 0)]);
    world.api = freehold_planner::RateCard::flat("vendor/big", 0.05, None, 8.0, "test").unwrap();
    let points: Vec<_> = (1..=14_u32)
        .map(|part| point(f64::from(part) / 7.0, part, 1.0))
        .collect();
    world.candidates[0].curve = freehold_sim::LoadCurve::from_points(1, points).unwrap();
    let told = world.advice();
    assert_eq!(told.verdict.decision, Decision::Split);
    assert_eq!(told.best.flows, ["write"]);
    near(told.best.saving.p50, 10_519.20 - 1_461.0);
    let what: Vec<_> = told
        .flows
        .iter()
        .map(|flow| (flow.traffic.flow.as_str(), flow.decision))
        .collect();
    assert_eq!(what, [("write", Decision::Own), ("read", Decision::Rent)]);
    near(told.flows[1].alone.p50, 2_629.80 - 6.0 * 1_461.0);
}

#[test]
fn the_tornado_turns_one_input_at_a_time() {
    // FTE 0, 0.5, 1: its tenth percentile is 0 + sqrt(0.1 x 1 x 0.5) = 0.2236, its ninetieth 0.7764.
    // Saved: 10,519.20 - 1,461 less 10,000 a month for each FTE.
    let mut world = World::new(&ONE).assuming("run_fte: {low: 0, base: 0.5, high: 1}\n");
    world.settings.draws = 1_000;
    let told = world.advice();
    assert_eq!(told.tornado.len(), 1);
    let swing = &told.tornado[0];
    near(swing.saving_at_low, 9_058.20 - 2_236.07);
    near(swing.saving_at_high, 9_058.20 - 7_763.93);
    near(swing.swing, 5_527.86);
    // Over the draws the same percentiles come out, to the fineness of 1,000 draws: 0.001 / 4 / 0.2236 FTE.
    assert!((told.best.saving.p90 - swing.saving_at_low).abs() < 20.0);
    assert!((told.best.saving.p10 - swing.saving_at_high).abs() < 20.0);
}
