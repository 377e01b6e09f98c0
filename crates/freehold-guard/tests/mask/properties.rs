//! What holds for every text.

use freehold_guard::{Limits, MaskRules, MaskStyle, Restorer, Scan, TextScan, mask, scan};
use freehold_types::{Extra, Message, Part, Request, Role};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{all, ask, knows, sent, tag, vault};

const ENTITIES: [&str; 6] = [
    "person",
    "email_address",
    "payment_card",
    "phone_number",
    "ip_address",
    "organisation",
];

/// A value that a detector might find: of one kind or anything at all.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-zé]{2,8} [A-Z][a-z]{3,9}",
        "[a-z]{3,8}\\.[a-z]{3,8}@corp\\.test",
        "4[0-9]{3} [0-9]{4} [0-9]{4} [0-9]{4}",
        "\\+1 \\([2-9][0-9]{2}\\) [2-9][0-9]{2}-[0-9]{4}",
        "10\\.[0-9]{2}\\.[0-9]{3}\\.[0-9]{2}",
        "[\"\\\\\\n<>&'é漢🦀A-Za-z0-9_ ]{8,24}",
    ]
}

/// Text around values: plain, with forgeries, or anything at all.
fn filler() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ ,.:;!?()<>\"'\\\\/&-]{0,6}",
        "[a-z ]{0,12}",
        Just("<PERSON_1>".to_owned()),
        Just(" \\u003cPERSON_1".to_owned()),
        Just("&lt;".to_owned()),
        "\\PC{0,8}",
    ]
}

fn style() -> impl Strategy<Value = MaskStyle> {
    prop_oneof![Just(MaskStyle::Pseudonym), Just(MaskStyle::Surrogate)]
}

