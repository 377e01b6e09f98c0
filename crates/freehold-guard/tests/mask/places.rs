//! Every place of a request where a value may stand.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freehold_guard::settings::Opaque;
use freehold_guard::{
    Finding, Guard, Hit, MaskError, MaskRules, MaskStyle, Scan, Settings, TextScan, mask,
};
use freehold_types::request::{MediaSource, RawBody, Reasoning, ResponseFormat, Tool, ToolChoice};
use freehold_types::{Extra, Message, Part, Request, Role, Sensitivity};
use serde_json::{Value, json};

use crate::{all, ask, knows, masked, request, vault};

const NAME: &str = "Zoë \"Z\" O'Neil";
const CARD: &str = "4111 1111 1111 1111";

fn extra(value: Value) -> Extra {
    match value {
        Value::Object(fields) => fields,
        _ => panic!("not an object"),
    }
}

/// The value stands in every place that text can stand in.
fn everywhere(value: &str) -> Request {
    let text = format!("it is {value}.");
    let fields = || extra(json!({value: [{"in": text}], "plain": 7}));
    let mut asked = request();
    asked.messages = vec![
        Message::text(Role::System, &text),
        Message {
            role: Role::Assistant,
            name: Some(value.into()),
            extra: fields(),
            parts: vec![
                Part::Text {
                    text: text.clone(),
                    extra: fields(),
                },
                Part::Thinking {
                    text: text.clone(),
                    signature: Some("c2lnbmF0dXJl".into()),
                    extra: fields(),
                },
                Part::ToolCall {
                    id: value.into(),
                    name: value.into(),
                    arguments: json!({"deep": {value: [&text, 1]}, "n": 1.50}).to_string(),
                    extra: fields(),
                },
                Part::Refusal { text: text.clone() },
            ],
        },
        Message {
            role: Role::User,
            name: None,
            extra: Extra::new(),
            parts: vec![
                Part::ToolResult {
                    call_id: value.into(),
                    parts: vec![Part::text(&text)],
                    is_error: false,
                    extra: fields(),
                },
                Part::Image {
                    source: MediaSource::Url(format!("https://example.net/?q={value}")),
                    detail: Some(text.clone()),
                    extra: fields(),
                },
                Part::File {
                    source: MediaSource::Text(text.clone()),
                    name: Some(text.clone()),
                    extra: fields(),
                },
                Part::Unknown {
                    dialect: asked.dialect,
                    value: json!([text]),
                },
            ],
        },
    ];
    asked.tools = vec![Tool::Function {
        name: value.into(),
        description: Some(text.clone()),
        parameters: Some(json!({"properties": {value: {"enum": [value]}}})),
        strict: None,
        extra: fields(),
    }];
    asked.tool_choice = Some(ToolChoice::Function(value.into()));
    asked.response_format = ResponseFormat::JsonSchema {
        name: value.into(),
        description: Some(text.clone()),
        schema: json!({"title": text}),
        strict: None,
    };
    asked.sampling.stop = vec![text.clone()];
    asked.sampling.logit_bias = Some(extra(json!({value: 1})));
    asked.reasoning = Some(Reasoning {
        effort: Some(text.clone()),
        extra: fields(),
        ..Reasoning::default()
    });
    asked.user = Some(text.clone());
    asked.metadata = fields();
    asked.extra = fields();
    asked
}

#[test]
fn in_every_place_of_a_request() {
    // This one has no characters that Rust or JSON would escape.
    let places = format!("{:?}", everywhere(CARD)).matches(CARD).count();
    let places = u32::try_from(places).unwrap();
    assert!(places > 40);
    for value in [NAME, CARD, "bob@corp.test"] {
        for style in [
            MaskStyle::Pseudonym,
            MaskStyle::Surrogate,
            MaskStyle::Redact,
        ] {
            let asked = everywhere(value);
            let mut vault = vault();
            let masked = masked(&asked, &[("person", value)], style, &mut vault).unwrap();
            let left = format!("{:?}", masked.request);
            for spelling in [
                value.to_owned(),
                format!("{value:?}").trim_matches('"').to_owned(),
                json!(value).to_string().trim_matches('"').to_owned(),
                json!(json!(value).to_string())
                    .to_string()
                    .trim_matches('"')
                    .to_owned(),
            ] {
                assert!(!left.contains(&spelling), "{spelling} in {left}");
            }
            assert_eq!(masked.counts.keys().collect::<Vec<_>>(), ["person"]);
            assert_eq!(masked.counts["person"], places);
            assert!(masked.request.metadata.contains_key("plain"));
        }
    }
}

