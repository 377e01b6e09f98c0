//! The commands, run as a user runs them, over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests may fail as tests do"
)]

mod server;

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use server::{PROGRAM, Server};

fn bench(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs `load` and reads its report.
fn load(url: &str, arguments: &[&str]) -> Value {
    let output = bench(
        &[
            &["load", "--json", "--warmup", "0", "--url", url],
            arguments,
        ]
        .concat(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_counted_load_is_served_exactly() {
    let mock = Server::start(&["mock-upstream", "--tokens", "5", "--inter-token-ms", "1"]);
    for (dialect, events) in [("openai", 5 + 3), ("anthropic", 5 + 6)] {
        let common = [
            "--requests",
            "12",
            "--connections",
            "3",
            "--duration",
            "20",
            "--dialect",
            dialect,
        ];
        let plain = load(&mock.url, &common);
        assert_eq!(
            (&plain["requests"], &plain["failures"]),
            (&12.into(), &serde_json::json!({}))
        );
        let pid = mock.id().to_string();
        let streamed = load(
            &mock.url,
            &[common.as_slice(), &["--stream", "--server-pid", &pid]].concat(),
        );
        assert_eq!(streamed["events"], 12 * events, "{dialect}");
        // Four gaps of 1 ms; single gaps shrink when the machine is busy, their sum does not.
        let total_us = streamed["latency"]["p50_us"].as_f64().unwrap();
        assert!(total_us > 3_900.0, "{total_us}");
        assert!(streamed["inter_token"]["max_us"].as_f64().unwrap() > 0.0);
        assert!(streamed["cpu_us_per_event"].as_f64().unwrap() > 0.0);
    }
    let stats = mock.stats();
    assert_eq!(
        (&stats["requests"], &stats["served"], &stats["aborted"]),
        (&48.into(), &48.into(), &0.into())
    );
}

#[test]
fn the_open_loop_counts_the_wait_that_a_closed_loop_hides() {
    let mock = Server::start(&["mock-upstream", "--latency-ms", "50"]);
    let common = ["--connections", "1", "--requests", "20", "--duration", "20"];
    let closed = load(&mock.url, &common);
    let open = load(
        &mock.url,
        &[common.as_slice(), &["--rate", "1000"]].concat(),
    );
    assert_eq!(
        (&closed["requests"], &open["requests"]),
        (&20.into(), &20.into())
    );
    // The last of 20 requests was due after 20 ms and answered after 20 x 50 ms.
    assert!(open["latency"]["max_us"].as_f64().unwrap() > 900_000.0);
    assert!(
        open["latency"]["p50_us"].as_f64().unwrap()
            > 4.0 * closed["latency"]["p50_us"].as_f64().unwrap()
    );
}

#[test]
fn failures_are_counted_by_reason() {
    let dead = "http://127.0.0.1:9";
    let refused = load(dead, &["--requests", "3", "--connections", "1"]);
    assert_eq!(
        (&refused["failures"]["connect"], &refused["requests"]),
        (&3.into(), &0.into())
    );
    let proxy = Server::start(&["bare-proxy", "--upstream", dead]);
    let failed = load(&proxy.url, &["--requests", "3", "--rate", "100"]);
    assert_eq!(failed["failures"]["status"], 3);
    let slow = Server::start(&["mock-upstream", "--latency-ms", "60000"]);
    let late = load(
        &slow.url,
        &["--requests", "2", "--connections", "2", "--timeout", "0.05"],
    );
    assert_eq!(late["failures"]["timeout"], 2);
}

#[test]
fn load_and_servers_stay_on_loopback() {
    for arguments in [
        ["load", "--url", "http://192.0.2.1:80"],
        ["bare-proxy", "--upstream", "http://example.com"],
        ["mock-upstream", "--listen", "0.0.0.0:0"],
    ] {
        let output = bench(&arguments);
        assert!(!output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("not on loopback"),
            "{arguments:?}"
        );
    }
}

#[test]
fn clients_that_leave_are_counted() {
    let mock = Server::start(&[
        "mock-upstream",
        "--inter-token-ms",
        "1",
        "--tokens",
        "1000000",
    ]);
    let mut stream = mock.connect();
    let body = r#"{"stream": true}"#;
    let length = body.len();
    write!(
        stream,
        "POST /v1/messages HTTP/1.1\r\nhost: m\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.read_exact(&mut [0_u8; 64]).unwrap();
    assert_eq!(mock.stats()["aborted"], 0);
    drop(stream);
    while mock.stats()["aborted"] != 1 {
        std::thread::yield_now();
    }
}

fn compare(folder: &Path, gateway: &str) -> Output {
    let json = folder.join("findings.json");
    bench(&[
        "compare",
        "--no-pin",
        "--rounds",
        "1",
        "--seconds",
        "0.3",
        "--connections",
        "2",
        "--rate",
        "200",
        "--streams",
        "2",
        "--tokens",
        "4",
        "--inter-token-ms",
        "1",
        "--ready",
        "/health",
        "--gateway",
        gateway,
        "--json",
        json.to_str().unwrap(),
    ])
}

#[test]
fn a_comparison_measures_all_targets_and_ends_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!(
        "echo $$ > {}; exec {PROGRAM} bare-proxy --listen 127.0.0.1:{{port}} --upstream {{upstream}}",
        pid_file.display()
    );
    let output = compare(folder.path(), &format!("twin=sh -c '{script}'"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("twin : bare proxy") && !table.contains("FAILED"),
        "{table}"
    );

    let findings: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("findings.json")).unwrap())
            .unwrap();
    let samples = findings["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3 * 3, "cases x targets");
    for sample in samples {
        assert!(
            sample["report"]["requests"].as_u64().unwrap() > 0,
            "{sample}"
        );
        assert!(
            sample["report"]["cpu_us_per_request"].as_f64().unwrap() > 0.0,
            "{sample}"
        );
    }
    let row = |what: &str| {
        findings["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["what"] == what)
            .unwrap()
    };
    assert!(row("2 streams: server CPU us/event")["ratios"][2].is_f64());
    assert!(row("open loop, 200 requests/s: p50 us added")["values"][2].is_f64());
    assert!(row("memory MiB, idle")["values"][2].as_f64().unwrap() > 1.0);

    let pid = std::fs::read_to_string(&pid_file).unwrap();
    assert!(
        !Path::new("/proc").join(pid.trim()).exists(),
        "the gateway still runs"
    );
}

#[test]
fn a_gateway_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let output = compare(
        folder.path(),
        "sh -c 'echo port {port} is cursed >&2; exit 3'",
    );
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("exit status: 3") && errors.contains("is cursed"),
        "{errors}"
    );
}

/// Counts what a bare proxy executes, with these limits.
#[cfg(target_os = "linux")]
fn instructions(folder: &Path, limits: &str) -> Output {
    let file = folder.join("limits.toml");
    std::fs::write(&file, limits).unwrap();
    let gateway =
        format!("{PROGRAM} bare-proxy --listen 127.0.0.1:{{port}} --upstream {{upstream}}");
    bench(&[
        "instructions",
        "--gateway",
        &gateway,
        "--ready",
        "/health",
        "--requests",
        "20",
        "--streams",
        "2",
        "--tokens",
        "8",
        "--no-pin",
        "--limits",
        file.to_str().unwrap(),
    ])
}

#[cfg(target_os = "linux")]
#[test]
fn instructions_are_counted_and_held_to_limits() {
    let folder = tempfile::tempdir().unwrap();
    let limits = "tolerance_percent = 10\nstart = 1000000000\nrequest = 100000000\n";
    let generous = format!("{limits}stream_event = 100000000\n");
    let output = instructions(folder.path(), &generous);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("lower the limit"), "{errors}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for figure in ["start", "request", "stream_event"] {
        assert!(figures[figure].as_u64().unwrap() > 1_000, "{figures}");
    }
    let output = instructions(folder.path(), &format!("{limits}stream_event = 1\n"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("stream_event: ") && !errors.contains("request: "),
        "{errors}"
    );
}

/// The bare proxy stands in for a gateway.
#[test]
fn endurance_looks_after_each_tenth_of_the_requests() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.yaml");
    std::fs::write(&template, "ledger:\n  directory: {folder}\n").unwrap();
    let json = folder.path().join("looks.json");
    let gateway =
        format!("{PROGRAM} bare-proxy --listen 127.0.0.1:{{port}} --upstream {{upstream}}");
    let output = bench(&[
        "endurance",
        "--gateway",
        &gateway,
        "--template",
        template.to_str().unwrap(),
        "--ready",
        "/__stats",
        "--requests",
        "200",
        "--no-pin",
        "--json",
        json.to_str().unwrap(),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let looks: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let looks = looks.as_array().unwrap();
    assert_eq!(looks.len(), 11, "at rest, and ten");
    assert_eq!(looks[0]["during"], "rest");
    assert_eq!(looks[10]["requests"], 200);
    for look in looks {
        assert!(look["resident_mib"].as_f64().unwrap() > 0.5, "{look}");
        assert_eq!(look["failed"], 0);
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("MiB resident"));
}

/// As llama.cpp's server does, without a word.
#[test]
fn a_server_that_closes_connections_is_asked_on_new_ones() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            let mut part = [0; 4_096];
            // The request is smaller than a part and ends with its JSON.
            while !asked.ends_with(b"}") {
                let read = stream.read(&mut part).unwrap();
                asked.extend_from_slice(&part[..read]);
                if read == 0 {
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    let told = load(
        &url,
        &["--requests", "5", "--connections", "1", "--no-keep-alive"],
    );
    assert_eq!(told["requests"], 5, "{told}");
    assert_eq!(told["failures"], serde_json::json!({}), "{told}");
}
