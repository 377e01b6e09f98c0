//! What is cut over messages, parts, lines, words, values and keys is found in all its pieces.

use freehold_guard::{Guard, Scan, Settings};
use freehold_types::request::Prompt;
use freehold_types::{Dialect, Extra, Message, Part, Request, Role};
use proptest::prelude::*;
use serde_json::{Value, json};

fn request(messages: Vec<Message>) -> Request {
    Request::new(Dialect::OpenaiChat, "auto", messages)
}

fn guard() -> Guard {
    Guard::new(&Settings::default()).expect("the default settings are valid")
}

fn paths(scan: &Scan, entity: &str) -> Vec<String> {
    let of = scan
        .findings
        .iter()
        .filter(|finding| finding.entity.as_str() == entity);
    of.map(|finding| finding.path.clone()).collect()
}

/// The pieces of a text, cut at these offsets.
fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        pieces.push(text[from..cut].to_owned());
        from = cut;
    }
    pieces
}

/// Every way in which a request can hold pieces of a text, with the findings' paths.
fn carriers(pieces: &[String]) -> Vec<(&'static str, Request, Vec<String>)> {
    let user = |piece: &String| Message::text(Role::User, piece.clone());
    let path_of = |of: &dyn Fn(usize) -> String| (0..pieces.len()).map(of).collect::<Vec<_>>();
    let messages = request(pieces.iter().map(user).collect());
    let mut parts = request(vec![Message::text(Role::User, "")]);
    parts.messages[0].parts = pieces
        .iter()
        .map(|piece| Part::text(piece.clone()))
        .collect();
    let mut answered = request(vec![]);
    for piece in pieces {
        answered.messages.push(user(piece));
        answered
            .messages
            .push(Message::text(Role::Assistant, "Go on, please."));
    }
    let mut values = request(vec![]);
    values.extra.insert("pieces".into(), json!(pieces));
    let mut fields = request(vec![]);
    let named = pieces.iter().enumerate();
    fields.metadata = named
        .map(|(at, piece)| (format!("part {at}"), json!(piece)))
        .collect();
    let mut keys = request(vec![]);
    keys.metadata = pieces
        .iter()
        .map(|piece| (piece.clone(), Value::Bool(true)))
        .collect();
    let mut prompts = request(vec![]);
    prompts.prompt = Some(Prompt::Texts(pieces.to_vec()));
    let mut call = request(vec![Message::text(Role::Assistant, "")]);
    call.messages[0].parts = vec![Part::ToolCall {
        id: "call".into(),
        name: "pay".into(),
        arguments: json!({ "list": pieces }).to_string(),
        extra: Extra::new(),
    }];
    vec![
        (
            "messages",
            messages,
            path_of(&|at| format!("messages[{at}].content[0].text")),
        ),
        (
            "parts",
            parts,
            path_of(&|at| format!("messages[0].content[{at}].text")),
        ),
        (
            "answered",
            answered,
            path_of(&|at| format!("messages[{}].content[0].text", 2 * at)),
        ),
        ("values", values, path_of(&|at| format!("pieces[{at}]"))),
        ("fields", fields, path_of(&|_| "metadata.".to_owned())),
        ("keys", keys, path_of(&|_| "metadata.".to_owned())),
        ("prompts", prompts, path_of(&|at| format!("prompt[{at}]"))),
        (
            "arguments",
            call,
            path_of(&|_| "messages[0].content[0].arguments".to_owned()),
        ),
    ]
}

fn check(entity: &str, text: &str, cuts: &[usize]) {
    let pieces = pieces(text, cuts);
    if pieces.iter().any(|piece| piece.trim().is_empty()) {
        return;
    }
    let mut distinct = pieces.clone();
    distinct.sort();
    distinct.dedup();
    for (what, request, expected) in carriers(&pieces) {
        // An object has each key once.
        if what == "keys" && distinct.len() < pieces.len() {
            continue;
        }
        let scan = guard().scan(&request);
        let found = paths(&scan, entity);
        let least = if what == "arguments" { 1 } else { pieces.len() };
        assert!(
            found.len() >= least,
            "{entity} over {what} {pieces:?}: {found:?}"
        );
        for path in &expected {
            assert!(
                found.iter().any(|known| known.starts_with(path.as_str())),
                "{entity} over {what} {pieces:?}: {path} not in {found:?}"
            );
        }
    }
}

#[test]
fn a_card_cut_at_every_offset() {
    for text in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
    ] {
        for cut in 1..text.len() {
            check("payment_card", text, &[cut]);
        }
    }
}

#[test]
fn a_card_cut_twice_at_every_pair_of_offsets() {
    let text = "4111 1111 1111 1111";
    for first in 1..text.len() {
        for second in first + 1..text.len() {
            check("payment_card", text, &[first, second]);
        }
    }
}

#[test]
fn other_identifiers_cut_at_every_offset() {
    for cut in 1.."DE89370400440532013000".len() {
        check("iban", "DE89370400440532013000", &[cut]);
    }
    for cut in 4.."ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi".len() {
        check(
            "github_token",
            "ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi",
            &[cut],
        );
    }
}

#[test]
fn one_character_a_piece() {
    let text = "4111111111111111";
    let cuts: Vec<_> = (1..text.len()).collect();
    check("payment_card", text, &cuts);
}

