//! Configurations whose privacy rules cannot be meant: the gateway does not start with them, and a
//! running one keeps its old ones.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{House, Machine, files};

const BACKENDS: &str = "discover: false\nbackends:\n  house: {type: vllm, base_url: 'http://127.0.0.1:9/v1', models: [{name: m}]}\n";

#[track_caller]
fn refused(section: &str, words: &[&str]) {
    let machine = Machine::new(&format!("{BACKENDS}{section}"));
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["config", "check"],
    ] {
        let told = machine.run(command);
        assert_ne!(told.code, Some(0), "{section}: {told:?}");
        for word in words {
            assert!(told.flat().contains(word), "{word}: {told:?}");
        }
    }
    assert!(!machine.home().join("audit").exists(), "nothing was begun");
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    refused(
        "policy: {outside_up_to: restricted}\n",
        &["restricted never leaves"],
    );
    refused(
        "policy: {rules: [{name: a, when: {cel: 'findings['}, block: x}]}\n",
        &["freehold.yaml:4"],
    );
    refused(
        "policy: {rules: [{name: a, block: x}, {name: a, block: y}]}\n",
        &["another rule has this name"],
    );
    refused(
        "policy: {rules: [{name: a, requires: {perimeter: inside}}]}\n",
        &["requires"],
    );
    refused("policy: {rules: [{name: a, raise: secret}]}\n", &["secret"]);
    refused(
        "policy: {rules: [{name: a, mask: {person: hide}}]}\n",
        &["hide"],
    );
}

#[test]
fn a_guard_that_cannot_be_meant_is_refused() {
    refused("guard: {opaque: ignored}\n", &["ignored"]);
    refused("guard: {min_confidence: 2}\n", &["between 0 and 1"]);
    refused(
        "guard: {recognisers: [{name: badge, patterns: ['(']}]}\n",
        &["badge"],
    );
    refused(
        "guard: {recognisers: [{name: badge, patterns: ['a*']}]}\n",
        &["badge"],
    );
}

/// Reads the trail until an act is in it so many times; the configuration may be broken.
fn wait_for_act(machine: &Machine, act: &str, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let all: String = files(&machine.home().join("audit"))
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        if all.matches(act).count() >= count {
            return;
        }
        assert!(Instant::now() < deadline, "no {act}: {all}");
        std::thread::yield_now();
    }
}

#[test]
fn a_running_gateway_keeps_its_rules_when_new_ones_cannot_be_meant() {
    let house = House::start();
    let config = |policy: &str| {
        format!(
            "discover: false\nserver: {{admin: null}}\nbackends:\n  house: {{type: vllm, base_url: \
             'http://127.0.0.1:{}/v1', models: [{{name: m}}]}}\n{policy}",
            house.port
        )
    };
    let block = |what: &str| {
        format!("policy: {{rules: [{{name: a, when: {{findings: {what}}}, block: remove it}}]}}\n")
    };
    let machine = Machine::new(&config(&block("payment_card")));
    let gateway = machine.serve();
    let ask = |text: &str| {
        let body = json!({"model": "house/m", "messages": [{"role": "user", "content": text}]});
        gateway.post("/v1/chat/completions", &body).0
    };
    let (card, iban) = ("4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00");
    assert_eq!((ask(card), ask(iban)), (403, 200));
    let broken = [
        "policy: {outside_up_to: restricted}\n",
        "policy: 7\n",
        ":\n  -",
    ];
    for (count, broken) in (1..).zip(broken) {
        machine.configure(&config(broken));
        gateway.signal("HUP");
        wait_for_act(&machine, "config_rejected", count);
        assert_eq!((ask(card), ask(iban)), (403, 200), "{broken}");
    }
    machine.configure(&config(&block("iban")));
    gateway.signal("HUP");
    wait_for_act(&machine, "config_reloaded", 1);
    assert_eq!((ask(card), ask(iban)), (200, 403));
    let log = gateway.stop();
    assert!(log.contains("NOT reloaded"), "{log}");
    assert!(!log.contains("1111"), "{log}");
}