#[test]
fn every_place_that_the_guard_names_is_found() {
    let settings = Settings {
        opaque: Opaque::Allowed,
        ..Settings::default()
    };
    let guard = Guard::new(&settings).unwrap();
    let asked = everywhere(CARD);
    let scan = guard.scan(&asked);
    assert!(scan.findings.len() > 40, "{}", scan.findings.len());
    let look = |text: &str| guard.scan_text(text);
    // By the scan's paths alone, too: nothing else knows what stands there.
    let blind = |_: &str| TextScan::default();
    for detect in [&look as &dyn Fn(&str) -> TextScan, &blind] {
        let rules = all(MaskStyle::Pseudonym);
        let masked = mask(&asked, &scan, detect, &rules, &mut vault()).unwrap();
        let left = format!("{:?}", masked.request);
        assert!(!left.contains("1111"), "{left}");
        assert_eq!(
            guard.scan(&masked.request).counts().get("payment_card"),
            None
        );
    }
}

fn file(source: MediaSource) -> Request {
    let mut asked = request();
    asked.messages = vec![Message {
        role: Role::User,
        name: None,
        extra: Extra::new(),
        parts: vec![Part::File {
            source,
            name: None,
            extra: Extra::new(),
        }],
    }];
    asked
}

#[test]
fn text_in_base64_is_masked_within() {
    let settings = Settings {
        opaque: Opaque::Allowed,
        ..Settings::default()
    };
    let guard = Guard::new(&settings).unwrap();
    let look = |text: &str| guard.scan_text(text);
    let blind = |_: &str| TextScan::default();
    let data = STANDARD.encode(format!("Pay with {CARD}, it is café money."));
    let base64 = |data: String| MediaSource::Base64 {
        media_type: "text/plain".into(),
        data,
    };
    let url = |data: String| MediaSource::Url(format!("data:text/plain;base64,{data}"));
    let rules = all(MaskStyle::Redact);
    for make in [&base64 as &dyn Fn(String) -> MediaSource, &url] {
        let asked = file(make(data.clone()));
        let scan = guard.scan(&asked);
        assert_eq!(scan.counts().get("payment_card"), Some(&1), "{scan:?}");
        let one = mask(&asked, &scan, &look, &rules, &mut vault())
            .unwrap()
            .request;
        let left = STANDARD.encode("Pay with [REDACTED:payment_card], it is café money.");
        assert_eq!(one, file(make(left)));
        // Without a detector the place within is unknown, and all of it goes.
        let all_of_it = mask(&asked, &scan, &blind, &rules, &mut vault())
            .unwrap()
            .request;
        assert_eq!(
            all_of_it,
            file(make(STANDARD.encode("[REDACTED:payment_card]")))
        );
    }
    // A picture cannot be masked, and stays as it is when nothing was seen in it.
    let asked = file(base64(
        STANDARD.encode([0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10]),
    ));
    let same = mask(&asked, &Scan::default(), &look, &rules, &mut vault())
        .unwrap()
        .request;
    assert_eq!(same, asked);
    let scan = Scan {
        findings: vec![finding(
            "api_key",
            "messages[0].content[0].source.data",
            1..4,
        )],
        incomplete: None,
    };
    let refused = mask(&asked, &scan, &look, &rules, &mut vault());
    assert_eq!(refused, Err(MaskError::Sealed { field: "data" }));
}

#[test]
fn the_stale_bytes_are_dropped() {
    let asked = Request {
        raw: Some(RawBody {
            bytes: "{\"model\":\"auto\"}".into(),
            model_span: 9..15,
        }),
        ..ask("nothing to see")
    };
    let masked = masked(&asked, &[], MaskStyle::Redact, &mut vault()).unwrap();
    let unchanged = Request { raw: None, ..asked };
    assert_eq!(masked.request, unchanged);
}

