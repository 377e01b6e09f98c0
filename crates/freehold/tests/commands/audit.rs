//! `freehold audit` on a trail that the gateway wrote.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::program::{House, Machine, files};

const CARD: &str = "4012 8888 8888 1881";
const TOKEN: &str = "ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi";

/// A trail of some requests, closed in order.
struct Trail {
    machine: Machine,
    /// The ids of a request that was served inside, and of one that was refused.
    served: String,
    refused: String,
    key: PathBuf,
    anchor: PathBuf,
}

fn said(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

impl Trail {
    fn new() -> Self {
        let house = House::start();
        let machine = Machine::new(&format!(
            "discover: false\nserver: {{admin: null}}\naudit: {{required: true}}\nbackends:\n  \
             house: {{type: vllm, base_url: 'http://127.0.0.1:{}/v1', models: [{{name: m}}]}}\n\
             policy:\n  rules:\n    - {{name: no-tokens, when: {{findings: github_token}}, block: \
             remove it}}\n    - {{name: cards, when: {{findings: payment_card}}, require: \
             {{perimeter: inside}}}}\n",
            house.port
        ));
        let gateway = machine.serve();
        let mut ids = Vec::new();
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let (status, served, answer) = gateway.post(path, &said("house/m", CARD));
            assert_eq!(status, 200, "{answer}");
            let (status, refused, answer) = gateway.post(path, &said("house/m", TOKEN));
            assert_eq!(status, 403, "{answer}");
            assert!(
                answer.contains("policy_blocked") || answer.contains("remove it"),
                "{answer}"
            );
            ids.push((served, refused));
        }
        let bodies = house.bodies();
        assert!(bodies.iter().all(|body| !body.contains("ghp_")));
        assert_eq!(bodies.iter().filter(|body| body.contains(CARD)).count(), 2);
        let log = gateway.stop();
        for text in [CARD, "1881", TOKEN] {
            assert!(!log.contains(text), "{log}");
        }
        let key = machine.done(&["audit", "public-key"]).out;
        assert!(key.contains("BEGIN PUBLIC KEY"), "{key}");
        let anchor = machine.done(&["audit", "anchor"]).out;
        let (served, refused) = ids.remove(0);
        Self {
            served,
            refused,
            key: machine.file("audit.pub", &key),
            anchor: machine.file("today.anchor", &anchor),
            machine,
        }
    }

    fn verify(&self, more: &[&str]) -> crate::program::Told {
        let mut arguments = vec![
            "audit",
            "verify",
            "--public-key",
            self.key.to_str().unwrap(),
        ];
        arguments.extend(more);
        self.machine.run(&arguments)
    }

    fn anchored(&self) -> crate::program::Told {
        self.verify(&["--anchor", self.anchor.to_str().unwrap()])
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut segments = files(&self.machine.home().join("audit"));
        segments.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        segments
    }

    /// Runs `check` while a file is changed.
    fn changed(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>), check: impl FnOnce()) {
        let before = std::fs::read(file).unwrap();
        let mut bytes = before.clone();
        change(&mut bytes);
        assert_ne!(bytes, before);
        std::fs::write(file, bytes).unwrap();
        check();
        std::fs::write(file, before).unwrap();
    }
}

/// An auditor need not have the configuration, nor wait until it is mended.
#[test]
fn a_trail_is_verified_without_a_configuration() {
    let trail = Trail::new();
    trail.machine.configure("policy: [");
    assert_eq!(trail.anchored().code, Some(1));
    let dir = trail.machine.home().join("audit");
    let dir = dir.to_str().unwrap();
    let told = trail.verify(&["--dir", dir]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("4 decisions"), "{told:?}");
    let told = trail.machine.done(&["audit", "--dir", dir, "public-key"]);
    assert!(told.out.contains("BEGIN PUBLIC KEY"), "{told:?}");
    let nowhere = trail.verify(&["--dir", "/nonexistent"]);
    assert_ne!(nowhere.code, Some(0), "{nowhere:?}");
}

#[test]
fn a_trail_is_shown_and_verified() {
    let trail = Trail::new();
    let told = trail.anchored();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("The audit trail is intact."), "{told:?}");
    assert!(told.out.contains("4 decisions"), "{told:?}");
    assert!(told.out.contains("It holds the anchor"), "{told:?}");

    let told = trail
        .machine
        .done(&["audit", "show", "--kind", "decision", "--json"]);
    let records: Vec<Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 4, "{told:?}");
    let decision = &records[0]["event"]["decision"];
    assert_eq!(decision["request"], trail.served);
    assert_eq!(decision["findings"]["payment_card"], 1);
    assert_eq!(decision["rules"], json!(["cards"]));
    assert_eq!(decision["attempts"][0]["deployment"], "house/m");
    assert_eq!(decision["attempts"][0]["perimeter"], "inside");
    let decision = &records[1]["event"]["decision"];
    assert_eq!(decision["request"], trail.refused);
    assert_eq!(decision["refusal"], "policy_blocked");
    assert_eq!(decision["rules"], json!(["no-tokens"]));
    assert!(decision.get("attempts").is_none());
    let one = trail
        .machine
        .done(&["audit", "show", "--request", &trail.refused]);
    assert!(one.out.contains("no-tokens"), "{one:?}");
    assert!(!one.out.contains(&trail.served), "{one:?}");
    let acts = trail
        .machine
        .done(&["audit", "show", "--kind", "administration", "--json"]);
    assert!(
        acts.out.contains("served") && acts.out.contains("stopped"),
        "{acts:?}"
    );
}

