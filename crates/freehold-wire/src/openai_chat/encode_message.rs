//! OpenAI chat completions: canonical messages into `messages`.

use base64::Engine as _;
use freehold_types::request::{Extra, MediaSource, Message, Part, Request, Role};
use freehold_types::{Dialect, Error};
use serde_json::{Map, Value, json};

use crate::body::{Places, is_call, put};
use crate::fields::Path;
use crate::media;
use crate::options::{Quirks, ReasoningField};
use crate::translate::{Fate, NO_WORD, OPENAI_MESSAGE_FIELDS, Translation, is_empty};

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(crate) fn encode_messages(
    request: &Request,
    quirks: &Quirks,
    translation: &mut Translation,
) -> Result<Vec<Value>, Error> {
    let places = Places::new(request);
    let mut encoder = Encoder {
        quirks,
        translation,
        places: &places,
        out: Vec::with_capacity(request.messages.len()),
    };
    for (index, message) in request.messages.iter().enumerate() {
        places.message(index, |path| encoder.message(message, path))?;
    }
    Ok(encoder.out)
}

struct Encoder<'e> {
    quirks: &'e Quirks,
    translation: &'e mut Translation,
    places: &'e Places,
    out: Vec<Value>,
}

impl Encoder<'_> {
    fn message(&mut self, message: &Message, path: &Path<'_>) -> Result<(), Error> {
        let role = match message.role {
            Role::Tool => return self.results(message, path),
            Role::Assistant => return self.assistant(message, path),
            Role::System => "system",
            Role::Developer if self.quirks.developer_role => "developer",
            Role::Developer => "system",
            Role::User => "user",
        };
        // Results first: OpenAI wants them right after the calls.
        self.results(message, path)?;
        let mut content = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            if !matches!(part, Part::ToolResult { .. }) {
                let encoded = self
                    .places
                    .part(path, message, index, |at| self.translation.part(part, at))?;
                content.push(encoded);
            }
        }
        let held_results = message.parts.len() > content.len();
        if content.is_empty() && held_results {
            return Ok(());
        }
        let fields = Map::new();
        self.push(role, message, path, Some(as_content(content)), fields)
    }

    fn push(
        &mut self,
        role: &str,
        message: &Message,
        path: &Path<'_>,
        content: Option<Value>,
        fields: Map<String, Value>,
    ) -> Result<(), Error> {
        let mut encoded = Map::new();
        encoded.insert("role".to_owned(), role.into());
        encoded.insert("content".to_owned(), content.unwrap_or(Value::Null));
        put(&mut encoded, "name", message.name.clone());
        encoded.extend(fields);
        self.translation
            .extras(&message.extra, path, &mut encoded, anthropic_message_fate)?;
        self.out.push(encoded.into());
        Ok(())
    }

    fn assistant(&mut self, message: &Message, path: &Path<'_>) -> Result<(), Error> {
        let mut content = Vec::new();
        let mut calls = Vec::new();
        let mut thoughts = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            self.places.part(path, message, index, |at| {
                match part {
                    Part::ToolCall { .. } => calls.push(self.call(part, at)?),
                    Part::Unknown { value, .. } if is_call(part) => calls.push(value.clone()),
                    Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                        thoughts.push((part, at.to_string()));
                    }
                    _ => content.push(self.translation.part(part, at)?),
                }
                Ok::<(), Error>(())
            })?;
        }
        let mut fields = Map::new();
        self.put_thoughts(&thoughts, &mut fields);
        let refusal = match content.as_slice() {
            [Value::Object(part)] => part.get("refusal").cloned(),
            _ => None,
        };
        // Without content of its own the field is `null`; another dialect's empty turn becomes an
        // empty text, because `null` alone is refused.
        let nothing = content.is_empty() && (self.translation.same || !calls.is_empty());
        let content = (refusal.is_none() && !nothing).then(|| as_content(content));
        put(&mut fields, "refusal", refusal);
        if !calls.is_empty() {
            fields.insert("tool_calls".to_owned(), calls.into());
        }
        self.push("assistant", message, path, content, fields)
    }

    fn put_thoughts(&mut self, thoughts: &[(&Part, String)], fields: &mut Map<String, Value>) {
        let key = match self.quirks.reasoning_field {
            ReasoningField::ReasoningContent => "reasoning_content",
            ReasoningField::Reasoning => "reasoning",
            ReasoningField::None if self.translation.same => "reasoning_content",
            ReasoningField::None => {
                let paths = thoughts.iter().map(|(_, path)| path.clone());
                self.translation.left_out.extend(paths);
                return;
            }
        };
        let mut text = String::new();
        let mut signed = false;
        for (part, path) in thoughts {
            match part {
                Part::Thinking {
                    text: thought,
                    signature,
                    ..
                } => {
                    text.push_str(thought);
                    signed |= signature.is_some();
                }
                _ if self.translation.same => signed = true,
                _ => self.translation.left_out.push(path.clone()),
            }
        }
        if !text.is_empty() {
            fields.insert(key.to_owned(), text.into());
        }
        if signed && self.translation.same {
            let blocks = thoughts.iter().filter_map(|(part, _)| thinking_block(part));
            fields.insert("thinking_blocks".to_owned(), blocks.collect());
        }
    }

    fn call(&mut self, part: &Part, path: &Path<'_>) -> Result<Value, Error> {
        let Part::ToolCall {
            id,
            name,
            arguments,
            extra,
        } = part
        else {
            return Err(path.unsupported(NO_WORD));
        };
        let mut function = Map::new();
        function.insert("name".to_owned(), name.clone().into());
        function.insert("arguments".to_owned(), arguments.clone().into());
        let mut extra = extra.clone();
        if self.translation.same
            && let Some(Value::Object(inner)) = extra.shift_remove("function")
        {
            function.extend(inner);
        }
        let mut encoded = Map::new();
        encoded.insert("id".to_owned(), id.clone().into());
        encoded.insert("type".to_owned(), "function".into());
        encoded.insert("function".to_owned(), function.into());
        self.translation
            .extras(&extra, path, &mut encoded, part_fate)?;
        Ok(encoded.into())
    }

    /// Each tool result as its own message.
    fn results(&mut self, message: &Message, path: &Path<'_>) -> Result<(), Error> {
        for (index, part) in message.parts.iter().enumerate() {
            let encoded = match part {
                Part::ToolResult { .. } => self
                    .places
                    .part(path, message, index, |at| self.result(message, part, at))?,
                // A legacy function's answer.
                Part::Unknown { dialect, value }
                    if message.role == Role::Tool && *dialect == DIALECT =>
                {
                    value.clone()
                }
                _ if message.role == Role::Tool => {
                    return Err(path.unsupported("holds something other than tool results"));
                }
                _ => continue,
            };
            self.out.push(encoded);
        }
        Ok(())
    }

    fn result(&mut self, message: &Message, part: &Part, path: &Path<'_>) -> Result<Value, Error> {
        let Part::ToolResult {
            call_id,
            parts,
            is_error,
            extra,
        } = part
        else {
            return Err(path.unsupported(NO_WORD));
        };
        let mut content = Vec::with_capacity(parts.len());
        for (index, inner) in parts.iter().enumerate() {
            let content_path = path.key("content");
            let at = content_path.index(index);
            if !self.translation.same && !matches!(inner, Part::Text { .. }) {
                return Err(at.unsupported(
                    "is not text; tool results are text in the dialect of the model's server",
                ));
            }
            content.push(self.translation.part(inner, &at)?);
        }
        let mut content = as_content(content);
        if *is_error {
            mark_as_error(&mut content);
        }
        let mut encoded = Map::new();
        encoded.insert("role".to_owned(), "tool".into());
        encoded.insert("tool_call_id".to_owned(), call_id.clone().into());
        encoded.insert("content".to_owned(), content);
        self.translation
            .extras(extra, path, &mut encoded, part_fate)?;
        if message.role == Role::Tool {
            put(&mut encoded, "name", message.name.clone());
            self.translation
                .extras(&message.extra, path, &mut encoded, anthropic_message_fate)?;
        }
        Ok(encoded.into())
    }
}

