//! Anthropic messages: a response body into the canonical answer.

use freehold_types::answer::Choice;
use freehold_types::request::Part;
use freehold_types::{Dialect, Error, Response};
use serde_json::Value;

use super::decode_content::decode_block;
use super::stop::finish_reason;
use super::usage::UsageSoFar;
use crate::error_body::{error_in_answer, garbled};
use crate::fields::Path;
use crate::openai_chat::decode_response::take_text;

pub(crate) fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| garbled(format_args!("it is not JSON ({:?})", error.classify())))?;
    let is_error = value.get("type").is_some_and(|kind| kind == "error");
    if is_error || value.get("error").is_some_and(|error| !error.is_null()) {
        return Err(error_in_answer(Dialect::AnthropicMessages, &value, body));
    }
    let Value::Object(mut map) = value else {
        return Err(garbled("it is not an object"));
    };
    let Some(Value::Array(content)) = map.shift_remove("content") else {
        return Err(garbled("it has no `content`"));
    };
    let parts = content.into_iter().map(decode_lenient).collect();
    for key in ["type", "role"] {
        map.shift_remove(key);
    }
    let mut usage = UsageSoFar::default();
    let told = map.shift_remove("usage").filter(|told| !told.is_null());
    if let Some(told) = told {
        usage.take(&told.to_string());
    }
    let finish = take_text(&mut map, "stop_reason").map(|word| finish_reason(&word));
    let choice = Choice {
        parts,
        finish,
        stop_sequence: take_text(&mut map, "stop_sequence"),
        ..Choice::default()
    };
    let response = Response {
        id: take_text(&mut map, "id").unwrap_or_default(),
        model: take_text(&mut map, "model").unwrap_or_default(),
        created_s: None,
        choices: vec![choice],
        usage: usage.usage(true),
        extra: {
            map.retain(|_, value| !value.is_null());
            map
        },
    };
    Ok(response)
}

/// A block, or the whole of it as unknown when it is malformed: an answer that was paid for is not
/// thrown away over one block.
pub(crate) fn decode_lenient(block: Value) -> Part {
    let whole = block.clone();
    let mut part = decode_block(block, Path::ROOT).unwrap_or(Part::Unknown {
        dialect: Dialect::AnthropicMessages,
        value: whole,
    });
    if let Part::Text { extra, .. } | Part::ToolCall { extra, .. } = &mut part {
        extra.retain(|_, value| !value.is_null());
    }
    part
}
