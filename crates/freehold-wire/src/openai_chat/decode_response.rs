//! OpenAI chat completions: a response body into the canonical answer. Lenient: upstreams leave
//! out much of what their dialect requires.

use freehold_types::answer::Choice;
use freehold_types::request::{Extra, Part};
use freehold_types::usage::ServiceTier;
use freehold_types::{Dialect, Error, Response};
use serde_json::{Map, Value};

use super::chunk::{Logprobs, finish_reason};
use super::usage::decode_usage;
use crate::error_body::{error_in_answer, garbled};

const CHOICES_MAX: usize = 128;

pub(crate) fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let (mut map, choices) = decode_envelope(Dialect::OpenaiChat, body)?;
    let mut response = decode_head(&mut map);
    for choice in choices {
        let (index, choice) = decode_choice(choice)?;
        place(&mut response.choices, index, choice)?;
    }
    response.extra = map;
    Ok(response)
}

/// Parses the body, recognises an error, and takes the choices out.
pub(crate) fn decode_envelope(
    dialect: Dialect,
    body: &[u8],
) -> Result<(Map<String, Value>, Vec<Value>), Error> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| garbled(format_args!("it is not JSON ({:?})", error.classify())))?;
    let says_error = value.get("object").is_some_and(|object| object == "error");
    if value.get("error").is_some_and(|error| !error.is_null()) || says_error {
        return Err(error_in_answer(dialect, &value, body));
    }
    let Value::Object(mut map) = value else {
        return Err(garbled("it is not an object"));
    };
    match map.shift_remove("choices") {
        Some(Value::Array(choices)) => Ok((map, choices)),
        _ => Err(garbled("it has no `choices`")),
    }
}

/// Takes the fields around the choices.
pub(crate) fn decode_head(map: &mut Map<String, Value>) -> Response {
    map.shift_remove("object");
    map.retain(|_, value| !value.is_null());
    let tier = map.get("service_tier").and_then(Value::as_str);
    let tier = ServiceTier::of_word(tier.unwrap_or_default());
    let usage = map.shift_remove("usage");
    Response {
        id: take_text(map, "id").unwrap_or_default(),
        model: take_text(map, "model").unwrap_or_default(),
        created_s: map
            .shift_remove("created")
            .and_then(|created| created.as_u64()),
        usage: usage.and_then(|usage| decode_usage(&usage.to_string(), tier)),
        ..Response::default()
    }
}

/// Puts a choice at its index.
pub(crate) fn place(choices: &mut Vec<Choice>, index: usize, choice: Choice) -> Result<(), Error> {
    if index >= CHOICES_MAX {
        return Err(garbled("it has more than 128 choices"));
    }
    if choices.len() <= index {
        choices.resize_with(index + 1, Choice::default);
    }
    choices[index] = choice;
    Ok(())
}

pub(crate) fn take_text(map: &mut Map<String, Value>, key: &str) -> Option<String> {
    match map.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn decode_choice(choice: Value) -> Result<(usize, Choice), Error> {
    let Value::Object(mut choice) = choice else {
        return Err(garbled("a choice is not an object"));
    };
    let index = choice
        .shift_remove("index")
        .and_then(|index| index.as_u64());
    let Some(Value::Object(mut message)) = choice.shift_remove("message") else {
        return Err(garbled("a choice has no `message`"));
    };
    let mut parts = Vec::new();
    decode_reasoning(&mut message, &mut parts);
    decode_content(&mut message, &mut parts);
    decode_calls(&mut message, &mut parts);
    message.shift_remove("role");
    message.retain(|_, value| !value.is_null());
    let stop_sequence = take_text(&mut choice, "stop_reason");
    let finish = take_text(&mut choice, "finish_reason");
    let logprobs = choice.shift_remove("logprobs").and_then(|logprobs| {
        serde_json::from_value::<Option<Logprobs>>(logprobs)
            .ok()
            .flatten()
    });
    let decoded = Choice {
        parts,
        logprobs: logprobs.unwrap_or_default().into_canonical(),
        finish: finish.map(|word| finish_reason(&word, stop_sequence.as_deref())),
        stop_sequence,
        extra: message,
    };
    Ok((
        usize::try_from(index.unwrap_or(0)).unwrap_or(usize::MAX),
        decoded,
    ))
}

fn decode_reasoning(message: &mut Map<String, Value>, parts: &mut Vec<Part>) {
    let content = take_text(message, "reasoning_content");
    let reasoning = take_text(message, "reasoning");
    if let Some(Value::Array(blocks)) = message.shift_remove("thinking_blocks") {
        for block in &blocks {
            let text = |key: &str| block.get(key).and_then(Value::as_str).map(str::to_owned);
            parts.push(match text("data") {
                Some(data) => Part::RedactedThinking { data },
                None => Part::Thinking {
                    text: text("thinking").unwrap_or_default(),
                    signature: text("signature"),
                    extra: Extra::new(),
                },
            });
        }
    }
    let text = content.or(reasoning).filter(|text| !text.is_empty());
    if let Some(text) = text
        && parts.is_empty()
    {
        parts.push(Part::Thinking {
            text,
            signature: None,
            extra: Extra::new(),
        });
    }
}

fn decode_content(message: &mut Map<String, Value>, parts: &mut Vec<Part>) {
    match message.shift_remove("content") {
        Some(Value::String(text)) if !text.is_empty() => parts.push(Part::text(text)),
        // Mistral's reasoning models.
        Some(Value::Array(content)) => {
            for part in content {
                let thoughts = part.get("thinking").and_then(Value::as_array);
                for thought in thoughts.into_iter().flatten() {
                    if let Some(text) = thought.get("text").and_then(Value::as_str) {
                        parts.push(Part::Thinking {
                            text: text.to_owned(),
                            signature: None,
                            extra: Extra::new(),
                        });
                    }
                }
                if let Some(text) = part.get("text").and_then(Value::as_str) {
                    parts.push(Part::text(text));
                }
            }
        }
        _ => {}
    }
    let refusal = take_text(message, "refusal").filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::Refusal { text }));
}

fn decode_calls(message: &mut Map<String, Value>, parts: &mut Vec<Part>) {
    let calls = match message.shift_remove("tool_calls") {
        Some(Value::Array(calls)) => calls,
        _ => Vec::new(),
    };
    for (index, call) in calls.into_iter().enumerate() {
        if call.get("custom").is_some() {
            let dialect = Dialect::OpenaiChat;
            parts.push(Part::Unknown {
                dialect,
                value: call,
            });
            continue;
        }
        let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
        let id = match id {
            "" => format!("call_{index}"),
            id => id.to_owned(),
        };
        parts.extend(call.get("function").map(|function| tool_call(id, function)));
    }
    if let Some(function @ Value::Object(_)) = message.shift_remove("function_call") {
        parts.push(tool_call("call_0".to_owned(), &function));
    }
}

fn tool_call(id: String, function: &Value) -> Part {
    let name = function.get("name").and_then(Value::as_str);
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    Part::ToolCall {
        id,
        name: name.unwrap_or_default().to_owned(),
        arguments,
        extra: Extra::new(),
    }
}
