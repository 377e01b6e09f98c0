//! `freehold calibrate` against a server with scripted times.

use freehold_testkit::{
    FakeUpstream, Fault, Pace, ReportedUsage, Script, UsageScript, unreachable_url,
};
use serde_json::{Value, json};

use crate::desk::Desk;

/// Two rounds of eight requests with 1 and with 3 clients, and one probe twice.
const REQUESTS: usize = 2 * 8 * 2 + 2;
const SMALL: [&str; 12] = [
    "--clients",
    "1,3",
    "--requests",
    "8",
    "--rounds",
    "2",
    "--input-max",
    "96",
    "--output-max",
    "24",
    "--model",
    "fake",
];

/// An answer's first token after 4 ms, and each later one after 1 ms more, at least.
fn paced() -> Script {
    Script::default().with_pace(Pace {
        headers_ms: 0,
        first_token_ms: 4,
        inter_token_ms: 1,
    })
}

async fn paced_server(requests: usize) -> FakeUpstream {
    let fake = FakeUpstream::start().await.unwrap();
    for _ in 0..requests {
        fake.push(paced());
    }
    fake
}

fn calibrate(desk: &Desk, url: &str, more: &[&str]) -> crate::program::Told {
    desk.run(&[&["calibrate", url], &SMALL[..], more].concat())
}

