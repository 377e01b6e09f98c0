use freehold_types::{Dialect, Extra};
use proptest::prelude::*;

use super::*;

fn call(name: &str, arguments: &str) -> Part {
    Part::ToolCall {
        id: "c".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        extra: Extra::new(),
    }
}

fn turn(parts: Vec<Part>) -> Message {
    Message {
        role: Role::Assistant,
        parts,
        name: None,
        extra: Extra::new(),
    }
}

fn result(text: &str, is_error: bool) -> Message {
    Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult {
            call_id: "c".to_owned(),
            parts: vec![Part::text(text)],
            is_error,
            extra: Extra::new(),
        }],
        name: None,
        extra: Extra::new(),
    }
}

fn signals(messages: Vec<Message>) -> AgentSignals {
    agent_signals(&Request::new(Dialect::OpenaiChat, "m", messages))
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

#[test]
fn a_chat_without_tools_shows_nothing() {
    let chat = vec![
        user("hi"),
        turn(vec![Part::text("hello")]),
        user("error: no"),
    ];
    assert!(signals(chat).is_empty());
    assert_eq!(AgentSignals::default().is_good(), None);
}

#[test]
fn results_after_the_last_turn_count_once() {
    let first = vec![
        user("weather?"),
        turn(vec![call("get", "{\"a\":1}"), call("get", "{\"a\":2}")]),
        result("sunny", false),
        result("boom", true),
    ];
    let seen = signals(first.clone());
    assert_eq!((seen.tool_results, seen.tool_errors), (2, 1));
    assert_eq!(seen.is_good(), Some(false));
    let mut second = first;
    second.push(turn(vec![call("get", "{\"a\":3}")]));
    second.push(result("rain", false));
    let seen = signals(second);
    assert_eq!((seen.tool_results, seen.tool_errors), (1, 0));
    assert_eq!(seen.is_good(), Some(true));
}

#[test]
fn errors_are_told_from_results_that_speak_of_them() {
    for (text, is_error) in [
        ("{\"error\": \"not found\"}", true),
        ("{\"error\": {\"code\": 3}}", true),
        ("{\"isError\": true, \"content\": []}", true),
        ("{\"error\": null, \"rows\": 3}", false),
        ("{\"errors\": 0}", false),
        ("Error: file not found", true),
        ("Traceback (most recent call last):\n  File", true),
        ("Errors are listed on page 3.", false),
        ("no error: all fine", false),
        ("{not json", false),
        ("", false),
    ] {
        assert_eq!(reports_error(&[Part::text(text)]), is_error, "{text}");
    }
}

#[test]
fn the_same_call_again_is_seen_whatever_the_order_of_its_fields() {
    let again = vec![
        user("go"),
        turn(vec![call("read", "{\"a\": 1, \"b\": [2]}")]),
        result("x", false),
        turn(vec![call("read", "{\"b\":[2],\"a\":1}")]),
        result("x", false),
    ];
    assert_eq!(signals(again.clone()).repeated_calls, 1);
    // The user asked for it again: that is no repetition.
    let mut asked = again[..3].to_vec();
    asked.push(user("once more"));
    asked.extend_from_slice(&again[3..]);
    assert_eq!(signals(asked).repeated_calls, 0);
    let other = vec![
        user("go"),
        turn(vec![call("read", "{\"a\":1}")]),
        result("x", false),
        turn(vec![call("read", "{\"a\":12}")]),
    ];
    assert_eq!(signals(other).repeated_calls, 0);
}

#[test]
fn a_circle_is_a_loop_from_its_third_round() {
    let circle = |rounds: usize| {
        let mut messages = vec![user("go"), turn(vec![call("start", "{}")])];
        for _ in 0..rounds {
            messages.push(turn(vec![call("open", "{\"f\":1}")]));
            messages.push(result("x", false));
            messages.push(turn(vec![call("close", "{\"f\":1}")]));
            messages.push(result("y", false));
        }
        signals(messages).loop_rounds
    };
    assert_eq!([1, 2, 3, 5].map(circle), [0, 0, 3, 5]);
}

#[test]
fn results_beside_text_belong_to_the_run() {
    let mut message = result("x", false);
    message.role = Role::User;
    message.parts.push(Part::text("and hurry"));
    let seen = signals(vec![
        user("go"),
        turn(vec![call("read", "{}")]),
        message.clone(),
        turn(vec![call("read", "{}")]),
        message,
    ]);
    assert_eq!((seen.tool_results, seen.repeated_calls), (1, 1));
}

proptest! {
    #[test]
    fn nothing_panics_and_counts_are_bounded(kinds in prop::collection::vec(0_u8..5, 0..120)) {
        let messages: Vec<_> = kinds.iter().map(|kind| match kind {
            0 => user("q"),
            1 => turn(vec![call("a", "{}")]),
            2 => turn(vec![call("b", "{"), call("a", "[]")]),
            3 => result("Error: x", false),
            _ => turn(vec![Part::text("t")]),
        }).collect();
        let results = kinds.iter().filter(|kind| **kind == 3).count();
        let seen = signals(messages);
        prop_assert!(seen.tool_errors <= seen.tool_results);
        prop_assert!(seen.tool_results as usize <= results);
        prop_assert!(seen.loop_rounds == 0 || seen.loop_rounds >= 3);
        prop_assert!(seen.repeated_calls <= 2);
    }
}
