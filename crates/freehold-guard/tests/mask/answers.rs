//! What comes back: whole, in pieces, as events.

use freehold_guard::{MaskStyle, Vault};
use freehold_types::answer::{Choice, Response};
use freehold_types::request::ResponseFormat;
use freehold_types::{
    Delta, Dialect, Event, Extra, FinishReason, Part, PartKind, TokenLogprob, Usage,
};
use serde_json::{Value, json};

use crate::{sent, tag, vault};

const NAME: &str = "Ann \"A\" Lee\nII";

fn filled() -> (Vault, String) {
    let mut vault = vault();
    let placeholder = sent(NAME, &[("person", NAME)], MaskStyle::Pseudonym, &mut vault);
    (vault, placeholder)
}

#[test]
fn models_change_what_they_copy() {
    let (vault, placeholder) = filled();
    let tag = tag(&placeholder);
    let restorer = vault.restorer();
    for (answer, expected) in [
        (format!("<PERSON_1_{tag}>"), NAME.to_owned()),
        (
            format!("<person_1_{}>", tag.to_uppercase()),
            NAME.to_owned(),
        ),
        (format!("Dear PERSON_1_{tag},"), format!("Dear {NAME},")),
        (format!("(Person-1-{tag})"), format!("({NAME})")),
        (format!("Person 1 {tag}'s"), format!("{NAME}'s")),
        (format!("[PERSON_1_{tag}](x)"), format!("[{NAME}](x)")),
        (format!("<PERSON_1_{tag}."), format!("<{NAME}.")),
        (format!("PERSON_1_{tag}>"), format!("{NAME}>")),
        (format!("<<PERSON_1_{tag}>>"), format!("<{NAME}>")),
        (format!("\\<PERSON\\_1\\_{tag}\\>"), NAME.to_owned()),
        (format!("C:\\<PERSON_1_{tag}>\\x"), format!("C:\\{NAME}\\x")),
        (format!("我叫PERSON_1_{tag}。"), format!("我叫{NAME}。")),
        (format!("我叫<PERSON_1_{tag}>吗"), format!("我叫{NAME}吗")),
        (
            format!("&lt;PERSON_1_{tag}&gt;"),
            "Ann &quot;A&quot; Lee\nII".to_owned(),
        ),
        (
            format!("{{\"n\":\"\\u003cPERSON_1_{tag}\\u003E\"}}"),
            "{\"n\":\"Ann \\\"A\\\" Lee\\nII\"}".to_owned(),
        ),
    ] {
        assert_eq!(restorer.restore(&answer), expected, "{answer}");
    }
    for other in [
        format!("xPERSON_1_{tag}"),
        format!("PERSON_1_{tag}x"),
        format!("<PERSON_1_{tag}x>"),
        format!("<PERSON_2_{tag}>"),
        format!("<PERSON_11_{tag}>"),
        "<PERSON_1_>".to_owned(),
        "&lt;&amp;\\u003c\\u00".to_owned(),
    ] {
        assert_eq!(restorer.restore(&other), other);
    }
}

#[test]
fn in_json_values_are_escaped() {
    let (vault, placeholder) = filled();
    let tag = tag(&placeholder);
    let restorer = vault.restorer_for_json();
    for spelled in [
        format!("<PERSON_1_{tag}>"),
        format!("\\u003cPERSON_1_{tag}\\u003e"),
        format!("\\u003CPERSON\\u005f1_{tag}\\u003E"),
        format!("person_1_{tag}"),
    ] {
        let json = format!("{{\"a\\n\\u00e9\":[\"{spelled}\",\"\\\\\"]}}");
        let restored = restorer.restore(&json);
        let value: Value = serde_json::from_str(&restored).unwrap();
        assert_eq!(value, json!({"a\né": [NAME, "\\"]}), "{spelled}");
    }
    // JSON in a JSON string, its brackets escaped.
    let inner = format!("{{\"to\":\"\\u003cPERSON_1_{tag}\\u003e\"}}");
    let outer = json!({ "body": inner }).to_string();
    let restored: Value = serde_json::from_str(&restorer.restore(&outer)).unwrap();
    let inner: Value = serde_json::from_str(restored["body"].as_str().unwrap()).unwrap();
    assert_eq!(inner["to"], NAME);
}

