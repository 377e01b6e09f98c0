//! What is said of settings that cannot, or should not, be meant.

use std::fmt::Display;

use freehold_policy::{Place, Policy, PolicySettings, Surroundings};
use freehold_types::Sensitivity;

use crate::support::{compile, deployments, settings};

fn lines<T: Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

#[test]
fn every_error_names_its_rule_and_field() {
    let errors = compile(
        "
        outside_up_to: restricted
        rules:
        - {name: 'has space', review: true}
        - {name: '', review: true}
        - {name: idle}
        - {name: idle, review: true}
        - {name: empty-lists, when: {key: [], findings: []}, require: {tags: []}}
        - {name: empty-names, when: {tenant: ''}, mask: ''}
        - {name: counts, when: {findings: {entity: iban, count: 0, confidence: 7}}, review: true}
        - {name: nobody, when: {findings: ibam}, mask: [perzon, '*_cards', secrets]}
        - {name: syntax, when: {cel: 'key =='}, review: true}
        - {name: variable, when: {cel: 'user == 1'}, review: true}
        - {name: not-bool, when: {cel: 'key + tenant'}, review: true}
        - {name: silent, block: ' '}
        - {name: nothing, require: {}, mask: {where: always}}
        ",
    )
    .unwrap_err();
    insta::assert_snapshot!(lines(&errors));
}

#[test]
fn the_place_of_an_error_leads_to_its_line() {
    let errors =
        compile("rules: [{name: a, review: true}, {name: b, when: {cel: '1'}, review: true}]")
            .unwrap_err();
    assert_eq!(errors[0].place.path(), ["rules", "1", "when", "cel"]);
    let whole = Place {
        rule: None,
        field: "outside_up_to".to_owned(),
    };
    assert_eq!(whole.path(), ["outside_up_to"]);
}

#[test]
fn oddities_are_warned_of() {
    let (_, warnings) = compile(
        "
        rules:
        - {name: unknown-key, when: {key: [ci, prd]}, review: true}
        - {name: unknown-tenant, when: {tenant: 'x-*'}, review: true}
        - {name: always-so, when: {sensitivity: confidential, findings: iban}, review: true}
        - {name: lower, when: {findings: private_key}, raise: confidential}
        - {name: default, when: {sensitivity: internal, route: cheap}, raise: internal}
        - {name: needs-key, when: {key: prod, cel: \"labels['x'] == 'y'\"}, review: true}
        - {name: nowhere, when: {key: prod}, require: {regions: ap-*}}
        - {name: rented-only, when: {findings: diagnosis}, require: {perimeter: outside}}
        - {name: eu, when: {key: ci}, require: {regions: eu-*}}
        - {name: eu-and-us, when: {key: ci, findings: email_address}, require: {tags: soc2}}
        - {name: stop, when: {findings: [api_key, private_key]}, block: no keys}
        - {name: stopped, when: {findings: api_key, key: prod}, mask: api_key}
        - {name: twice, when: {key: ci}, require: {regions: eu-*}}
        - {name: fine, when: {findings: person}, mask: person}
        ",
    )
    .unwrap();
    insta::assert_snapshot!(lines(&warnings));
}

#[test]
fn a_sound_policy_is_not_warned_of() {
    let (policy, warnings) = compile(
        "
        default_sensitivity: public
        rules:
        - {name: health, when: {findings: health}, require: {tags: hipaa}, review: true}
        - {name: keys, when: {findings: secrets}, block: remove the key first}
        - {name: people, when: {sensitivity: internal}, mask: {names: surrogate, contact: redact}}
        - {name: more, when: {findings: {entity: person, count: 20}}, raise: confidential}
        - {name: legal, when: {tenant: acme, cel: \"labels.exists(l, l.startsWith('legal'))\"}, raise: restricted}
        ",
    )
    .unwrap();
    assert_eq!(lines(&warnings), "");
    assert_eq!(policy.rules().count(), 5);
}

#[test]
fn raising_beyond_every_deployment_is_warned_of() {
    let outside: Vec<_> = deployments().split_off(1);
    let surroundings = Surroundings {
        deployments: Some(&outside),
        ..Surroundings::default()
    };
    let raise = settings("rules: [{name: up, when: {key: ci}, raise: restricted}]");
    let (_, warnings) = Policy::compile(&raise, &surroundings).unwrap();
    assert_eq!(
        lines(&warnings),
        "rule `up`, `raise`: no deployment is left: requests that match will be refused \
         (mistral/large: outside, and the request is restricted; \
         openai/gpt: outside, and the request is restricted)\n"
    );
    let default = settings("default_sensitivity: confidential");
    let (_, warnings) = Policy::compile(&default, &surroundings).unwrap();
    assert_eq!(
        lines(&warnings),
        "`default_sensitivity`: what is confidential must stay inside, and no deployment is: \
         every request will be refused\n"
    );
}

#[test]
fn sealed_surroundings_seal_the_policy() {
    let surroundings = Surroundings {
        sealed: true,
        ..Surroundings::default()
    };
    let (policy, _) = Policy::compile(&PolicySettings::default(), &surroundings).unwrap();
    assert_eq!(policy.outside_up_to(), None);
    let (policy, _) =
        Policy::compile(&PolicySettings::default(), &Surroundings::default()).unwrap();
    assert_eq!(policy.outside_up_to(), Some(Sensitivity::Internal));
}

#[test]
fn names_and_lists_are_bounded() {
    let long = "x".repeat(300);
    for yaml in [
        format!("rules: [{{name: {long}, review: true}}]"),
        format!("rules: [{{name: a, when: {{key: {long}}}, review: true}}]"),
        format!("rules: [{{name: a, block: {}}}]", "x".repeat(2_000)),
        format!("rules: [{}]", "{name: a, review: true}, ".repeat(1_001)),
    ] {
        assert!(compile(&yaml).is_err());
    }
}

#[test]
fn unknown_fields_and_wrong_shapes_are_refused_where_they_stand() {
    let error = |yaml: &str| {
        serde_saphyr::from_str::<PolicySettings>(yaml)
            .unwrap_err()
            .to_string()
    };
    let mut seen = String::new();
    for yaml in [
        "rules: [{name: a, review: true, whn: {}}]",
        "rules: [{name: a, when: {sensitivity: secret}, review: true}]",
        "rules: [{name: a, when: {findings: {entity: iban, minimum: 2}}, review: true}]",
        "rules: [{name: a, mask: {person: hide}}]",
        "rules: [{name: a, mask: {person: redact, where: inside}}]",
        "rules: [{name: a, require: {region: eu}}]",
        "rules: [{when: {}, review: true}]",
    ] {
        let first = error(yaml);
        seen += &format!("{yaml}\n{first}\n\n");
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn the_schema_knows_every_field() {
    let schema = schemars::schema_for!(PolicySettings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap());
}