/// OpenAI has no flag for a tool that failed; its own examples say so in the text.
fn mark_as_error(content: &mut Value) {
    const MARK: &str = "Error: ";
    let marked = |text: &str| {
        text.get(..5)
            .is_some_and(|s| s.eq_ignore_ascii_case("error"))
    };
    match content {
        Value::String(text) if !marked(text) => text.insert_str(0, MARK),
        Value::Array(parts) => parts.insert(0, json!({"type": "text", "text": MARK.trim_end()})),
        _ => {}
    }
}

/// One plain text as a string, as most clients write it; anything else as an array of parts.
fn as_content(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => Value::String(String::new()),
        [Value::Object(part)] if part.len() == 2 && part.contains_key("text") => {
            part.get_mut("text").map(Value::take).unwrap_or_default()
        }
        _ => Value::Array(parts),
    }
}

pub(crate) fn thinking_block(part: &Part) -> Option<Value> {
    match part {
        Part::Thinking {
            text, signature, ..
        } => Some(json!({"type": "thinking", "thinking": text, "signature": signature})),
        Part::RedactedThinking { data } => Some(json!({"type": "redacted_thinking", "data": data})),
        _ => None,
    }
}

/// What becomes of unknown fields of Anthropic's messages.
fn anthropic_message_fate(key: &str, _: &Value) -> Fate {
    if OPENAI_MESSAGE_FIELDS.contains(&key) {
        Fate::Foreign
    } else {
        Fate::Pass
    }
}

