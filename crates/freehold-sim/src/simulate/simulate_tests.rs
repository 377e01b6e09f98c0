use freehold_workload::{Arrival, PrefixRange};
use proptest::prelude::*;

use super::*;
use crate::constants::FittedConstants;
use crate::engine::Engine;
use crate::gpu::Gpu;
use crate::quantisation::Weights;
use crate::shape::ModelShape;
use crate::step::StepLoad;

fn server() -> Server {
    let shape = ModelShape::find("Llama-3.1-8B").unwrap();
    Server::new(
        shape,
        Weights::Bf16,
        Gpu::find("RTX 4090").unwrap(),
        1,
        Engine::Vllm,
    )
}

fn constants() -> Constants {
    FittedConstants::bundled().of(&server())
}

fn arrival(at_us: u64, input_tokens: u32, output_tokens: u32) -> Arrival {
    Arrival {
        at_us,
        input_tokens,
        output_tokens,
        ..Arrival::default()
    }
}

fn workload(arrivals: Vec<Arrival>) -> Workload {
    let duration_us = arrivals.last().map_or(0, |arrival| arrival.at_us);
    Workload {
        arrivals,
        duration_us,
        flows: vec!["all".to_owned()],
        ..Workload::default()
    }
}

fn served(workload: &Workload, fleet: &Fleet) -> Report {
    simulate(workload, &server(), &constants(), fleet, &Slo::default(), 7).unwrap()
}

#[track_caller]
fn near(value: f64, expected: f64, share: f64) {
    let off = (value - expected).abs();
    assert!(
        off <= share * expected.abs().max(1e-9),
        "{value} is not {expected}"
    );
}

#[test]
fn one_request_takes_its_prompt_and_then_step_by_step() {
    let report = served(
        &workload(vec![arrival(5_000_000, 1_000, 100)]),
        &Fleet::fixed(1),
    );
    let model = StepModel::new(&server(), &constants());
    let prompt_us = model.step_us(&StepLoad {
        prompt_tokens: 1_000.0,
        prompt_pairs: 500_000.0,
        ..StepLoad::default()
    });
    let decode_us: f64 = (0..99)
        .map(|step| {
            model.step_us(&StepLoad {
                decoding: 1.0,
                context_tokens: 1_000.0 + f64::from(step),
                ..StepLoad::default()
            })
        })
        .sum();
    near(report.ttft_ms.mean, prompt_us / 1e3, 1e-9);
    near(report.e2e_ms.mean, (prompt_us + decode_us) / 1e3, 1e-9);
    near(report.tpot_ms.mean, decode_us / 99.0 / 1e3, 1e-9);
    near(report.busy_gpu_hours * 3.6e9, prompt_us + decode_us, 1e-9);
    near(report.idle_gpu_hours * 3.6e9, 5e6, 1e-9);
    assert_eq!((report.completed, report.output_tokens), (1, 100));
}

#[test]
fn a_long_prompt_comes_in_chunks_and_others_wait_for_room_in_the_step() {
    // 5,000 tokens take three steps of 2,048; both prompts end in the third.
    let together = workload(vec![arrival(0, 5_000, 1), arrival(0, 1_000, 1)]);
    let report = served(&together, &Fleet::fixed(1));
    let model = StepModel::new(&server(), &constants());
    let step = |tokens: f64, pairs: f64| {
        model.step_us(&StepLoad {
            prompt_tokens: tokens,
            prompt_pairs: pairs,
            ..StepLoad::default()
        })
    };
    let whole = step(2_048.0, 2_048.0 * 1_024.0)
        + step(2_048.0, 2_048.0 * (2_048.0 + 1_024.0))
        + step(1_904.0, 904.0 * (4_096.0 + 452.0) + 500_000.0);
    near(report.ttft_ms.mean, whole / 1e3, 1e-9);
}

#[test]
fn a_request_in_the_middle_waits_for_the_step_under_way_only() {
    let alone = served(&workload(vec![arrival(0, 100, 500)]), &Fleet::fixed(1));
    let both = workload(vec![arrival(0, 100, 500), arrival(2_000_000, 100, 2)]);
    let report = served(&both, &Fleet::fixed(1));
    assert!(report.ttft_ms.p99 < 3.0 * alone.tpot_ms.mean + 2.0 * alone.ttft_ms.mean);
    assert!(report.e2e_ms.p99 >= alone.e2e_ms.p99);
}

