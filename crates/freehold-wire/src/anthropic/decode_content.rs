//! Anthropic messages: content blocks into canonical parts. Requests and answers have the same
//! blocks.

use freehold_types::request::{Extra, MediaSource, Part};
use freehold_types::{Dialect, Error};
use serde_json::{Map, Value};

use crate::fields::{Fields, Path};

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// Content as a text or an array of blocks.
pub(crate) fn decode_content(value: Value, path: &Path<'_>) -> Result<Vec<Part>, Error> {
    match value {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(blocks) => {
            let blocks = blocks.into_iter().enumerate();
            blocks
                .map(|(index, block)| decode_block(block, path.index(index)))
                .collect()
        }
        other => Err(path.wrong_type("a string or an array of blocks", &other)),
    }
}

pub(crate) fn decode_block(value: Value, path: Path<'_>) -> Result<Part, Error> {
    let kind = match value.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => return Err(path.key("type").wrong_type("a string", other)),
        None if value.is_object() => return Err(path.key("type").invalid("is required")),
        None => return Err(path.wrong_type("an object", &value)),
    };
    match kind.as_str() {
        "image" | "document" if !has_known_source(&value) => Ok(unknown(value)),
        "text" | "image" | "document" | "tool_use" | "tool_result" | "thinking"
        | "redacted_thinking" => {
            let mut fields = Fields::new(value, path)?;
            fields.take("type");
            decode_known(&kind, fields)
        }
        _ => Ok(unknown(value)),
    }
}

fn unknown(value: Value) -> Part {
    Part::Unknown {
        dialect: DIALECT,
        value,
    }
}

/// True for sources that the canonical shape can hold. A malformed one counts as known, so that
/// reading it names the field at fault.
fn has_known_source(block: &Value) -> bool {
    let kind = block.get("source").and_then(|source| source.get("type"));
    match kind.and_then(Value::as_str) {
        None => true,
        Some(kind) => matches!(kind, "base64" | "url" | "file" | "text"),
    }
}

fn decode_known(kind: &str, mut fields: Fields<'_>) -> Result<Part, Error> {
    match kind {
        "image" => {
            let (source, rest) = decode_source(&mut fields)?;
            Ok(Part::Image {
                source,
                detail: None,
                extra: with_source_rest(fields.rest(), rest),
            })
        }
        "document" => {
            let (source, rest) = decode_source(&mut fields)?;
            Ok(Part::File {
                source,
                name: fields.string("title")?,
                extra: with_source_rest(fields.rest(), rest),
            })
        }
        "tool_use" => {
            let id = fields.require_string("id")?;
            let name = fields.require_string("name")?;
            let input = fields.object("input")?.unwrap_or_default();
            Ok(Part::ToolCall {
                id,
                name,
                arguments: Value::Object(input).to_string(),
                extra: fields.rest(),
            })
        }
        "tool_result" => {
            let call_id = fields.require_string("tool_use_id")?;
            let parts = match fields.take("content") {
                None => Vec::new(),
                Some(content) => decode_content(content, &fields.at("content"))?,
            };
            Ok(Part::ToolResult {
                call_id,
                parts,
                is_error: fields.boolean("is_error")?.unwrap_or(false),
                extra: fields.rest(),
            })
        }
        "thinking" => Ok(Part::Thinking {
            text: fields.require_string("thinking")?,
            signature: fields.string("signature")?.filter(|text| !text.is_empty()),
            extra: fields.rest(),
        }),
        "redacted_thinking" => Ok(Part::RedactedThinking {
            data: fields.require_string("data")?,
        }),
        _ => Ok(Part::Text {
            text: fields.require_string("text")?,
            extra: fields.rest(),
        }),
    }
}

fn decode_source(fields: &mut Fields<'_>) -> Result<(MediaSource, Map<String, Value>), Error> {
    let source = fields.require("source")?;
    let mut source = Fields::new(source, fields.at("source"))?;
    let decoded = match source.require_string("type")?.as_str() {
        "base64" => MediaSource::Base64 {
            media_type: source.require_string("media_type")?,
            data: source.require_string("data")?,
        },
        "url" => MediaSource::Url(source.require_string("url")?),
        "file" => MediaSource::FileId(source.require_string("file_id")?),
        _ => {
            source.take("media_type");
            MediaSource::Text(source.require_string("data")?)
        }
    };
    Ok((decoded, source.rest()))
}

/// Unknown fields of a source, put where the encoder looks for them.
fn with_source_rest(mut extra: Extra, rest: Map<String, Value>) -> Extra {
    if !rest.is_empty() {
        extra.insert("source".to_owned(), Value::Object(rest));
    }
    extra
}
