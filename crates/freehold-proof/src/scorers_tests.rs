use serde_json::json;

use super::*;
use crate::dataset::{Message, Role, STRATUM};

fn case(expected: &[Value]) -> Case {
    Case {
        id: "x".to_owned(),
        messages: vec![Message {
            role: Role::User,
            content: "?".to_owned(),
        }],
        expected: expected.to_vec(),
        assertions: Vec::new(),
        stratum: STRATUM.to_owned(),
        tags: Vec::new(),
        expected_score: None,
    }
}

fn score(spec: ScorerSpec, expected: &[Value], answer: &str) -> Outcome {
    Scorer::new(spec).unwrap().score(&case(expected), answer)
}

fn number(spec: ScorerSpec, expected: &[Value], answer: &str) -> f64 {
    let outcome = score(spec, expected, answer);
    let score = outcome.score();
    score
        .unwrap_or_else(|| panic!("{answer}: {outcome:?}"))
        .get()
}

fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[test]
fn texts_are_the_same_or_not() {
    let exact = || ScorerSpec::Exact;
    close(number(exact(), &[json!("Yes")], " Yes\n"), 1.0);
    close(number(exact(), &[json!("Yes")], "yes"), 0.0);
    close(number(exact(), &[json!("No"), json!(42)], "42"), 1.0);
    let normal = || ScorerSpec::Normalised;
    close(number(normal(), &[json!("New York")], "  new-york.  "), 1.0);
    close(number(normal(), &[json!("ﬁve")], "FIVE!"), 1.0);
    close(number(normal(), &[json!("Straße")], "straße"), 1.0);
    close(number(normal(), &[json!("-5")], "5"), 0.0);
    close(number(normal(), &[json!("1.5")], "15"), 0.0);
    close(
        number(ScorerSpec::Contains, &[json!("cat")], "a cat sat"),
        1.0,
    );
    close(
        number(ScorerSpec::Contains, &[json!("dog")], "a cat sat"),
        0.0,
    );
    assert_eq!(
        normalised("“Ça va?”  non-stop, -3.5 % (GPT-4)"),
        "ça va non stop -3.5 gpt 4"
    );
    assert_eq!(normalised("नमस्ते।"), "नमस्ते");
}

#[test]
fn patterns_are_found_and_bad_ones_fail() {
    let own = ScorerSpec::Regex {
        pattern: Some("^\\d+$".to_owned()),
    };
    close(number(own.clone(), &[], "42"), 1.0);
    close(number(own, &[], "42 cats"), 0.0);
    let of_case = || ScorerSpec::Regex { pattern: None };
    close(number(of_case(), &[json!("a+b")], "xaab"), 1.0);
    let broken = score(of_case(), &[json!("a("), json!("a")], "a");
    assert!(matches!(broken, Outcome::Failed { .. }), "{broken:?}");
    let bad = Scorer::new(ScorerSpec::Regex {
        pattern: Some("(".to_owned()),
    });
    assert!(bad.unwrap_err().to_string().contains("is no pattern"));
}

#[test]
fn json_is_judged_by_schema_and_by_fields() {
    close(number(ScorerSpec::Json, &[], "{\"a\": 1}"), 1.0);
    close(number(ScorerSpec::Json, &[], "```json\n{}\n```"), 0.0);
    let schema = || ScorerSpec::JsonSchema {
        schema: json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
    };
    close(number(schema(), &[], "{\"name\": \"x\"}"), 1.0);
    close(number(schema(), &[], "{\"name\": 1}"), 0.0);
    close(number(schema(), &[], "name"), 0.0);
    let bad = Scorer::new(ScorerSpec::JsonSchema {
        schema: json!({"type": 7}),
    });
    assert!(bad.unwrap_err().to_string().contains("its schema is none"));
    let fetched = Scorer::new(ScorerSpec::JsonSchema {
        schema: json!({"$ref": "http://127.0.0.1:9/schema.json"}),
    });
    assert!(fetched.is_err(), "nothing is fetched");

    let expected = json!({"name": "Ann", "age": 30, "tags": ["a", "b"], "none": {}});
    let fields = |answer: &str| score(ScorerSpec::Fields, std::slice::from_ref(&expected), answer);
    let all = fields(
        "Here:\n```json\n{\"name\": \"Ann\", \"age\": 30.0, \"tags\": [\"a\", \"b\"], \"none\": {}, \"x\": 1}\n```",
    );
    close(all.score().unwrap().get(), 1.0);
    let some = fields("{\"name\": \"Bob\", \"age\": 30, \"tags\": [\"a\"], \"none\": {}}");
    close(some.score().unwrap().get(), 0.6);
    let Outcome::Scored { reason, .. } = some else {
        panic!("{some:?}");
    };
    assert_eq!(reason, "wrong: /name, /tags/1");
    close(fields("no").score().unwrap().get(), 0.0);
    let skipped = score(ScorerSpec::Fields, &[json!("text")], "{}");
    assert!(matches!(skipped, Outcome::Skipped { .. }), "{skipped:?}");
}

