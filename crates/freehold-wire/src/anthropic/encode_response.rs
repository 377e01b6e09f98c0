//! Anthropic messages: the canonical answer into a response body.

use freehold_types::answer::Choice;
use freehold_types::request::{Extra, Part};
use freehold_types::{Dialect, FinishReason, Response};
use serde_json::{Map, Value, json};

use super::stop::stop_reason;
use super::usage::encode_usage;
use crate::options::AnswerContext;

pub(crate) fn encode_response(response: &Response, context: &AnswerContext) -> Value {
    let no_choice = Choice::default();
    // The dialect has one answer; more are never asked for by its clients.
    let choice = response.choices.first().unwrap_or(&no_choice);
    let content: Vec<Value> = choice.parts.iter().filter_map(encode_block).collect();
    let refused = choice
        .parts
        .iter()
        .any(|part| matches!(part, Part::Refusal { .. }));
    let finish = choice.finish.as_ref();
    let mut body = Map::new();
    body.insert("id".to_owned(), context.shown_id(&response.id).into());
    body.insert("type".to_owned(), "message".into());
    body.insert("role".to_owned(), "assistant".into());
    body.insert(
        "model".to_owned(),
        context.shown_model(&response.model).into(),
    );
    body.insert("content".to_owned(), content.into());
    let reason = finish.map(|finish| stop_reason(finish, refused));
    body.insert("stop_reason".to_owned(), reason.into());
    body.insert(
        "stop_sequence".to_owned(),
        shown_stop_sequence(finish, choice.stop_sequence.as_deref()).into(),
    );
    let usage = response.usage.unwrap_or_default();
    body.insert("usage".to_owned(), encode_usage(&usage));
    for (key, value) in &response.extra {
        body.entry(key).or_insert_with(|| value.clone());
    }
    body.into()
}

/// The stop text, which the dialect tells only when it was the reason.
pub(crate) fn shown_stop_sequence<'a>(
    finish: Option<&FinishReason>,
    stop_sequence: Option<&'a str>,
) -> Option<&'a str> {
    stop_sequence.filter(|_| finish == Some(&FinishReason::StopSequence))
}

/// A block of an answer; `None` for parts that the dialect has no block for.
fn encode_block(part: &Part) -> Option<Value> {
    let (block, extra) = match part {
        Part::Text { text, .. } if text.is_empty() => return None,
        Part::Text { text, extra } => (json!({"type": "text", "text": text}), Some(extra)),
        Part::Refusal { text } => (json!({"type": "text", "text": text}), None),
        Part::Thinking {
            text,
            signature,
            extra,
        } => {
            let signature = signature.as_deref().unwrap_or_default();
            let block = json!({"type": "thinking", "thinking": text, "signature": signature});
            (block, Some(extra))
        }
        Part::RedactedThinking { data } => {
            (json!({"type": "redacted_thinking", "data": data}), None)
        }
        Part::ToolCall {
            id,
            name,
            arguments,
            extra,
        } => {
            let input = parse_arguments(arguments);
            let block = json!({"type": "tool_use", "id": id, "name": name, "input": input});
            (block, Some(extra))
        }
        Part::Unknown {
            dialect: Dialect::AnthropicMessages,
            value,
        } => (value.clone(), None),
        _ => return None,
    };
    Some(with_extra(block, extra))
}

fn with_extra(mut block: Value, extra: Option<&Extra>) -> Value {
    if let (Value::Object(map), Some(extra)) = (&mut block, extra) {
        for (key, value) in extra {
            map.entry(key).or_insert_with(|| value.clone());
        }
    }
    block
}

/// Arguments as the object that the dialect requires. What a model wrote that is no object is
/// kept as text in the field `raw_arguments`.
fn parse_arguments(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => input,
        _ => json!({ "raw_arguments": arguments }),
    }
}
