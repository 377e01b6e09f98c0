use proptest::prelude::*;
use serde_json::json;

use super::*;

const OWN: &str = r#"
{"id": "one", "input": "2 + 2?", "expected": "4", "stratum": "en", "tags": ["sums"]}
{"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}], "expected": ["Hello", "Hi"]}
{"input": "Write.", "assert": [{"type": "contains", "value": "x"}, {"type": "is-json"}]}
"#;

#[test]
fn our_own_lines_are_read() {
    let told = read(OWN, None).unwrap();
    assert_eq!(
        (told.form, told.rows, told.repeated),
        (Form::Freehold, 3, 0)
    );
    assert!(told.bad.is_empty());
    let cases = told.set.cases();
    assert_eq!(cases[0].id, "one");
    assert_eq!(cases[0].messages[0].role, Role::User);
    assert_eq!(
        (cases[0].stratum.as_str(), cases[1].stratum.as_str()),
        ("en", STRATUM)
    );
    assert_eq!(cases[1].messages[0].role, Role::System);
    assert_eq!(cases[1].expected, [json!("Hello"), json!("Hi")]);
    assert_eq!(cases[2].assertions.len(), 2);
    assert_eq!(cases[1].id.len(), ID_DIGITS);
    assert_ne!(cases[1].id, cases[2].id);
}

#[test]
fn rows_of_openai_evals_are_read() {
    let text = r#"{"input": [{"role": "system", "content": "Answer."}, {"role": "user", "content": [{"type": "text", "text": "2+2"}]}], "ideal": ["4", "four"]}
{"input": "Capital of France?", "ideal": "Paris"}"#;
    let told = read(text, None).unwrap();
    assert_eq!(told.form, Form::OpenaiEvals);
    let cases = told.set.cases();
    assert_eq!(cases[0].messages[1].content, "2+2");
    assert_eq!(cases[0].expected, [json!("4"), json!("four")]);
    assert_eq!(cases[1].expected, [json!("Paris")]);
}

const PROMPTFOO: &str = r#"
description: sums
prompts:
  - "Reply in {{ language }}: {{question}}"
providers: [openai:gpt-4o-mini]
defaultTest:
  vars: {language: English}
  assert:
    - {type: icontains, value: four}
tests:
  - vars: {question: "2 + 2?"}
    metadata: {stratum: easy}
    assert:
      - {type: equals, value: "Four."}
      - type: regex
        value: "^F"
  - vars: {question: "2 + 2?", language: German}
    assert: [{type: is-json, value: {type: object}}]
  - vars: {other: 1}
  - vars: {question: x}
    assert: [{type: llm-rubric, value: is polite}]
  - vars: {question: [a, b]}
"#;

#[test]
fn tests_of_promptfoo_are_read() {
    let told = read(PROMPTFOO, None).unwrap();
    assert_eq!((told.form, told.rows), (Form::Promptfoo, 5));
    let cases = told.set.cases();
    assert_eq!(cases[0].messages[0].content, "Reply in English: 2 + 2?");
    assert_eq!(cases[0].stratum, "easy");
    assert_eq!(cases[0].expected, [json!("Four.")]);
    assert_eq!(cases[0].assertions.len(), 3);
    assert_eq!(cases[1].messages[0].content, "Reply in German: 2 + 2?");
    let places: Vec<&str> = told.bad.iter().map(|bad| bad.place.as_str()).collect();
    assert_eq!(places, ["test 3", "test 4", "test 5"]);
    assert!(
        told.bad[0].reason.contains("cannot be filled in"),
        "{told:?}"
    );
    assert!(
        told.bad[1]
            .reason
            .contains("`llm-rubric` is not understood")
    );
    assert!(told.bad[2].reason.contains("a variable is a list"));
    // The same as JSON, on one line.
    let tree: Value = serde_saphyr::from_str(PROMPTFOO).unwrap();
    let again = read(&tree.to_string(), None).unwrap();
    assert_eq!(again.form, Form::Promptfoo);
    assert_eq!(again.set, told.set);
}

#[test]
fn a_prompt_of_messages_stays_one_whatever_is_filled_in() {
    let text = r#"
prompts: ['[{"role": "system", "content": "Be {{how}}."}, {"role": "user", "content": "{{q}}"}]']
tests: [{vars: {how: "\"brief\"", q: "hm\"}]"}}]
"#;
    let told = read(text, None).unwrap();
    let case = &told.set.cases()[0];
    assert_eq!(case.messages[0].content, "Be \"brief\".");
    assert_eq!(case.messages[1].content, "hm\"}]");
}

#[test]
fn a_promptfoo_configuration_that_cannot_be_used_says_why() {
    for (text, told) in [
        ("prompts: [a, b]\ntests: []", "it has 2 prompts"),
        ("prompts: ['file://p.txt']\ntests: []", "in another file"),
        ("tests: [{}]", "it has no prompt"),
        ("prompts: [a]\ntests: file.csv", "`tests` must be a list"),
    ] {
        let error = read(text, Some(Form::Promptfoo)).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn bad_rows_are_located_and_repeated_ones_counted() {
    let text = r#"{"input": "a", "expected": "1"}
nonsense

{"input": "a", "expected": "1", "stratum": "other"}
{"input": "a", "expected": "2"}
{"input": "b", "expected": "2", "id": "x"}
{"input": "c", "expected": "2", "id": "x"}
{"input": ""}
{"input": "d", "wanted": 1}
{"expected": 1}
{"messages": [{"role": "robot", "content": "x"}]}
{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
[1]"#;
    let told = read(text, None).unwrap();
    assert_eq!((told.set.cases().len(), told.repeated), (2, 1));
    let bad: Vec<(&str, &str)> = told
        .bad
        .iter()
        .map(|bad| (bad.place.as_str(), bad.reason.as_str()))
        .collect();
    for (found, (place, reason)) in bad.iter().zip([
        ("line 2", "expected"),
        ("line 5", "line 1 asks the same and expects something else"),
        ("line 7", "line 6 has the same id `x`"),
        ("line 8", "nothing is asked"),
        ("line 9", "unknown field `wanted`"),
        ("line 10", "neither `input` nor `messages`"),
        ("line 11", "no role"),
        ("line 12", "parts that are no text"),
        ("line 13", "no object"),
    ]) {
        assert_eq!(found.0, place);
        assert!(found.1.contains(reason), "{found:?}");
    }
    assert_eq!(bad.len(), 9);
    assert_eq!(told.rows, 2 + 1 + 9);
}

#[test]
fn what_is_no_data_set_is_refused() {
    assert_eq!(read(" \n", None), Err(BadDataSet::Empty));
    assert_eq!(read("hello", None), Err(BadDataSet::UnknownForm));
    assert_eq!(read("[1, 2]", None), Err(BadDataSet::UnknownForm));
    assert!("csv".parse::<Form>().is_err());
}

#[test]
fn the_version_is_of_the_content() {
    let of = |text: &str| read(text, None).unwrap().set.version().unwrap();
    let version = of(OWN);
    assert_eq!(version.len(), 64);
    let mut lines: Vec<&str> = OWN.lines().collect();
    lines.reverse();
    assert_eq!(of(&lines.join("\n")), version);
    for change in [
        ("2 + 2?", "2 + 3?"),
        ("\"4\"", "\"5\""),
        ("\"en\"", "\"de\""),
    ] {
        assert_ne!(of(&OWN.replace(change.0, change.1)), version, "{change:?}");
    }
}

fn set(strata: &[usize]) -> DataSet {
    let rows = strata.iter().enumerate().flat_map(|(stratum, size)| {
        (0..*size).map(move |index| {
            json!({"input": format!("{stratum} {index}"), "stratum": format!("s{stratum}")})
                .to_string()
        })
    });
    let text: Vec<String> = rows.collect();
    read(&text.join("\n"), None).unwrap().set
}

#[test]
fn samples_are_the_same_by_seed_and_differ_by_it() {
    let set = set(&[300, 30, 3]);
    let sample = set.sample(33, 7);
    assert_eq!(sample, set.sample(33, 7));
    assert_ne!(sample, set.sample(33, 8));
    let strata: Vec<usize> = sample.strata().into_values().collect();
    assert_eq!(strata, [29, 3, 1]);
    assert_eq!(set.sample(1_000, 7), set);
}

proptest! {
    #[test]
    fn samples_are_as_large_as_asked_and_keep_strata(
        sizes in prop::collection::vec(1..40_usize, 1..6), count in 1..150_usize, seed in any::<u64>(),
    ) {
        let set = set(&sizes);
        let sample = set.sample(count, seed);
        prop_assert_eq!(sample.cases().len(), count.min(set.cases().len()));
        if count >= sizes.len() {
            prop_assert_eq!(sample.strata().len(), sizes.len());
        }
        let mut ids: Vec<&str> = sample.cases().iter().map(|case| case.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), sample.cases().len());
    }

    #[test]
    fn whatever_is_read_adds_up(text in "(\\{\"input\": \"[ab]\"\\}\n|x\n|\n){0,12}") {
        if let Ok(told) = read(&text, Some(Form::Freehold)) {
            let parts = told.set.cases().len() as u64 + told.repeated + told.bad.len() as u64;
            prop_assert_eq!(parts, told.rows);
        }
    }
}
