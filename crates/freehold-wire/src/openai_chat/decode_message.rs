//! OpenAI chat completions: one message into canonical parts.

use freehold_types::request::{Extra, MediaSource, Message, Part, Role};
use freehold_types::{Dialect, Error};
use serde_json::Value;

use crate::fields::{Fields, Path};
use crate::media;

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(crate) fn decode_message(value: Value, path: Path<'_>) -> Result<Message, Error> {
    if value.get("role").and_then(Value::as_str) == Some("function") {
        return Ok(legacy_function_message(value));
    }
    let mut fields = Fields::new(value, path)?;
    let word = fields.require_string("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => {
            return Err(fields
                .at("role")
                .invalid("must be `system`, `developer`, `user`, `assistant` or `tool`"));
        }
    };
    let name = fields.string("name")?;
    let mut parts = Vec::new();
    if role == Role::Assistant {
        decode_reasoning(&mut fields, &mut parts)?;
    }
    decode_content(&mut fields, role, &mut parts)?;
    match role {
        Role::Assistant => decode_assistant(&mut fields, &mut parts)?,
        Role::Tool => {
            let call_id = fields.require_string("tool_call_id")?;
            parts = vec![Part::ToolResult {
                call_id,
                parts,
                is_error: false,
                extra: Extra::new(),
            }];
        }
        Role::System | Role::Developer | Role::User => {}
    }
    Ok(Message {
        role,
        parts,
        name,
        extra: fields.rest(),
    })
}

/// The answer to a legacy `function_call`. It has no call id, so it stays whole and is sent on
/// only to upstreams of its own dialect.
fn legacy_function_message(value: Value) -> Message {
    Message {
        role: Role::Tool,
        parts: vec![Part::Unknown {
            dialect: DIALECT,
            value,
        }],
        name: None,
        extra: Extra::new(),
    }
}

/// Reasoning that a client sends back, in any of the fields in which servers hand it out.
fn decode_reasoning(fields: &mut Fields<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    let blocks = fields.array("thinking_blocks")?;
    let path = fields.at("thinking_blocks");
    for (index, block) in blocks.into_iter().enumerate() {
        parts.push(decode_thinking_block(block, path.index(index))?);
    }
    let has_blocks = !parts.is_empty();
    for key in ["reasoning_content", "reasoning"] {
        // An object is OpenRouter's request option of that name, not text.
        let text = match fields.peek(key) {
            Some(Value::String(_)) => fields.string(key)?,
            _ => None,
        };
        // The blocks say the same again, with signatures; so does the second field.
        if let Some(text) = text.filter(|text| !text.is_empty())
            && !has_blocks
            && parts.is_empty()
        {
            parts.push(Part::Thinking {
                text,
                signature: None,
                extra: Extra::new(),
            });
        }
    }
    Ok(())
}

fn decode_thinking_block(block: Value, path: Path<'_>) -> Result<Part, Error> {
    let mut fields = Fields::new(block, path)?;
    match fields.require_string("type")?.as_str() {
        "thinking" => Ok(Part::Thinking {
            text: fields.string("thinking")?.unwrap_or_default(),
            signature: fields.string("signature")?.filter(|text| !text.is_empty()),
            extra: fields.rest(),
        }),
        "redacted_thinking" => Ok(Part::RedactedThinking {
            data: fields.require_string("data")?,
        }),
        _ => Err(fields
            .at("type")
            .invalid("must be `thinking` or `redacted_thinking`")),
    }
}

fn decode_content(fields: &mut Fields<'_>, role: Role, parts: &mut Vec<Part>) -> Result<(), Error> {
    match fields.take("content") {
        Some(Value::String(text)) => parts.push(Part::text(text)),
        Some(Value::Array(values)) => {
            let path = fields.at("content");
            for (index, value) in values.into_iter().enumerate() {
                parts.push(decode_part(value, path.index(index))?);
            }
        }
        // The model's own turn may consist of nothing but tool calls.
        None if role == Role::Assistant => {}
        None => return Err(fields.at("content").invalid("is required")),
        Some(other) => {
            return Err(fields
                .at("content")
                .wrong_type("a string or an array of parts", &other));
        }
    }
    Ok(())
}

fn decode_assistant(fields: &mut Fields<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    if let Some(text) = fields.string("refusal")? {
        parts.push(Part::Refusal { text });
    }
    let calls = fields.array("tool_calls")?;
    let path = fields.at("tool_calls");
    for (index, call) in calls.into_iter().enumerate() {
        parts.push(decode_tool_call(call, path.index(index))?);
    }
    Ok(())
}

