//! How fast a fleet is simulated, and a load curve read.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freehold_sim::{
    Autoscaler, CurveInput, CurveSettings, Engine, Failures, FittedConstants, Fleet, Gpu,
    LoadCurve, ModelShape, Routing, Scaling, Server, Slo, Weights, poisson, simulate,
};

fn benches(criterion: &mut Criterion) {
    let shape = ModelShape::find("Llama-3.1-8B").expect("it is bundled");
    let gpu = Gpu::find("H100").expect("it is bundled");
    let server = Server::new(shape, Weights::Fp8, gpu, 1, Engine::Vllm);
    let constants = FittedConstants::bundled().of(&server);
    let fleet = Fleet {
        scaling: Scaling::Auto(Autoscaler {
            replicas_max: 16,
            target_outstanding: 24.0,
            warm: 1,
            ..Autoscaler::default()
        }),
        routing: Routing::LeastLoaded,
        failures: Some(Failures {
            every_hours: 200.0,
            repair_s: 900.0,
        }),
        caches_prefixes: true,
    };
    let slo = Slo::default();
    // The rate of ten million requests a week.
    let load = poisson(16.5, 0.6, 2.0, 1_000, 200, 1).expect("a rate");
    let mut group = criterion.benchmark_group("simulate");
    group.throughput(Throughput::Elements(load.arrivals.len() as u64));
    group.sample_size(10);
    group.bench_function("two hours, all features", |bencher| {
        bencher.iter(|| simulate(&load, &server, &constants, &fleet, &slo, 1));
    });
    group.finish();
    let input = CurveInput {
        workload: &load,
        server: &server,
        constants: &constants,
        fleet: &Fleet::fixed(1),
        slo: &slo,
    };
    let curve = LoadCurve::build(&input, &CurveSettings::default()).expect("a curve");
    criterion.bench_function("a thousand draws of a load curve", |bencher| {
        bencher.iter(|| {
            let draws = (1..=1_000).map(|draw| curve.at(f64::from(draw) / 60.0).gpus_mean);
            draws.sum::<f64>()
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
