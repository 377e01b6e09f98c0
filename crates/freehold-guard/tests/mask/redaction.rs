//! What the model made up goes, what the caller sent stays, however the answer is cut.

use std::sync::Arc;

use freehold_guard::{
    AnswerGuard, Classifier, Entity, Guard, KnownValues, MaskRules, MaskStyle, Settings, Vault,
    mask,
};
use freehold_types::answer::{Delta, Event, PartKind};
use freehold_types::request::ResponseFormat;
use freehold_types::{Dialect, Extra, Message, Part, Request, Role};
use serde_json::{Value, json};

fn request(text: &str) -> Request {
    Request {
        messages: vec![Message::text(Role::User, text)],
        ..crate::request()
    }
}

fn guard() -> Guard {
    Guard::new(&Settings::default()).expect("the default settings are valid")
}

fn answer_guard(sent: &str, format: &ResponseFormat) -> AnswerGuard {
    let guard = guard();
    let request = request(sent);
    let scan = Arc::new(guard.scan(&request));
    let known = KnownValues::new(Arc::new(request), scan, None);
    // Dates and names are too common to be asked for by everybody.
    let wanted = |entity: &Entity| {
        !matches!(
            entity.as_str(),
            "person" | "location" | "organisation" | "date"
        )
    };
    AnswerGuard::new(guard, Arc::new(wanted), known, format)
}

fn delta(delta: Delta) -> Event {
    Event::PartDelta {
        choice: 0,
        part: 0,
        delta,
    }
}

fn text(text: &str) -> Event {
    delta(Delta::Text {
        text: text.to_owned(),
        logprobs: vec![],
    })
}

