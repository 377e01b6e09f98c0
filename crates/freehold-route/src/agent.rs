//! What a conversation shows of an agent's work.

use std::collections::HashSet;

use freehold_types::{AgentSignals, Message, Part, Request, Role};
use serde_json::Value;

use crate::hash::Fnv;

/// Only so many of the model's last turns are looked at.
const TURNS_MAX: usize = 64;
/// The longest circle that is looked for, in turns.
const CIRCLE_MAX: usize = 8;
/// Fewer rounds than this are no loop.
const ROUNDS_MIN: usize = 3;
/// So much of a tool's result tells whether it reports an error, in bytes.
const RESULT_BYTES_MAX: usize = 64 << 10;

/// Counts what went wrong so far in the work that a request goes on with: what came after the user's last words. Retries
/// are left at 0, as one request does not show them.
///
/// A tool's result reports an error when the dialect says so (Anthropic's `is_error`), or when it is a JSON object with an
/// `error` that says something or `isError: true` (MCP's), or a text that begins as errors do.
#[must_use]
pub fn agent_signals(request: &Request) -> AgentSignals {
    let messages = run(&request.messages);
    let mut turns: Vec<Vec<u64>> = Vec::new();
    let mut signals = AgentSignals::default();
    for message in messages {
        if message.role == Role::Assistant {
            (signals.tool_results, signals.tool_errors) = (0, 0);
            turns.push(calls(message));
            continue;
        }
        for part in &message.parts {
            if let Part::ToolResult {
                parts, is_error, ..
            } = part
            {
                signals.tool_results += 1;
                signals.tool_errors += u32::from(*is_error || reports_error(parts));
            }
        }
    }
    let turns = &turns[turns.len().saturating_sub(TURNS_MAX)..];
    signals.repeated_calls = repeated(turns);
    signals.loop_rounds = rounds(turns);
    signals
}

/// What came after the user's last words.
fn run(messages: &[Message]) -> &[Message] {
    let speaks = |message: &Message| {
        message.role == Role::User
            && !message.parts.iter().any(is_result)
            && message.parts.iter().any(|part| !is_result(part))
    };
    let last = messages.iter().rposition(speaks);
    &messages[last.map_or(0, |last| last + 1)..]
}

fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult { .. })
}

/// The calls of a turn: each one's name and arguments as a hash.
fn calls(message: &Message) -> Vec<u64> {
    let call = |part: &Part| match part {
        Part::ToolCall {
            name, arguments, ..
        } => {
            let mut hash = Fnv::default();
            hash.bytes(name.as_bytes());
            hash.bytes(&[0xff]);
            match serde_json::from_str::<Value>(arguments) {
                Ok(value) => canonical(&mut hash, &value),
                Err(_) => hash.bytes(arguments.as_bytes()),
            }
            Some(hash.mixed())
        }
        _ => None,
    };
    message.parts.iter().filter_map(call).collect()
}

/// The same for objects whose fields stand in another order.
fn canonical(hash: &mut Fnv, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            hash.bytes(b"{");
            for (name, value) in fields {
                hash.bytes(name.as_bytes());
                hash.bytes(&[0xff]);
                canonical(hash, value);
            }
            hash.bytes(b"}");
        }
        Value::Array(values) => {
            hash.bytes(b"[");
            for value in values {
                canonical(hash, value);
                hash.bytes(b",");
            }
            hash.bytes(b"]");
        }
        Value::String(text) => {
            hash.bytes(b"\"");
            hash.bytes(text.as_bytes());
            hash.bytes(&[0xff]);
        }
        other => hash.bytes(other.to_string().as_bytes()),
    }
}

/// How many calls of the last turn were made in an earlier one.
fn repeated(turns: &[Vec<u64>]) -> u32 {
    let Some((last, earlier)) = turns.split_last() else {
        return 0;
    };
    let earlier: HashSet<u64> = earlier.iter().flatten().copied().collect();
    let again = last.iter().filter(|call| earlier.contains(call));
    u32::try_from(again.count()).unwrap_or(u32::MAX)
}

/// How often the last turns went round in the same circle.
fn rounds(turns: &[Vec<u64>]) -> u32 {
    let of = |circle: usize| {
        let mut same = 0;
        // The turn before by one circle is the same one.
        for at in (circle..turns.len()).rev() {
            if turns[at].is_empty() || turns[at] != turns[at - circle] {
                break;
            }
            same += 1;
        }
        same / circle + 1
    };
    let longest = (1..=CIRCLE_MAX.min(turns.len() / ROUNDS_MIN))
        .map(of)
        .max()
        .unwrap_or(0);
    if longest < ROUNDS_MIN {
        return 0;
    }
    u32::try_from(longest).unwrap_or(u32::MAX)
}

fn reports_error(parts: &[Part]) -> bool {
    let text = parts.iter().find_map(|part| match part {
        Part::Text { text, .. } => Some(text.trim_start()),
        _ => None,
    });
    let Some(text) = text else {
        return false;
    };
    if text.starts_with('{') {
        return text.len() <= RESULT_BYTES_MAX && is_error_object(text);
    }
    const BEGINNINGS: [&str; 6] = [
        "error:",
        "error executing",
        "traceback (most recent call last)",
        "exception:",
        "unhandled exception",
        "tool execution failed",
    ];
    let begins = |beginning: &&str| {
        let start = text.as_bytes().get(..beginning.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    BEGINNINGS.iter().any(begins)
}

fn is_error_object(text: &str) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return false;
    };
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    };
    fields.get("error").is_some_and(says) || fields.get("isError") == Some(&Value::Bool(true))
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
