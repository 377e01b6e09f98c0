use super::*;

fn point(load: f64, replicas: u32, utilisation: f64) -> LoadPoint {
    LoadPoint {
        load,
        requests_per_s: 10.0 * load,
        output_tokens_per_s: 1_000.0 * load,
        replicas_peak: replicas,
        gpus_peak: replicas * 2,
        gpus_mean: f64::from(replicas * 2),
        utilisation,
        ttft_ms: Percentiles {
            p50: 100.0 * load,
            ..Percentiles::default()
        },
        tpot_ms: Percentiles::default(),
        e2e_ms: Percentiles::default(),
        slo_share: 1.0,
        meets_slo: true,
    }
}

fn curve() -> LoadCurve {
    let points = vec![point(1.0, 1, 0.4), point(2.0, 2, 0.4), point(4.0, 3, 0.6)];
    LoadCurve::from_points(2, points).unwrap()
}

#[test]
fn a_simulated_load_reads_back_as_it_was() {
    for simulated in curve().points() {
        assert_eq!(curve().at(simulated.load), *simulated);
    }
}

#[test]
fn between_points_counts_are_whole_and_busy_time_is_kept() {
    let read = curve().at(3.0);
    assert_eq!(read.replicas_peak, 3);
    assert_eq!(read.gpus_peak, 6);
    // Busy GPUs: 1.6 at load 2 and 3.6 at load 4, so 2.6 of the 6 that are paid for.
    assert!((read.utilisation - 2.6 / 6.0).abs() < 1e-12);
    assert!((read.ttft_ms.p50 - 300.0).abs() < 1e-9);
}

#[test]
fn outside_it_says_so_and_extrapolates() {
    let curve = curve();
    assert!(curve.covers(1.0) && curve.covers(4.0) && !curve.covers(4.1));
    let more = curve.at(8.0);
    assert_eq!((more.replicas_peak, more.gpus_peak), (6, 12));
    assert!((more.utilisation - 0.6).abs() < 1e-12);
    let less = curve.at(0.1);
    assert_eq!(less.replicas_peak, 1);
    assert!((less.utilisation - 0.04).abs() < 1e-12);
    assert_eq!(curve.at(f64::NAN), curve.at(1.0));
}

#[test]
fn a_fleet_that_scales_pays_for_its_mean() {
    let scaling = |load, replicas, mean| LoadPoint {
        gpus_mean: mean,
        ..point(load, replicas, 0.5)
    };
    let points = vec![scaling(1.0, 2, 2.5), scaling(2.0, 4, 5.0)];
    let read = LoadCurve::from_points(2, points).unwrap().at(1.5);
    assert_eq!(read.gpus_peak, 6);
    assert!((read.gpus_mean - 3.75).abs() < 1e-12);
    assert!((read.utilisation - 0.5).abs() < 1e-12);
}

#[test]
fn curves_without_sense_are_refused() {
    assert!(LoadCurve::from_points(1, vec![]).is_err());
    assert!(LoadCurve::from_points(0, vec![point(1.0, 1, 0.1)]).is_err());
    let falling = vec![point(2.0, 1, 0.1), point(1.0, 1, 0.1)];
    let told = LoadCurve::from_points(1, falling).unwrap_err().to_string();
    assert!(told.contains("above the load before it"), "{told}");
}

mod built {
    use freehold_workload::{Arrival, Workload};

    use super::super::*;
    use crate::{
        Autoscaler, CurveInput, CurveSettings, Engine, FittedConstants, Fleet, Gpu, ModelShape,
        Scaling, Server, Slo, Weights,
    };

    fn server() -> Server {
        let shape = ModelShape::find("Llama-3.1-8B").unwrap();
        Server::new(
            shape,
            Weights::Bf16,
            Gpu::find("L40S").unwrap(),
            1,
            Engine::Vllm,
        )
    }

    fn workload(per_s: u64) -> Workload {
        lasting(per_s, 120)
    }

    fn lasting(per_s: u64, seconds: u64) -> Workload {
        let arrivals: Vec<Arrival> = (0..per_s * seconds)
            .map(|index| Arrival {
                at_us: index * 1_000_000 / per_s,
                input_tokens: 500,
                output_tokens: 150,
                ..Arrival::default()
            })
            .collect();
        Workload {
            duration_us: seconds * 1_000_000,
            arrivals,
            flows: vec!["all".to_owned()],
            ..Workload::default()
        }
    }

