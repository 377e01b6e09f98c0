//! Cases pass when policy does as they say, and tell what differs when it does not.

use freehold_policy::Policy;
use freehold_policy::cases::{CaseFile, Floor, Report, Stage, run_cases};
use freehold_types::{Perimeter, Sensitivity};

use crate::support::{deployments, entities, policy, scan};

const POLICY: &str = "
outside_up_to: confidential
rules:
- {name: keys, when: {findings: secrets}, block: remove the key first}
- {name: legal, when: {labels: {team: legal}}, raise: restricted, review: true}
- {name: money, when: {findings: financial}, require: {regions: 'eu-*'}, mask: {iban: redact}}
- {name: rented, when: {flow: bulk}, require: {perimeter: outside}}
";

fn run(policy: &Policy, yaml: &str) -> Report {
    let file: CaseFile = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}"));
    let known = entities();
    let of_key = |name: &str| {
        let mut floor = Floor::default();
        if name == "owned" {
            floor.constraint.perimeter = Some(Perimeter::Inside);
        }
        floor
    };
    let of_route = |name: &str| Floor {
        sensitivity: (name == "private").then_some(Sensitivity::Restricted),
        ..Floor::default()
    };
    let stage = Stage {
        policy,
        default_sensitivity: Sensitivity::Internal,
        deployments: &deployments(),
        // A guard that knows one word.
        scan_text: &|text| {
            scan(if text.contains("IBAN") {
                &["iban"]
            } else {
                &[]
            })
        },
        label_of: &|entity| known[entity.as_str()],
        of_key: &of_key,
        of_route: &of_route,
    };
    run_cases(&stage, &file.cases)
}

#[test]
fn right_expectations_pass() {
    let report = run(
        &policy(POLICY),
        "cases:
- name: plain
  expect: {allow: '*', mask: {}, sensitivity: internal, blocked: false, review: false}
- name: money leaves to the EU only, and masked
  given: {findings: iban}
  expect:
    allow: [mistral/large, local/small]
    deny: openai/*
    perimeter: outside
    mask: {iban: redact}
    sensitivity: confidential
    rules: money
    unmatched: [keys, legal]
- name: the guard's own eyes
  given: {text: my IBAN is ...}
  expect: {rules: money}
- name: keys
  given: {findings: [{entity: api_key, count: 3}]}
  expect: {blocked: true, refused: policy_blocked, deny: '*', perimeter: inside, rules: keys}
- name: legal
  given: {labels: {team: legal}}
  expect: {perimeter: inside, sensitivity: restricted, review: true, mask: {}}
- name: nothing left
  given: {labels: {team: legal}, flow: bulk}
  expect: {refused: policy_unsatisfiable, blocked: false}
- name: the caller may raise
  given: {sensitivity: restricted}
  expect: {perimeter: inside}
- name: sticky
  given: {previous: restricted}
  expect: {perimeter: inside, sensitivity: restricted}
- name: cut short
  given: {incomplete: true}
  expect: {perimeter: inside}
- name: a key's own demand
  given: {key: owned}
  expect: {deny: [openai/*, mistral/*], allow: local/small}
- name: a route's own floor
  given: {route: private}
  expect: {perimeter: inside}
",
    );
    assert!(report.passed(), "{report}");
    assert_eq!(report.cases.len(), 11);
}

#[test]
fn wrong_expectations_tell_what_differs() {
    let report = run(
        &policy(POLICY),
        "cases:
- name: passes
  expect: {perimeter: outside}
- name: everything is wrong
  given: {findings: [iban, person]}
  expect:
    allow: [openai/gpt, nobody/x]
    deny: mistral/large
    perimeter: inside
    mask: {iban: pseudonym, person: redact}
    blocked: true
    refused: policy_blocked
    sensitivity: restricted
    review: true
    rules: [keys, unheard-of]
    unmatched: money
- name: expects nothing
  expect: {}
- name: refused
  given: {findings: private_key}
  expect: {allow: local/small, perimeter: outside, blocked: false}
",
    );
    assert!(!report.passed());
    assert_eq!(report.failed().count(), 3);
    insta::assert_snapshot!(report);
}