fn arguments(json: &str, values: &[(&'static str, &str)], style: MaskStyle) -> (String, String) {
    let mut asked = request();
    asked.messages = vec![Message {
        role: Role::Assistant,
        name: None,
        extra: Extra::new(),
        parts: vec![Part::ToolCall {
            id: "call_1".into(),
            name: "f".into(),
            arguments: json.into(),
            extra: Extra::new(),
        }],
    }];
    let mut vault = vault();
    let masked = masked(&asked, values, style, &mut vault).expect("it can be masked");
    let Part::ToolCall { arguments, .. } = &masked.request.messages[0].parts[0] else {
        panic!("{masked:?}");
    };
    let restored = vault.restorer_for_json().restore(arguments);
    (arguments.clone(), restored)
}

#[test]
fn arguments_stay_json_and_all_else_in_them_stays_as_it_was() {
    let json = "{ \"to\" : [\"Zo\\u00eb \\\"Z\\\" O'Neil\", 1.50 ],\n\"card\":4111111111111111, \
                \"\\/x\":\"\\u00e9\" }";
    let values = [("person", NAME), ("payment_card", "4111111111111111")];
    let (masked, restored) = arguments(json, &values, MaskStyle::Pseudonym);
    assert!(
        !masked.contains("Neil") && !masked.contains("4111"),
        "{masked}"
    );
    serde_json::from_str::<Value>(&masked).unwrap();
    // Spacing, the number's spelling and other strings' escapes are the model's own.
    assert!(masked.starts_with("{ \"to\" : [\"<PERSON_1_"), "{masked}");
    assert!(
        masked.contains(", 1.50 ],\n\"card\":\"<PAYMENT_CARD_1_"),
        "{masked}"
    );
    assert!(masked.ends_with("\"\\/x\":\"\\u00e9\" }"), "{masked}");
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!(restored["to"][0], NAME);
    assert_eq!(restored["card"], "4111111111111111");
    let (masked, _) = arguments(json, &values, MaskStyle::Redact);
    assert!(
        masked.contains("\"card\":\"[REDACTED:payment_card]\""),
        "{masked}"
    );
    serde_json::from_str::<Value>(&masked).unwrap();
    // A number's surrogate is one.
    let (masked, restored) = arguments(json, &values[1..], MaskStyle::Surrogate);
    let number = &serde_json::from_str::<Value>(&masked).unwrap()["card"];
    assert!(
        number.is_u64() && *number != 4_111_111_111_111_111_u64,
        "{masked}"
    );
    assert_eq!(restored, json);
}

#[test]
fn arguments_that_are_not_json_are_text() {
    let values = [("payment_card", CARD)];
    let json = format!("{{\"card\": \"{CARD}");
    let (masked, restored) = arguments(&json, &values, MaskStyle::Pseudonym);
    assert!(!masked.contains("1111"), "{masked}");
    assert_eq!(restored, json);
}

#[test]
fn a_value_that_only_its_key_explains() {
    // The whole arguments tell more than each string: this detector needs the key.
    let detect = |text: &str| TextScan {
        hits: text
            .find("\"ssn\":\"")
            .map(|at| Hit {
                entity: "us_ssn".into(),
                range: at + 7..at + 18,
                confidence: 1.0,
            })
            .into_iter()
            .collect(),
        incomplete: None,
    };
    let mut asked = ask("it was 078-05-1120, he said");
    asked.messages[0].parts.push(Part::ToolCall {
        id: "1".into(),
        name: "f".into(),
        arguments: "{\"ssn\":\"078-05-1120\",\"n\":[1]}".into(),
        extra: Extra::new(),
    });
    let scan = Scan::default();
    let rules = all(MaskStyle::Redact);
    let masked = mask(&asked, &scan, &detect, &rules, &mut vault()).unwrap();
    let Part::ToolCall { arguments, .. } = &masked.request.messages[0].parts[1] else {
        panic!();
    };
    assert_eq!(arguments, "{\"ssn\":\"[REDACTED:us_ssn]\",\"n\":[1]}");
    // And it is known wherever else it stands.
    assert_eq!(
        masked.request.messages[0].parts[0],
        Part::text("it was [REDACTED:us_ssn], he said")
    );
}

fn finding(entity: &'static str, path: &str, range: std::ops::Range<usize>) -> Finding {
    Finding {
        entity: entity.into(),
        path: path.into(),
        range,
        confidence: 1.0,
        sensitivity: Sensitivity::Confidential,
    }
}

#[test]
fn a_value_split_over_two_strings_is_masked_in_both() {
    let mut asked = ask("my card: 4111 1111");
    asked.messages[0]
        .parts
        .push(Part::text("1111 1111, thanks"));
    let scan = Scan {
        findings: vec![
            finding("payment_card", "messages[0].content[0].text", 9..18),
            finding("payment_card", "messages[0].content[1].text", 0..9),
        ],
        incomplete: None,
    };
    let mut vault = vault();
    let rules = all(MaskStyle::Pseudonym);
    let masked = mask(&asked, &scan, &knows(&[]), &rules, &mut vault).unwrap();
    assert!(!format!("{:?}", masked.request).contains("1111"));
    assert_eq!(masked.counts["payment_card"], 2);
    for (part, original) in masked.request.messages[0]
        .parts
        .iter()
        .zip(&asked.messages[0].parts)
    {
        let (Part::Text { text, .. }, Part::Text { text: original, .. }) = (part, original) else {
            panic!();
        };
        assert_eq!(vault.restorer().restore(text), *original);
    }
}

#[test]
fn what_the_guard_joins_or_unfolds_is_masked() {
    let guard = Guard::new(&Settings::default()).unwrap();
    let look = |text: &str| guard.scan_text(text);
    for pieces in [
        // Over two parts, with invisible letters, in wide digits, encoded.
        ["my card: 4111 1111", "1111 1111 thanks"],
        ["card 4111\u{200b}1111\u{200b}1111\u{200b}1111", "thanks"],
        ["card ４１１１ １１１１ １１１１ １１１１", "thanks"],
        ["card NDExMSAxMTExIDExMTEgMTExMQ==", "thanks"],
    ] {
        let mut asked = ask(pieces[0]);
        asked.messages[0].parts.push(Part::text(pieces[1]));
        let scan = guard.scan(&asked);
        assert!(scan.counts().contains_key("payment_card"), "{scan:?}");
        let rules = MaskRules::new().with("payment_card", MaskStyle::Pseudonym);
        let mut vault = vault();
        let masked = mask(&asked, &scan, &look, &rules, &mut vault)
            .unwrap()
            .request;
        assert_eq!(
            guard.scan(&masked).counts().get("payment_card"),
            None,
            "{masked:?}"
        );
        let restorer = vault.restorer();
        for (part, piece) in masked.messages[0].parts.iter().zip(pieces) {
            let Part::Text { text, .. } = part else {
                panic!("{part:?}");
            };
            assert_eq!(text.contains("<PAYMENT_CARD_"), piece != "thanks", "{text}");
            assert_eq!(restorer.restore(text), piece);
        }
    }
}

#[test]
fn a_key_that_is_not_told_is_found() {
    let mut asked = ask("hello");
    asked.metadata = extra(json!({"a": {"secret key": "the very value"}, "b": "the very value"}));
    let scan = Scan {
        findings: vec![finding("api_key", "metadata.a.*", 4..8)],
        incomplete: None,
    };
    let rules = all(MaskStyle::Redact);
    let masked = mask(&asked, &scan, &knows(&[]), &rules, &mut vault()).unwrap();
    // Both the key and its value stand at that path; what cannot be told apart is masked in both.
    assert_eq!(
        Value::Object(masked.request.metadata),
        json!({"a": {"secr[REDACTED:api_key]ey": "the [REDACTED:api_key] value"}, "b": "the very value"})
    );
}

#[test]
fn keys_that_read_the_same_once_redacted_all_stay() {
    let mut asked = request();
    asked.metadata = extra(json!({"ann": 1, "bob": 2, "eve": 3}));
    let people = [("person", "ann"), ("person", "bob"), ("person", "eve")];
    let masked = masked(&asked, &people, MaskStyle::Redact, &mut vault()).unwrap();
    let values: Vec<_> = masked.request.metadata.values().cloned().collect();
    assert_eq!(values, [json!(1), json!(2), json!(3)]);
}

#[test]
fn what_cannot_be_masked_is_refused() {
    let rules = all(MaskStyle::Pseudonym);
    let try_scan = |findings, incomplete: Option<&str>| {
        let scan = Scan {
            findings,
            incomplete: incomplete.map(str::to_owned),
        };
        mask(&ask("hello"), &scan, &knows(&[]), &rules, &mut vault())
    };
    assert_eq!(try_scan(vec![], Some("late")), Err(MaskError::Incomplete));
    for (path, range) in [
        ("messages[1].content[0].text", 0..3),
        ("messages[0].content[0].text", 0..6),
        ("messages[0].content[0].text", 3..3),
        ("messages[*]", 0..1),
    ] {
        let refused = try_scan(vec![finding("person", path, range)], None);
        let path = path.to_owned();
        assert_eq!(refused, Err(MaskError::Unlocated { path }));
    }
    // A type that is not to be masked is not looked for.
    let scan = Scan {
        findings: vec![finding("person", "nowhere", 0..1)],
        incomplete: None,
    };
    let rules = MaskRules::new().with("iban", MaskStyle::Redact);
    mask(&ask("hello"), &scan, &knows(&[]), &rules, &mut vault()).unwrap();
    // A vendor's signature cannot be changed.
    let mut asked = ask("hello");
    asked.messages[0].parts.push(Part::Thinking {
        text: String::new(),
        signature: Some("abc".into()),
        extra: Extra::new(),
    });
    let refused = masked(
        &asked,
        &[("api_key", "abc")],
        MaskStyle::Redact,
        &mut vault(),
    );
    assert_eq!(refused, Err(MaskError::Sealed { field: "signature" }));
    // A detector that points outside the text is not believed.
    let detect = |text: &str| TextScan {
        hits: vec![Hit {
            entity: "person".into(),
            range: text.len()..text.len() + 1,
            confidence: 1.0,
        }],
        incomplete: None,
    };
    let rules = all(MaskStyle::Redact);
    let refused = mask(&asked, &Scan::default(), &detect, &rules, &mut vault());
    assert_eq!(refused, Err(MaskError::Range));
}

#[test]
fn of_overlapping_findings_nothing_stays() {
    let rules = MaskRules::new()
        .with("person", MaskStyle::Redact)
        .with("email_address", MaskStyle::Pseudonym);
    let values = [
        ("person", "Ann Lee"),
        ("email_address", "Lee@corp.test"),
        ("location", "Paris"),
    ];
    let asked = ask("from Ann Lee@corp.test in Paris");
    let masked = mask(
        &asked,
        &Scan::default(),
        &knows(&values),
        &rules,
        &mut vault(),
    )
    .unwrap();
    assert_eq!(
        masked.request.messages[0].parts[0],
        Part::text("from [REDACTED:email_address] in Paris")
    );
}

#[test]
fn the_same_value_keeps_its_placeholder_and_types_are_counted_apart() {
    let mut vault = vault();
    let values = [
        ("payment_card", CARD),
        ("payment_card", "4111-1111-1111-1111"),
        ("email_address", "Bob@Corp.test"),
        ("email_address", "bob@corp.test"),
        ("person", "Ann"),
        ("person", "Bo"),
    ];
    let style = MaskStyle::Pseudonym;
    let text = "Ann Bo Ann Bob@Corp.test bob@corp.test 4111-1111-1111-1111 4111 1111 1111 1111";
    let sent = crate::sent(text, &values, style, &mut vault);
    let tag = crate::tag(&sent).to_owned();
    let expected = format!(
        "<PERSON_1_{tag}> <PERSON_2_{tag}> <PERSON_1_{tag}> <EMAIL_ADDRESS_1_{tag}> \
         <EMAIL_ADDRESS_1_{tag}> <PAYMENT_CARD_1_{tag}> <PAYMENT_CARD_1_{tag}>"
    );
    assert_eq!(sent, expected);
}

#[test]
fn later_turns_find_the_placeholders_of_earlier_ones() {
    let values = [
        ("person", "Ann Lee"),
        ("person", "Bo Dahl"),
        ("person", "Cy Ek"),
    ];
    let mut kept = vault();
    let first = ask("Ann Lee wrote to Bo Dahl");
    let style = MaskStyle::Pseudonym;
    let one = masked(&first, &values, style, &mut kept).unwrap().request;
    let mut second = first.clone();
    second
        .messages
        .push(Message::text(Role::Assistant, "Bo Dahl? Ann Lee."));
    second
        .messages
        .push(Message::text(Role::User, "And Cy Ek."));
    let two = masked(&second, &values, style, &mut kept).unwrap().request;
    assert_eq!(two.messages[0], one.messages[0]);
    // A vault that was lost is filled again with the same.
    let again = masked(&second, &values, style, &mut vault())
        .unwrap()
        .request;
    assert_eq!(again, two);
    // Once known, a value is known without the guard.
    let third = masked(&second, &[], style, &mut kept).unwrap().request;
    assert_eq!(third, two);
}

#[test]
fn known_values_are_found_in_their_json_spelling_and_within_words() {
    let values = [("person", "Zoë Ångström")];
    let text = "Zoë Ångström: {\"name\":\"Zo\\u00eb \\u00C5ngstr\\u00f6m\"} \
                \"Zo\\u00eb \\u00c5ngstr\\u00f6m\" xZoë Ångströmx";
    let mut vault = vault();
    // The mixed spelling is nobody's; the uniform one is.
    let sent = crate::sent(text, &values, MaskStyle::Pseudonym, &mut vault);
    assert_eq!(sent.matches("ngstr").count(), 1, "{sent}");
    assert_eq!(vault.restorer().restore(&sent), text);
}