/// The text of the events' text deltas.
fn told(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::PartDelta {
            delta: Delta::Text { text, .. } | Delta::Arguments(text),
            ..
        } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn through(answer: &mut AnswerGuard, events: Vec<Event>) -> Vec<Event> {
    let mut all: Vec<Event> = events
        .into_iter()
        .flat_map(|event| answer.push(event))
        .collect();
    all.extend(answer.finish());
    all
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n-----END PRIVATE KEY-----";

#[test]
fn what_the_model_made_up_goes_at_every_cut() {
    for (value, entity) in [
        ("4111 1111 1111 1111", "payment_card"),
        ("GB82 WEST 1234 5698 7654 32", "iban"),
        ("ann.example@mail.example.org", "email_address"),
        ("+1 (415) 555-2671", "phone_number"),
        ("536-22-8741", "us_ssn"),
        (KEY, "private_key"),
    ] {
        let answer = format!("as you asked, the ssn or so is {value}, and that was all of it");
        let expected =
            format!("as you asked, the ssn or so is [REDACTED:{entity}], and that was all of it");
        for cut in 0..=answer.len() {
            let mut guard = answer_guard("what is it?", &ResponseFormat::Text);
            let events = vec![text(&answer[..cut]), text(&answer[cut..]), Event::End];
            assert_eq!(told(&through(&mut guard, events)), expected, "cut at {cut}");
            assert_eq!(guard.counts().get(entity), Some(&1));
        }
        let mut guard = answer_guard("what is it?", &ResponseFormat::Text);
        let letters = answer.chars().map(|letter| text(&letter.to_string()));
        assert_eq!(told(&through(&mut guard, letters.collect())), expected);
    }
}

#[test]
fn what_the_caller_sent_stays() {
    let sent = "pay 4111-1111-1111-1111 and tell ann.example@mail.example.org";
    let mut guard = answer_guard(sent, &ResponseFormat::Text);
    let answer = "I told Ann.Example@mail.example.org that 4111 1111 1111 1111 was paid, not 5500 0000 0000 0004.";
    let events = vec![text(answer), Event::End];
    assert_eq!(
        told(&through(&mut guard, events)),
        answer.replace("5500 0000 0000 0004", "[REDACTED:payment_card]")
    );
}

#[test]
fn a_longer_value_is_not_known_by_a_piece_of_it() {
    let mut guard = answer_guard("write to ann@mail.example.org", &ResponseFormat::Text);
    let events = vec![text("joann@mail.example.org it is"), Event::End];
    assert_eq!(
        told(&through(&mut guard, events)),
        "[REDACTED:email_address] it is"
    );
}

/// What goes out for an address that the caller sent, and the guard of the answer to it.
fn masked_address(style: MaskStyle) -> (String, AnswerGuard) {
    let guard = guard();
    let request = request("write to ann@mail.example.org");
    let scan = guard.scan(&request);
    let rules = MaskRules::new().with("email_address", style);
    let mut vault = Vault::new("tenant", "talk", &[7; 32]);
    let detect = |text: &str| guard.scan_text(text);
    let masked = mask(&request, &scan, &detect, &rules, &mut vault).expect("it can be masked");
    let Part::Text { text: sent, .. } = &masked.request.messages[0].parts[0] else {
        panic!("a text");
    };
    let stand_in = sent.strip_prefix("write to ").unwrap_or(sent).to_owned();
    let known = KnownValues::new(Arc::new(request), Arc::new(scan), Some(vault.restorer()));
    let unwanted = Arc::new(|_: &Entity| true);
    let answer = AnswerGuard::new(guard, unwanted, known, &ResponseFormat::Text);
    (stand_in, answer)
}

#[test]
fn what_stands_for_the_callers_values_stays() {
    for style in [MaskStyle::Pseudonym, MaskStyle::Surrogate] {
        let (stand_in, mut answer) = masked_address(style);
        let said = format!("mail to {stand_in} and to bob@mail.example.org is sent");
        let events = vec![text(&said), Event::End];
        assert_eq!(
            told(&through(&mut answer, events)),
            format!("mail to {stand_in} and to [REDACTED:email_address] is sent")
        );
    }
}

#[test]
fn what_only_stands_beside_a_stand_in_goes() {
    for [before, after] in [["", "4111111111111111"], ["4111111111111111", ""]] {
        let (stand_in, mut answer) = masked_address(MaskStyle::Pseudonym);
        let said = format!("pay {before}{stand_in}{after} today");
        let told = told(&through(&mut answer, vec![text(&said), Event::End]));
        assert!(!told.contains("4111"), "{told}");
        assert!(told.contains("[REDACTED:payment_card]"), "{told}");
        assert!(told.contains(&stand_in), "{told}");
    }
}

#[test]
fn plain_words_come_at_once() {
    let mut guard = answer_guard("hello", &ResponseFormat::Text);
    for word in ["so ", "this ", "comes ", "word ", "by ", "word "] {
        assert_eq!(told(&guard.push(text(word))), word);
    }
}

#[test]
fn arguments_stay_json() {
    let arguments = json!({
        "card": 4_111_111_111_111_111_u64,
        "to": ["ann@mail.example.org", "nobody"],
        "ann@mail.example.org": {"n": 7, "ok": true},
        "line": "a\n\"b\" 4111 1111 1111 1111",
    });
    let expected = json!({
        "card": "[REDACTED:payment_card]",
        "to": ["[REDACTED:email_address]", "nobody"],
        "[REDACTED:email_address]": {"n": 7, "ok": true},
        "line": "a\n\"b\" [REDACTED:payment_card]",
    });
    let written = arguments.to_string();
    for cut in 0..=written.len() {
        let mut guard = answer_guard("hello", &ResponseFormat::Text);
        let events = vec![
            delta(Delta::Arguments(written[..cut].to_owned())),
            delta(Delta::Arguments(written[cut..].to_owned())),
            Event::PartEnd { choice: 0, part: 0 },
        ];
        let told = told(&through(&mut guard, events));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told, expected, "cut at {cut}");
    }
}

#[test]
fn a_json_answer_stays_json_and_clean_json_stays_as_it_is() {
    let mut guard = answer_guard("hello", &ResponseFormat::JsonObject);
    let events = vec![text("{ \"to\": \"ann@mail.example.org\" }"), Event::End];
    assert_eq!(
        told(&through(&mut guard, events)),
        "{ \"to\": \"[REDACTED:email_address]\" }"
    );
    let clean = "{ \"a\" : [1.50, \"\\u0041\"] }";
    let events = vec![text(clean), Event::End];
    assert_eq!(told(&through(&mut guard, events)), clean);
}

#[test]
fn a_cut_answer_tells_no_more() {
    let mut guard = answer_guard("hello", &ResponseFormat::Text);
    let events = vec![text("it is 4111 1111 1111 1111")];
    assert_eq!(
        told(&through(&mut guard, events)),
        "it is [REDACTED:payment_card]"
    );
    let events = vec![delta(Delta::Arguments(
        "{\"card\": \"4111 1111 1111 1111".into(),
    ))];
    assert_eq!(
        told(&through(&mut guard, events)),
        "{\"card\": \"[REDACTED:payment_card]"
    );
}

#[test]
fn names_fields_and_unknown_parts_are_looked_at() {
    let mut guard = answer_guard("hello", &ResponseFormat::Text);
    let value = json!({"annotations": [{"mail": "ann@mail.example.org"}]});
    let fields: Extra = serde_json::from_value(value.clone()).unwrap();
    let events = vec![
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: PartKind::Unknown {
                dialect: Dialect::OpenaiChat,
                value,
            },
        },
        Event::Extra {
            choice: None,
            fields,
        },
        Event::End,
    ];
    let told = format!("{:?}", through(&mut guard, events));
    assert!(!told.contains("ann@mail"), "{told}");
    assert_eq!(guard.counts()["email_address"], 2);
}

