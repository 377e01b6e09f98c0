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
use crate::members::{Members, elements};

const CHOICES_MAX: usize = 128;

pub(crate) fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let (mut members, choices) = decode_envelope(Dialect::OpenaiChat, body)?;
    let mut response = decode_head(&mut members)?;
    for choice in choices {
        let (index, choice) = decode_choice(choice)?;
        place(&mut response.choices, index, choice)?;
    }
    response.extra = members.rest()?;
    Ok(response)
}

/// Takes the body apart, recognises an error, and takes the choices out.
pub(crate) fn decode_envelope(
    dialect: Dialect,
    body: &[u8],
) -> Result<(Members<'_>, Vec<&str>), Error> {
    let text = std::str::from_utf8(body).map_err(|_| garbled("it is not UTF-8"))?;
    let Some(mut members) = Members::of(text)? else {
        return Err(garbled("it is not an object"));
    };
    let says_error = members.take("object") == Some("\"error\"");
    if says_error || members.take("error").is_some_and(|error| error != "null") {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| garbled(format_args!("it is not JSON ({:?})", error.classify())))?;
        return Err(error_in_answer(dialect, &value, body));
    }
    match members.take("choices").and_then(elements) {
        Some(choices) => Ok((members, choices)),
        None => Err(garbled("it has no `choices`")),
    }
}

/// Takes the fields around the choices.
pub(crate) fn decode_head(members: &mut Members<'_>) -> Result<Response, Error> {
    let usage = members.take("usage").filter(|usage| *usage != "null");
    let tier = members.peek_text("service_tier")?;
    let tier = ServiceTier::of_word(tier.as_deref().unwrap_or_default());
    Ok(Response {
        id: members.text("id")?.unwrap_or_default(),
        model: members.text("model")?.unwrap_or_default(),
        created_s: members.count("created"),
        usage: usage.and_then(|usage| decode_usage(usage, tier)),
        ..Response::default()
    })
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

fn decode_choice(choice: &str) -> Result<(usize, Choice), Error> {
    let Some(mut choice) = Members::within(choice)? else {
        return Err(garbled("a choice is not an object"));
    };
    let index = choice.count("index");
    let message = choice.take("message").map(Members::within).transpose()?;
    let Some(mut message) = message.flatten() else {
        return Err(garbled("a choice has no `message`"));
    };
    let mut parts = Vec::new();
    decode_reasoning(&mut message, &mut parts)?;
    decode_content(&mut message, &mut parts)?;
    decode_calls(&mut message, &mut parts)?;
    message.take("role");
    let stop_sequence = choice.text("stop_reason")?;
    let finish = choice.text("finish_reason")?;
    let logprobs = choice.take("logprobs");
    let logprobs = logprobs.and_then(|text| serde_json::from_str::<Option<Logprobs>>(text).ok());
    let decoded = Choice {
        parts,
        logprobs: logprobs.flatten().unwrap_or_default().into_canonical(),
        finish: finish.map(|word| finish_reason(&word, stop_sequence.as_deref())),
        stop_sequence,
        extra: message.rest()?,
    };
    Ok((
        usize::try_from(index.unwrap_or(0)).unwrap_or(usize::MAX),
        decoded,
    ))
}

fn decode_reasoning(message: &mut Members<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    let content = message.text("reasoning_content")?;
    let reasoning = message.text("reasoning")?;
    if let Some(Value::Array(blocks)) = message.value("thinking_blocks")? {
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
    Ok(())
}

fn decode_content(message: &mut Members<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    match message.value("content")? {
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
    let refusal = message.text("refusal")?.filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::Refusal { text }));
    Ok(())
}

fn decode_calls(message: &mut Members<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    let calls = match message.value("tool_calls")? {
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
    if let Some(function @ Value::Object(_)) = message.value("function_call")? {
        parts.push(tool_call("call_0".to_owned(), &function));
    }
    Ok(())
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