fn decode_tool_call(value: Value, path: Path<'_>) -> Result<Part, Error> {
    let kind = value.get("type").and_then(Value::as_str);
    if value.is_object() && !matches!(kind, Some("function") | None) {
        return Ok(Part::Unknown {
            dialect: DIALECT,
            value,
        });
    }
    let mut fields = Fields::new(value, path)?;
    let id = fields.require_string("id")?;
    // Some clients leave the type out; there was only one for years.
    fields.string("type")?;
    let function = fields.require("function")?;
    let mut function = Fields::new(function, fields.at("function"))?;
    let name = function.require_string("name")?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    let inner = function.rest();
    let mut extra = fields.rest();
    if !inner.is_empty() {
        extra.insert("function".to_owned(), Value::Object(inner));
    }
    Ok(Part::ToolCall {
        id,
        name,
        arguments,
        extra,
    })
}

fn decode_part(value: Value, path: Path<'_>) -> Result<Part, Error> {
    let kind = match value.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => return Err(path.key("type").wrong_type("a string", other)),
        None if value.is_object() => return Err(path.key("type").invalid("is required")),
        None => return Err(path.wrong_type("an object", &value)),
    };
    match kind.as_str() {
        "text" => {
            let mut fields = Fields::new(value, path)?;
            fields.take("type");
            Ok(Part::Text {
                text: fields.require_string("text")?,
                extra: fields.rest(),
            })
        }
        "refusal" => {
            let mut fields = Fields::new(value, path)?;
            Ok(Part::Refusal {
                text: fields.require_string("refusal")?,
            })
        }
        "image_url" => decode_image(value, path),
        "input_audio" => decode_audio(value, path),
        "file" => decode_file(value, path),
        _ => Ok(Part::Unknown {
            dialect: DIALECT,
            value,
        }),
    }
}

/// Takes the object that a part wraps its content in; `rest` of both ends up in one extra map.
fn decode_wrapped<'p>(
    value: Value,
    path: Path<'p>,
    key: &'static str,
    read: impl FnOnce(&mut Fields<'_>) -> Result<Part, Error>,
) -> Result<Part, Error> {
    let mut outer = Fields::new(value, path)?;
    outer.take("type");
    let inner = outer.require(key)?;
    let mut inner = Fields::new(inner, outer.at(key))?;
    let mut part = read(&mut inner)?;
    let inner = inner.rest();
    if let Part::Image { extra, .. } | Part::Audio { extra, .. } | Part::File { extra, .. } =
        &mut part
    {
        if !inner.is_empty() {
            extra.insert(key.to_owned(), Value::Object(inner));
        }
        extra.extend(outer.rest());
    }
    Ok(part)
}

fn decode_image(mut value: Value, path: Path<'_>) -> Result<Part, Error> {
    // Some clients write the address without its object.
    if let Some(slot @ Value::String(_)) = value.get_mut("image_url") {
        let url = slot.take();
        *slot = serde_json::json!({ "url": url });
    }
    decode_wrapped(value, path, "image_url", |image| {
        Ok(Part::Image {
            source: media::from_url(image.require_string("url")?),
            detail: image.string("detail")?,
            extra: Extra::new(),
        })
    })
}

fn decode_audio(value: Value, path: Path<'_>) -> Result<Part, Error> {
    decode_wrapped(value, path, "input_audio", |audio| {
        let data = audio.require_string("data")?;
        let format = audio.require_string("format")?;
        Ok(Part::Audio {
            source: MediaSource::Base64 {
                media_type: media::audio_media_type(&format),
                data,
            },
            extra: Extra::new(),
        })
    })
}

fn decode_file(value: Value, path: Path<'_>) -> Result<Part, Error> {
    decode_wrapped(value, path, "file", |file| {
        let name = file.string("filename")?;
        let data = file.string("file_data")?;
        let id = file.string("file_id")?;
        let source = match (data, id) {
            (Some(data), None) => match media::from_url(data) {
                // Bare base64, which OpenAI takes to be a PDF.
                MediaSource::Url(data) if !data.contains(':') => MediaSource::Base64 {
                    media_type: String::new(),
                    data,
                },
                source => source,
            },
            (None, Some(id)) => MediaSource::FileId(id),
            (Some(_), Some(_)) => {
                return Err(file
                    .at("file_id")
                    .invalid("and `file_data` exclude each other"));
            }
            (None, None) => {
                return Err(file.at("file_data").invalid("or `file_id` is required"));
            }
        };
        Ok(Part::File {
            source,
            name,
            extra: Extra::new(),
        })
    })
}