#[test]
fn too_little_cache_preempts_and_everybody_still_gets_all_tokens() {
    // 40,000 tokens of cache; 60 requests of 1,500 need 90,000 at the end.
    let arrivals = (0..60).map(|index| arrival(index, 500, 1_000)).collect();
    let report = served(&workload(arrivals), &Fleet::fixed(1));
    assert!(report.preemptions > 0);
    assert_eq!((report.completed, report.output_tokens), (60, 60_000));
    assert!(report.admitted_tokens > 60 * 500);
}

#[test]
fn what_nobody_has_written_over_need_not_be_computed_again() {
    // The cache holds some 39,000 tokens: the newest of 40 is preempted when they have grown to that, and
    // the first end soon after, when much of it is still there.
    let arrivals = (0..40)
        .map(|index| arrival(index, 500, if index < 10 { 480 } else { 1_000 }))
        .collect();
    let load = workload(arrivals);
    let report = served(&load, &Fleet::fixed(1));
    assert!(report.preemptions > 0);
    let admitted = report.admitted_tokens - 40 * 500;
    assert!(
        report.cached_tokens > 0 && report.cached_tokens < admitted,
        "{} of {admitted}",
        report.cached_tokens
    );
    let without = Fleet {
        caches_prefixes: false,
        ..Fleet::fixed(1)
    };
    let slow = served(&load, &without);
    assert_eq!(slow.cached_tokens, 0);
    assert_eq!(slow.output_tokens, report.output_tokens);
    assert!(report.seconds < slow.seconds);
}

#[test]
fn a_step_with_prompts_costs_more_however_small_they_are() {
    let model = StepModel::new(&server(), &constants());
    let alone = StepLoad {
        decoding: 8.0,
        context_tokens: 8_000.0,
        ..StepLoad::default()
    };
    let mixed = StepLoad {
        prompt_tokens: 1e-9,
        ..alone
    };
    let more = model.step_us(&mixed) - model.step_us(&alone);
    near(more, 32.0 * constants().prompt_layer_us, 1e-6);
}

#[test]
fn what_cannot_fit_is_counted_and_the_rest_is_served() {
    let report = served(
        &workload(vec![arrival(0, 60_000, 10), arrival(0, 10, 10)]),
        &Fleet::fixed(1),
    );
    assert_eq!((report.rejected, report.completed), (1, 1));
    near(report.slo_share, 0.5, 1e-9);
}

fn with_prefixes(mut load: Workload, blocks_each: u32) -> Workload {
    load.prefix_block_tokens = 100;
    load.prefix_blocks = (0..u64::from(blocks_each)).collect();
    for arrival in &mut load.arrivals {
        arrival.prefix = PrefixRange {
            start: 0,
            length: blocks_each,
        };
    }
    load
}

#[test]
fn a_known_beginning_is_not_computed_again() {
    let arrivals = (0..10)
        .map(|index| arrival(index * 10_000_000, 1_000, 2))
        .collect();
    let load = with_prefixes(workload(arrivals), 8);
    let report = served(&load, &Fleet::fixed(1));
    assert_eq!(report.cached_tokens, 9 * 800);
    let without = Fleet {
        caches_prefixes: false,
        ..Fleet::fixed(1)
    };
    let slow = served(&load, &without);
    assert_eq!(slow.cached_tokens, 0);
    assert!(report.ttft_ms.p50 < slow.ttft_ms.p50);
}

#[test]
fn conversations_stay_with_their_replica() {
    // Ten beginnings of their own on four replicas: round robin computes each four times.
    let mut load = workload(
        (0..200)
            .map(|index| arrival(index * 3_000_000, 1_000, 2))
            .collect(),
    );
    load.prefix_block_tokens = 100;
    load.prefix_blocks = (0..80).collect();
    for (index, arrival) in load.arrivals.iter_mut().enumerate() {
        let start = (index % 10) as u32 * 8;
        arrival.prefix = PrefixRange { start, length: 8 };
    }
    let cached = |routing| {
        let fleet = Fleet {
            routing,
            ..Fleet::fixed(4)
        };
        served(&load, &fleet).cached_tokens
    };
    assert_eq!(cached(Routing::PrefixAffine), 190 * 800);
    assert!(cached(Routing::RoundRobin) < 190 * 800);
}