#[test]
fn every_cut_gives_the_same() {
    let (vault, placeholder) = filled();
    let tag = tag(&placeholder);
    let answer = format!(
        "é<PERSON_1_{tag}>, <PER \\<person\\_1\\_{tag}\\>; \\u003cPERSON_1_{tag}\\u003e&lt;PERSON 1 \
         {tag}&gt; PERSON_1_{tag} <PERSON_1_{tag} \\\\u003cPERSON_1_{tag}\\\\u003e \\u00"
    );
    for restorer in [vault.restorer(), vault.restorer_for_json()] {
        let whole = restorer.restore(&answer);
        let cuts: Vec<usize> = (0..=answer.len())
            .filter(|&at| answer.is_char_boundary(at))
            .collect();
        for &one in &cuts {
            for &two in cuts.iter().filter(|&&two| two >= one) {
                let mut restorer = restorer.another();
                let mut pieces = restorer.push(&answer[..one]);
                pieces += &restorer.push(&answer[one..two]);
                pieces += &restorer.push(&answer[two..]);
                pieces += &restorer.finish();
                assert_eq!(pieces, whole, "{one} {two}");
            }
        }
    }
}

#[test]
fn little_is_held_back() {
    let (vault, placeholder) = filled();
    let mut restorer = vault.restorer();
    assert_eq!(restorer.push("plain words, "), "plain words, ");
    assert_eq!(restorer.push("a < b "), "a < b ");
    assert_eq!(restorer.push("<PERSON_1"), "");
    assert_eq!(restorer.push("2 "), "<PERSON_12 ");
    assert_eq!(restorer.push(&placeholder[..placeholder.len() - 1]), "");
    assert_eq!(restorer.push(">"), NAME);
    assert_eq!(restorer.push("<<<<<<<<<"), "<<<<<<<<");
    assert_eq!(restorer.finish(), "<");
    // However long the text, no more than the longest spelling of a placeholder.
    let answer = "<person_1_".repeat(1_000) + &"\\u003c".repeat(1_000) + &"person 1 ".repeat(1_000);
    let (mut taken, mut given) = (0, 0);
    for piece in answer.as_bytes().chunks(7) {
        let piece = std::str::from_utf8(piece).unwrap();
        taken += piece.len();
        given += restorer.push(piece).len();
        assert!(taken - given <= 7 * placeholder.len(), "{}", taken - given);
    }
}

fn part_delta(choice: u32, part: u32, delta: Delta) -> Event {
    Event::PartDelta {
        choice,
        part,
        delta,
    }
}

fn text(text: &str) -> Delta {
    let token = TokenLogprob {
        token: text.into(),
        logprob: -1.0,
        bytes: None,
        top: vec![],
    };
    Delta::Text {
        text: text.into(),
        logprobs: vec![token],
    }
}

fn restored(vault: &Vault, format: &ResponseFormat, events: Vec<Event>) -> Vec<Event> {
    let mut restorer = vault.answer_restorer(format);
    let mut restored: Vec<Event> = events
        .into_iter()
        .flat_map(|event| restorer.push(event))
        .collect();
    restored.extend(restorer.finish());
    restored
}

#[test]
fn parts_and_choices_may_interleave() {
    let (vault, placeholder) = filled();
    let (head, tail) = placeholder.split_at(8);
    let start = |choice, part, kind| Event::PartStart { choice, part, kind };
    let events = vec![
        start(0, 0, PartKind::Thinking),
        start(1, 0, PartKind::Text),
        part_delta(0, 0, Delta::Thinking(head.into())),
        part_delta(1, 0, text(head)),
        part_delta(0, 0, Delta::Thinking(tail.into())),
        part_delta(0, 0, Delta::Thinking("<PERSON".into())),
        part_delta(0, 0, Delta::Signature("sig".into())),
        Event::PartEnd { choice: 0, part: 0 },
        part_delta(1, 0, text(tail)),
        part_delta(1, 0, text("<")),
        start(
            0,
            1,
            PartKind::ToolCall {
                id: "a".into(),
                name: "f".into(),
            },
        ),
        start(
            0,
            2,
            PartKind::ToolCall {
                id: "b".into(),
                name: placeholder.clone(),
            },
        ),
        part_delta(0, 1, Delta::Arguments(format!("{{\"n\":\"{head}"))),
        part_delta(0, 2, Delta::Arguments("{\"n\":\"\\u003".into())),
        part_delta(0, 1, Delta::Arguments(format!("{tail}\"}}"))),
        part_delta(
            0,
            2,
            Delta::Arguments(format!(
                "c{}\\u003e\"}}",
                placeholder.trim_matches(['<', '>'])
            )),
        ),
        part_delta(0, 3, Delta::Refusal(placeholder.clone())),
        Event::Finish {
            choice: 0,
            reason: FinishReason::ToolCalls,
            stop_sequence: Some(placeholder.clone()),
        },
        Event::Extra {
            choice: Some(1),
            fields: [("note".to_owned(), json!([placeholder]))]
                .into_iter()
                .collect(),
        },
        Event::Usage(Usage::default()),
        Event::End,
    ];
    let restored = restored(&vault, &ResponseFormat::Text, events);
    assert_eq!(restored.last(), Some(&Event::End));
    let signature = part_delta(0, 0, Delta::Signature("sig".into()));
    let before = restored
        .iter()
        .position(|event| *event == signature)
        .unwrap()
        - 1;
    assert_eq!(
        restored[before],
        part_delta(0, 0, Delta::Thinking("<PERSON".into()))
    );
    let response = Response::from_events(restored);
    let json = json!({ "n": NAME }).to_string();
    let call = |id: &str, name: &str| Part::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: json.clone(),
        extra: Extra::new(),
    };
    let parts = &response.choices[0].parts;
    assert_eq!(
        parts[0],
        Part::Thinking {
            text: format!("{NAME}<PERSON"),
            signature: Some("sig".into()),
            extra: Extra::new(),
        }
    );
    assert_eq!(parts[1..3], [call("a", "f"), call("b", NAME)]);
    assert_eq!(response.choices[0].stop_sequence.as_deref(), Some(NAME));
    assert_eq!(response.choices[1].parts, [Part::text(format!("{NAME}<"))]);
    assert_eq!(response.choices[1].extra["note"], json!([NAME]));
    assert_eq!(response.choices[1].logprobs, []);
}

