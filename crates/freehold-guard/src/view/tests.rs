use proptest::prelude::*;

use super::*;
use crate::Settings;

fn guard() -> Guard {
    let off = [
        "date",
        "person",
        "location",
        "organisation",
        "age",
        "prompt_injection",
    ];
    Guard::new(&Settings {
        off: off.map(str::to_owned).to_vec(),
        ..Settings::default()
    })
    .unwrap()
}

const CARD: &str = "4111 1111 1111 1111";

/// What is found in a text, as it stands there.
fn seen(text: &str) -> Vec<(String, String)> {
    let scan = guard().scan_text(text);
    assert_eq!(scan.incomplete, None, "{text}");
    let said = |hit: &Hit| (hit.entity.to_string(), text[hit.range.clone()].to_owned());
    scan.hits.iter().map(said).collect()
}

fn check_card(text: &str, expected: &str) {
    let expected = ("payment_card".to_owned(), expected.to_owned());
    assert_eq!(seen(text), [expected], "{text}");
}

#[test]
fn a_card_in_every_view_is_found_where_it_stands() {
    for disguise in [
        CARD,
        "４１１１ １１１１ １１１１ １１１１",
        "4\u{200b}111 1111 1111 1111",
        "4111%201111%201111%201111",
        "%34111 1111 1111 1111",
        "&#52;111 1111 1111 1111",
        r"\u0034111 1111 1111 1111",
        "NDExMSAxMTExIDExMTEgMTExMQ==",
        "34313131203131313120313131312031313131",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "41 11 11 11 11 11 11 11",
        "41\n11111111111111",
    ] {
        check_card(disguise, disguise);
        check_card(&format!("my card: {disguise}, thanks"), disguise);
        check_card(&format!("meine Karte – für Sie: {disguise}!"), disguise);
    }
    check_card(
        "x \u{202e}1111 1111 1111 1114\u{202c} y",
        "1111 1111 1111 1114",
    );
}

#[test]
fn nested_encodings_to_the_third_are_read_and_the_fourth_is_told() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut text = CARD.to_owned();
    for depth in 1..=5 {
        text = STANDARD.encode(&text);
        let scan = guard().scan_text(&text);
        if depth <= DEPTH_MAX {
            assert_eq!(seen(&text), [("payment_card".to_owned(), text.clone())]);
        } else {
            assert_eq!(scan.incomplete, Some(Unread::TooMuch), "{depth}");
        }
    }
    let percent =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let mut text = CARD.to_owned();
    for round in 1..=5 {
        text = percent(&text);
        let scan = guard().scan_text(&text);
        if round <= ROUNDS_MAX {
            check_card(&text, &text);
        } else {
            assert_eq!(scan.incomplete, Some(Unread::TooMuch), "{round}");
        }
    }
}

#[test]
fn usual_texts_raise_no_alarm_in_any_view() {
    for text in [
        include_str!("map.rs"),
        include_str!("../scan.rs"),
        include_str!("../../../../Cargo.toml"),
        "Стоимость 4500 рублей, заказ № 12-345, 2024-01-15 12:30:45.",
        "东京的天气在2024年1月15日是12度，订单号码是20240115123045。",
        "😀 4 of 5 people, 100 % sure &amp; happy; C:\\new\\table",
        "The values are 12 15 18 22 25 and 4 1 3 2 5 1 1 2 3 4.",
        "https://example.org/a%20b/c?d=%C3%A9&e=1",
    ] {
        assert_eq!(seen(text), [], "{text}");
    }
}

#[test]
fn the_work_is_bounded_by_the_length() {
    for piece in [
        "%25",
        "&amp;",
        "&#52;",
        "\\u0034",
        "\u{200b}4",
        "4 1 ",
        "NDEx\n",
        "34 31 ",
        "а4",
        "e\u{301}",
        "TkRFeE1R ",
    ] {
        let text = piece.repeat(60_000 / piece.len());
        let mut left = usize::MAX;
        let settings = guard();
        let mut look = Look {
            guard: &settings,
            looking: Looking::text(),
            left_bytes: left,
            unread: None,
            found: &mut |_| {},
        };
        look.text(&text, &Origin::Text, 0, 0);
        left -= look.left_bytes;
        assert!(left <= work_bytes(text.len()), "{piece}: {left}");
    }
}

proptest! {
    #[test]
    fn any_text_is_looked_at_without_panic(text in "[\\PC\u{0}-\u{1f}\u{300}-\u{310}\u{200b}-\u{202f}%&;\\\\]{0,200}") {
        for hit in guard().scan_text(&text).hits {
            prop_assert!(text.get(hit.range).is_some());
        }
    }

    #[test]
    fn a_card_is_found_among_anything(before in "\\PC{0,40}", after in "\\PC{0,40}") {
        let text = format!("{before}\n {CARD} \n{after}");
        let found = guard().scan_text(&text).hits;
        prop_assert!(
            found.iter().any(|hit| hit.entity.as_str() == "payment_card" && text[hit.range.clone()].contains(CARD)),
            "{found:?}"
        );
    }
}
