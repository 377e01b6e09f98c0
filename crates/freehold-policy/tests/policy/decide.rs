//! What single rules do to single requests.

use freehold_guard::{Entity, MaskStyle, Scan};
use freehold_policy::{
    Claim, Code, Constraint, Facts, Labels, MaskMethod, Masked, Permit, Policy, Rules,
};
use freehold_types::{Perimeter, Sensitivity};

use crate::support::{allowed, decide, deployments, facts, labels, policy, scan};

const ALL: [&str; 3] = ["local/small", "openai/gpt", "mistral/large"];

/// Which deployments are left for a request with these findings.
fn left(yaml: &str, found: &[&str]) -> Vec<String> {
    allowed(&decide(&policy(yaml), found).expect("a permit"))
}

#[test]
fn every_condition_matches_what_it_names() {
    let matches = |when: &str, found: &[&str]| {
        let yaml = format!("rules: [{{name: r, when: {{{when}}}, review: true}}]");
        decide(&policy(&yaml), found).unwrap().review()
    };
    for (when, found, expected) in [
        ("", &[][..], true),
        ("sensitivity: confidential", &["iban"], true),
        ("sensitivity: confidential", &["person"], false),
        ("findings: iban", &["iban"], true),
        ("findings: [iban, person]", &["person"], true),
        ("findings: [iban, person]", &["api_key"], false),
        ("findings: secrets", &["api_key"], true),
        ("findings: secrets", &["iban"], false),
        ("findings: '*_key'", &["private_key"], true),
        ("findings: {entity: iban, count: 2}", &["iban"], false),
        (
            "findings: {entity: iban, count: 2}",
            &["iban", "iban"],
            true,
        ),
        (
            "findings: {entity: [iban, names], count: 2}",
            &["iban", "person"],
            true,
        ),
        (
            "findings: [{entity: iban, count: 9}, person]",
            &["person"],
            true,
        ),
        ("findings: {entity: iban, confidence: 1}", &["iban"], true),
        ("tenant: acme", &[], true),
        ("tenant: [umbrella, 'ac*']", &[], true),
        ("tenant: ACME", &[], false),
        ("key: c?", &[], true),
        ("key: c?, tenant: umbrella", &[], false),
        ("flow: '*'", &[], false),
        ("route: auto", &[], true),
        ("region: eu-1", &[], false),
        ("labels: {team: x}", &[], false),
        ("cel: \"'iban' in findings\"", &["iban"], true),
        ("cel: \"'iban' in findings\"", &[], false),
    ] {
        assert_eq!(matches(when, found), expected, "{when} {found:?}");
    }
}

#[test]
fn uncertain_findings_do_not_count_where_a_confidence_is_asked() {
    let policy = policy(
        "rules: [{name: r, when: {findings: {entity: person, count: 2, confidence: 0.8}}, review: true}]",
    );
    let mut scan = scan(&["person", "person", "iban"]);
    let review = |scan: &Scan| policy.decide(&labels(scan), &facts(), []).unwrap().review();
    assert!(review(&scan));
    scan.findings[1].confidence = 0.79;
    assert!(!review(&scan));
}

#[test]
fn labels_of_the_request_match_by_name_and_value() {
    let policy = policy(
        "rules: [{name: r, when: {labels: {team: [legal, 'hr-*'], tier: 1}}, review: true}]",
    );
    let review = |pairs: &[(&str, &str)]| {
        let given = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let given = given.collect();
        let facts = Facts {
            labels: Some(&given),
            ..facts()
        };
        policy
            .decide(&labels(&Scan::default()), &facts, [])
            .unwrap()
            .review()
    };
    assert!(review(&[("team", "hr-eu"), ("tier", "1")]));
    assert!(!review(&[("team", "hr-eu")]));
    assert!(!review(&[("team", "sales"), ("tier", "1")]));
}