/// What becomes of the fields that Anthropic's content blocks have on top.
fn part_fate(key: &str, value: &Value) -> Fate {
    match key {
        "citations" | "context" | "transformations" | "toolset_name" if is_empty(value) => {
            Fate::Nothing
        }
        "citations" if value.get("enabled") == Some(&Value::Bool(false)) => Fate::Nothing,
        "caller" if value.is_null() || value.get("type").is_some_and(|kind| kind == "direct") => {
            Fate::Nothing
        }
        "cache_control" => Fate::Hint,
        // An answer's citations, sent back: the text itself is there.
        "citations" if value.is_array() => Fate::Hint,
        "citations" | "context" | "transformations" | "toolset_name" | "caller" => Fate::Refuse,
        // A tool's result becomes a message of its own.
        _ => anthropic_message_fate(key, value),
    }
}

impl Translation {
    /// A content part in OpenAI's shape.
    fn part(&mut self, part: &Part, path: &Path<'_>) -> Result<Value, Error> {
        let mut encoded = Map::new();
        let no_extra = Extra::new();
        let extra = match part {
            Part::Text { text, extra } => {
                encoded.insert("type".to_owned(), "text".into());
                encoded.insert("text".to_owned(), text.clone().into());
                extra
            }
            Part::Refusal { text } => {
                encoded.insert("type".to_owned(), "refusal".into());
                encoded.insert("refusal".to_owned(), text.clone().into());
                &no_extra
            }
            Part::Image {
                source,
                detail,
                extra,
            } => {
                let url = media::to_url(source).ok_or_else(|| {
                    path.unsupported("names a picture in another vendor's file store")
                })?;
                let mut image = Map::new();
                image.insert("url".to_owned(), url.into());
                put(&mut image, "detail", detail.clone());
                wrap(&mut encoded, "image_url", image);
                extra
            }
            Part::Audio { source, extra } => {
                wrap(&mut encoded, "input_audio", audio(source, path)?);
                extra
            }
            Part::File {
                source,
                name,
                extra,
            } => {
                wrap(
                    &mut encoded,
                    "file",
                    self.file(source, name.as_deref(), path)?,
                );
                extra
            }
            Part::Unknown { dialect, value } if *dialect == DIALECT => return Ok(value.clone()),
            _ => return Err(path.unsupported(NO_WORD)),
        };
        self.part_extras(extra, path, &mut encoded)?;
        Ok(encoded.into())
    }

    /// Extras of a part; those that stood in the wrapped object go back into it.
    fn part_extras(
        &mut self,
        extra: &Extra,
        path: &Path<'_>,
        encoded: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let mut extra = extra.clone();
        if self.same {
            for key in ["image_url", "input_audio", "file"] {
                if let Some(Value::Object(wrapped)) = encoded.get_mut(key)
                    && let Some(Value::Object(inner)) = extra.shift_remove(key)
                {
                    wrapped.extend(inner);
                }
            }
        }
        self.extras(&extra, path, encoded, part_fate)
    }

    fn file(
        &self,
        source: &MediaSource,
        name: Option<&str>,
        path: &Path<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let mut file = Map::new();
        let mut name = name;
        let data = match source {
            MediaSource::Base64 { media_type, data } if media_type.is_empty() => data.clone(),
            MediaSource::Base64 { media_type, data } => {
                name = name.or((!self.same).then_some("document"));
                media::data_url(media_type, data)
            }
            MediaSource::Text(text) => {
                name = name.or(Some("document.txt"));
                let data = base64::engine::general_purpose::STANDARD.encode(text);
                media::data_url("text/plain", &data)
            }
            MediaSource::Url(url) if self.same => url.clone(),
            MediaSource::Url(_) => {
                return Err(path.unsupported(
                    "is a document at an address; the model's server takes only its bytes",
                ));
            }
            MediaSource::FileId(id) if self.same => {
                file.insert("file_id".to_owned(), id.clone().into());
                put(&mut file, "filename", name);
                return Ok(file);
            }
            MediaSource::FileId(_) => {
                return Err(path.unsupported("names a document in another vendor's file store"));
            }
        };
        put(&mut file, "filename", name);
        file.insert("file_data".to_owned(), data.into());
        Ok(file)
    }
}

fn wrap(encoded: &mut Map<String, Value>, kind: &str, inner: Map<String, Value>) {
    encoded.insert("type".to_owned(), kind.into());
    encoded.insert(kind.to_owned(), inner.into());
}

fn audio(source: &MediaSource, path: &Path<'_>) -> Result<Map<String, Value>, Error> {
    if let MediaSource::Base64 { media_type, data } = source
        && let Some(format) = media::audio_format(media_type)
    {
        let mut audio = Map::new();
        audio.insert("data".to_owned(), data.clone().into());
        audio.insert("format".to_owned(), format.into());
        return Ok(audio);
    }
    Err(path.unsupported("is a sound that the model's server takes only as base64"))
}
