//! Programs that score, and what they cannot do.

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::oracle::{Oracle, last, says};
use crate::program::Told;

const CHECK: &str = r#"#!/bin/sh
case="$(cat)"
case "$case" in
  *number*) echo 0.25 ;;
  *right*) ;;
  *wrong*) echo "not that" >&2; exit 1 ;;
  *word*) echo good ;;
  *broken*) echo "it broke" >&2; exit 3 ;;
  *flood*) i=0; while [ $i -lt 2000 ]; do printf '%0100d' 0; i=$((i+1)); done ;;
  *forever*) sleep 600.625 & wait ;;
  *signal*) kill -9 $$ ;;
  *room*) [ -z "$SERVER_KEY" ] && [ -z "$FREEHOLD_HOME" ] && [ "$(ls -A | wc -l)" = 0 ] && [ "$HOME" = "$(pwd)" ] ;;
esac
"#;

/// Says 1 when it is kept from what its answer names, and 0 when it got there.
const ATTACK: &str = r#"#!/usr/bin/env python3
import json, os, socket, subprocess, sys
word, _, detail = json.load(sys.stdin)["answer"].partition(":")
beside = os.path.dirname(os.path.abspath(sys.argv[0]))
try:
    if word == "read":
        open(beside + "/secret").read()
    elif word == "given":
        open(beside + "/given").read()
    elif word == "write":
        # Where the directory lies in /tmp there is another of its name in the sandbox.
        os.path.isdir(beside) and os.access(beside, os.W_OK) and open(beside + "/loot", "w").write("x")
    elif word == "itself":
        open(sys.argv[0], "a").write("\n")
    elif word == "network":
        socket.create_connection(("127.0.0.1", int(detail)), timeout=1)
    elif word == "process":
        os.stat("/proc/" + detail)
    elif word == "memory":
        bytearray(1 << 30)
    elif word == "namespace":
        subprocess.run(["unshare", "--user", "true"], check=True, stderr=subprocess.DEVNULL)
    elif word == "survive":
        subprocess.Popen(["sleep", "7.375"], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(0)
except (OSError, MemoryError, subprocess.CalledProcessError):
    print(1)
"#;

/// A file that fills the disk of the room; nobody lets it try that elsewhere.
const FILL: &str = r#"#!/usr/bin/env python3
import sys
sys.stdin.read()
try:
    for name in range(8):
        with open(str(name), "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
    print(0)
except OSError:
    print(1)
"#;

/// A desk with this program, and a case for each answer.
fn desk_with(program: &str, answers: &[&str]) -> Desk {
    let desk = Desk::new();
    let rows = answers.iter().enumerate().map(|(index, answer)| {
        json!({"id": format!("case-{index:02}"), "input": format!("say {answer}"), "expected": "x"}).to_string()
    });
    desk.file("set.jsonl", &rows.collect::<Vec<_>>().join("\n"));
    desk.file("check.sh", program);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(desk.path("check.sh"), mode).unwrap();
    desk
}

/// A model that says the question's last word.
fn parrot() -> Oracle {
    Oracle::start(|_, body| says(last(body).split(' ').next_back().unwrap()))
}

fn arguments<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "eval",
        "run",
        "set.jsonl",
        "--model",
        "m",
        "--url",
        url,
        "--json",
    ];
    let program = [
        "--retries",
        "0",
        "--scorer",
        "command=./check.sh",
        "--scorer-timeout",
        "2",
    ];
    [&base[..], &program, more].concat()
}

/// Whether this machine lets anybody make namespaces, judged without the program under test.
fn confines() -> bool {
    std::process::Command::new("bwrap")
        .args([
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "true",
        ])
        .status()
        .is_ok_and(|status| status.success())
}

/// What a run in a sandbox says; nothing when there can be none, which must be refused with what to do.
fn confined(desk: &Desk, url: &str, more: &[&str]) -> Option<Told> {
    let told = desk.run(&arguments(url, more));
    if confines() {
        assert_eq!(told.code, Some(0), "{told:?}");
        return Some(told);
    }
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("--scorer-unsandboxed"), "{told:?}");
    None
}

fn command(told: &Told) -> Value {
    told.json()["scorers"]["command"].clone()
}

fn running(part: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(part)
    })
}

fn ends_as_the_program_says(desk: &Desk, told: &Told) {
    let command = command(told);
    assert_eq!(
        (&command["all"]["scored"], &command["all"]["failed"]),
        (&json!(4), &json!(5)),
        "{command}"
    );
    // 0.25, 1, 0, and 1 for the room.
    assert!(
        (command["all"]["mean"].as_f64().unwrap() - 0.5625).abs() < 1e-9,
        "{command}"
    );
    let failures = command["failures"].as_array().unwrap();
    for (failure, said) in failures.iter().zip([
        "did not write a number",
        "ended with 3: it broke",
        "more than 65536 bytes",
        "signal 9 ended the program",
        "did not end within 2 s",
    ]) {
        let reason = failure["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{said}: {reason}");
    }
    // It was ended, and what it started.
    assert!(!running("600.625"));
    // Another program is another scorer.
    desk.file("check.sh", "#!/bin/sh\n");
}

