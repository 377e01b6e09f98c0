//! `freehold sim run` on traces and measured servers.

use serde_json::{Value, json};

use crate::desk::Desk;

const TRACE: &str =
    "timestamp,input_tokens,output_tokens\n0,1000,100\n1,2000,50\n2,500,200\n3,100,100\n";

fn server() -> Value {
    json!({
        "format": 1, "model": "mine", "requests": 96, "median_error": 0.04,
        "limits": {"slots": 2, "step_tokens": 128, "cache_tokens": null, "gpus": 1},
        "constants": {"request_us": 5000.0, "step_us": 10000.0, "sequence_us": 2000.0, "context_us": 0.0,
                      "prompt_us": 1000.0, "pair_us": 0.0},
    })
}

#[test]
fn a_trace_is_served_by_a_reckoned_fleet() {
    let desk = Desk::new();
    desk.file("trace.csv", TRACE);
    let run = [
        "sim",
        "run",
        "llama-3.1-8b",
        "--gpu",
        "L40S",
        "--trace",
        "trace.csv",
    ];
    let report = desk.done(&[&run[..], &["--json"]].concat()).json();
    assert_eq!(
        (&report["requests"], &report["output_tokens"]),
        (&json!(4), &json!(450))
    );
    assert_eq!(report["input_tokens"], 3_600);
    let text = desk.done(&run).flat();
    assert!(
        text.contains("4 requests in") && !text.contains("generated"),
        "{text}"
    );
    // Twice the traffic by a scenario; the same input gives the same bytes.
    let twice = [&run[..], &["--scenario", "x2", "--json"]].concat();
    let first = desk.done(&twice);
    assert_eq!(first.json()["requests"], 8);
    assert_eq!(first.out, desk.done(&twice).out);
}

#[test]
fn a_measured_server_takes_what_its_constants_say() {
    let desk = Desk::new();
    desk.file("server.json", &server().to_string());
    desk.file(
        "one.csv",
        "timestamp,input_tokens,output_tokens\n0,256,11\n100,256,11\n",
    );
    let report = desk.done(&[
        "sim",
        "run",
        "--server",
        "server.json",
        "--trace",
        "one.csv",
        "--json",
    ]);
    let report = report.json();
    let close = |path: &str, ms: f64| {
        let told = report.pointer(path).and_then(Value::as_f64).unwrap();
        assert!(
            (told / ms - 1.0).abs() < 0.002,
            "{path}: {told} instead of {ms}"
        );
    };
    // Two steps with 128 tokens of the prompt each, then ten of one sequence, and 5 ms outside.
    close("/ttft_ms/mean", 2.0 * (10.0 + 128.0) + 5.0);
    close("/tpot_ms/mean", 12.0);
    close("/e2e_ms/mean", 281.0 + 120.0);
}

#[test]
fn more_replicas_of_a_measured_server_wait_less() {
    let desk = Desk::new();
    desk.file("server.json", &server().to_string());
    let run = [
        "sim",
        "run",
        "--server",
        "server.json",
        "--rate",
        "2",
        "--hours",
        "0.2",
        "--json",
    ];
    let waits = |replicas: &str| {
        let told = desk
            .done(&[&run[..], &["--replicas", replicas]].concat())
            .json();
        told["ttft_ms"]["p50"].as_f64().unwrap()
    };
    assert!(waits("1") > 2.0 * waits("8"));
}

#[test]
fn bad_input_is_told() {
    let desk = Desk::new();
    desk.file("trace.csv", TRACE);
    desk.file("server.json", &server().to_string());
    let mut slotless = server();
    slotless["limits"]["slots"] = json!(0);
    desk.file("slotless.json", &slotless.to_string());
    desk.file("empty.csv", "timestamp,input_tokens,output_tokens\n");
    for (arguments, advice) in [
        (&["sim", "run"][..], "--gpu"),
        (&["sim", "run", "llama-3.1-8b"], "--gpu"),
        (
            &[
                "sim",
                "run",
                "llama-3.1-8b",
                "--gpu",
                "L40S",
                "--server",
                "server.json",
            ],
            "cannot be used with",
        ),
        (
            &[
                "sim",
                "run",
                "llama-3.1-8b",
                "--gpu",
                "L40S",
                "--trace",
                "trace.csv",
                "--rate",
                "2",
            ],
            "cannot be used with",
        ),
        (
            &["sim", "run", "--server", "trace.csv"],
            "is no file of `freehold calibrate --out`",
        ),
        (&["sim", "run", "--server", "slotless.json"], "slots is 0"),
        (
            &["sim", "run", "--server", "none.json"],
            "cannot read none.json",
        ),
        (
            &[
                "sim",
                "run",
                "--server",
                "server.json",
                "--trace",
                "empty.csv",
            ],
            "there is no request in it",
        ),
        (
            &[
                "sim",
                "run",
                "llama-3.1-70b",
                "--gpu",
                "L4",
                "--trace",
                "trace.csv",
            ],
            "does not fit",
        ),
    ] {
        let told = desk.refused(arguments);
        assert!(told.contains(advice), "{arguments:?}: {told}");
    }
}
