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
