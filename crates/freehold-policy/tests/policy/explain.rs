//! Explanations read well, and name the rule that decided.

use freehold_policy::{Constraint, Explanation};
use freehold_types::Perimeter;

use crate::support::{deployments, facts, labels, policy, scan};

const POLICY: &str = "
outside_up_to: confidential
rules:
- {name: keys, when: {findings: secrets}, block: remove the key first}
- {name: prod, when: {key: [prod, 'live-*']}, review: true}
- {name: legal, when: {labels: {team: legal}}, raise: restricted}
- {name: money, when: {findings: financial}, require: {regions: eu-*}, mask: {iban: redact}}
- {name: eu, when: {tenant: acme}, require: {regions: eu-*}}
- {name: high, when: {sensitivity: restricted}, require: {tags: hipaa}}
- {name: odd, when: {cel: \"tenant == 'umbrella'\"}, review: true}
- {name: many, when: {findings: {entity: person, count: 5}}, raise: confidential}
";

fn explain(yaml: &str, found: &[&str], constraints: &[Constraint]) -> Explanation {
    let (scan, all) = (scan(found), deployments());
    let deployments = all.iter().map(AsRef::as_ref);
    policy(yaml).explain(&labels(&scan), &facts(), constraints, deployments)
}

fn decisive(explanation: &Explanation) -> Vec<&str> {
    let rules = explanation.rules.iter();
    rules
        .filter(|rule| rule.decisive)
        .map(|rule| rule.name.as_str())
        .collect()
}

#[test]
fn a_permit_is_explained() {
    let explanation = explain(POLICY, &["iban", "person"], &[]);
    insta::assert_snapshot!(explanation);
    insta::assert_snapshot!(serde_json::to_string_pretty(&explanation).unwrap());
}

#[test]
fn a_block_is_explained() {
    let explanation = explain(POLICY, &["api_key"], &[]);
    insta::assert_snapshot!(explanation);
    assert_eq!(decisive(&explanation), ["keys"]);
}

#[test]
fn a_contradiction_is_explained() {
    let rented = Constraint {
        perimeter: Some(Perimeter::Outside),
        ..Constraint::default()
    };
    insta::assert_snapshot!(explain(POLICY, &["diagnosis"], &[rented]));
}

#[test]
fn a_failure_is_explained() {
    let yaml = "rules: [{name: broken, when: {cel: 'labels.x == \"y\"'}, review: true}]";
    insta::assert_snapshot!(explain(yaml, &[], &[]));
}

#[test]
fn rules_that_say_the_same_decide_together() {
    let yaml = "rules:
      - {name: a, require: {perimeter: inside}}
      - {name: b, require: {perimeter: inside}}
      - {name: c, raise: public}";
    assert_eq!(decisive(&explain(yaml, &[], &[])), ["a", "b"]);
    let one = "rules: [{name: a, require: {perimeter: inside}}, {name: c, raise: public}]";
    assert_eq!(decisive(&explain(one, &[], &[])), ["a"]);
    let idle = "rules: [{name: a, require: {regions: ['eu-*', 'us-*']}}]";
    assert_eq!(decisive(&explain(idle, &[], &[])), [""; 0]);
}