#[test]
fn what_is_held_comes_before_the_end_even_of_a_cut_answer() {
    let (vault, _) = filled();
    let delta = |piece: &str| {
        part_delta(
            0,
            0,
            Delta::Text {
                text: piece.into(),
                logprobs: vec![],
            },
        )
    };
    let finish = Event::Finish {
        choice: 0,
        reason: FinishReason::Stop,
        stop_sequence: None,
    };
    for (closing, expected) in [
        (Some(Event::PartEnd { choice: 0, part: 0 }), 3),
        (Some(finish), 3),
        (Some(Event::End), 3),
        (None, 2),
    ] {
        let events = [delta("yes <PERSON")]
            .into_iter()
            .chain(closing.clone())
            .collect();
        let restored = restored(&vault, &ResponseFormat::Text, events);
        assert_eq!(restored.len(), expected, "{restored:?}");
        assert_eq!(restored[..2], [delta("yes "), delta("<PERSON")]);
        assert_eq!(restored.get(2), closing.as_ref());
    }
}

#[test]
fn text_that_is_to_be_json_is_restored_as_json() {
    let (vault, placeholder) = filled();
    let answer = json!({ "name": placeholder }).to_string();
    let events = vec![part_delta(0, 0, text(&answer)), Event::End];
    let response = Response::from_events(restored(&vault, &ResponseFormat::JsonObject, events));
    assert_eq!(
        response.choices[0].parts,
        [Part::text(json!({ "name": NAME }).to_string())]
    );
}

#[test]
fn every_kind_of_part_is_restored() {
    let (vault, placeholder) = filled();
    let response = Response {
        choices: vec![Choice {
            parts: vec![
                Part::Thinking {
                    text: format!("about {placeholder}"),
                    signature: None,
                    extra: Extra::new(),
                },
                Part::text(format!("Dear {placeholder}, <PERSON_1>")),
                Part::Refusal {
                    text: placeholder.clone(),
                },
                Part::ToolCall {
                    id: "1".into(),
                    name: "f".into(),
                    arguments: json!({ "n": placeholder }).to_string(),
                    extra: Extra::new(),
                },
                Part::Unknown {
                    dialect: Dialect::OpenaiChat,
                    value: json!({"deep": [placeholder], "n": 1}),
                },
            ],
            finish: Some(FinishReason::Stop),
            ..Choice::default()
        }],
        ..Response::default()
    };
    let whole = Response::from_events(restored(
        &vault,
        &ResponseFormat::Text,
        response.into_events(),
    ));
    assert!(!format!("{whole:?}").contains("PERSON_1_"));
    assert_eq!(
        whole.choices[0].parts[1],
        Part::text(format!("Dear {NAME}, <PERSON_1>"))
    );
}

#[test]
fn without_values_an_answer_stays_as_it_is() {
    let answer = "<PERSON_1> \\u003c &lt;";
    let mut restorer = vault().restorer();
    assert_eq!(restorer.push(answer), answer);
    assert_eq!(restorer.finish(), "");
}
