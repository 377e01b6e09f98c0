use freehold_types::access::Role;

use super::*;

fn mapping(claim: &str, value: &str, role: Role) -> Mapping {
    Mapping {
        claim: claim.to_owned(),
        value: value.to_owned(),
        grant: Grant {
            role,
            teams: vec![],
        },
    }
}

fn claims(value: serde_json::Value) -> Map<String, Value> {
    match value {
        Value::Object(claims) => claims,
        other => panic!("{other} are no claims"),
    }
}

#[test]
fn a_claim_is_a_text_a_list_or_deeper() {
    let all = claims(serde_json::json!({
        "sub": "7", "groups": ["a", "b"], "realm_access": {"roles": ["c"]}, "x.y": "d", "on": true, "level": 3,
    }));
    for (claim, value, holds) in [
        ("sub", "7", true),
        ("groups", "b", true),
        ("groups", "c", false),
        ("groups", "a,b", false),
        ("realm_access.roles", "c", true),
        ("realm_access", "c", false),
        ("x.y", "d", true),
        ("on", "true", true),
        ("level", "3", true),
        ("none", "", false),
        ("sub.x", "7", false),
    ] {
        assert_eq!(has(&all, claim, value), holds, "{claim} {value}");
    }
}

#[test]
fn only_what_roles_depend_on_is_kept() {
    let mappings = [
        mapping("groups", "a", Role::Admin),
        mapping("groups", "a", Role::Auditor),
        mapping("groups", "z", Role::Operator),
    ];
    let all = claims(serde_json::json!({"sub": "7", "groups": ["a", "secret"], "phone": "1"}));
    let ann = person(&all, &mappings).unwrap();
    assert_eq!(ann.name, "7");
    assert_eq!(ann.claims, [("groups".to_owned(), "a".to_owned())]);
}

#[test]
fn a_name_is_a_verified_address_or_what_the_service_calls_them() {
    for (all, name) in [
        (
            serde_json::json!({"sub": "7", "email": "a@b.c", "email_verified": true}),
            Some("a@b.c"),
        ),
        (
            serde_json::json!({"sub": "7", "email": "a@b.c", "email_verified": "false"}),
            Some("7"),
        ),
        (
            serde_json::json!({"sub": "7", "preferred_username": "ann", "email": "a@b.c"}),
            Some("ann"),
        ),
        (serde_json::json!({"email": "a@b.c"}), None),
    ] {
        let found = person(&claims(all), &[]);
        assert_eq!(found.as_ref().map(|person| person.name.as_str()), name);
    }
}

#[test]
fn a_token_without_a_payload_says_nothing() {
    for token in ["", "a", "a.!.c", "a.bnVsbA.c"] {
        assert!(payload(token).is_err(), "{token}");
    }
}

#[tokio::test]
async fn a_name_with_one_address_outside_is_not_dialled() {
    let outside = Inside(Networks::declared(&["10.0.0.0/8"]).unwrap());
    assert!(outside.resolve("localhost".parse().unwrap()).await.is_err());
    let inside = Inside(Networks::declared(&["127.0.0.0/8", "::1/128"]).unwrap());
    assert!(inside.resolve("localhost".parse().unwrap()).await.is_ok());
}