#[test]
fn what_cannot_be_read_goes_whole() {
    // A generator's numbers: they look random and hold no text.
    let blob: String = (0..1_500_u32)
        .map(|place| {
            let mixed =
                place.wrapping_mul(2_654_435_761).rotate_left(13) ^ place.wrapping_mul(40_503);
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                    [(mixed >> 7) as usize % 64],
            )
        })
        .collect();
    let answer = format!("here it is: {blob} and that is all");
    for size in [1, 7, 64, 10_000] {
        let mut guard = answer_guard("hello", &ResponseFormat::Text);
        let pieces = answer.as_bytes().chunks(size);
        let events = pieces.map(|piece| text(str::from_utf8(piece).unwrap()));
        let told = told(&through(&mut guard, events.collect()));
        assert!(told.contains("[REDACTED:"), "{told}");
        assert!(!told.contains(&blob[100..120]), "{told}");
        assert!(told.ends_with("and that is all"), "{told}");
    }
}

#[test]
fn a_word_without_an_end_is_not_held_for_ever() {
    let mut guard = answer_guard("hello", &ResponseFormat::Text);
    let mut held = 0_usize;
    for _ in 0..2_000 {
        held += 16;
        held -= told(&guard.push(text(&"lalalala".repeat(2)))).len();
        assert!(held <= 5 * 1_024, "{held}");
    }
}

struct Panics;

impl Classifier for Panics {
    fn entity(&self) -> &str {
        "panics"
    }

    fn score(&self, _: &str) -> f32 {
        panic!("as it is meant to")
    }
}

#[test]
fn where_the_guard_fails_nothing_is_told() {
    let guard = Guard::new(&Settings::default()).unwrap();
    let guard = guard.with_classifier(Arc::new(Panics));
    let known = KnownValues::new(Arc::new(request("hello")), Arc::default(), None);
    let unwanted = Arc::new(|_: &Entity| true);
    let mut answer = AnswerGuard::new(guard, unwanted, known, &ResponseFormat::Text);
    let told = told(&through(
        &mut answer,
        vec![text("hidden secret"), Event::End],
    ));
    assert_eq!(told, "[REDACTED:unreadable] [REDACTED:unreadable]");
}