#[test]
fn a_program_scores_in_a_room_of_its_own() {
    let server = parrot();
    let answers = [
        "number", "right", "wrong", "word", "broken", "flood", "room", "signal", "forever",
    ];
    let desk = desk_with(CHECK, &answers);
    let url = server.url();

    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(desk.path("check.sh"), mode).unwrap();
    let told = desk.run(&arguments(&url, &["--scorer-unsandboxed"]));
    assert!(told.flat().contains("chmod +x ./check.sh"), "{told:?}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(desk.path("check.sh"), mode).unwrap();

    let told = desk.run(&arguments(&url, &["--scorer-unsandboxed"]));
    assert_eq!(told.code, Some(0), "{told:?}");
    ends_as_the_program_says(&desk, &told);
    let told = desk.run(&arguments(&url, &["--scorer-unsandboxed"]));
    assert!(told.flat().contains("the scorers are others"), "{told:?}");

    let desk = desk_with(CHECK, &answers);
    if let Some(told) = confined(&desk, &url, &[]) {
        ends_as_the_program_says(&desk, &told);
    }
}

#[test]
fn a_program_reaches_nothing_but_its_room() {
    let server = parrot();
    let url = server.url();
    let port = url.rsplit(':').next().unwrap();
    let (network, process) = (
        format!("network:{port}"),
        format!("process:{}", std::process::id()),
    );
    let attacks = [
        "read",
        "write",
        "itself",
        &network,
        &process,
        "memory",
        "namespace",
        "given",
        "survive",
    ];
    let desk = desk_with(ATTACK, &attacks);
    desk.file("secret", "the secret");
    desk.file("given", "a table");
    let given = ["--scorer-read", "given", "--scorer-memory", "512"];
    if let Some(told) = confined(&desk, &url, &given) {
        let command = command(&told);
        // Only what it was given it got, and it could start a process, which ended with it.
        assert_eq!(
            (&command["all"]["scored"], &command["all"]["failed"]),
            (&json!(9), &json!(0)),
            "{command}"
        );
        assert!(
            (command["all"]["mean"].as_f64().unwrap() - 6.0 / 9.0).abs() < 1e-9,
            "{command}"
        );
        assert!(!running("7.375"));
        assert!(!desk.path("loot").exists());
        assert_eq!(
            std::fs::read_to_string(desk.path("check.sh")).unwrap(),
            ATTACK
        );
    }
    // The attacks are real ones: all succeed outside.
    let desk = desk_with(ATTACK, &attacks);
    desk.file("secret", "the secret");
    desk.file("given", "a table");
    let told = desk.run(&arguments(&url, &["--scorer-unsandboxed"]));
    assert_eq!(
        command(&told)["all"]["mean"].as_f64(),
        Some(0.0),
        "{told:?}"
    );
    assert!(running("7.375"));
    assert!(desk.path("loot").exists());
}

#[test]
fn a_program_cannot_fill_the_disk() {
    let server = parrot();
    let desk = desk_with(FILL, &["x"]);
    let slow = ["--scorer-memory", "1024"];
    if let Some(told) = confined(&desk, &server.url(), &slow) {
        assert_eq!(
            command(&told)["all"]["mean"].as_f64(),
            Some(1.0),
            "{told:?}"
        );
    }
}

#[test]
fn nothing_runs_where_no_sandbox_can_be_made() {
    let server = parrot();
    let url = server.url();
    let desk = desk_with(CHECK, &["right"]);
    let told = desk.run_with(&[("PATH", "/nowhere")], &arguments(&url, &[]));
    assert_eq!(told.code, Some(1), "{told:?}");
    for said in [
        "bubblewrap",
        "apt install bubblewrap",
        "--scorer-unsandboxed",
    ] {
        assert!(told.flat().contains(said), "{said}: {told:?}");
    }
    // One that makes none is none.
    let room = desk.path("bin");
    std::fs::create_dir(&room).unwrap();
    desk.file(
        "bin/bwrap",
        "#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(desk.path("bin/bwrap"), mode).unwrap();
    let told = desk.run_with(&[("PATH", room.to_str().unwrap())], &arguments(&url, &[]));
    assert_eq!(told.code, Some(1), "{told:?}");
    for said in [
        "No permissions to create new namespace",
        "--scorer-unsandboxed",
    ] {
        assert!(told.flat().contains(said), "{said}: {told:?}");
    }
    assert!(server.asked_of("m").is_empty());

    let told = desk.run(&arguments(&url, &["--scorer-read", "missing"]));
    let whole = desk.run(&arguments(&url, &["--scorer-read", "/"]));
    assert!(
        whole.flat().contains("would show all there is"),
        "{whole:?}"
    );
    assert!(
        told.flat()
            .contains("there is no missing for --scorer-read"),
        "{told:?}"
    );
}
