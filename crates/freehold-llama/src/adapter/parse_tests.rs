use super::parse::{Found, OutputParser, ParseOptions};

fn options(functions: &[&str]) -> ParseOptions {
    ParseOptions {
        functions: functions.iter().map(|name| (*name).to_owned()).collect(),
        ..ParseOptions::default()
    }
}

/// Joins neighbours of a kind, so that only the meaning is compared.
fn join(found: Vec<Found>) -> Vec<Found> {
    let mut joined: Vec<Found> = Vec::new();
    for next in found {
        match (joined.last_mut(), next) {
            (Some(Found::Text(text)), Found::Text(more))
            | (Some(Found::Thinking(text)), Found::Thinking(more))
            | (Some(Found::Arguments(text)), Found::Arguments(more)) => text.push_str(&more),
            (_, next) => joined.push(next),
        }
    }
    joined
}

/// Parses `text` cut at every pair of places.
fn check(options: &ParseOptions, text: &str, expected: &[Found]) {
    let cuts: Vec<usize> = (0..=text.len())
        .filter(|cut| text.is_char_boundary(*cut))
        .collect();
    for &first in &cuts {
        for &second in cuts.iter().filter(|cut| **cut >= first) {
            let mut parser = OutputParser::new(options.clone());
            let mut found = Vec::new();
            for piece in [&text[..first], &text[first..second], &text[second..]] {
                found.extend(parser.push(piece));
            }
            found.extend(parser.finish());
            assert_eq!(join(found), expected, "cut at {first} and {second}");
        }
    }
}

fn call(name: &str, arguments: &str) -> [Found; 3] {
    [
        Found::Call { name: name.into() },
        Found::Arguments(arguments.into()),
        Found::CallEnd,
    ]
}

#[test]
fn tagged_calls_are_found() {
    let text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\"}}\n</tool_call>";
    check(&options(&["f"]), text, &call("f", "{\"a\": \"}\\\"{\"}"));
}

#[test]
fn text_before_a_call_stays_text() {
    let text = "Let me see.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
    let mut expected = vec![Found::Text("Let me see.".into())];
    expected.extend(call("f", "{}"));
    check(&options(&["f"]), text, &expected);
}

#[test]
fn several_calls_are_found() {
    let text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
                <tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
    let expected: Vec<Found> = call("f", "{\"a\": 1}")
        .into_iter()
        .chain(call("g", "{}"))
        .collect();
    check(&options(&["f", "g"]), text, &expected);
}

#[test]
fn bare_and_nested_forms_are_found() {
    check(
        &options(&["f"]),
        "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
        &call("f", "{\"a\": 1}"),
    );
    check(
        &options(&["f"]),
        "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1}}}",
        &call("f", "{\"a\":1}"),
    );
    check(
        &options(&["f"]),
        "{\"arguments\": {\"a\": 1}, \"name\": \"f\"}",
        &call("f", "{\"a\":1}"),
    );
    let list =
        "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"f\", \"arguments\": {}}]";
    check(
        &options(&["f"]),
        list,
        &[call("f", "{}"), call("f", "{}")].concat(),
    );
    check(
        &options(&["f"]),
        "<|python_tag|>{\"name\": \"f\", \"arguments\": {}}",
        &call("f", "{}"),
    );
}

#[test]
fn what_is_no_call_stays_text() {
    for text in [
        "{\"answer\": 42}",
        "{\"name\": \"unknown\", \"arguments\": {}}",
        "{\"name\": \"f\", \"argu",
        "{ not json",
        "a < b and <tool",
        "[1, 2]",
        "<tool_call>\nnot json",
        "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
    ] {
        check(&options(&["f"]), text, &[Found::Text(text.into())]);
    }
}

#[test]
fn without_functions_everything_is_text() {
    let text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    check(&options(&[]), text, &[Found::Text(text.into())]);
}

#[test]
fn a_cut_call_keeps_what_there_is() {
    check(
        &options(&["f"]),
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1,",
        &call("f", "{\"a\": [1,"),
    );
    check(
        &options(&["f"]),
        "<tool_call>{\"name\": \"f\", \"arguments\": {}",
        &call("f", "{}"),
    );
}

#[test]
fn reasoning_is_told_apart() {
    let thinks = ParseOptions {
        thinks: true,
        ..options(&["f"])
    };
    check(
        &thinks,
        "<think>\nHm, f?\n</think>\n\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        &[
            vec![Found::Thinking("\nHm, f?".into())],
            call("f", "{}").to_vec(),
        ]
        .concat(),
    );
    let starts = ParseOptions {
        thinks: true,
        starts_thinking: true,
        ..options(&[])
    };
    check(
        &starts,
        "Hm.</think>\n\nYes.",
        &[Found::Thinking("Hm.".into()), Found::Text("Yes.".into())],
    );
    check(&starts, "Hm", &[Found::Thinking("Hm".into())]);
    check(
        &thinks,
        "No <think> here",
        &[Found::Text("No <think> here".into())],
    );
}
