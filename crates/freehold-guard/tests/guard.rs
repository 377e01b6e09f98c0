//! The guard by its settings.

use std::sync::Arc;

use freehold_guard::settings::{Opaque, Recogniser, Topic};
use freehold_guard::{Classifier, Guard, Settings, Unread};
use freehold_types::request::MediaSource;
use freehold_types::{Dialect, Extra, Message, Part, Request, Role, Sensitivity};
use serde_json::{Value, json};

fn request(text: &str) -> Request {
    Request::new(
        Dialect::OpenaiChat,
        "auto",
        vec![Message::text(Role::User, text)],
    )
}

fn settings(value: Value) -> Settings {
    serde_json::from_value(value).expect("the settings have the right shape")
}

fn guard(value: Value) -> Guard {
    Guard::new(&settings(value)).expect("the settings are valid")
}

fn seen(guard: &Guard, text: &str) -> Vec<(String, Sensitivity)> {
    let scan = guard.scan(&request(text));
    let said = scan.findings.into_iter();
    said.map(|finding| (finding.entity.to_string(), finding.sensitivity))
        .collect()
}

#[test]
fn the_whole_section_is_read() {
    let guard = guard(json!({
        "limits": {"max_bytes": 1000, "max_depth": 8, "max_findings": 4},
        "opaque": "allowed",
        "labels": {"payment_card": "restricted"},
        "off": ["iban", "organisation"],
        "min_confidence": 0.6,
        "recognisers": [{
            "name": "employee_id",
            "patterns": ["\\bE-(?<value>\\d{6})\\b"],
            "validator": "luhn",
            "context": ["employee"],
            "confidence": 0.6,
            "label": "internal",
        }],
        "topics": [{"name": "projects", "entity": "secret_project", "words": ["Falcon"], "label": "restricted"}],
    }));
    for (text, expected) in [
        (
            "4111 1111 1111 1111",
            vec![("payment_card", Sensitivity::Restricted)],
        ),
        ("DE89370400440532013000", vec![]),
        (
            "employee E-123455",
            vec![("employee_id", Sensitivity::Internal)],
        ),
        ("employee E-123456", vec![]),
        (
            "about falcon",
            vec![("secret_project", Sensitivity::Restricted)],
        ),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, label)| (name.to_owned(), label))
            .collect();
        assert_eq!(seen(&guard, text), expected, "{text}");
    }
    assert!(
        guard
            .scan(&request(&"x".repeat(1_001)))
            .incomplete
            .is_some()
    );
}

#[test]
fn every_entity_type_has_its_label() {
    struct Poems;
    impl Classifier for Poems {
        fn entity(&self) -> &str {
            "poem"
        }
        fn score(&self, _: &str) -> f32 {
            0.0
        }
    }
    let settings = json!({
        "labels": {"payment_card": "restricted", "poem": "public"},
        "off": ["iban", "badge"],
        "recognisers": [
            {"name": "employee_id", "patterns": ["E-\\d{6}"], "label": "internal"},
            {"name": "badge", "patterns": ["B-\\d{6}"]},
        ],
        "topics": [
            {"name": "projects", "entity": "secret_project", "words": ["Falcon"], "label": "restricted"},
            {"name": "rivals", "entity": "rival", "patterns": ["Acme+"]},
            {"name": "strong", "words": ["größer"]},
        ],
    });
    let entities = guard(settings).with_classifier(Arc::new(Poems)).entities();
    for (entity, label) in [
        ("payment_card", Some(Sensitivity::Restricted)),
        ("poem", Some(Sensitivity::Public)),
        ("iban", None),
        ("badge", None),
        ("employee_id", Some(Sensitivity::Internal)),
        ("secret_project", Some(Sensitivity::Restricted)),
        ("rival", Some(Sensitivity::Confidential)),
        ("blocked_topic", Some(Sensitivity::Internal)),
        ("person", Some(Sensitivity::Internal)),
        ("github_token", Some(Sensitivity::Confidential)),
        ("private_key", Some(Sensitivity::Restricted)),
        ("us_ssn", Some(Sensitivity::Confidential)),
        ("medical_record_number", Some(Sensitivity::Restricted)),
        ("prompt_injection", Some(Sensitivity::Public)),
        ("fi_hetu", Some(Sensitivity::Confidential)),
        ("never_heard_of", None),
    ] {
        assert_eq!(entities.get(entity).copied(), label, "{entity}");
    }
}

#[test]
fn recognisers_see_through_disguises_and_cuts() {
    let guard = guard(json!({
        "recognisers": [{"name": "badge", "patterns": ["ZZ-\\d{6}"], "confidence": 0.9}],
        "topics": [{"name": "projects", "words": ["falcon heavy"]}],
    }));
    for (text, entity) in [
        ("is ＺＺ-１２３４５６ here", "badge"),
        ("ZZ%2D123456", "badge"),
        ("WlotMTIzNDU2IG9r", "badge"),
        ("FAL\u{200b}CON heаvy", "blocked_topic"),
    ] {
        let found = seen(&guard, text);
        assert!(
            found.iter().any(|known| known.0 == entity),
            "{text}: {found:?}"
        );
    }
    let mut cut = request("see ZZ-12");
    cut.messages.push(Message::text(Role::User, "3456 there"));
    assert_eq!(guard.scan(&cut).counts()["badge"], 2);
}