#[test]
fn what_keeps_a_request_inside_is_told() {
    let kept = |rules: &str, constraint: Constraint| {
        let scan = Scan::default();
        let permit = policy(rules).decide(&labels(&scan), &facts(), [constraint]);
        permit.unwrap().kept_inside_by()
    };
    let free = Constraint::default();
    assert_eq!(kept("rules: []", free.clone()), None);
    let eu = "rules: [{name: eu, require: {regions: 'eu-*'}}]";
    assert_eq!(
        kept(eu, free.clone()),
        None,
        "somebody outside may be there"
    );
    let home = "rules: [{name: home, require: {perimeter: inside}}]";
    assert_eq!(kept(home, free.clone()).unwrap(), "the rule home");
    let key = Constraint {
        perimeter: Some(Perimeter::Inside),
        ..free.clone()
    };
    assert_eq!(kept("rules: []", key).unwrap(), "its route or its key");
    let label = "rules: [{name: r, raise: restricted}]";
    assert_eq!(kept(label, free).unwrap(), "its label, restricted");
}

#[test]
fn demands_of_all_matching_rules_add_up() {
    assert_eq!(left("rules: []", &[]), ALL);
    let eu = "rules: [{name: eu, require: {regions: 'eu-*'}}]";
    assert_eq!(left(eu, &[]), ["local/small", "mistral/large"]);
    let eu_and_outside = "rules:
      - {name: eu, require: {regions: 'eu-*'}}
      - {name: rented, require: {perimeter: outside}}
      - {name: other, when: {key: prod}, require: {perimeter: inside}}";
    assert_eq!(left(eu_and_outside, &[]), ["mistral/large"]);
    let tags = "rules: [{name: t, require: {tags: [hipaa]}}]";
    assert_eq!(left(tags, &[]), ["local/small"]);
    let ids = "rules: [{name: d, require: {deployments: ['openai/*', local/small]}}]";
    assert_eq!(left(ids, &[]), ["local/small", "openai/gpt"]);
    let none = "rules:
      - {name: a, require: {regions: us-1}}
      - {name: b, require: {regions: eu-2}}";
    let permit = decide(&policy(none), &[]).unwrap();
    assert_eq!(allowed(&permit), [""; 0]);
    let refusal = permit
        .allows_any(deployments().iter().map(AsRef::as_ref))
        .unwrap_err();
    assert_eq!(refusal.code, Code::Unsatisfiable);
    assert_eq!(
        refusal.reason,
        "the request is public, and policy permits no deployment that could serve it (rules: a, b)"
    );
}

#[test]
fn denials_name_the_rule() {
    let permit = decide(
        &policy("rules: [{name: eu, require: {regions: eu-2}}]"),
        &[],
    )
    .unwrap();
    let denial = permit.passage(&deployments()[0]).unwrap_err();
    assert_eq!(denial.rule(), Some("eu"));
    assert_eq!(denial.to_string(), "region eu-1 is not allowed (rule eu)");
}

#[test]
fn raises_reach_rules_wherever_they_stand() {
    let yaml = "rules:
      - {name: last, when: {sensitivity: restricted}, review: true}
      - {name: second, when: {sensitivity: confidential}, raise: restricted}
      - {name: first, when: {findings: person}, raise: confidential}";
    let permit = decide(&policy(yaml), &["person"]).unwrap();
    assert_eq!(permit.sensitivity(), Sensitivity::Restricted);
    assert!(permit.review());
    assert_eq!(
        permit.rules().collect::<Vec<_>>(),
        ["last", "second", "first"]
    );
    assert_eq!(permit.reasons()[0], "restricted by the rule second");
    assert_eq!(allowed(&permit), ["local/small"]);
    let permit = decide(&policy(yaml), &[]).unwrap();
    assert_eq!(permit.sensitivity(), Sensitivity::Public);
}

#[test]
fn what_is_restricted_stays_inside_whatever_the_limit() {
    let everything = Policy::from(Rules {
        outside_up_to: Some(Sensitivity::Restricted),
    });
    let permit = decide(&everything, &["diagnosis"]).unwrap();
    assert!(!permit.outside());
    assert_eq!(allowed(&permit), ["local/small"]);
}

#[test]
fn a_conversation_that_was_restricted_stays_inside() {
    let facts = Facts {
        previous: Some(Sensitivity::Restricted),
        ..facts()
    };
    let scan = Scan::default();
    let permit = policy("rules: []")
        .decide(&labels(&scan), &facts, [])
        .unwrap();
    assert_eq!(permit.sensitivity(), Sensitivity::Restricted);
    assert_eq!(
        permit.reasons()[0],
        "restricted by the conversation until now"
    );
    assert_eq!(allowed(&permit), ["local/small"]);
}