fn steady_load(per_s: u64, seconds: u64) -> Workload {
    let gap_us = 1_000_000 / per_s;
    workload(
        (0..per_s * seconds)
            .map(|index| arrival(index * gap_us, 300, 100))
            .collect(),
    )
}

#[test]
fn the_least_loaded_serves_no_worse_than_one_after_the_other() {
    let mut load = steady_load(20, 60);
    for (index, arrival) in load.arrivals.iter_mut().enumerate() {
        arrival.output_tokens = if index % 3 == 0 { 400 } else { 20 };
    }
    let with = |routing| {
        let fleet = Fleet {
            routing,
            ..Fleet::fixed(3)
        };
        served(&load, &fleet)
    };
    let least = with(Routing::LeastLoaded);
    let robin = with(Routing::RoundRobin);
    // Every third request is long, so round robin sends all long ones to one replica.
    assert!(least.e2e_ms.p95 < robin.e2e_ms.p95);
}

fn autoscaled(auto: Autoscaler) -> Fleet {
    Fleet {
        scaling: Scaling::Auto(auto),
        ..Fleet::fixed(1)
    }
}

#[test]
fn a_fleet_grows_with_the_load_and_shrinks_after_it() {
    let mut arrivals: Vec<Arrival> = steady_load(40, 600).arrivals;
    arrivals.push(arrival(7_200_000_000, 10, 10));
    let load = workload(arrivals);
    let auto = Autoscaler {
        target_outstanding: 20.0,
        ..Autoscaler::default()
    };
    let report = served(&load, &autoscaled(auto));
    assert!(report.replicas_peak > 1, "{report:?}");
    assert_eq!(report.completed, report.requests);
    // Two hours with the peak would cost twice as many.
    assert!(report.gpu_hours < 2.0 * f64::from(report.replicas_peak));
    assert!(report.not_ready_gpu_hours > 0.0);
}

#[test]
fn warm_machines_join_faster_and_are_paid_for() {
    let load = steady_load(40, 300);
    let cold = Autoscaler {
        target_outstanding: 20.0,
        ..Autoscaler::default()
    };
    let warm = Autoscaler { warm: 3, ..cold };
    let (cold, warm) = (
        served(&load, &autoscaled(cold)),
        served(&load, &autoscaled(warm)),
    );
    assert!(warm.ttft_ms.p99 < cold.ttft_ms.p99);
    assert!(warm.not_ready_gpu_hours > 0.0);
}

#[test]
fn a_fleet_of_none_wakes_up() {
    let auto = Autoscaler {
        replicas_min: 0,
        ..Autoscaler::default()
    };
    let report = served(
        &workload(vec![arrival(1_000_000, 100, 10)]),
        &autoscaled(auto),
    );
    assert_eq!(report.completed, 1);
    // It is seen at 15 s and has loaded 180 s later.
    near(report.ttft_ms.mean, 194_000.0, 0.01);
}

