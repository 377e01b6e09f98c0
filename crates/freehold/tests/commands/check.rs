//! `freehold config check` on policies.

use crate::program::Machine;

const CONFIG: &str = "
discover: false
keys:
  - {name: web-app, key: 'fh-web-4Zt9Qm2LwXc7VbN8aa', tenant: acme, region: eu-west}
backends:
  house: {type: vllm, base_url: 'http://127.0.0.1:9/v1', models: [{name: m}]}
  cloud: {type: openai, api_key: 'sk-test-R7gPz0Qm4LwXc9VbN2kJ', models: [{name: gpt-4.1}], region: us-east-1}
policy:
  rules:
    - name: who
      when: {tenant: bell}
      raise: confidential
    - name: where
      when: {region: 'eu-*'}
      require: {perimeter: inside}
    - name: nowhere
      when: {region: 'ap-*'}
      review: true
    - name: demanding
      when: {findings: health}
      require: {regions: 'eu-*'}
";

#[test]
fn rules_that_cannot_be_meant_are_told() {
    let machine = Machine::new(CONFIG);
    let told = machine.done(&["config", "check", "--json"]).json();
    let warnings: Vec<_> = told["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning.as_str().unwrap())
        .collect();
    let of = |rule: &str| warnings.iter().find(|warning| warning.contains(rule));
    assert!(of("`who`").unwrap().contains("there is no tenant `bell`"));
    assert!(of("`nowhere`").unwrap().contains("the rule never matches"));
    assert!(of("`demanding`").unwrap().contains("no deployment is left"));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    let told = machine.done(&["config", "check"]);
    assert!(
        told.flat().contains("warning policy: rule `who`"),
        "{told:?}"
    );
}

/// What a name means nobody knows until it is known: that is an error, not a warning.
#[test]
fn unknown_types_of_findings_are_refused() {
    let wrong = CONFIG.replace("review: true", "mask: [payment_cards]");
    let told = Machine::new(&wrong).run(&["config", "check"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.flat().contains("do you mean `payment_card`?"),
        "{told:?}"
    );
}

#[test]
fn a_key_tells_where_its_requests_come_from() {
    let machine = Machine::new(CONFIG);
    let explain = |key: &str| {
        let arguments = [
            "policy", "explain", "--key", key, "--text", "hello", "--json",
        ];
        machine.done(&arguments).json()
    };
    let matched = |told: &serde_json::Value| {
        let rules = told["rules"].as_array().unwrap().iter();
        let mut names = rules.filter(|rule| rule["outcome"] == "matched");
        names.any(|rule| rule["name"] == "where")
    };
    let told = explain("web-app");
    assert!(matched(&told), "{told}");
}

/// `freehold config schema | head`: whoever reads no further is no error.
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    use std::process::{Command, Stdio};
    let mut schema = Command::new(env!("CARGO_BIN_EXE_freehold"))
        .args(["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is more than a pipe holds, so that it cannot be written before this.
    drop(schema.stdout.take());
    let ended = schema.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
