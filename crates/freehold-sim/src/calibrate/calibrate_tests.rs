use super::*;
use crate::simulate::serve;

const CONSTANTS: StepConstants = StepConstants {
    request_us: 4_000.0,
    step_us: 6_000.0,
    sequence_us: 5_000.0,
    context_us: 2.0,
    prompt_us: 3_000.0,
    pair_us: 0.8,
};

fn limits() -> ServerLimits {
    ServerLimits {
        slots: 8,
        step_tokens: 128,
        cache_tokens: None,
        gpus: 1,
    }
}

fn server() -> CalibratedServer {
    CalibratedServer {
        format: FORMAT,
        model: "synthetic".to_owned(),
        limits: limits(),
        constants: CONSTANTS,
        requests: 0,
        median_error: 0.0,
    }
}

/// Requests of varied lengths, not yet served.
fn asked(count: u32, seed: u64) -> Vec<ServedRequest> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| ServedRequest {
            sent_us: 0.0,
            first_us: 1.0,
            last_us: 2.0,
            input_tokens: random.u32(40..900),
            cached_tokens: 0,
            output_tokens: random.u32(8..120),
        })
        .collect()
}

/// What `server` makes of them, each time off by up to `noise` of what it took.
fn run(server: &CalibratedServer, clients: u32, noise: f64, seed: u64) -> LoadRun {
    let mut run = LoadRun {
        clients: Some(clients),
        round: 0,
        requests: asked(32, seed),
    };
    run.requests = serve(server, &run).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    for request in &mut run.requests {
        let mut off = || 1.0 + noise * (2.0 * random.f64() - 1.0);
        let (ttft, rest) = (
            request.first_us - request.sent_us,
            request.last_us - request.first_us,
        );
        request.first_us = request.sent_us + ttft * off();
        request.last_us = request.first_us + rest * off();
    }
    run
}

fn close(told: f64, truth: f64, share: f64, what: &str) {
    assert!(
        (told / truth - 1.0).abs() <= share,
        "{what}: {told} instead of {truth}"
    );
}

#[test]
fn known_constants_are_found_again() {
    let runs = [run(&server(), 1, 0.0, 1), run(&server(), 4, 0.0, 2)];
    let told = calibrate("synthetic", &runs, limits()).unwrap();
    let found = told.constants;
    close(found.step_us, CONSTANTS.step_us, 0.08, "step");
    close(found.sequence_us, CONSTANTS.sequence_us, 0.08, "sequence");
    close(found.context_us, CONSTANTS.context_us, 0.2, "context");
    close(found.prompt_us, CONSTANTS.prompt_us, 0.03, "prompt");
    close(found.pair_us, CONSTANTS.pair_us, 0.2, "pair");
    assert!(told.median_error < 0.01, "{told:?}");
}

#[test]
fn noise_does_not_spoil_what_is_predicted() {
    let server = server();
    let runs = [
        run(&server, 1, 0.15, 1),
        run(&server, 4, 0.15, 2),
        run(&server, 1, 0.15, 3),
        run(&server, 4, 0.15, 4),
    ];
    let told = calibrate("synthetic", &runs, limits()).unwrap();
    for clients in [2, 8] {
        let truth = run(&server, clients, 0.0, 9);
        let errors = compare(&told, &truth).unwrap().errors;
        assert!(
            errors.output_tokens_per_s.abs() < 0.05,
            "{clients}: {errors:?}"
        );
        assert!(errors.latency_p50_ms.abs() < 0.08, "{clients}: {errors:?}");
        assert!(errors.latency_p95_ms.abs() < 0.08, "{clients}: {errors:?}");
    }
}

#[test]
fn a_disturbed_request_counts_little() {
    let mut runs = [run(&server(), 1, 0.02, 1), run(&server(), 4, 0.02, 2)];
    let clean = calibrate("synthetic", &runs, limits()).unwrap();
    // Something else had the machine for a while: three answers took four times as long.
    for request in &mut runs[0].requests[3..6] {
        request.last_us = request.first_us + 4.0 * (request.last_us - request.first_us);
    }
    let told = calibrate("synthetic", &runs, limits()).unwrap();
    let step = |server: &CalibratedServer| server.constants.step_us + server.constants.sequence_us;
    close(step(&told), step(&clean), 0.05, "a step");
}

