use super::*;
use crate::selector::seen;
use freehold_guard::{Finding, Scan};
use freehold_types::Sensitivity;

fn scan() -> Scan {
    let finding = |entity: &'static str| Finding {
        entity: entity.into(),
        path: String::new(),
        range: 0..1,
        confidence: 1.0,
        sensitivity: Sensitivity::Confidential,
    };
    Scan {
        findings: vec![finding("iban"), finding("person"), finding("person")],
        incomplete: None,
    }
}

fn evaluate(text: &str, labels: &[(&str, &str)]) -> Result<bool, Failure> {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let facts = Facts {
        tenant: Some("acme"),
        key: Some("ci"),
        labels: Some(&labels),
        ..Facts::default()
    };
    let scan = scan();
    let seen = seen(&scan);
    let variables = Variables::new(facts, &seen, false);
    Expression::new(text).unwrap().holds(&variables)
}

#[test]
fn expressions_see_facts_labels_and_findings() {
    for (text, holds) in [
        ("tenant == 'acme'", true),
        ("tenant == 'acme' && key != 'ci'", false),
        ("flow == ''", true),
        ("findings['person'] >= 2", true),
        ("size(findings) == 2", true),
        ("'iban' in findings && !('us_ssn' in findings)", true),
        ("findings.exists(entity, entity.startsWith('ib'))", true),
        ("findings.all(e, findings[e] > 1)", false),
        ("labels.team == 'x'", true),
        ("has(labels.team) && !has(labels.other)", true),
        ("'other' in labels && labels.other == 'y'", false),
        (
            "labels.filter(l, labels[l].contains('x')).size() == 1",
            true,
        ),
        ("size(labels.map(l, labels[l])) == 1", true),
        ("'x' in labels.map(l, labels[l])", true),
        ("labels.map(l, labels[l]).exists(v, v == 'x')", true),
        ("incomplete", false),
        ("incomplete ? tenant == 'x' : tenant.endsWith('me')", true),
        ("tenant in ['acme', 'umbrella']", true),
    ] {
        assert_eq!(evaluate(text, &[("team", "x")]), Ok(holds), "{text}");
    }
}

#[test]
fn what_fails_says_how_and_nothing_of_the_values() {
    for (text, failure) in [
        ("labels['team'] == 'x'", Failure::NoSuchKey),
        (
            "size(findings) > 0 ? findings.iban : false",
            Failure::NotBool,
        ),
        ("findings.person / (findings.iban - 1) > 0", Failure::Other),
        ("tenant < 3", Failure::Other),
    ] {
        assert_eq!(
            evaluate(text, &[("secret", "canary")]),
            Err(failure),
            "{text}"
        );
        assert!(!failure.to_string().contains("canary"));
    }
}

#[test]
fn too_many_labels_or_too_long_ones_fail() {
    let names: Vec<_> = (0..=ITEMS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(evaluate("tenant == 'acme'", &many), Err(Failure::TooMuch));
    let long = "x".repeat(LABEL_BYTES_MAX + 1);
    assert_eq!(
        evaluate("tenant == 'acme'", &[("l", &long)]),
        Err(Failure::TooMuch)
    );
}

#[test]
fn what_cannot_be_meant_is_refused_when_read() {
    let long = format!("tenant == '{}'", "x".repeat(BYTES_MAX));
    let deep = format!("{}true{}", "(".repeat(200), ")".repeat(200));
    let fields = format!("labels{} == 'x'", ".a".repeat(400));
    let lists = format!("{}{} == []", "[".repeat(300), "]".repeat(300));
    for (text, message) in [
        ("tenant ==", "not a CEL expression"),
        ("", "not a CEL expression"),
        ("user == 'x'", "no variable `user`; there are tenant"),
        (
            "sensitivity == 'public'",
            "compared by the field of that name",
        ),
        ("lists.range(9) == []", "no function `range`"),
        ("duration('1s') == duration('1s')", "no function `duration`"),
        ("tenant", "it is neither true nor false"),
        ("1 + 1", "it is neither true nor false"),
        (
            "labels.exists(a, labels.exists(b, labels.exists(c, a == b)))",
            "more than 2 loops within each other",
        ),
        ("labels.map(l, l)[0] == 'x'", "the order of what `map`"),
        (
            "labels.filter(l, true) == ['a', 'b']",
            "the order of what `map`",
        ),
        (
            "(true ? labels.map(l, l) : ['x'])[0] == 'x'",
            "the order of what `map`",
        ),
        (long.as_str(), "are more than the 1024 allowed"),
        (fields.as_str(), "more than 32 steps deep"),
        (lists.as_str(), "not a CEL expression"),
    ] {
        let error = Expression::new(text).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
    // Whatever the parser makes of these, it neither panics nor overflows the stack.
    for text in [&deep, &format!("{}true", "!".repeat(900))] {
        let _ = Expression::new(text);
    }
}

#[test]
fn the_names_that_a_loop_brings_end_with_it() {
    assert!(Expression::new("labels.exists(l, l == 'x') && l == 'x'").is_err());
}
