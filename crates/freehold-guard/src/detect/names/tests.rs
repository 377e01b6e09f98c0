use proptest::prelude::*;

use super::{DETECTOR, PIECE_BYTES, detect, piece_end, token};
use crate::detect::tests::{compare, found_by};

fn check(text: &str, expected: &[(&str, &str)]) {
    compare(text, &found_by(detect, text), expected);
}

#[test]
fn the_model_is_one() {
    assert!(DETECTOR.model.is_some());
}

#[test]
fn names_in_english() {
    check(
        "My name is Amelia Thornton and I live in Boston.",
        &[("person", "Amelia Thornton"), ("location", "Boston")],
    );
    check(
        "Please call Mr. Rodriguez about the contract.",
        &[("person_title", "Mr."), ("person", "Rodriguez")],
    );
    check(
        "hi, my name is john smith and i live in berlin",
        &[("person", "john smith"), ("location", "berlin")],
    );
    check(
        "From: Sarah Connor <sarah.connor@example.com>",
        &[("person", "Sarah Connor")],
    );
    check("JOHN SMITH", &[("person", "JOHN SMITH")]);
    check(
        "please call eric g. samuelson tomorrow",
        &[("person", "eric g. samuelson")],
    );
    check(
        "Wei Zhang met Oluwaseun Adeyemi in Lagos.",
        &[
            ("person", "Wei Zhang"),
            ("person", "Oluwaseun Adeyemi"),
            ("location", "Lagos"),
        ],
    );
    check("Patient name: Olga Petrova", &[("person", "Olga Petrova")]);
}

#[test]
fn names_in_other_languages() {
    check(
        "Mein Name ist Jürgen Müller und ich wohne in München.",
        &[("person", "Jürgen Müller"), ("location", "München")],
    );
    check(
        "Je m'appelle Camille Dubois et j'habite à Lyon.",
        &[("person", "Camille Dubois"), ("location", "Lyon")],
    );
    check(
        "Me llamo Javier Fernández y vivo en Sevilla.",
        &[("person", "Javier Fernández"), ("location", "Sevilla")],
    );
    check(
        "Mi chiamo Giulia Rossi e vivo a Torino.",
        &[("person", "Giulia Rossi"), ("location", "Torino")],
    );
    check(
        "Mijn naam is Daan de Vries en ik woon in Utrecht.",
        &[("person", "Daan de Vries"), ("location", "Utrecht")],
    );
    check(
        "Nazywam się Katarzyna Nowak.",
        &[("person", "Katarzyna Nowak")],
    );
    check(
        "Jag heter Björn Lindqvist.",
        &[("person", "Björn Lindqvist")],
    );
    check("Меня зовут Иван Петров.", &[("person", "Иван Петров")]);
    check("Benim adım Mehmet Yılmaz.", &[("person", "Mehmet Yılmaz")]);
}

#[test]
fn forms_of_address() {
    for (text, title) in [
        ("Ask Dr. Amelia Thornton about it.", Some("Dr.")),
        ("Frau Dr. Müller kommt später.", Some("Frau Dr.")),
        ("The letter is for Señora Camila Fernández.", Some("Señora")),
        ("Hello Amelia Thornton, how are you?", None),
        ("The dr sent Amelia Thornton home.", None),
    ] {
        let titles: Vec<_> = found_by(detect, text)
            .into_iter()
            .filter(|(entity, _)| entity == "person_title")
            .map(|(_, part)| part)
            .collect();
        assert_eq!(titles, title.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn values_in_code_and_data_are_read() {
    for text in [
        r#"{"name":"Amelia Thornton","role":"owner"}"#,
        r#"{\"name\":\"Amelia Thornton\",\"role\":\"owner\"}"#,
        r#"<contact name="Amelia Thornton" role="owner"/>"#,
        r#"1,"Amelia Thornton","Boston""#,
    ] {
        let persons: Vec<_> = found_by(detect, text)
            .into_iter()
            .filter(|(entity, _)| entity == "person")
            .map(|(_, part)| part)
            .collect();
        assert_eq!(persons, ["Amelia Thornton"], "{text}");
    }
}

#[test]
fn organisations() {
    check(
        "I used to work at Deutsche Bank.",
        &[("organisation", "Deutsche Bank")],
    );
    check(
        "She studied at the University of Oxford.",
        &[("organisation", "University of Oxford")],
    );
}

#[test]
fn ordinary_texts_have_no_names() {
    for text in [
        "Could you explain the Pythagorean theorem? Thanks!",
        "Please explain why the following function is slow, and how you would change it.",
        "How do I centre a div with CSS?",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "Dear Sir or Madam, I am writing to complain about my new dishwasher.",
        "Monday, Tuesday and Wednesday in October",
        "What Is Machine Learning?",
        "Welche Vorteile hat eine Wärmepumpe gegenüber einer Gasheizung?",
        "the quick brown fox jumps over the lazy dog",
    ] {
        check(text, &[]);
    }
}

#[test]
fn a_possessive_is_no_part_of_the_name() {
    check(
        "Anna Kowalska's passport has expired.",
        &[("person", "Anna Kowalska")],
    );
    check(
        "The letter from Sean O'Brien arrived.",
        &[("person", "Sean O'Brien")],
    );
}

#[test]
fn the_answer_is_the_same_each_time_and_in_long_texts() {
    let sentence = "My name is Amelia Thornton and I live in Boston. ";
    let text = sentence.repeat(2_000);
    assert_eq!(found_by(detect, &text).len(), 2 * 2_000);
    assert_eq!(found_by(detect, &text), found_by(detect, &text));
}

#[test]
fn pieces_end_at_blanks_and_on_boundaries() {
    let text = "é".repeat(PIECE_BYTES * 2);
    let mut from = 0;
    while from < text.len() {
        let to = piece_end(&text, from);
        assert!(to > from && text.is_char_boundary(to));
        from = to;
    }
    let text = "word ".repeat(PIECE_BYTES);
    assert_eq!(text.as_bytes()[piece_end(&text, 0)], b' ');
}

#[test]
fn a_key_does_not_depend_on_case() {
    assert_eq!(token::key("Müller"), token::key("MÜLLER"));
    assert_eq!(token::key("istanbul"), token::key("İstanbul"));
    assert_ne!(token::key("Müller"), token::key("Muller"));
}

proptest! {
    #[test]
    fn any_text_is_tagged_on_boundaries(text in "\\PC{0,300}") {
        detect(&text, &mut |hit| assert!(text.get(hit.range).is_some()));
    }

    #[test]
    fn any_words_are_tagged_in_order(words in prop::collection::vec("[A-ZÄ][a-zéß']{0,9}|[a-z]{1,8}|\\d{1,4}|[.,:;()'\"@&\\n-]|王|김", 0..60)) {
        let text = words.join(" ");
        let mut last = 0;
        detect(&text, &mut |hit| {
            assert!(hit.range.start >= last && hit.range.end > hit.range.start);
            last = hit.range.end;
        });
    }
}