#[test]
fn key_and_value_are_neighbours_and_so_are_numbers() {
    let mut keyed = request(vec![]);
    keyed
        .metadata
        .insert("4111 1111".into(), json!("1111 1111"));
    let found = paths(&guard().scan(&keyed), "payment_card");
    assert_eq!(found, ["metadata.*", "metadata.*"], "a key tells no piece");
    let mut encoded = request(vec![]);
    let key = "%34111 1111 1111 1111";
    encoded.metadata.insert(key.into(), json!("x"));
    assert_eq!(
        paths(&guard().scan(&encoded), "payment_card"),
        ["metadata.*"]
    );
    let mut numbers = request(vec![]);
    numbers
        .extra
        .insert("n".into(), json!([4111, 1111, 1111, 1111]));
    assert_eq!(
        paths(&guard().scan(&numbers), "payment_card"),
        ["n[0]", "n[1]", "n[2]", "n[3]"]
    );
}

#[test]
fn ranges_cover_the_pieces_and_not_the_words_around() {
    let scan = guard().scan(&request(vec![
        Message::text(Role::User, "my card begins ４111 1111"),
        Message::text(Role::User, " 1111 1111 is the rest"),
    ]));
    let ranges: Vec<_> = scan
        .findings
        .iter()
        .map(|finding| finding.range.clone())
        .collect();
    let start = "my card begins ".len();
    assert_eq!(
        ranges,
        [start..start + "４111 1111".len(), 1..10],
        "{scan:?}"
    );
}

#[test]
fn long_strings_are_joined_at_their_edges() {
    let long = "An ordinary sentence of no interest. ".repeat(200);
    let scan = guard().scan(&request(vec![
        Message::text(Role::User, format!("{long}é card 4111 11")),
        Message::text(Role::User, format!("11 1111 1111. {long}")),
    ]));
    let found: Vec<_> = scan
        .findings
        .iter()
        .map(|finding| finding.range.clone())
        .collect();
    let start = long.len() + "é card ".len();
    assert!(
        found.contains(&(start..start + 7)) && found.contains(&(0..12)),
        "{found:?}"
    );
}

#[test]
fn conversations_without_cuts_are_clean() {
    let say = |role, text: &str| Message::text(role, text);
    let mut asked = request(vec![
        say(
            Role::System,
            "You are a helpful assistant. Today is 2024-11-21.",
        ),
        say(Role::User, "How many people lived in Oslo in 1950?"),
        say(Role::Assistant, "434 047"),
        say(Role::User, "2020: 693 494, and 1990?"),
        say(Role::Assistant, "458 364. Version 4.1.1"),
        say(Role::User, "1 + 1 = 2, 2 + 2 = 4"),
    ]);
    asked.metadata = [
        ("trace".to_owned(), json!("a1b2-c3d4")),
        ("turn".to_owned(), json!(4)),
    ]
    .into_iter()
    .collect();
    asked
        .extra
        .insert("seeds".into(), json!([12, 15, 18, 4000, 41, 7, 1200, 3500]));
    let guard = Guard::new(&Settings {
        off: vec![
            "person".into(),
            "location".into(),
            "organisation".into(),
            "date".into(),
        ],
        ..Settings::default()
    })
    .unwrap();
    let scan = guard.scan(&asked);
    assert_eq!(scan.findings, [], "{scan:?}");
    assert_eq!(scan.incomplete, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_card_in_a_conversation_cut_anywhere(
        first in 1_usize..18,
        before in "[a-z ]{0,120}",
        after in "[a-z ]{0,120}",
    ) {
        let text = "4111 1111 1111 1111";
        let (left, right) = text.split_at(first);
        let scan = guard().scan(&request(vec![
            Message::text(Role::User, format!("{before} {left}")),
            Message::text(Role::User, format!("{right} {after}")),
        ]));
        prop_assert_eq!(paths(&scan, "payment_card").len(), 2);
    }
}

/// Keys of which one piece holds no digit, or nothing but capitals.
#[test]
fn keys_cut_by_a_blank_or_a_line_end_at_every_offset() {
    for (entity, key) in [
        ("github_token", "ghp_rBZEyxmUqLw8sTz0aNk4vHc1dJfGxPy9eW2q"),
        ("github_token", "ghp_Gxt7b36mVqLwsTzNkHcdJfGxPyeWqrYuIoPa"),
        ("aws_access_key", "AKIAAWXHUPULY3MGD6RL"),
    ] {
        for between in ["\n", " "] {
            for cut in 1..key.len() {
                let (left, right) = key.split_at(cut);
                let text = format!("it is {left}{between}{right} and that is it");
                let scan = guard().scan_text(&text);
                let found = scan.hits.iter().any(|hit| hit.entity.as_str() == entity);
                assert!(found, "{text}: {:?}", scan.hits);
            }
        }
        for cut in 1..key.len() {
            let pieces = pieces(key, &[cut]);
            for (what, request, _) in carriers(&pieces) {
                let found = paths(&guard().scan(&request), entity);
                println!(
                    "{entity} over {what} {cut} {} {pieces:?}",
                    !found.is_empty()
                );
            }
        }
    }
}
