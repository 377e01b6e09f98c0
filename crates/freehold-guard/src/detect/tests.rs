use proptest::prelude::*;

use super::*;

/// What is judged by words and statistics has tests of its own.
const STATISTICAL: [&str; 5] = [
    "person",
    "person_title",
    "location",
    "organisation",
    "prompt_injection",
];

/// The entities found in a text, with what they cover.
fn check(text: &str, expected: &[(&str, &str)]) {
    let mut hits = Vec::new();
    all(text, &mut |hit| hits.push(hit));
    hits.retain(|hit| !STATISTICAL.contains(&hit.entity.as_str()));
    hits.sort_by_key(|hit| hit.range.start);
    let actual: Vec<_> = hits
        .iter()
        .map(|hit| (hit.entity.as_str(), &text[hit.range.clone()]))
        .collect();
    assert_eq!(actual, expected, "{text}");
}

fn check_clean(text: &str) {
    check(text, &[]);
}

/// What is found in a text: entities, and what they cover.
pub(super) fn entities(text: &str) -> Vec<(String, String)> {
    let mut hits = Vec::new();
    all(text, &mut |hit| {
        hits.push((hit.entity.to_string(), text[hit.range].to_owned()))
    });
    hits.retain(|(entity, _)| !STATISTICAL.contains(&entity.as_str()));
    hits
}

/// What one detector finds in a text: entities, and what they cover.
pub(super) fn found_by(
    detector: impl Fn(&str, &mut dyn FnMut(Hit)),
    text: &str,
) -> Vec<(String, &str)> {
    let mut hits = Vec::new();
    detector(text, &mut |hit| {
        assert!((0.0..=1.0).contains(&hit.confidence), "{hit:?}");
        hits.push((hit.entity.to_string(), &text[hit.range]));
    });
    hits
}

/// Compares what was found in a text with what should have been.
pub(super) fn compare<T: AsRef<str>>(text: &str, found: &[(String, T)], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(entity, part)| (entity.as_str(), part.as_ref()))
        .collect();
    assert_eq!(found, expected, "{text}");
}

/// True when something of an entity type is found in a text.
pub(super) fn finds(text: &str, entity: &str) -> bool {
    entities(text).iter().any(|(found, _)| found == entity)
}

#[test]
fn cards_of_every_network_and_spelling() {
    for number in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4222222222222",
        "5500005555555559",
        "5555 5555 5555 4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "3056 930902 5904",
        "3530111333300000",
        "6011111111111117",
        "6011 1111 1111 1117",
        "6200000000000005",
        "6759649826438453",
    ] {
        check(
            &format!("card: {number}, exp 12/27"),
            &[("payment_card", number)],
        );
        check(&format!("2024 {number}."), &[("payment_card", number)]);
        check(number, &[("payment_card", number)]);
        check(&format!("card-{number}-visa"), &[("payment_card", number)]);
        check(&format!("card_{number}_old"), &[("payment_card", number)]);
        check(&format!("日本{number}語"), &[("payment_card", number)]);
    }
}

#[test]
fn numbers_that_are_no_cards() {
    for text in [
        // Wrong checksum, wrong range, wrong length.
        "4111111111111112",
        "1111111111111117",
        "9999999999999995",
        "411111111111111",
        "41111111111111111111",
        // Pieces of something longer.
        "x4111111111111111",
        "4111111111111111a",
        "0.4111111111111111",
        "4111111111111111.5",
        "order_7_4111111111111111",
        "a1b2-4111111111111111",
        "4111111111111111-a716",
        // Groups that no card has.
        "41 1111 1111 1111 11",
        "4111 1111-1111 1111",
        // Times, counters, phone numbers.
        "1700000000000000000",
        "2024-11-21T05:24:59.123456789Z",
        "+49 5555 555555 4444",
        "5555555555555555",
        // Identifiers.
        "550e8400-e29b-41d4-a716-446655440000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce",
        "sha256:4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce",
    ] {
        assert!(!finds(text, "payment_card"), "{text}");
    }
}

#[test]
fn ibans_of_many_countries() {
    for number in [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
        "NL91ABNA0417164300",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "CH93 0076 2011 6238 5295 7",
        "de89370400440532013000",
        "DE89 37 04 0044 0532 0130 00",
    ] {
        check(&format!("IBAN {number} bitte"), &[("iban", number)]);
    }
    for text in [
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130001",
        "XX89370400440532013000",
        "be12 or not be12 that is the question",
    ] {
        assert!(!finds(text, "iban"), "{text}");
    }
}