#[test]
fn broken_replicas_lose_no_request() {
    let fleet = Fleet {
        failures: Some(Failures {
            every_hours: 0.05,
            repair_s: 60.0,
        }),
        ..Fleet::fixed(2)
    };
    let report = served(&steady_load(5, 3_600), &fleet);
    assert!(report.failures > 10 && report.restarts > 0, "{report:?}");
    assert_eq!(report.completed, report.requests);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let fleet = Fleet {
        failures: Some(Failures {
            every_hours: 0.2,
            repair_s: 60.0,
        }),
        routing: Routing::PrefixAffine,
        scaling: Scaling::Auto(Autoscaler::default()),
        ..Fleet::fixed(1)
    };
    let load = steady_load(20, 600);
    let bytes = |seed| {
        let report = simulate(
            &load,
            &server(),
            &constants(),
            &fleet,
            &Slo::default(),
            seed,
        );
        serde_json::to_string(&report.unwrap()).unwrap()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn questions_without_sense_are_told() {
    let load = steady_load(1, 2);
    let ask = |load: &Workload, server: &Server, fleet: &Fleet, slo: &Slo| {
        let told = simulate(load, server, &constants(), fleet, slo, 0).unwrap_err();
        told.to_string()
    };
    let fleet = Fleet::fixed(1);
    let slo = Slo::default();
    let empty = ask(&workload(vec![]), &server(), &fleet, &slo);
    assert!(empty.contains("workload"), "{empty}");
    let none = ask(&load, &server(), &Fleet::fixed(0), &slo);
    assert!(none.contains("replicas is 0"), "{none}");
    let absurd = Slo {
        share: 1.5,
        ..Slo::default()
    };
    let absurd = ask(&load, &server(), &fleet, &absurd);
    assert!(absurd.contains("slo.share is 1.5"), "{absurd}");
    let huge = Server {
        shape: ModelShape::find("Llama-3.1-70B").unwrap(),
        ..server()
    };
    let huge = ask(&load, &huge, &fleet, &slo);
    assert!(
        huge.contains("needs") && huge.contains("use 8 GPUs"),
        "{huge}"
    );
    let often = Fleet {
        failures: Some(Failures {
            every_hours: 0.001,
            repair_s: 60.0,
        }),
        ..fleet
    };
    let often = ask(&load, &server(), &often, &slo);
    assert!(often.contains("longer than a repair"), "{often}");
}

fn arbitrary_fleet() -> impl Strategy<Value = Fleet> {
    let scaling = prop_oneof![
        (1u32..4).prop_map(Scaling::Fixed),
        (0u32..2, 0u32..3, 1.0f64..30.0).prop_map(|(replicas_min, warm, target)| {
            Scaling::Auto(Autoscaler {
                replicas_min,
                replicas_max: 5,
                target_outstanding: target,
                cool_down_s: 30.0,
                load_s: 20.0,
                warm,
                ..Autoscaler::default()
            })
        }),
    ];
    let routing = prop_oneof![
        Just(Routing::RoundRobin),
        Just(Routing::LeastLoaded),
        Just(Routing::PrefixAffine)
    ];
    let failures = prop_oneof![
        Just(None),
        Just(Some(Failures {
            every_hours: 0.1,
            repair_s: 30.0,
        }))
    ];
    (scaling, routing, failures, any::<bool>()).prop_map(
        |(scaling, routing, failures, caches_prefixes)| Fleet {
            scaling,
            routing,
            failures,
            caches_prefixes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every request ends once, tokens add up, and all paid time is busy, idle or not ready.
    #[test]
    fn nothing_is_lost_or_invented(
        requests in prop::collection::vec((0u64..3_000_000, 0u32..20_000, 0u32..2_000, 0u32..8), 1..120),
        fleet in arbitrary_fleet(),
        reserves_output in any::<bool>(),
        sequences in 1u32..64,
        seed in any::<u64>(),
    ) {
        let mut at_us = 0;
        let arrivals: Vec<Arrival> = requests
            .iter()
            .map(|(gap_us, input, output, prefix)| {
                at_us += gap_us;
                Arrival {
                    prefix: PrefixRange { start: *prefix, length: 12 },
                    session: *prefix,
                    ..arrival(at_us, *input, *output)
                }
            })
            .collect();
        let mut load = workload(arrivals);
        load.prefix_block_tokens = 64;
        load.prefix_blocks = (0..20).collect();
        let mut server = server();
        server.limits.reserves_output = reserves_output;
        server.limits.sequences = sequences;
        let report = simulate(&load, &server, &constants(), &fleet, &Slo::default(), seed).unwrap();
        prop_assert_eq!(report.completed + report.rejected, report.requests);
        if report.rejected == 0 {
            let tokens: u64 = load.arrivals.iter().map(|a| u64::from(a.output_tokens.max(1))).sum();
            prop_assert_eq!(report.output_tokens, tokens);
        }
        let accounted = report.busy_gpu_hours + report.idle_gpu_hours + report.not_ready_gpu_hours;
        prop_assert!(
            (accounted - report.gpu_hours).abs() <= 1e-9 * report.gpu_hours.max(1.0),
            "{} of {} hours are accounted for: {:?}", accounted, report.gpu_hours, report
        );
        prop_assert!((0.0..=1.0).contains(&report.utilisation));
        prop_assert!(report.cached_tokens <= report.admitted_tokens);
        prop_assert!(report.ttft_ms.p50 <= report.e2e_ms.p50 * 1.001);
    }
}
