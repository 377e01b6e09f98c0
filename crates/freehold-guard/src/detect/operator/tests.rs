use super::*;
use crate::settings::Topic;

fn recogniser(name: &str, pattern: &str) -> Recogniser {
    Recogniser {
        name: name.to_owned(),
        patterns: vec![pattern.to_owned()],
        validator: Validator::None,
        context: vec![],
        context_within_bytes: 60,
        context_required: false,
        confidence: 0.6,
        label: None,
    }
}

fn topic(words: &[&str], patterns: &[&str]) -> Topic {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Topic {
        name: "projects".to_owned(),
        entity: "blocked_topic".to_owned(),
        words: owned(words),
        patterns: owned(patterns),
        label: None,
    }
}

fn compiled(recognisers: Vec<Recogniser>, topics: Vec<Topic>) -> Result<Operator, SettingsError> {
    Operator::new(&Settings {
        recognisers,
        topics,
        ..Settings::default()
    })
}

fn seen(operator: &Operator, text: &str) -> Vec<(String, String, f32)> {
    let mut seen = Vec::new();
    operator.detect(text, &mut |hit| {
        let what = text[hit.range].to_owned();
        seen.push((hit.entity.to_string(), what, hit.confidence));
    });
    seen
}

fn check(operator: &Operator, text: &str, expected: &[&str]) {
    let actual: Vec<_> = seen(operator, text).into_iter().map(|hit| hit.1).collect();
    assert_eq!(actual, expected, "{text}");
}

#[test]
fn patterns_validators_and_groups() {
    let employee = recogniser("employee_id", r"\bE-\d{6}\b");
    let badge = Recogniser {
        validator: Validator::Luhn,
        ..recogniser("badge", r"badge (?<value>\d{11})")
    };
    let operator = compiled(vec![employee, badge], vec![]).unwrap();
    check(
        &operator,
        "E-123456, E-1234567 and E-654321",
        &["E-123456", "E-654321"],
    );
    check(
        &operator,
        "badge 79927398713 badge 79927398710",
        &["79927398713"],
    );
    check(&operator, "nothing", &[]);
}

#[test]
fn context_raises_and_decides() {
    let mut with_context = recogniser("ticket", r"[A-Z]{2}\d{4}");
    with_context.context = vec!["Ticket".to_owned(), "Fall".to_owned()];
    with_context.context_within_bytes = 12;
    let optional = compiled(vec![with_context.clone()], vec![]).unwrap();
    let confidence = |text: &str| seen(&optional, text)[0].2;
    assert!((confidence("see AB1234") - 0.6).abs() < 1e-6);
    assert!((confidence("TICKET AB1234") - 0.8).abs() < 1e-6);
    assert!((confidence("AB1234 (ticket)") - 0.8).abs() < 1e-6);
    assert!((confidence("ticketing AB1234") - 0.6).abs() < 1e-6);
    assert!((confidence("ticket: very far away AB1234") - 0.6).abs() < 1e-6);
    with_context.context_required = true;
    let required = compiled(vec![with_context], vec![]).unwrap();
    check(&required, "see AB1234", &[]);
    check(&required, "Fall AB1234", &["AB1234"]);
    check(&required, "für Fall「AB1234」", &["AB1234"]);
}

#[test]
fn topics_are_whole_words_in_any_case() {
    let operator = compiled(
        vec![],
        vec![topic(
            &["Project Falcon", "übernahme", "合并"],
            &[r"(?i)merger with \w+"],
        )],
    )
    .unwrap();
    check(&operator, "PROJECT FALCON!", &["PROJECT FALCON"]);
    check(&operator, "project falconry", &[]);
    check(&operator, "Die ÜBERNAHME kommt", &["ÜBERNAHME"]);
    check(&operator, "Firmenübernahme", &[]);
    check(&operator, "公司合并计划", &["合并"]);
    check(&operator, "the merger with Acme", &["merger with Acme"]);
    assert!(!operator.is_empty() && Operator::default().is_empty());
}

#[test]
fn long_texts_are_searched_in_pieces_without_a_gap() {
    let operator = compiled(vec![recogniser("code", r"\bX\d{5}\b")], vec![]).unwrap();
    for before in (PIECE_BYTES - 20..PIECE_BYTES + 20).chain([3 * PIECE_BYTES, 50_000]) {
        let text = format!(
            "{} X12345 {} X54321",
            "é ".repeat(before / 3),
            "y ".repeat(9_000)
        );
        check(&operator, &text, &["X12345", "X54321"]);
        let text = format!("{}X12345", " ".repeat(before));
        check(&operator, &text, &["X12345"]);
    }
    // Listing every match of this one takes quadratic time in the text it is given.
    let unlucky = compiled(vec![recogniser("code", r".*[^a]|a")], vec![]).unwrap();
    let mut count = 0;
    unlucky.detect(&"a".repeat(40_000), &mut |_| count += 1);
    assert_eq!(count, 40_000);
}

#[test]
fn errors_name_the_entry_and_say_what_to_do() {
    let fails = |recognisers: Vec<Recogniser>, topics: Vec<Topic>, parts: &[&str]| {
        let message = compiled(recognisers, topics).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "`{message}` lacks `{part}`");
        }
    };
    fails(
        vec![recogniser("badge", "(a")],
        vec![],
        &["`badge`", "number 1", "unclosed group"],
    );
    fails(
        vec![recogniser("badge", r"(?=a)b")],
        vec![],
        &["`badge`", "look-around"],
    );
    fails(
        vec![recogniser("badge", "a*")],
        vec![],
        &["`badge`", "empty text"],
    );
    let huge = r"(\w{100}){100}{100}";
    fails(
        vec![recogniser("badge", huge)],
        vec![],
        &["`badge`", "simplify"],
    );
    let mut none = recogniser("badge", "a");
    none.patterns.clear();
    fails(vec![none], vec![], &["`badge`", "at least one pattern"]);
    let mut no_context = recogniser("badge", "a");
    no_context.context_required = true;
    fails(vec![no_context], vec![], &["`badge`", "`context`"]);
    fails(
        vec![],
        vec![topic(&[], &[])],
        &["`projects`", "words or patterns"],
    );
    fails(
        vec![],
        vec![topic(&[" "], &[])],
        &["`projects`", "not blank"],
    );
    let many = vec![recogniser("badge", "a"); ENTRIES_MAX + 1];
    fails(many, vec![], &["at most 256"]);
}
