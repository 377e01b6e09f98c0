//! What cannot be answered says what to change.

use freehold_planner::{Range, Settings};
use freehold_sim::{LoadCurve, LoadPoint};

use crate::world::{World, point};

const ONE: [(&str, u32, u32); 1] = [("all", 1_000, 250)];

#[track_caller]
fn refused(world: &World, part: &str) {
    let told = world.try_advice().unwrap_err().to_string();
    assert!(told.contains(part), "{told}");
}

#[test]
fn an_empty_or_tiny_trace() {
    let mut world = World::new(&ONE);
    world.workload.arrivals.truncate(1);
    refused(&world, "one request");
    world.workload.arrivals.clear();
    refused(&world, "cannot be priced");
}

#[test]
fn nothing_to_own() {
    let mut world = World::new(&ONE);
    world.candidates.clear();
    refused(&world, "--model");
}

#[test]
fn a_gpu_without_a_price() {
    let mut world = World::new(&ONE);
    world.candidates[0].offer.on_demand = None;
    refused(&world, "--gpu-usd-per-hour");
}

#[test]
fn a_service_level_that_nothing_reaches() {
    let mut world = World::new(&ONE);
    let never = LoadPoint {
        meets_slo: false,
        slo_share: 0.42,
        ..point(1.0, 8, 1.0)
    };
    world.candidates[0].curve = LoadCurve::from_points(1, vec![never]).unwrap();
    refused(&world, "42.0 %");
    refused(&world, "--slo-ttft-ms");
}

#[test]
fn absurd_settings_and_prices() {
    let mut world = World::new(&ONE);
    world.settings = Settings {
        draws: 3,
        ..world.settings
    };
    refused(&world, "draws is 3");
    world.settings = Settings {
        months: 0,
        ..Settings::default()
    };
    refused(&world, "months is 0");
    let mut world = World::new(&ONE);
    world.candidates[0].offer.on_demand = Some(Range::exactly(-2.0));
    refused(&world, "is no price");
    refused(
        &World::new(&ONE).assuming("run_fte: -1\n"),
        "beyond all sense",
    );
}

#[test]
fn answers_that_leave_no_way() {
    // On the own premises nothing can be rented, and this GPU is not for sale.
    let world = World::new(&ONE).answering("residency", "premises");
    refused(&world, "see budget and residency");
}