    fn build(
        workload: &Workload,
        fleet: Fleet,
        slo: Slo,
        settings: &CurveSettings,
    ) -> Result<LoadCurve, SimError> {
        let server = server();
        let constants = FittedConstants::bundled().of(&server);
        let input = CurveInput {
            workload,
            server: &server,
            constants: &constants,
            fleet: &fleet,
            slo: &slo,
        };
        LoadCurve::build(&input, settings)
    }

    fn settings() -> CurveSettings {
        CurveSettings {
            loads: vec![0.5, 1.0, 4.0, 12.0],
            ..CurveSettings::default()
        }
    }

    #[test]
    fn more_load_takes_more_gpus_and_every_point_keeps_the_promise() {
        let curve = build(&workload(4), Fleet::fixed(1), Slo::default(), &settings()).unwrap();
        let points = curve.points();
        assert_eq!(points.len(), 4);
        assert!(
            points
                .iter()
                .all(|point| point.meets_slo && point.utilisation > 0.0)
        );
        assert!(
            points
                .windows(2)
                .all(|pair| pair[0].gpus_peak <= pair[1].gpus_peak)
        );
        assert!(points[3].gpus_peak > points[0].gpus_peak);
        assert!((points[3].requests_per_s / points[1].requests_per_s - 12.0).abs() < 1e-9);
    }

    #[test]
    fn one_replica_fewer_would_break_the_promise() {
        let load = workload(40);
        let curve = build(
            &load,
            Fleet::fixed(1),
            Slo::default(),
            &CurveSettings {
                loads: vec![1.0],
                ..settings()
            },
        )
        .unwrap();
        let replicas = curve.points()[0].replicas_peak;
        assert!(replicas > 1);
        let server = server();
        let constants = FittedConstants::bundled().of(&server);
        let slo = Slo::default();
        let fewer = crate::simulate(
            &load,
            &server,
            &constants,
            &Fleet::fixed(replicas - 1),
            &slo,
            1,
        )
        .unwrap();
        assert!(fewer.slo_share < slo.share);
    }

    #[test]
    fn spares_and_long_workloads_are_counted() {
        let load = workload(4);
        let spares = CurveSettings {
            spares: 1,
            ..settings()
        };
        let plain = build(&load, Fleet::fixed(1), Slo::default(), &settings()).unwrap();
        let spared = build(&load, Fleet::fixed(1), Slo::default(), &spares).unwrap();
        for (a, b) in plain.points().iter().zip(spared.points()) {
            assert_eq!(a.replicas_peak + 1, b.replicas_peak);
        }
        let short = CurveSettings {
            requests_max: 1_000,
            ..settings()
        };
        let load = lasting(4, 1_200);
        let plain = build(&load, Fleet::fixed(1), Slo::default(), &settings()).unwrap();
        let sampled = build(&load, Fleet::fixed(1), Slo::default(), &short).unwrap();
        for (a, b) in plain.points().iter().zip(sampled.points()) {
            assert!(
                a.replicas_peak.abs_diff(b.replicas_peak) <= 1,
                "{a:?} {b:?}"
            );
            assert!((a.utilisation - b.utilisation).abs() < 0.15, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_fleet_that_scales_has_a_curve_too() {
        let auto = Autoscaler {
            target_outstanding: 20.0,
            load_s: 5.0,
            interval_s: 2.0,
            ..Autoscaler::default()
        };
        let fleet = Fleet {
            scaling: Scaling::Auto(auto),
            ..Fleet::fixed(1)
        };
        let slo = Slo {
            share: 0.8,
            ..Slo::default()
        };
        let curve = build(&workload(4), fleet, slo, &settings()).unwrap();
        let last = curve.points().last().unwrap();
        assert!(last.gpus_mean <= f64::from(last.gpus_peak) + 1e-9);
    }

    #[test]
    fn a_promise_that_nothing_keeps_is_told() {
        let slo = Slo {
            tpot_ms: Some(0.5),
            ..Slo::default()
        };
        let told = build(&workload(4), Fleet::fixed(1), slo, &settings())
            .unwrap_err()
            .to_string();
        assert!(told.contains("ms a token"), "{told}");
        let none = build(
            &workload(4),
            Fleet::fixed(1),
            Slo::default(),
            &CurveSettings {
                loads: vec![],
                ..settings()
            },
        );
        assert!(none.is_err());
        let negative = CurveSettings {
            loads: vec![-1.0],
            ..settings()
        };
        assert!(build(&workload(4), Fleet::fixed(1), Slo::default(), &negative).is_err());
    }
}
