//! Guesses the prompt tokens of a whole request.

use freehold_types::request::{MediaSource, Prompt, Tool};
use freehold_types::{Extra, Message, Part, Request};
use serde_json::Value;

use super::estimate_text;

/// A picture, whatever its size: between OpenAI's 765 for a square and Anthropic's 1,590 at most.
pub const IMAGE_TOKENS: u64 = 1_000;
/// A picture that OpenAI clients ask to be seen in low detail.
pub const IMAGE_LOW_DETAIL_TOKENS: u64 = 85;
/// Sound: about ten tokens per second of compressed speech.
pub const AUDIO_BASE64_BYTES_PER_TOKEN: u64 = 1_000;
/// Documents: about two thousand tokens per page of 50 KB.
pub const FILE_BASE64_BYTES_PER_TOKEN: u64 = 32;
/// A sound or document that is not in the request itself.
const DISTANT_MEDIA_TOKENS: u64 = 1_000;

/// What the chat template adds to a message.
const MESSAGE_OVERHEAD: u64 = 4;
/// What it adds once, to begin the answer.
const REPLY_OVERHEAD: u64 = 3;
/// What it adds to a tool's definition, a call or a result.
const TOOL_OVERHEAD: u64 = 8;
/// Deeper values are not looked at; the gateway refuses such bodies long before.
const MAX_DEPTH: u32 = 128;

/// Guesses the prompt tokens of a request: messages with the chat template's overhead, tools,
/// schemas and media. Linear in the request.
pub fn estimate_request(request: &Request) -> u64 {
    let messages: u64 = request.messages.iter().map(message).sum();
    let tools: u64 = request.tools.iter().map(tool).sum();
    let format = match &request.response_format {
        freehold_types::request::ResponseFormat::JsonSchema { schema, .. } => value(schema, 0),
        _ => 0,
    };
    let prompt = request.prompt.as_ref().map_or(0, prompt);
    messages + tools + format + prompt + REPLY_OVERHEAD
}

fn prompt(prompt: &Prompt) -> u64 {
    match prompt {
        Prompt::Text(text) => estimate_text(text),
        Prompt::Texts(texts) => texts.iter().map(|text| estimate_text(text)).sum(),
        Prompt::Tokens(tokens) => tokens.len() as u64,
        Prompt::TokenLists(lists) => lists.iter().map(|tokens| tokens.len() as u64).sum(),
    }
}

fn message(message: &Message) -> u64 {
    let name = message.name.as_deref().map_or(0, estimate_text);
    MESSAGE_OVERHEAD + name + parts(&message.parts, 0)
}

fn parts(list: &[Part], depth: u32) -> u64 {
    list.iter().map(|each| part(each, depth)).sum()
}

fn part(part: &Part, depth: u32) -> u64 {
    match part {
        Part::Text { text, .. } | Part::Thinking { text, .. } | Part::Refusal { text } => {
            estimate_text(text)
        }
        Part::Image { detail, .. } => match detail.as_deref() {
            Some("low") => IMAGE_LOW_DETAIL_TOKENS,
            _ => IMAGE_TOKENS,
        },
        Part::Audio { source, .. } => media(source, AUDIO_BASE64_BYTES_PER_TOKEN),
        Part::File { source, name, .. } => {
            media(source, FILE_BASE64_BYTES_PER_TOKEN) + name.as_deref().map_or(0, estimate_text)
        }
        Part::ToolCall {
            name, arguments, ..
        } => TOOL_OVERHEAD + estimate_text(name) + estimate_text(arguments),
        Part::ToolResult { parts: inner, .. } if depth < MAX_DEPTH => {
            TOOL_OVERHEAD + parts(inner, depth + 1)
        }
        Part::ToolResult { .. } => TOOL_OVERHEAD,
        // Encrypted text is about four thirds of its base64 in bytes, four bytes a token.
        Part::RedactedThinking { data } => data.len() as u64 / 5,
        Part::Unknown { value: unknown, .. } => value(unknown, 0),
    }
}

fn media(source: &MediaSource, base64_bytes_per_token: u64) -> u64 {
    match source {
        MediaSource::Base64 { data, .. } => (data.len() as u64).div_ceil(base64_bytes_per_token),
        MediaSource::Text(text) => estimate_text(text),
        MediaSource::Url(_) | MediaSource::FileId(_) => DISTANT_MEDIA_TOKENS,
    }
}

fn tool(tool: &Tool) -> u64 {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            ..
        } => {
            TOOL_OVERHEAD
                + estimate_text(name)
                + description.as_deref().map_or(0, estimate_text)
                + parameters.as_ref().map_or(0, |schema| value(schema, 0))
        }
        Tool::Unknown { value: unknown, .. } => TOOL_OVERHEAD + value(unknown, 0),
    }
}

/// JSON as the model reads it: every key, every text, and the signs between them.
fn value(json: &Value, depth: u32) -> u64 {
    match json {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(text) => 1 + estimate_text(text),
        Value::Array(items) if depth < MAX_DEPTH => {
            1 + items
                .iter()
                .map(|item| 1 + value(item, depth + 1))
                .sum::<u64>()
        }
        Value::Object(fields) if depth < MAX_DEPTH => 1 + object(fields, depth + 1),
        Value::Array(_) | Value::Object(_) => 1,
    }
}

fn object(fields: &Extra, depth: u32) -> u64 {
    fields
        .iter()
        .map(|(key, field)| 2 + estimate_text(key) + value(field, depth))
        .sum()
}