#[test]
fn social_security_numbers_only_next_to_their_name() {
    check("SSN: 536-90-4399", &[("us_ssn", "536-90-4399")]);
    check(
        "her social security number is 536 90 4399",
        &[("us_ssn", "536 90 4399")],
    );
    check("\"ssn\": \"536-90-4399\"", &[("us_ssn", "536-90-4399")]);
    // Printed in full it needs no name, but it must not have another's.
    check("it is 536-90-4399", &[("us_ssn", "536-90-4399")]);
    for text in [
        "part number 536 90 4399",
        "000 12 3456",
        "666 12 3456",
        "912 12 3456",
        "id 536904399",
        "SSN: 536-90-43990",
    ] {
        assert!(!finds(text, "us_ssn"), "{text}");
    }
}

#[test]
fn prose_and_code_raise_no_alarm() {
    for text in [
        include_str!("identifiers/number.rs"),
        include_str!("../scan.rs"),
        include_str!("../../../../Cargo.toml"),
        "The disk-usage-and-task-scheduling-component-2000 is a risk-assessment-framework-v2.",
        "git checkout 9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce && cargo build",
        "<div class=\"sk-loading-skeleton-placeholder-wrapper-item-12\"></div>",
        "Call us before noon, order 2023-4455-6677-8899.",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "ISBN 978-3-16-148410-0, EAN 4006381333931, release 192.168.10, version 4.1.1.1",
        "SELECT * FROM orders WHERE id IN (4000123400001234567890, 5100000000000000)",
    ] {
        check_clean(text);
    }
}

#[test]
fn dense_input_takes_linear_time() {
    // Each of these defeats a detector that looks ahead without bound. Doubling the text must not
    // quadruple the work: a quadratic detector would run for minutes here.
    for piece in [
        "eyJ.",
        "eyJ",
        "sk-",
        "-----BEGIN PRIVATE KEY",
        "://a:",
        "ssn 1",
        "4111 ",
        "DE89 ",
        "5",
        "://",
        "-----BEGIN PRIVATE KEY----- -----END ",
        "aws_secret_access_key=",
        "A1",
        "a@",
        "@",
        "1 Main ",
        "street 1 ",
        "password=",
        "password: \"",
        "bearer ",
        "1.",
        "1:",
        "::1",
        "+1 ",
        "(1) ",
        "www.",
        "may 1, ",
        "1 may ",
        "age 1 ",
        "apt 1, A ",
        "rue A ",
        "account ",
        "DE1 ",
        "\u{e9}1",
    ] {
        let text = piece.repeat(60_000 / piece.len());
        let mut hits = 0;
        all(&text, &mut |_| hits += 1);
        assert!(hits <= text.len() / 3);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,400}") {
        all(&text, &mut |hit| assert!(text.get(hit.range).is_some()));
    }

    #[test]
    fn a_planted_secret_is_found_wherever_it_stands(
        before in "\\PC{0,60}",
        after in "\\PC{0,60}",
        secret in proptest::sample::select(vec![
            ("payment_card", "4111 1111 1111 1111"),
            ("iban", "DE89370400440532013000"),
            ("openai_key", "sk-q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi"),
        ]),
    ) {
        let text = format!("{before}\n {} \n{after}", secret.1);
        let mut found = Vec::new();
        all(&text, &mut |hit| found.push((hit.entity.to_string(), text[hit.range].to_owned())));
        prop_assert!(found.contains(&(secret.0.to_owned(), secret.1.to_owned())), "{found:?}");
    }
}

/// Entity types that the code of the detectors names where it makes a hit.
fn named_in(folder: &std::path::Path, names: &mut Vec<String>) {
    let makes = regex::Regex::new(
        r#"\b(?:Hit::new|hit|token|number|code|kind)\(\s*"([a-z0-9_]+)"(?:,\s*"([a-z0-9_]+_(?:key|token))")?"#,
    );
    let makes = makes.unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            let code = std::fs::read_to_string(&path).unwrap();
            for found in makes.captures_iter(&code) {
                let is_token = found[0].starts_with("token");
                let name = if is_token { found.get(2) } else { found.get(1) };
                names.extend(name.map(|name| name.as_str().to_owned()));
            }
        }
    }
}

#[test]
fn every_entity_that_is_made_is_in_the_list() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/detect");
    let mut names = Vec::new();
    named_in(&folder, &mut names);
    assert!(names.len() > 150, "{}", names.len());
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !ENTITIES.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
#[should_panic(expected = "is in no list")]
fn a_hit_of_a_type_that_no_list_knows_is_no_hit() {
    let _ = Hit::new("never_heard_of", 0..1, 1.0);
}