fn number(value: &Value, path: &str) -> f64 {
    value
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{path} of {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_measured_and_then_simulated() {
    let fake = paced_server(REQUESTS).await;
    let desk = Desk::new();
    let files = ["--out", "server.json", "--keep", "runs.json", "--json"];
    let told = calibrate(&desk, &fake.url(), &files);
    assert_eq!(told.code, Some(0), "{told:?}");
    let said = told.json();
    // What was said beforehand is what was sent.
    assert!(told.err.contains("34 requests"), "{}", told.err);
    assert_eq!(fake.requests().len(), REQUESTS);
    let fitted = said["fitted"].as_array().unwrap();
    assert_eq!(fitted.len(), 2);
    for run in fitted {
        assert_eq!(
            (run["requests"].clone(), run["rounds"].clone()),
            (json!(16), json!(2))
        );
        assert!(number(run, "/measured/ttft_p50_ms") >= 4.0, "{run}");
        assert!(number(run, "/measured/tpot_p50_ms") >= 0.9, "{run}");
        assert!(number(run, "/predicted/output_tokens_per_s") > 0.0, "{run}");
    }
    let constants = &said["server"]["constants"];
    let step_us = number(constants, "/step_us") + number(constants, "/sequence_us");
    assert!(step_us > 300.0, "{constants}");
    assert_eq!(said["server"]["limits"]["slots"], 3);
    assert_eq!(desk.json("server.json"), said["server"]);

    // The kept times give the same server again, and hold no text.
    let again = desk
        .done(&["calibrate", "--from", "runs.json", "--json"])
        .json();
    assert_eq!(again["server"], said["server"]);
    let kept = std::fs::read_to_string(desk.path("runs.json")).unwrap();
    assert!(!kept.contains("story") && !kept.contains("words"), "{kept}");

    // And the server serves a trace in the simulator.
    desk.file(
        "trace.csv",
        "timestamp,input_tokens,output_tokens\n0,50,20\n1,80,10\n2,50,20\n",
    );
    let run = [
        "sim",
        "run",
        "--server",
        "server.json",
        "--trace",
        "trace.csv",
    ];
    let report = desk.done(&[&run[..], &["--json"]].concat()).json();
    assert_eq!(
        (
            number(&report, "/completed"),
            number(&report, "/output_tokens")
        ),
        (3.0, 50.0)
    );
    assert!(number(&report, "/e2e_ms/p50") >= 4.0, "{report}");
    let text = desk.done(&run).flat();
    assert!(
        text.contains("fake as it was measured, 3 slots per replica: 3 requests"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_share_no_beginning_and_ask_for_usage() {
    let fake = paced_server(REQUESTS).await;
    let desk = Desk::new();
    assert_eq!(
        calibrate(&desk, &format!("{}/v1/", fake.url()), &[]).code,
        Some(0)
    );
    let requests = fake.requests();
    let bodies: Vec<Value> = requests
        .iter()
        .map(|request| request.json().unwrap())
        .collect();
    let mut openings: Vec<String> = Vec::new();
    for body in &bodies {
        assert_eq!(body["stream_options"]["include_usage"], true);
        let text = body["messages"][0]["content"].as_str().unwrap();
        openings.push(text.split(' ').take(6).collect::<Vec<_>>().join(" "));
    }
    openings.sort();
    openings.dedup();
    // The probe may be sent twice, with and without a field that the server does not know.
    assert!(
        openings.len() + 1 >= bodies.len(),
        "{} of {}",
        openings.len(),
        bodies.len()
    );
    let mut lengths: Vec<u64> = bodies
        .iter()
        .filter_map(|body| body["max_tokens"].as_u64())
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert!(
        lengths.len() >= 6 && lengths.iter().all(|tokens| *tokens <= 24),
        "{lengths:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_not_fitted_on_are_compared() {
    let fake = paced_server(REQUESTS + 16 + 3).await;
    let desk = Desk::new();
    desk.file(
        "trace.csv",
        "timestamp,input_tokens,output_tokens\n0,50,20\n0.01,80,10\n0.02,9000,20\n0.03,50,20\n9,1,1\n",
    );
    let more = [
        "--check",
        "2",
        "--replay",
        "trace.csv",
        "--replay-seconds",
        "5",
        "--json",
    ];
    let told = calibrate(&desk, &fake.url(), &more);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.err.contains("1 of 4 requests of the trace are longer"),
        "{}",
        told.err
    );
    let said = told.json();
    let checked = said["checked"].as_array().unwrap();
    let kinds: Vec<&Value> = checked.iter().map(|run| &run["clients"]).collect();
    assert_eq!(kinds, [&json!(2), &Value::Null]);
    assert_eq!(
        (
            checked[0]["requests"].clone(),
            checked[1]["requests"].clone()
        ),
        (json!(16), json!(3))
    );
    let (predicted, measured) = (
        number(&checked[0], "/predicted/output_tokens_per_s"),
        number(&checked[0], "/measured/output_tokens_per_s"),
    );
    let error = number(&checked[0], "/errors/output_tokens_per_s");
    assert!((error - (predicted / measured - 1.0)).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_spoils_nothing_else() {
    let fake = paced_server(REQUESTS).await;
    fake.push(Script::rate_limited(7));
    let desk = Desk::new();
    desk.file(
        "trace.csv",
        "timestamp,input_tokens,output_tokens\n0,50,20\n0.05,50,20\n",
    );
    let more = ["--replay", "trace.csv", "--out", "server.json", "--json"];
    let told = calibrate(&desk, &fake.url(), &more);
    assert_eq!(told.code, Some(0), "{told:?}");
    let said = told.json();
    assert_eq!(said["fitted"].as_array().unwrap().len(), 2);
    assert_eq!(said["checked"], json!([]));
    let notes = said["notes"].to_string();
    assert!(
        notes.contains("the replay failed") && notes.contains("wait 7 s"),
        "{notes}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_when_asked_only_what_would_be() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = Desk::new();
    let told = calibrate(&desk, &fake.url(), &["--check", "2", "--dry-run"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains("50 requests, about"), "{}", told.err);
    assert!(fake.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_said_with_what_to_do() {
    let without = |report| UsageScript {
        report,
        ..UsageScript::default()
    };
    for (script, advice) in [
        (
            Script::rate_limited(7),
            "refuses requests as too many (wait 7 s)",
        ),
        (
            Script::status(404),
            "knows no such address or no model `fake`",
        ),
        (Script::status(500), "the server answered 500"),
        (
            Script::default().with_usage(without(ReportedUsage::Missing)),
            "does not say how many tokens were used",
        ),
        (
            Script::default().with_usage(without(ReportedUsage::Zero)),
            "the server gave an empty answer",
        ),
        (Script::fault(Fault::Reset { at: 2 }), "broke an answer off"),
    ] {
        let fake = FakeUpstream::start().await.unwrap();
        fake.push(script);
        let told = calibrate(&Desk::new(), &fake.url(), &[]);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.flat().contains(advice), "{advice}: {}", told.flat());
        // Nobody is pestered after a refusal.
        assert_eq!(fake.requests().len(), 1, "{advice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_a_variable_and_are_never_shown() {
    let fake = FakeUpstream::builder()
        .key("the-key")
        .start()
        .await
        .unwrap();
    for _ in 0..REQUESTS {
        fake.push(paced());
    }
    let desk = Desk::new();
    let refused = calibrate(&desk, &fake.url(), &[]).flat();
    assert!(refused.contains("--key-env"), "{refused}");
    let told = calibrate(&desk, &fake.url(), &["--key-env", "SERVER_KEY"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!told.flat().contains("the-key"));
    let unset = calibrate(&desk, &fake.url(), &["--key-env", "NO_KEY"]).flat();
    assert!(unset.contains("the variable NO_KEY is not set"), "{unset}");
}

#[test]
fn what_cannot_be_measured_is_said_at_once() {
    let desk = Desk::new();
    let url = unreachable_url().unwrap();
    let told = desk.refused(&["calibrate", &url, "--model", "m"]);
    assert!(told.contains("no server answers at"), "{told}");
    let told = desk.refused(&["calibrate", "localhost:8000", "--model", "m"]);
    assert!(told.contains("write it as http://127.0.0.1:8000"), "{told}");
    let told = desk.refused(&["calibrate", &url]);
    assert!(told.contains("--model"), "{told}");
    let told = desk.refused(&["calibrate", &url, "--model", "m", "--clients", "0"]);
    assert!(told.contains("1..=1024"), "{told}");
    desk.file("runs.json", "[]");
    let told = desk.refused(&["calibrate", "--from", "runs.json"]);
    assert!(
        told.contains("is no file of `freehold calibrate --keep`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_number_of_clients_is_not_enough_and_times_are_kept() {
    let fake = paced_server(26).await;
    let desk = Desk::new();
    let more = [
        "--model",
        "fake",
        "--requests",
        "12",
        "--output-max",
        "24",
        "--keep",
        "runs.json",
    ];
    let told = desk.refused(&[&["calibrate", &fake.url(), "--clients", "1"], &more[..]].concat());
    assert!(told.contains("such as 1 and 4"), "{told}");
    assert!(told.contains("the times are in runs.json"), "{told}");
    assert_eq!(
        desk.json("runs.json")["fitted"].as_array().unwrap().len(),
        2
    );
}