#[test]
fn a_replayed_trace_waits_for_slots() {
    let few = server().with_limits(ServerLimits {
        slots: 1,
        ..limits()
    });
    let mut trace = LoadRun {
        clients: None,
        round: 0,
        requests: asked(12, 5),
    };
    for (index, request) in trace.requests.iter_mut().enumerate() {
        request.sent_us = index as f64 * 100_000.0;
    }
    let of = |server: &CalibratedServer| LoadFigures::of(&serve(server, &trace).unwrap());
    let (one, eight) = (of(&few), of(&server()));
    assert!(
        one.ttft_p50_ms > 1.2 * eight.ttft_p50_ms,
        "{one:?} {eight:?}"
    );
    // With one slot everything is done one after the other, by hand.
    let alone: f64 = trace
        .requests
        .iter()
        .map(|request| {
            let input = f64::from(request.input_tokens);
            let output = f64::from(request.output_tokens);
            let chunks = (input / 128.0).ceil();
            let prompt = chunks * CONSTANTS.step_us
                + input * CONSTANTS.prompt_us
                + CONSTANTS.pair_us * input * input / 2.0;
            let steps = output - 1.0;
            let context = steps * input + steps * (steps + 1.0) / 2.0;
            prompt
                + steps * (CONSTANTS.step_us + CONSTANTS.sequence_us)
                + CONSTANTS.context_us * context
        })
        .sum();
    let served = serve(&few, &trace).unwrap();
    let last = served
        .iter()
        .map(|request| request.last_us)
        .fold(0.0, f64::max);
    close(last, alone + CONSTANTS.request_us, 0.001, "the last token");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let good = [run(&server(), 1, 0.0, 1), run(&server(), 4, 0.0, 2)];
    let why = |runs: &[LoadRun]| {
        let error = calibrate("synthetic", runs, limits()).unwrap_err();
        error.to_string()
    };
    assert!(why(&[]).contains("0 requests"), "{}", why(&[]));
    assert!(why(&good[..1]).contains("such as 1 and 4"));
    let mut alike = good.clone();
    for run in &mut alike {
        run.requests
            .iter_mut()
            .for_each(|request| request.input_tokens = 100);
    }
    assert!(
        why(&alike).contains("short and long ones"),
        "{}",
        why(&alike)
    );
    let mut terse = good.clone();
    for run in &mut terse {
        run.requests
            .iter_mut()
            .for_each(|request| request.output_tokens = 1);
    }
    assert!(
        why(&terse).contains("ask for longer ones"),
        "{}",
        why(&terse)
    );
    let mut reversed = good.clone();
    reversed[1].requests[0].first_us = -1.0;
    assert!(why(&reversed).contains("before it began"));
    let mut empty = good;
    empty[0].requests[0].input_tokens = 0;
    assert!(why(&empty).contains("no tokens"));
}

#[test]
fn a_file_is_read_back_and_checked() {
    let text = server().to_json();
    assert_eq!(CalibratedServer::from_json(&text).unwrap(), server());
    let why = |text: &str| CalibratedServer::from_json(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field"));
    let newer = text.replace("\"format\": 1", "\"format\": 2");
    assert!(why(&newer).contains("measure it again"));
    let broken = text.replace("6000.0", "-1.0");
    assert!(why(&broken).contains("0 or more"), "{}", why(&broken));
    let none = text.replace("\"slots\": 8", "\"slots\": 0");
    assert!(why(&none).contains("slots"), "{}", why(&none));
}

#[test]
fn figures_by_hand() {
    let request = |sent: f64, first: f64, last: f64, output_tokens| ServedRequest {
        sent_us: sent * 1e6,
        first_us: first * 1e6,
        last_us: last * 1e6,
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens,
    };
    let told = LoadFigures::of(&[request(1.0, 1.5, 3.5, 11), request(2.0, 2.1, 5.0, 30)]);
    close(told.output_tokens_per_s, 41.0 / 4.0, 1e-9, "tokens");
    close(told.ttft_p50_ms, 300.0, 1e-9, "half");
    close(told.ttft_p95_ms, 480.0, 1e-9, "most");
    close(told.tpot_p50_ms, 150.0, 1e-9, "a token");
    close(told.latency_p50_ms, 2_750.0, 1e-9, "latency");
    assert_eq!(LoadFigures::of(&[]), LoadFigures::default());
}

#[test]
fn rounds_are_compared_by_their_medians() {
    let server = server();
    let mut runs = vec![
        run(&server, 2, 0.0, 1),
        run(&server, 2, 0.0, 2),
        run(&server, 2, 0.0, 3),
    ];
    // One round was disturbed as a whole.
    for request in &mut runs[1].requests {
        request.last_us += 60e6;
    }
    let told = medians(&server, &runs).unwrap();
    assert_eq!((told.len(), told[0].rounds, told[0].requests), (1, 3, 96));
    assert!(told[0].errors.latency_p95_ms.abs() < 0.3, "{told:?}");
}