#[test]
fn one_block_is_enough_and_the_first_message_is_told() {
    let yaml = "rules:
      - {name: quiet, review: true}
      - {name: b, when: {findings: secrets}, block: remove the key first}
      - {name: a, when: {findings: api_key}, block: no keys}";
    let refusal = decide(&policy(yaml), &["api_key"]).unwrap_err();
    assert_eq!(refusal.code, Code::Blocked);
    assert_eq!(refusal.code.as_str(), "policy_blocked");
    assert_eq!(refusal.reason, "remove the key first");
    assert_eq!(refusal.rule(), Some("b"));
    assert_eq!(refusal.rules, ["b", "a"]);
    assert!(decide(&policy(yaml), &["iban"]).is_ok());
}

#[test]
fn an_expression_that_fails_refuses_what_it_could_have_matched() {
    let yaml = "rules:
      - {name: broken, when: {key: ci, cel: \"labels['team'] == 'x'\"}, review: true}";
    let refusal = decide(&policy(yaml), &[]).unwrap_err();
    assert_eq!(refusal.code.as_str(), "policy_evaluation_failed");
    assert_eq!(refusal.rules, ["broken"]);
    assert_eq!(
        refusal.reason,
        "the policy rule broken could not be evaluated: it looks up a key that is not there"
    );
    // It is not asked where the fields before it say no.
    let elsewhere = yaml.replace("key: ci", "key: prod");
    assert!(decide(&policy(&elsewhere), &[]).is_ok());
    let later = yaml.replace("key: ci", "sensitivity: confidential");
    assert!(decide(&policy(&later), &[]).is_ok());
    assert!(decide(&policy(&later), &["iban"]).is_err());
}

#[test]
fn a_scan_cut_short_is_restricted_or_refused() {
    let cut = Scan {
        incomplete: Some("longer than the limit".to_owned()),
        ..Scan::default()
    };
    let permit = policy("rules: []")
        .decide(&labels(&cut), &facts(), [])
        .unwrap();
    assert_eq!(allowed(&permit), ["local/small"]);

    let strict = policy("incomplete_scan: refuse");
    let refusal = strict.decide(&labels(&cut), &facts(), []).unwrap_err();
    assert_eq!(refusal.code.as_str(), "scan_incomplete");
    assert!(decide(&strict, &[]).is_ok());

    let rented = policy("rules: [{name: rented, require: {perimeter: outside}}]");
    let refusal = rented.decide(&labels(&cut), &facts(), []).unwrap_err();
    assert_eq!(refusal.code, Code::ScanIncomplete);
    assert_eq!(refusal.rules, ["rented"]);
}

#[test]
fn contradictions_are_refused_with_the_rules_that_make_them() {
    let yaml = "rules:
      - {name: rented, require: {perimeter: outside}}
      - {name: owned, when: {findings: person}, require: {perimeter: inside}}";
    let refusal = decide(&policy(yaml), &["person"]).unwrap_err();
    assert_eq!(refusal.code.as_str(), "policy_unsatisfiable");
    assert_eq!(refusal.rules, ["rented", "owned"]);
    let refusal = decide(&policy(yaml), &["iban"]).unwrap_err();
    assert_eq!(
        refusal.reason,
        "the request is confidential (by the guard's findings) and must stay inside, \
         but the policy rule rented allows outside backends only"
    );
    assert_eq!(refusal.sensitivity, Sensitivity::Confidential);
    // A rule against a key.
    let inside = Constraint {
        perimeter: Some(Perimeter::Inside),
        ..Constraint::default()
    };
    let scan = Scan::default();
    let refusal = policy(yaml)
        .decide(&labels(&scan), &facts(), [inside])
        .unwrap_err();
    assert_eq!(refusal.code, Code::Unsatisfiable);
}

fn masked_permit(found: &[&str]) -> Permit {
    let yaml = "
      outside_up_to: confidential
      rules:
      - {name: people, mask: {person: surrogate, where: always}}
      - {name: all, mask: '*'}
      - {name: money, when: {findings: iban}, mask: {financial: redact}}";
    decide(&policy(yaml), found).expect("a permit")
}

#[test]
fn masks_add_up_and_the_strictest_holds() {
    let permit = masked_permit(&["person", "iban", "person"]);
    let all = deployments();
    let (inside, outside) = (permit.masks_for(&all[0]), permit.masks_for(&all[1]));
    assert_eq!(inside.to_string(), "person (surrogate)");
    assert_eq!(outside.to_string(), "iban (redact), person (pseudonym)");
    assert_eq!(
        outside.method(&"person".into()),
        Some(MaskMethod::Pseudonym)
    );
    assert_eq!(outside.method(&"api_key".into()), None);
    assert!(masked_permit(&[]).masks_for(&all[1]).is_empty());
    let rules = outside.to_rules();
    assert_eq!(rules.style("iban"), Some(MaskStyle::Redact));
    assert_eq!(rules.style("person"), Some(MaskStyle::Pseudonym));
    assert_eq!(rules.style("api_key"), None);
}

#[test]
fn no_passage_without_the_receipt_for_what_must_be_masked() {
    let permit = masked_permit(&["person", "iban"]);
    let outside = &deployments()[1];
    assert!(permit.allows(outside).is_ok());
    let denial = permit.passage(outside).unwrap_err();
    assert_eq!(denial.to_string(), "iban must be masked first (redact)");

    let receipt = |methods: &[(&'static str, MaskMethod)]| {
        Masked::of(
            methods
                .iter()
                .map(|(name, how)| (Entity::from(*name), *how)),
        )
    };
    for too_little in [
        receipt(&[("iban", MaskMethod::Redact)]),
        receipt(&[
            ("iban", MaskMethod::Redact),
            ("person", MaskMethod::Surrogate),
        ]),
        receipt(&[
            ("iban", MaskMethod::Pseudonym),
            ("person", MaskMethod::Redact),
        ]),
    ] {
        assert!(permit.passage_masked(outside, &too_little).is_err());
    }
    let enough = receipt(&[("iban", MaskMethod::Redact), ("person", MaskMethod::Redact)]);
    assert!(permit.passage_masked(outside, &enough).unwrap().masked());
    let asked = Masked::as_asked(permit.masks_for(outside));
    assert!(permit.passage_masked(outside, &asked).is_ok());

    // What is masked everywhere is masked before our own machines, too.
    let inside = &deployments()[0];
    assert!(permit.passage(inside).is_err());
    let people = receipt(&[("person", MaskMethod::Surrogate)]);
    assert!(permit.passage_masked(inside, &people).is_ok());

    let nothing_found = masked_permit(&[]);
    assert!(!nothing_found.passage(outside).unwrap().masked());
}

#[test]
fn masking_lowers_no_label() {
    let yaml = "rules: [{name: m, mask: {'*': redact, where: always}}]";
    assert_eq!(left(yaml, &["iban"]), ["local/small"]);
}

#[test]
fn nobody_lowers_what_another_raised() {
    let scan = scan(&["person"]);
    let said = Labels {
        default: Sensitivity::Public,
        route: Some(Sensitivity::Internal),
        key: Some(Sensitivity::Confidential),
        claim: Claim::Label(Sensitivity::Public),
        scan: &scan,
    };
    let policy = policy("rules: [{name: r, raise: internal}]");
    let permit = policy.decide(&said, &facts(), []).unwrap();
    assert_eq!(permit.sensitivity(), Sensitivity::Confidential);
    assert_eq!(permit.reasons()[0], "confidential by the key");
}

#[test]
fn what_is_removed_from_answers_is_what_matching_rules_name() {
    let removing = policy(
        "
        rules:
        - {name: always, redact_answers: [financial, api_*]}
        - {name: acme, when: {tenant: acme}, redact_answers: email_address}
        - {name: other, when: {tenant: umbrella}, redact_answers: person}
        ",
    );
    let permit = decide(&removing, &[]).unwrap();
    let named: Vec<_> = permit.redacted_in_answers().collect();
    assert_eq!(named, ["financial", "api_*", "email_address"]);
    let unwanted = permit.unwanted_in_answers().unwrap();
    for (entity, removed) in [
        ("iban", true),
        ("api_key", true),
        ("email_address", true),
        ("person", false),
        ("diagnosis", false),
    ] {
        assert_eq!(unwanted(&entity.into()), removed, "{entity}");
    }
    let silent = decide(&policy("rules: []"), &[]).unwrap();
    assert!(silent.unwanted_in_answers().is_none());
}
