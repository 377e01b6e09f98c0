//! What could be owned, from the simulator.

use freehold_planner::{Offer, Search};
use freehold_sim::{CurveSettings, Engine, Gpu, ModelShape, Slo};
use freehold_workload::Workload;

use crate::world::steady;

fn search<'a>(workload: &'a Workload, model: &str, gpu: &str) -> Search<'a> {
    let gpu = Gpu::find(gpu).unwrap();
    let offer = Offer::unpriced(&gpu.name);
    Search {
        workload,
        models: vec![ModelShape::find(model).unwrap()],
        weights: None,
        gpus: vec![(gpu, offer)],
        engine: Engine::Vllm,
        slo: Slo::default(),
        scales: false,
        spares: 0,
        curve: CurveSettings {
            loads: vec![1.0, 8.0],
            requests_max: 500,
            ..CurveSettings::default()
        },
    }
}

#[test]
fn a_small_model_on_a_large_gpu_takes_one() {
    let workload = steady(&[("all", 500, 100)]);
    let mut heard = Vec::new();
    let found = search(&workload, "Llama-3.1-8B", "H100")
        .run(&mut |done, next| heard.push((done, next.to_owned())))
        .unwrap();
    assert_eq!(found.candidates.len(), 1);
    let candidate = &found.candidates[0];
    assert_eq!(
        (
            candidate.weights.as_str(),
            candidate.curve.gpus_per_replica()
        ),
        ("fp8", 1)
    );
    assert_eq!(candidate.curve.at(1.0).gpus_peak, 1);
    assert_eq!(heard.len(), 2);
}

#[test]
fn what_does_not_fit_is_left_out_with_a_reason() {
    let workload = steady(&[("all", 500, 100)]);
    let found = search(&workload, "Llama-3.1-405B", "T4")
        .run(&mut |_, _| {})
        .unwrap();
    assert!(found.candidates.is_empty());
    assert!(
        found.rejected[0].why.contains("does not fit"),
        "{}",
        found.rejected[0].why
    );
}

#[test]
fn a_service_level_that_nothing_reaches_is_left_out_with_a_reason() {
    let workload = steady(&[("all", 500, 100)]);
    let mut search = search(&workload, "Llama-3.1-8B", "H100");
    search.slo.ttft_ms = Some(0.01);
    search.curve.replicas_max = 4;
    let found = search.run(&mut |_, _| {}).unwrap();
    assert!(found.candidates.is_empty());
    assert!(
        found.rejected[0].why.contains("keeps the service level"),
        "{}",
        found.rejected[0].why
    );
}
