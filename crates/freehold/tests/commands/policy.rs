//! `freehold policy`.

use crate::program::Machine;

const CONFIG: &str = "
discover: false
keys:
  - {name: web-app, key: 'fh-web-4Zt9Qm2LwXc7VbN8aa', tenant: acme, sensitivity: confidential}
backends:
  house: {type: vllm, base_url: 'http://127.0.0.1:9/v1', models: [{name: m}]}
  cloud: {type: openai, api_key: 'sk-test-R7gPz0Qm4LwXc9VbN2kJ', models: [{name: gpt-4.1}]}
policy:
  outside_up_to: confidential
  rules:
    - name: mask-what-leaves
      mask: [identifiers, financial]
    - name: legal-stays-inside
      when: {labels: {team: legal}}
      require: {perimeter: inside}
    - name: no-keys
      when: {findings: secrets}
      block: this prompt holds a key
";

const CASES: &str = "
cases:
  - name: cards are masked outside
    given: {text: 'charge 4111 1111 1111 1111'}
    expect: {mask: {payment_card: pseudonym}, sensitivity: confidential, allow: 'cloud/*'}
  - name: legal stays inside
    given: {labels: {team: legal}}
    expect: {perimeter: inside, rules: legal-stays-inside, deny: 'cloud/*'}
  - name: keys are refused
    given: {text: 'use ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi'}
    expect: {blocked: true}
";

#[test]
fn cases_that_hold_pass() {
    let machine = Machine::new(CONFIG);
    let file = machine.file("cases.yaml", CASES);
    let file = file.to_str().unwrap();
    let told = machine.done(&["policy", "test", file]);
    assert!(told.out.contains("3 passed, 0 failed"), "{told:?}");
    assert!(!told.flat().contains("4111"), "{told:?}");
    let told = machine.done(&["policy", "test", file, "--json"]);
    assert_eq!(told.json()["cases"].as_array().unwrap().len(), 3);
}

#[test]
fn a_case_that_does_not_hold_fails_with_its_reasons() {
    let machine = Machine::new(CONFIG);
    let wrong = CASES.replace("{perimeter: inside, ", "{perimeter: outside, ");
    let file = machine.file("cases.yaml", &wrong);
    let file = file.to_str().unwrap();
    let told = machine.run(&["policy", "test", file]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("2 passed, 1 failed"), "{told:?}");
    assert!(told.out.contains("FAILED legal stays inside"), "{told:?}");
    assert!(told.out.contains("legal-stays-inside"), "{told:?}");
    assert!(!told.flat().contains("4111"), "{told:?}");
    let told = machine.run(&["policy", "test", file, "--json"]);
    assert_eq!(told.code, Some(1));
    let failed = &told.json()["cases"][1];
    assert!(!failed["differences"].as_array().unwrap().is_empty());
    // A case without its rule fails, too.
    let without = CONFIG.replace("perimeter: inside}", "tags: [eu]}");
    let told = Machine::new(&without).run(&["policy", "test", file]);
    assert_eq!(told.code, Some(1), "{told:?}");
}

#[test]
fn a_file_of_cases_that_cannot_be_meant_is_refused() {
    let machine = Machine::new(CONFIG);
    for (cases, words) in [
        ("cases:\n  - name: x\n    expects: {}\n", "expects"),
        (
            "cases:\n  - name: x\n    expect: {perimeter: sideways}\n",
            "sideways",
        ),
        ("cases: 7\n", "cases.yaml"),
    ] {
        let file = machine.file("cases.yaml", cases);
        let told = machine.run(&["policy", "test", file.to_str().unwrap()]);
        assert_ne!(told.code, Some(0), "{told:?}");
        assert!(told.flat().contains(words), "{told:?}");
    }
    let told = machine.run(&["policy", "test", "no-such-file.yaml"]);
    assert_ne!(told.code, Some(0));
    assert!(told.flat().contains("no-such-file.yaml"), "{told:?}");
}

#[test]
fn an_explanation_names_the_rule_that_decides() {
    let machine = Machine::new(CONFIG);
    let explain = |arguments: &[&str], text: &str| {
        let mut all = vec!["policy", "explain"];
        all.extend(arguments);
        let told = machine.run_with(&all, text);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(text.is_empty() || !told.flat().contains(text), "{told:?}");
        told
    };
    let told = explain(&[], "my card is 4111 1111 1111 1111");
    assert!(told.out.contains("mask-what-leaves"), "{told:?}");
    assert!(told.out.contains("payment_card"), "{told:?}");
    assert!(!told.flat().contains("4111"), "{told:?}");
    let told = explain(&["--label", "team=legal", "--text", "hello there"], "");
    assert!(told.out.contains("legal-stays-inside"), "{told:?}");
    assert!(!told.flat().contains("hello there"), "{told:?}");
    let secret = "ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi";
    let told = explain(&["--json"], secret);
    let json = told.json().to_string();
    assert!(
        json.contains("no-keys") && json.contains("policy_blocked"),
        "{json}"
    );
    assert!(!json.contains(secret));
    // The key's own label counts.
    let told = explain(&["--key", "web-app", "--text", "hello", "--json"], "");
    assert!(told.json().to_string().contains("confidential"), "{told:?}");
    let wrong = machine.run(&["policy", "explain", "--label", "team"]);
    assert_ne!(wrong.code, Some(0));
}