/// Nothing that the machine keeps holds any text.
#[test]
fn no_file_holds_the_text() {
    let trail = Trail::new();
    let kept = files(&trail.machine.home());
    assert!(kept.len() > 3, "{kept:?}");
    for file in kept {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for value in [CARD, "4012888888881881", "8888 1881", TOKEN, &TOKEN[4..]] {
            assert!(!text.contains(value), "{}", file.display());
        }
    }
}

#[test]
fn one_flipped_bit_is_found_and_located() {
    let trail = Trail::new();
    let segments = trail.segments();
    let segment = &segments[0];
    let bytes = std::fs::read(segment).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.len() >= 7, "{}", lines.len());
    let mut start = 0;
    for (index, line) in lines.iter().enumerate() {
        // Somewhere in the hash, in the record, and at the line's end.
        for within in [12, line.len() / 2, line.len() - 4] {
            let place = start + within;
            trail.changed(
                segment,
                |bytes| bytes[place] ^= 1,
                || {
                    let told = trail.verify(&["--json"]);
                    assert_eq!(told.code, Some(1), "line {index}: {told:?}");
                    let report = told.json();
                    assert_eq!(report["intact"], false);
                    let faults = report["faults"].as_array().unwrap();
                    let place = |fault: &Value| fault["line"].as_u64();
                    let line = index as u64 + 1;
                    assert!(
                        faults.iter().any(|fault| place(fault) == Some(line)),
                        "line {line}: {told:?}"
                    );
                },
            );
        }
        start += line.len();
    }
    assert_eq!(trail.anchored().code, Some(0), "all is as it was");
}

#[test]
fn a_cut_tail_is_found() {
    let trail = Trail::new();
    let segments = trail.segments();
    let last = segments.last().unwrap();
    let lines = std::fs::read_to_string(last).unwrap().lines().count();
    for left in 1..lines {
        let cut = |bytes: &mut Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let kept: Vec<&str> = text.split_inclusive('\n').take(left).collect();
            *bytes = kept.concat().into_bytes();
        };
        trail.changed(last, cut, || {
            // The copy of the last checkpoint lies beside the trail.
            let told = trail.verify(&[]);
            assert_eq!(told.code, Some(1), "{left}: {told:?}");
            assert!(told.out.contains("NOT intact"), "{told:?}");
            // Whoever cuts the trail removes that too; the anchor was kept elsewhere.
            let head = trail.machine.home().join("audit/head.json");
            let kept = std::fs::read(&head).unwrap();
            std::fs::remove_file(&head).unwrap();
            let told = trail.anchored();
            assert_eq!(told.code, Some(1), "{left}: {told:?}");
            std::fs::write(&head, kept).unwrap();
        });
    }
}

#[test]
fn an_export_proves_itself_and_tells_when_it_was_changed() {
    let trail = Trail::new();
    let exported = trail.machine.done(&["audit", "export"]).out;
    let file = trail.machine.file("all.jsonl", &exported);
    let path = file.to_str().unwrap();
    let told = trail.verify(&["--export", path]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let place = exported.find("payment_card").unwrap();
    trail.changed(
        &file,
        |bytes| bytes[place] ^= 1,
        || assert_eq!(trail.verify(&["--export", path]).code, Some(1)),
    );
    trail.changed(
        &file,
        |bytes| {
            let end = bytes.len() - 1;
            let cut = bytes[..end]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .unwrap();
            bytes.truncate(cut + 1);
        },
        || assert_eq!(trail.verify(&["--export", path]).code, Some(1)),
    );
}

/// Another key's trail is not this one's.
#[test]
fn a_trail_signed_by_somebody_else_is_not_proved() {
    let trail = Trail::new();
    let other = Trail::new();
    let key = other.key.to_str().unwrap();
    let told = trail.machine.run(&["audit", "verify", "--public-key", key]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let anchor = other.anchor.to_str().unwrap();
    let told = trail.verify(&["--anchor", anchor]);
    assert_eq!(told.code, Some(1), "{told:?}");
}