/// A text with values in it, and the values with their types.
fn text() -> impl Strategy<Value = (String, Vec<(&'static str, String)>)> {
    (
        proptest::collection::vec((filler(), 0_usize..4), 1..8),
        proptest::collection::vec((0..ENTITIES.len(), value()), 4),
    )
        .prop_map(|(fillers, values)| {
            let mut text = String::new();
            for (filler, which) in fillers {
                text.push_str(&filler);
                text.push_str(&values[which].1);
            }
            let values = values
                .into_iter()
                .map(|(entity, value)| (ENTITIES[entity], value))
                .collect();
            (text, values)
        })
}

fn borrowed<'v>(values: &'v [(&'static str, String)]) -> Vec<(&'static str, &'v str)> {
    values
        .iter()
        .map(|(entity, value)| (*entity, value.as_str()))
        .collect()
}

fn in_pieces(restorer: &Restorer, text: &str, sizes: &[usize]) -> String {
    let mut restorer = restorer.another();
    let mut restored = String::new();
    let mut at = 0;
    for size in sizes.iter().cycle() {
        if at >= text.len() {
            break;
        }
        let end = text.ceil_char_boundary(text.len().min(at + size));
        restored += &restorer.push(&text[at..end]);
        at = end;
    }
    restored + &restorer.finish()
}

/// All text of a masked request, as it goes on the wire and decoded once.
fn wire(request: &Request) -> String {
    let part = &request.messages[0].parts;
    let (Part::Text { text, .. }, Part::ToolCall { arguments, .. }) = (&part[0], &part[1]) else {
        panic!("{part:?}");
    };
    let body = json!({"text": text, "arguments": arguments, "metadata": request.metadata});
    let arguments: Value = serde_json::from_str(arguments).expect("they stay JSON");
    format!("{body}\n{text}\n{arguments}\n{}", arguments["q"])
}

fn escapes(value: &str) -> Vec<String> {
    let once = json!(value).to_string();
    let twice = json!(once).to_string();
    let bare = |quoted: &str| quoted[1..quoted.len() - 1].to_owned();
    vec![
        value.to_owned(),
        bare(&once),
        bare(&bare(&twice).replace("\\\"", "\"")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_echo_comes_back_as_it_was(
        (text, values) in text(),
        style in style(),
        sizes in proptest::collection::vec(1_usize..9, 1..5),
    ) {
        // Values in two spellings come back in the first: of those, only one is kept here.
        let values = distinct(values);
        let mut vault = vault();
        let sent = sent(&text, &borrowed(&values), style, &mut vault);
        prop_assert_eq!(vault.restorer().restore(&sent), &text[..]);
        prop_assert_eq!(in_pieces(&vault.restorer(), &sent, &sizes), &text[..]);
        let call = json!({ "q": sent }).to_string();
        let restored = in_pieces(&vault.restorer_for_json(), &call, &sizes);
        prop_assert_eq!(restored, json!({ "q": text }).to_string());
    }

    #[test]
    fn no_value_is_left_in_any_spelling((text, values) in text(), style in style()) {
        let mut asked = ask(&text);
        asked.messages[0].parts.push(Part::ToolCall {
            id: "1".into(),
            name: "f".into(),
            arguments: json!({ "q": text }).to_string(),
            extra: Extra::new(),
        });
        asked.metadata = [(text.clone(), json!([text]))].into_iter().collect();
        let present: Vec<_> = values.iter().filter(|(_, v)| text.contains(v.as_str())).collect();
        for rules in [all(style), all(MaskStyle::Redact)] {
            let known = borrowed(&values);
            let masked = mask(&asked, &Scan::default(), &knows(&known), &rules, &mut vault());
            let wire = wire(&masked.unwrap().request);
            for (_, value) in &present {
                for spelling in escapes(value) {
                    prop_assert!(!wire.contains(&spelling), "{:?} in {}", spelling, wire);
                }
            }
        }
    }

    #[test]
    fn forgeries_survive_wherever_they_stand(
        (text, values) in text(),
        style in style(),
        number in 1_u32..4,
        wrong in "[a-z0-9]{5}",
        at in 0_usize..100,
    ) {
        let values = distinct(values);
        let mut vault = vault();
        let first = sent("Ann Lee", &[("person", "Ann Lee")], MaskStyle::Pseudonym, &mut vault);
        let right = tag(&first).to_owned();
        let at = text.ceil_char_boundary(at.min(text.len()));
        for tag in [&wrong, &right, &right.to_uppercase()] {
            for forged in [format!("<PERSON_{number}_{tag}>"), format!(" person {number} {tag} ")] {
                let text = format!("{}{forged}{}", &text[..at], &text[at..]);
                let sent = sent(&text, &borrowed(&values), style, &mut vault);
                prop_assert_eq!(vault.restorer().restore(&sent), text);
            }
        }
    }

    #[test]
    fn another_vault_restores_nothing((text, values) in text(), style in style()) {
        let mut ours = vault();
        let sent_by_us = sent(&text, &borrowed(&values), MaskStyle::Pseudonym, &mut ours);
        let mut theirs = freehold_guard::Vault::new("other", "conversation 1", crate::SECRET);
        sent(&text, &borrowed(&values), style, &mut theirs);
        prop_assert_eq!(theirs.restorer().restore(&sent_by_us), &sent_by_us[..]);
    }

    #[test]
    fn every_cut_of_any_answer_gives_the_same(
        pieces in proptest::collection::vec((0_usize..9, filler()), 0..12),
        sizes in proptest::collection::vec(1_usize..7, 1..6),
    ) {
        let mut vault = vault();
        let values = [
            ("person", "Ann \"X\" Lee"),
            ("phone_number", "(212) 867-5309"),
            ("person", "Bo Dahl"),
            ("ip_address", "10.1.2.3"),
        ];
        let named = sent("Ann \"X\" Lee", &values, MaskStyle::Pseudonym, &mut vault);
        let made_up = sent("(212) 867-5309|Bo Dahl|10.1.2.3", &values, MaskStyle::Surrogate, &mut vault);
        let bare = named.trim_matches(['<', '>']).to_owned();
        let spelled = [
            named.clone(),
            bare.clone(),
            bare.to_lowercase().replace('_', "-"),
            format!("\\u003c{bare}\\u003e"),
            format!("\\\\u003c{bare}\\\\u003e"),
            format!("\\<{}\\>", bare.replace('_', "\\_")),
            format!("&lt;{bare}&gt;"),
            made_up.clone(),
            made_up.replace('-', " ").replace('|', ""),
        ];
        let answer: String = pieces.iter().map(|(which, text)| spelled[*which].clone() + text).collect();
        for restorer in [vault.restorer(), vault.restorer_for_json()] {
            prop_assert_eq!(in_pieces(&restorer, &answer, &sizes), restorer.restore(&answer));
        }
    }

    #[test]
    fn any_text_and_any_finding_are_safe(
        text in "\\PC{0,40}",
        other in "[\\x00-\\x7f]{0,40}",
        hits in proptest::collection::vec((0..ENTITIES.len(), 0_usize..60, 0_usize..60), 0..6),
    ) {
        let mut asked = ask(&text);
        asked.messages.push(Message {
            role: Role::Assistant,
            name: Some(text.clone()),
            parts: vec![Part::ToolCall {
                id: other.clone(),
                name: text.clone(),
                arguments: other.clone(),
                extra: Extra::new(),
            }],
            extra: [(other, json!(text))].into_iter().collect(),
        });
        let detect = |text: &str| TextScan {
            hits: hits
                .iter()
                .filter(|(_, start, end)| start < end && *end <= text.len())
                .map(|(entity, start, end)| freehold_guard::Hit {
                    entity: ENTITIES[*entity].into(),
                    range: *start..*end,
                    confidence: 1.0,
                })
                .collect(),
            incomplete: None,
        };
        for style in [MaskStyle::Surrogate, MaskStyle::Pseudonym, MaskStyle::Redact] {
            let mut vault = vault();
            let masked = mask(&asked, &Scan::default(), &detect, &all(style), &mut vault).unwrap();
            for part in &masked.request.messages[1].parts {
                if let Part::ToolCall { arguments, .. } = part {
                    vault.restorer_for_json().restore(arguments);
                }
            }
        }
    }

    #[test]
    fn what_the_guard_finds_is_masked_and_no_longer_found(
        before in filler(),
        digits in "[0-9]{9}",
        style in prop_oneof![style(), Just(MaskStyle::Redact)],
    ) {
        let card = (0..10)
            .map(|check| format!("411111{digits}{check}"))
            .find(|card| luhn(card))
            .unwrap();
        let asked = ask(&format!("{before} {card} {before}"));
        let limits = Limits::default();
        let seen = scan(&asked, &limits);
        prop_assume!(seen.counts().get("payment_card") == Some(&1));
        let rules = MaskRules::new().with("payment_card", style);
        let masked = mask(&asked, &seen, &knows(&[]), &rules, &mut vault()).unwrap();
        let left = scan(&masked.request, &limits).counts();
        let surrogate = u32::from(style == MaskStyle::Surrogate);
        prop_assert_eq!(left.get("payment_card").copied().unwrap_or(0), surrogate);
        let left = format!("{:?}", masked.request);
        prop_assert!(!left.contains(&card));
    }
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') << (place % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Only values of which no two are the same but for case and spacing.
fn distinct(values: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let mut seen = std::collections::HashSet::new();
    let form = |value: &str| {
        let letters = value.chars().filter(|letter| letter.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    values
        .into_iter()
        .filter(|(_, value)| seen.insert(form(value)))
        .collect()
}