#[test]
fn numbers_are_close_by_either_tolerance() {
    let by = |absolute: f64, relative: f64| ScorerSpec::Number { absolute, relative };
    close(number(by(0.0, 0.0), &[json!(72)], "9 * 8 = 72."), 1.0);
    close(
        number(by(0.0, 0.0), &[json!("The answer is 1,000")], "1000"),
        1.0,
    );
    close(number(by(0.0, 0.0), &[json!(72)], "72, or rather 71"), 0.0);
    close(number(by(0.5, 0.0), &[json!(10)], "10.5"), 1.0);
    close(number(by(0.0, 0.01), &[json!(1000)], "1010"), 1.0);
    close(number(by(0.0, 0.01), &[json!(1000)], "1011"), 0.0);
    close(number(by(0.1, 0.0), &[json!(0.3)], "0.4"), 1.0);
    close(number(by(0.0, 0.0), &[json!(1)], "none"), 0.0);
    let skipped = score(by(0.0, 0.0), &[json!("none")], "1");
    assert!(matches!(skipped, Outcome::Skipped { .. }), "{skipped:?}");
    assert!(Scorer::new(by(-1.0, 0.0)).is_err());
    assert!(Scorer::new(by(f64::NAN, 0.0)).is_err());
}

#[test]
fn labels_are_named_alone() {
    let labels = || ScorerSpec::Label {
        labels: ["positive", "very positive", "negative"]
            .map(str::to_owned)
            .to_vec(),
    };
    close(number(labels(), &[json!("Positive")], "POSITIVE."), 1.0);
    close(
        number(labels(), &[json!("very positive")], "It is very positive!"),
        1.0,
    );
    close(
        number(labels(), &[json!("positive")], "It is very positive!"),
        0.0,
    );
    close(
        number(labels(), &[json!("positive")], "positive or negative"),
        0.0,
    );
    close(number(labels(), &[json!("positive")], "positively"), 0.0);
    let failed = score(labels(), &[json!("neutral")], "positive");
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
    for bad in [vec!["a"], vec!["a", "A"], vec!["a", "!"]] {
        let labels = bad.into_iter().map(str::to_owned).collect();
        assert!(Scorer::new(ScorerSpec::Label { labels }).is_err());
    }
}

/// By hand, and as scikit-learn's `classification_report` has it: expected a a a b b c, given a a b b none a.
#[test]
fn confusions_give_accuracy_and_macro_f1() {
    let mut confusion = Confusion::default();
    for (expected, given) in [
        ("a", Some("a")),
        ("a", Some("a")),
        ("a", Some("b")),
        ("b", Some("b")),
        ("b", None),
        ("c", Some("a")),
    ] {
        confusion.add(&Labelled {
            expected: expected.to_owned(),
            given: given.map(str::to_owned),
        });
    }
    close(confusion.accuracy().unwrap(), 0.5);
    let labels = confusion.labels();
    assert_eq!(labels.len(), 3);
    close(labels["a"].precision, 2.0 / 3.0);
    close(labels["a"].recall, 2.0 / 3.0);
    close(labels["b"].f1, 0.5);
    close(labels["c"].f1, 0.0);
    close(confusion.macro_f1().unwrap(), (2.0 / 3.0 + 0.5) / 3.0);
    assert_eq!(confusion.counts()["c"]["a"], 1);
    assert_eq!(Confusion::default().accuracy(), None);
    assert_eq!(Confusion::default().macro_f1(), None);
}

/// Lin 2004, section 3.1: the example with a beta of 1.
#[test]
fn rouge_l_is_that_of_the_paper() {
    let reference = "police killed the gunman";
    close(rouge_l("police kill the gunman", reference), 0.75);
    close(rouge_l("the gunman kill police", reference), 0.5);
    close(rouge_l("the gunman police killed", reference), 0.5);
    close(rouge_l("Police, killed THE gunman!", reference), 1.0);
    close(rouge_l("", reference), 0.0);
    // 3 words in common of 4 and 6.
    close(rouge_l("a b x c", "a b c d e f"), 0.6);
}

