//! `freehold guard`.

use serde_json::json;

use crate::program::Machine;

const TEXT: &str = "charge 4111 1111 1111 1111, mail ann@example.org";

#[test]
fn a_scan_tells_types_and_places_and_never_the_text() {
    let machine = Machine::new("discover: false\n");
    let file = machine.file("letter.txt", TEXT);
    let file = file.to_str().unwrap();
    for told in [
        machine.run(&["guard", "scan", file]),
        machine.run_with(&["guard", "scan"], TEXT),
    ] {
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.out.contains("payment_card"), "{told:?}");
        assert!(told.out.contains("email_address"), "{told:?}");
        assert!(!told.flat().contains("1111"), "{told:?}");
        assert!(!told.flat().contains("ann@"), "{told:?}");
    }
    let told = machine.run_with(&["guard", "scan", "--json"], TEXT);
    let report = told.json();
    let findings = report["findings"].as_array().unwrap();
    let card = findings
        .iter()
        .find(|finding| finding["entity"] == "payment_card")
        .unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!((&card["start"], &card["end"]), (&json!(7), &json!(26)));
    assert!(card["confidence"].as_f64().unwrap() > 0.5);
    assert!(report["incomplete"].is_null());
    assert!(!told.out.contains("1111"), "{told:?}");
    let clean = machine.run_with(&["guard", "scan"], "what a nice day");
    assert!(clean.out.contains("Nothing was found."), "{clean:?}");
}

#[test]
fn a_scan_says_what_it_could_not_read() {
    let machine = Machine::new("discover: false\n");
    // Letters that are no text in any encoding.
    let noise: String = (0..1_000_u64)
        .scan(7_u64, |state, _| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let place = usize::try_from(*state >> 58).unwrap();
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            Some(char::from(letters[place]))
        })
        .collect();
    let told = machine.run_with(&["guard", "scan"], &noise);
    assert!(
        told.out.contains("treats such a request as restricted"),
        "{told:?}"
    );
    let told = machine.run_with(&["guard", "scan", "--json"], &noise);
    assert!(told.json()["incomplete"].is_string(), "{told:?}");
}

#[test]
fn operators_recognisers_count() {
    let config =
        "discover: false\nguard:\n  recognisers:\n    - {name: badge, patterns: ['ZZ-\\d{6}']}\n";
    let told = Machine::new(config).run_with(&["guard", "scan"], "see ZZ-123456 there");
    assert!(told.out.contains("badge"), "{told:?}");
    let broken =
        "discover: false\nguard:\n  recognisers:\n    - {name: badge, patterns: ['[ZZ']}\n";
    let told = Machine::new(broken).run_with(&["guard", "scan"], "see ZZ-123456 there");
    assert_ne!(told.code, Some(0));
    assert!(told.flat().contains("badge"), "{told:?}");
    assert!(!told.flat().contains("123456"), "{told:?}");
}

/// Offsets are in code points, and the é before the card takes two bytes.
#[test]
fn an_evaluation_counts_what_it_finds_and_what_it_misses() {
    let machine = Machine::new("discover: false\n");
    let lines = [
        json!({"id": "1", "text": "é 4111 1111 1111 1111", "spans": [{"start": 2, "end": 21, "type": "CREDIT_CARD"}]}),
        json!({"id": "2", "text": "nothing to see", "spans": []}),
        json!({"id": "3", "text": "the word xyzzy is secret", "spans": [{"start": 9, "end": 14, "type": "CREDIT_CARD"}]}),
    ];
    let data = lines.map(|line| line.to_string()).join("\n");
    std::fs::create_dir(machine.folder.path().join("data")).unwrap();
    machine.file("data/cards.jsonl", &data);
    let folder = machine.folder.path().join("data");
    let folder = folder.to_str().unwrap();
    let told = machine.done(&["guard", "eval", "--data", folder, "--json"]);
    let rows = told.json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{told:?}");
    let row = &rows[0];
    assert_eq!(row["finder"], "freehold");
    let report = &row["pii"];
    assert_eq!(report["prompts"], 3, "{told:?}");
    // One of two sensitive texts has no finding at all, and keeps its value.
    let counts = |name: &str| {
        let share = &report[name];
        (share["hits"].as_u64(), share["total"].as_u64())
    };
    assert_eq!(counts("missed"), (Some(1), Some(2)), "{told:?}");
    assert_eq!(counts("residual"), (Some(1), Some(2)), "{told:?}");
    assert_eq!(counts("flagged"), (Some(0), Some(1)), "{told:?}");
    let table = machine.done(&["guard", "eval", "--data", folder]);
    assert!(table.out.contains("cards"), "{table:?}");
    let missing = machine.run(&["guard", "eval", "--data", "no/such/folder"]);
    assert_ne!(missing.code, Some(0));
}
