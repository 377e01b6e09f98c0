//! What holds for every case.

use freehold_planner::{Advice, OwnedOption, Quantiles, RateCard};
use proptest::prelude::*;

use crate::world::World;

fn world(price: f64, hosted: f64, seed: u64) -> World {
    let mut world = World::new(&[
        ("chat", 900, 300),
        ("sum", 4_000, 120),
        ("code", 2_000, 700),
    ]);
    world.api =
        RateCard::flat("vendor/big", price, Some(price / 4.0), price * 4.0, "test").unwrap();
    world.settings.seed = seed;
    world.hosted_at(hosted, hosted * 3.0)
}

fn options(told: &Advice) -> impl Iterator<Item = &OwnedOption> {
    std::iter::once(&told.best).chain(&told.runners_up)
}

fn all_quantiles(told: &Advice) -> Vec<Quantiles> {
    let mut all: Vec<Quantiles> = told.flows.iter().map(|flow| flow.alone).collect();
    for option in options(told) {
        all.extend([
            option.own_usd,
            option.api_usd,
            option.saving,
            option.saving_vs_api,
        ]);
        all.extend(option.saving_vs_hosted);
        all.extend(option.hosted_usd);
        all.extend(option.pay_back_months);
    }
    all.extend(told.volumes.iter().map(|point| point.own));
    all.extend(told.break_even.iter().filter_map(|even| even.band));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_dearer_api_never_makes_owning_worse(
        price in 0.01..20.0_f64, more in 1.0..5.0_f64, hosted in 0.01..2.0_f64, seed in 0_u64..99,
    ) {
        let cheap = world(price, hosted, seed).real().unwrap();
        let dear = world(price * more, hosted, seed).real().unwrap();
        let mut compared = 0;
        for option in options(&cheap) {
            let same = |other: &&OwnedOption| other.name == option.name && other.flows == option.flows;
            let Some(other) = options(&dear).find(same) else { continue };
            compared += 1;
            prop_assert!(other.saving_vs_api.p10 >= option.saving_vs_api.p10 - 0.02);
            prop_assert!(other.saving_vs_api.p50 >= option.saving_vs_api.p50 - 0.02);
            prop_assert!(other.cheaper_than_api >= option.cheaper_than_api - 1e-9);
        }
        prop_assert!(compared > 0);
    }

    #[test]
    fn percentiles_are_in_order_and_parts_add_up(
        price in 0.01..20.0_f64, hosted in 0.01..2.0_f64, seed in 0_u64..99,
    ) {
        let told = world(price, hosted, seed).real().unwrap();
        for quantiles in all_quantiles(&told) {
            prop_assert!(quantiles.p10 <= quantiles.p50 && quantiles.p50 <= quantiles.p90);
        }
        let flows: f64 = told.flows.iter().map(|flow| flow.api_usd).sum();
        prop_assert!((flows - told.renting.api_usd).abs() < 0.05);
        let hosts: f64 = told.flows.iter().filter_map(|flow| flow.hosted_usd).sum();
        prop_assert!((hosts - told.renting.hosted.as_ref().unwrap().usd).abs() < 0.05);
        prop_assert!(told.tornado.is_sorted_by(|a, b| a.swing >= b.swing));
        prop_assert!(told.best.cheapest <= told.best.cheaper_than_api + 1e-9);
        for even in &told.break_even {
            prop_assert!((0.0..=1.0).contains(&even.share_of_draws));
        }
    }

    #[test]
    fn the_same_question_gets_the_same_bytes(price in 0.01..20.0_f64, seed in 0_u64..99) {
        let once = serde_json::to_string(&world(price, 0.2, seed).real().unwrap()).unwrap();
        let again = serde_json::to_string(&world(price, 0.2, seed).real().unwrap()).unwrap();
        prop_assert_eq!(once, again);
    }
}

#[test]
fn another_seed_gives_other_draws_and_nearly_the_same_answer() {
    let told = |seed| {
        let mut world = world(2.0, 0.2, seed);
        world.settings.draws = 1_000;
        world.real().unwrap().best.saving
    };
    let (one, other) = (told(1), told(2));
    assert_ne!(one, other);
    let spread = one.p90 - one.p10;
    assert!(
        (one.p50 - other.p50).abs() < 0.05 * spread,
        "{one:?} {other:?}"
    );
}
