//! How long an answer takes once the load curves are there: candidates, flows, and the Monte Carlo over 24 months.

use std::collections::BTreeMap;

use criterion::{Criterion, criterion_group, criterion_main};
use freehold_planner::{
    Answers, Assumptions, Case, Offer, RateCard, Search, Settings, Traffic, advise,
};
use freehold_sim::{CurveSettings, Engine, Gpu, ModelShape, Slo, poisson};

fn benches(criterion: &mut Criterion) {
    let workload = poisson(5.0, 0.5, 1.0, 1_200, 200, 1).expect("a rate");
    let traffic = Traffic::of(&workload, None).expect("enough traffic");
    let offers = Offer::bundled().expect("they are bundled");
    let gpus = ["H100-SXM", "A100-SXM-80G", "L40S"].map(|name| {
        let offer = offers.iter().find(|offer| offer.gpu == name);
        let gpu = Gpu::find(name).expect("it is bundled");
        (gpu, offer.expect("it is bundled").clone())
    });
    let search = Search {
        workload: &workload,
        models: ["Llama-3.1-8B", "gpt-oss-20b"]
            .map(|name| ModelShape::find(name).expect("it is bundled"))
            .to_vec(),
        weights: None,
        gpus: gpus.to_vec(),
        engine: Engine::Vllm,
        slo: Slo::default(),
        scales: true,
        spares: 0,
        curve: CurveSettings {
            loads: vec![0.25, 1.0, 4.0],
            requests_max: 2_000,
            ..CurveSettings::default()
        },
    };
    let found = search.run(&mut |_, _| {}).expect("something fits");
    let card = RateCard::flat("api", 0.25, Some(0.025), 2.0, "a price").expect("a price");
    let case = || Case {
        workload: &workload,
        traffic: &traffic,
        api: card.clone(),
        hosts: BTreeMap::new(),
        candidates: found.candidates.clone(),
        rejected: Vec::new(),
        assumptions: Assumptions::bundled().expect("they are bundled"),
        answers: Answers::default(),
        flow_bounds: Vec::new(),
        proofs: Vec::new(),
        settings: Settings::default(),
        notes: Vec::new(),
    };
    let name = format!(
        "a thousand draws, {} candidates, 24 months",
        found.candidates.len()
    );
    let mut group = criterion.benchmark_group("advise");
    group.sample_size(10);
    group.bench_function(name, |bencher| bencher.iter(|| advise(case())));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
