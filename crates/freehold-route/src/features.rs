//! What can be observed of a request: numbers only, in one bounded pass over the last user turn.

use freehold_cost::tokens;
use freehold_types::request::{Prompt, ResponseFormat};
use freehold_types::{Features, Message, Part, Request, Role};
use serde_json::Value;

use crate::affinity;
use crate::needs::wants_thinking;

mod text;

/// How much of the last turn is looked at.
const LOOKED_AT_BYTES: usize = 16 * 1024;
/// How deep a schema is looked into, and how many of its values are.
const SCHEMA_DEPTH_MAX: u64 = 32;
const SCHEMA_VALUES_MAX: u32 = 4_096;

/// Observes a request. Linear in its size, and bounded where text is looked at closely.
pub fn features(request: &Request) -> Features {
    let mut shape = text::Shape::default();
    let mut last_turn_chars = 0;
    for piece in last_turn(request) {
        last_turn_chars += piece.chars().count() as u64;
        shape.read(piece, LOOKED_AT_BYTES);
    }
    Features {
        prompt_tokens: tokens::estimate_request(request),
        last_turn_chars,
        turns: request.messages.iter().filter(|m| is_turn(m)).count() as u64,
        code_permille: shape.code_permille(),
        maths_permille: shape.maths_permille(),
        questions: shape.questions,
        reasoning_words: shape.reasoning_words,
        simple_words: shape.simple_words,
        non_latin_permille: shape.non_latin_permille(),
        tools: request.tools.len() as u64,
        schema_depth: match &request.response_format {
            ResponseFormat::Text => 0,
            ResponseFormat::JsonObject => 1,
            ResponseFormat::JsonSchema { schema, .. } => 1 + schema_depth(schema),
        },
        images: images(request),
        max_output_tokens: request.sampling.max_output_tokens.unwrap_or(0),
        thinking: u64::from(wants_thinking(request)),
        affinity_bucket: affinity::bucket(request),
    }
}

fn is_turn(message: &Message) -> bool {
    matches!(message.role, Role::User | Role::Assistant)
}

/// The texts of what the user said last; of the whole prompt when there are no messages.
fn last_turn(request: &Request) -> Vec<&str> {
    match &request.prompt {
        Some(Prompt::Text(text)) => return vec![text],
        Some(Prompt::Texts(texts)) => return texts.iter().map(String::as_str).collect(),
        Some(Prompt::Tokens(_) | Prompt::TokenLists(_)) | None => {}
    }
    let asked = request.messages.iter().rev().find(|message| {
        message.role == Role::User && message.parts.iter().any(|p| matches!(p, Part::Text { .. }))
    });
    let parts = asked.map(|message| message.parts.as_slice());
    parts
        .unwrap_or_default()
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn images(request: &Request) -> u64 {
    fn in_parts(parts: &[Part]) -> u64 {
        let count = |part: &Part| match part {
            Part::Image { .. } => 1,
            // Results of tools hold pictures, but no further results.
            Part::ToolResult { parts, .. } => parts
                .iter()
                .filter(|part| matches!(part, Part::Image { .. }))
                .count() as u64,
            _ => 0,
        };
        parts.iter().map(count).sum()
    }
    request.messages.iter().map(|m| in_parts(&m.parts)).sum()
}

/// Nesting of objects and lists in a schema, bounded in depth and in work.
fn schema_depth(schema: &Value) -> u64 {
    let mut deepest = 0;
    let mut looked_at = 0;
    let mut waiting = vec![(schema, 0)];
    while let Some((value, depth)) = waiting.pop() {
        deepest = deepest.max(depth);
        looked_at += 1;
        if looked_at >= SCHEMA_VALUES_MAX || depth >= SCHEMA_DEPTH_MAX {
            break;
        }
        match value {
            Value::Object(fields) => {
                // One level of the answer is one `properties` or `items`, not one JSON object.
                for (key, field) in fields {
                    let level = u64::from(matches!(key.as_str(), "properties" | "items"));
                    waiting.push((field, depth + level));
                }
            }
            Value::Array(items) => waiting.extend(items.iter().map(|item| (item, depth))),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