/// By hand. "abcd" and "abce": 3/4 of single characters, 2/3 of pairs, 1/2 of triples, 0 of fours.
#[test]
fn chrf_is_that_of_the_paper() {
    close(
        chrf("abcd", "abce"),
        (3.0 / 4.0 + 2.0 / 3.0 + 1.0 / 2.0) / 4.0,
    );
    // "aa" and "ab": 1/2 and 0.
    close(chrf("aa", "ab"), 0.25);
    close(chrf("a b c", "abc"), 1.0);
    // Precision 1 and recall 1/2 of single characters, 1 and 1/3 of pairs.
    let (precision, recall) = (1.0, (0.5 + 1.0 / 3.0) / 2.0);
    close(
        chrf("ab", "abcd"),
        5.0 * precision * recall / (4.0 * precision + recall),
    );
    close(chrf("", "reference"), 0.0);
    close(chrf("x", ""), 0.0);
    close(
        number(ScorerSpec::Chrf, &[json!("zzz"), json!("cat")], "cat"),
        1.0,
    );
}

/// What sacreBLEU 2's `CHRF().sentence_score` and rouge-score 0.1.2's `rougeL` say of the same sentences.
#[test]
fn long_texts_score_as_in_the_reference_programs() {
    let assessment = [
        "risk assessment must be made of those who are qualified and expertise in the sector - these are the scientists .",
        "risk assessment has to be undertaken by those who are qualified and expert in that area - that is the scientists .",
    ];
    let cat = ["The cat sat on the mat.", "A cat was sitting on the mat."];
    let german = [
        "Die Beziehung zwischen Obama und Netanjahu ist nicht gerade freundlich.",
        "Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich.",
    ];
    for ([answer, reference], wanted) in [
        (assessment, 0.634_316_536_811_726_3),
        (german, 0.648_181_237_260_97),
        (cat, 0.397_848_516_944_502_8),
    ] {
        close(chrf(answer, reference), wanted);
    }
    close(
        rouge_l(assessment[0], assessment[1]),
        0.564_102_564_102_564_1,
    );
    close(rouge_l(cat[0], cat[1]), 0.615_384_615_384_615_4);
}

#[test]
fn a_case_is_judged_by_what_it_asserts() {
    let mut case = case(&[]);
    let scorer = Scorer::new(ScorerSpec::Assert).unwrap();
    assert!(scorer.skips(&case).is_some());
    case.assertions = serde_json::from_value(json!([
        {"type": "equals", "value": {"a": 1}},
        {"type": "contains", "value": "a"},
        {"type": "icontains", "value": "A\""},
        {"type": "regex", "value": "\\d"},
        {"type": "is-json", "value": {"type": "object"}},
    ]))
    .unwrap();
    assert!(scorer.skips(&case).is_none());
    close(
        scorer.score(&case, "{ \"a\": 1 }").score().unwrap().get(),
        1.0,
    );
    close(
        scorer.score(&case, "[\"a\", 2]").score().unwrap().get(),
        0.6,
    );
    case.assertions = serde_json::from_value(json!([{"type": "regex", "value": "("}])).unwrap();
    let failed = scorer.score(&case, "x");
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
}

#[test]
fn specs_and_outcomes_are_read_as_written() {
    let specs = [
        ScorerSpec::Exact,
        ScorerSpec::Number {
            absolute: 0.5,
            relative: 0.0,
        },
        ScorerSpec::JsonSchema {
            schema: json!({"type": "object"}),
        },
    ];
    for spec in specs {
        let text = serde_json::to_string(&spec).unwrap();
        assert!(text.contains(spec.name()), "{text}");
        assert_eq!(serde_json::from_str::<ScorerSpec>(&text).unwrap(), spec);
    }
    for outcome in [
        Outcome::right(true, ""),
        Outcome::failed("x"),
        Outcome::skipped("y"),
    ] {
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }
    let no_score = serde_json::from_str::<Outcome>(r#"{"outcome": "scored", "score": 2}"#);
    assert!(no_score.is_err());
}

#[test]
fn embeddings_are_near_by_their_angle() {
    close(cosine(&[1.0, 0.0], &[2.0, 0.0]).unwrap(), 1.0);
    close(cosine(&[1.0, 0.0], &[0.0, 3.0]).unwrap(), 0.0);
    close(cosine(&[1.0, 1.0], &[-1.0, -1.0]).unwrap(), -1.0);
    assert_eq!(cosine(&[1.0], &[1.0, 0.0]), None);
    assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
    assert_eq!(cosine(&[f64::INFINITY], &[1.0]), None);
}

#[test]
fn whoever_must_be_asked_is_never_guessed() {
    let spec = ScorerSpec::Judge {
        model: "m".to_owned(),
        rubric: "r".to_owned(),
    };
    assert!(spec.is_asked() && !ScorerSpec::Exact.is_asked());
    let failed = score(spec, &[], "x");
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
}