#[test]
fn errors_name_the_entry_and_what_to_do() {
    let fails = |value: Value, parts: &[&str]| {
        let message = Guard::new(&settings(value)).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "`{message}` lacks `{part}`");
        }
    };
    fails(
        json!({"recognisers": [{"name": "Badge!", "patterns": ["a"]}]}),
        &["`Badge!`", "small letters"],
    );
    fails(
        json!({"recognisers": [{"name": "badge", "patterns": ["[a"]}]}),
        &["`badge`", "unclosed"],
    );
    fails(
        json!({"min_confidence": 1.5}),
        &["guard.min_confidence", "between 0 and 1"],
    );
    fails(json!({"off": ["no such"]}), &["guard.off", "no such"]);
    fails(json!({"labels": {"": "public"}}), &["guard.labels"]);
    fails(
        json!({
            "recognisers": [{"name": "badge", "patterns": ["a"], "label": "public"}],
            "topics": [{"name": "t", "entity": "badge", "words": ["b"], "label": "internal"}],
        }),
        &["`badge`", "different label"],
    );
    for unknown in [
        json!({"lables": {}}),
        json!({"recognisers": [{"name": "a", "patterns": [], "regex": "b"}]}),
        json!({"limits": {"opaque_is_restricted": true}}),
    ] {
        assert!(serde_json::from_value::<Settings>(unknown).is_err());
    }
    let schema = serde_json::to_string(&schemars::schema_for!(Settings)).unwrap();
    for word in ["recognisers", "verhoeff", "confidential", "min_confidence"] {
        assert!(schema.contains(word), "{word}");
    }
}

#[test]
fn opaque_content_is_restricted_unless_the_operator_says_otherwise() {
    let noise: String = (0..900_u64)
        .scan(7_u64, |state, _| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            Some(char::from(
                letters[usize::try_from(*state >> 58).unwrap_or(0)],
            ))
        })
        .collect();
    let with_part = |part: Part| {
        let mut request = request("look");
        request.messages[0].parts.push(part);
        request
    };
    let picture = with_part(Part::Image {
        source: MediaSource::Url("https://example.org/a.png".into()),
        detail: None,
        extra: Extra::new(),
    });
    let thoughts = with_part(Part::RedactedThinking {
        data: noise.clone(),
    });
    let blob = request(&format!("decode this: {noise}"));
    let signed = with_part(Part::Thinking {
        text: "hm".into(),
        signature: Some(noise.clone()),
        extra: Extra::new(),
    });
    let strict = Guard::new(&Settings::default()).unwrap();
    let lax = Guard::new(&Settings {
        opaque: Opaque::Allowed,
        ..Settings::default()
    })
    .unwrap();
    for opaque in [&picture, &thoughts, &blob] {
        assert_eq!(
            strict.scan(opaque).sensitivity(),
            Some(Sensitivity::Restricted)
        );
        assert_eq!(lax.scan(opaque).incomplete, None);
    }
    // A vendor's signature is what it says, and text in base64 is text.
    assert_eq!(strict.scan(&signed).incomplete, None);
    let document = with_part(Part::File {
        source: MediaSource::Base64 {
            media_type: "text/plain".into(),
            data: "TXkgY2FyZCBpcyA0MTExIDExMTEgMTExMSAxMTExLg==".into(),
        },
        name: None,
        extra: Extra::new(),
    });
    let scan = strict.scan(&document);
    assert_eq!(scan.incomplete, None);
    assert_eq!(scan.counts()["payment_card"], 1);
    assert_eq!(strict.scan_text(&noise).incomplete, Some(Unread::Blob));
}

struct Mood;

impl Classifier for Mood {
    fn entity(&self) -> &str {
        "mood"
    }

    fn score(&self, text: &str) -> f32 {
        match text {
            text if text.contains("panic") => panic!("a classifier failed"),
            text if text.contains("angry") => 0.9,
            _ => 0.1,
        }
    }
}

#[test]
fn classifiers_are_asked_and_may_fail() {
    let guard = Guard::new(&Settings::default())
        .unwrap()
        .with_classifier(Arc::new(Mood));
    assert_eq!(guard.scan(&request("so ａngry today")).counts()["mood"], 1);
    assert_eq!(
        guard.scan(&request("so calm today")).counts().get("mood"),
        None
    );
    let failed = guard.scan(&request("do not panic now"));
    assert_eq!(failed.sensitivity(), Some(Sensitivity::Restricted));
    assert_eq!(
        guard.scan_text("do not panic now").incomplete,
        Some(Unread::Failed)
    );
}

#[test]
fn the_same_thing_in_several_views_is_one_finding() {
    let guard = Guard::new(&Settings::default()).unwrap();
    for text in [
        "4111 1111 1111 1111",
        "4111 1111 1111 1111 \\u0041 é сор",
        "4111%201111%201111%201111 and e\u{301}",
    ] {
        let scan = guard.scan_text(text);
        let cards = scan
            .hits
            .iter()
            .filter(|hit| hit.entity.as_str() == "payment_card");
        assert_eq!(cards.count(), 1, "{scan:?}");
    }
}

#[test]
fn settings_can_be_written_in_code() {
    let recogniser: Recogniser =
        serde_json::from_value(json!({"name": "a", "patterns": ["b+"]})).unwrap();
    let topic: Topic = serde_json::from_value(json!({"name": "t", "words": ["cc"]})).unwrap();
    let guard = Guard::new(&Settings {
        recognisers: vec![recogniser],
        topics: vec![topic],
        min_confidence: 0.0,
        ..Settings::default()
    })
    .unwrap();
    let found = guard.scan_text("some bbb and some cc");
    let labels: Vec<_> = found
        .hits
        .iter()
        .map(|hit| guard.label(&hit.entity))
        .collect();
    assert_eq!(labels, [Sensitivity::Confidential, Sensitivity::Internal]);
}
