//! How long a decision takes with fifty rules, with and without expressions.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use freehold_guard::{Finding, Scan};
use freehold_policy::{Claim, Facts, Labels, Policy, PolicySettings, Surroundings};
use freehold_types::Sensitivity;

const RULES: usize = 50;

/// Rules of every kind, of which one in ten matches.
fn policy(expressions: bool) -> Policy {
    let mut yaml = "outside_up_to: confidential\nrules:\n".to_owned();
    for index in 0..RULES {
        let when = match index % 10 {
            0 => "tenant: acme",
            1 => "key: [batch, 'ci-*']",
            2 => "findings: secrets",
            3 => "findings: {entity: [payment_card, iban], count: 2}",
            4 => "sensitivity: restricted",
            5 => "labels: {team: [legal, hr]}",
            6 => "route: cheap, sensitivity: confidential",
            7 if expressions => "cel: \"'iban' in findings && findings['iban'] > 3\"",
            7 => "findings: {entity: health, confidence: 0.9}",
            8 => "flow: 'support-*'",
            _ => "region: us-*",
        };
        let effect = match index % 3 {
            0 => "require: {regions: eu-*, tags: gdpr}",
            1 => "mask: {person: pseudonym, identifiers: redact}",
            _ => "raise: confidential, review: true",
        };
        writeln!(yaml, "- {{name: r{index}, when: {{{when}}}, {effect}}}").expect("a string grows");
    }
    let settings: PolicySettings = serde_saphyr::from_str(&yaml).expect("settings");
    let compiled = Policy::compile(&settings, &Surroundings::default());
    compiled.expect("a policy").0
}

fn decide(criterion: &mut Criterion) {
    let finding = |entity: &'static str| Finding {
        entity: entity.into(),
        path: "messages[0].content[0].text".to_owned(),
        range: 0..8,
        confidence: 0.9,
        sensitivity: Sensitivity::Internal,
    };
    let found = ["person", "person", "email_address", "person", "location"];
    let scan = Scan {
        findings: found.into_iter().map(finding).collect(),
        incomplete: None,
    };
    let labels = Labels {
        default: Sensitivity::Internal,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    let given = [("team".to_owned(), "sales".to_owned())].into();
    let facts = Facts {
        tenant: Some("acme"),
        key: Some("web"),
        flow: Some("search"),
        route: Some("auto"),
        labels: Some(&given),
        ..Facts::default()
    };
    for (name, expressions) in [("rules", false), ("rules_with_cel", true)] {
        let policy = policy(expressions);
        criterion.bench_function(&format!("decide/{RULES}_{name}"), |bencher| {
            bencher.iter(|| policy.decide(black_box(&labels), black_box(&facts), []));
        });
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
