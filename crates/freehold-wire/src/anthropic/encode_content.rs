//! Anthropic messages: canonical messages into `system` and `messages`.

use base64::Engine as _;
use freehold_types::Error;
use freehold_types::request::{Extra, MediaSource, Message, Part, Request, Role};
use serde_json::{Map, Value, json};

use super::encode_request::DIALECT;
use crate::body::{Places, put};
use crate::fields::Path;
use crate::translate::{Fate, NO_WORD, Translation, is_empty};

/// Writes `system` and `messages`.
pub(crate) fn encode_messages(
    request: &Request,
    translation: &mut Translation,
    body: &mut Map<String, Value>,
) -> Result<(), Error> {
    let places = Places::new(request);
    let mut encoder = Encoder {
        translation,
        places: &places,
        turns: Vec::new(),
    };
    let mut system = Vec::new();
    let mut leading = true;
    for (index, message) in request.messages.iter().enumerate() {
        leading &= matches!(message.role, Role::System | Role::Developer);
        places.message(index, |path| {
            if leading {
                system.extend(encoder.system(message, path)?);
                Ok(())
            } else {
                encoder.message(message, path)
            }
        })?;
    }
    if encoder.turns.is_empty() {
        return Err(Path::ROOT.key("messages").unsupported(
            "hold nothing but instructions; the model's server wants a user's message",
        ));
    }
    let turns = encoder.turns.into_iter().map(Turn::into_value).collect();
    if !system.is_empty() {
        body.insert("system".to_owned(), as_content(system));
    }
    body.insert("messages".to_owned(), Value::Array(turns));
    Ok(())
}

struct Encoder<'e> {
    translation: &'e mut Translation,
    places: &'e Places,
    turns: Vec<Turn>,
}

struct Turn {
    role: &'static str,
    content: Vec<Value>,
    extra: Map<String, Value>,
    /// True when it was made of OpenAI tool messages: what follows from the user's side joins it,
    /// because Anthropic wants all results of a turn, and what the user adds, in one message.
    results: bool,
}

impl Turn {
    fn into_value(self) -> Value {
        let mut turn = Map::new();
        turn.insert("role".to_owned(), self.role.into());
        // Clients send a model's turns back as they got them: in blocks.
        let content = match self.role {
            "assistant" if !self.content.is_empty() => Value::Array(self.content),
            _ => as_content(self.content),
        };
        turn.insert("content".to_owned(), content);
        turn.extend(self.extra);
        turn.into()
    }
}

impl Encoder<'_> {
    /// The blocks of standing instructions that lead the conversation.
    fn system(&mut self, message: &Message, path: &Path<'_>) -> Result<Vec<Value>, Error> {
        self.extras(message, path)?;
        self.blocks(message, path)
    }

    fn message(&mut self, message: &Message, path: &Path<'_>) -> Result<(), Error> {
        let extra = self.extras(message, path)?;
        let content = self.blocks(message, path)?;
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        if content.is_empty() && role == "assistant" && !self.translation.same {
            // A turn in which the model said nothing; Anthropic refuses empty ones.
            return Ok(());
        }
        match self.turns.last_mut() {
            Some(turn) if turn.results && role == "user" && extra.is_empty() => {
                turn.content.extend(content);
                turn.results = message.role == Role::Tool;
            }
            _ => self.turns.push(Turn {
                role,
                content,
                extra,
                results: message.role == Role::Tool,
            }),
        }
        Ok(())
    }

    fn extras(&mut self, message: &Message, path: &Path<'_>) -> Result<Map<String, Value>, Error> {
        let mut extra = Map::new();
        if message.name.is_some() && message.role != Role::Tool {
            return Err(path.key("name").unsupported(NO_WORD));
        }
        self.translation
            .extras(&message.extra, path, &mut extra, openai_message_fate)?;
        Ok(extra)
    }

    fn blocks(&mut self, message: &Message, path: &Path<'_>) -> Result<Vec<Value>, Error> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        for (index, part) in message.parts.iter().enumerate() {
            let block = self
                .places
                .part(path, message, index, |at| self.translation.block(part, at))?;
            blocks.extend(block);
        }
        Ok(blocks)
    }
}

/// What becomes of the fields that OpenAI's messages have on top.
fn openai_message_fate(key: &str, value: &Value) -> Fate {
    match key {
        "annotations" | "audio" | "function_call" if is_empty(value) => Fate::Nothing,
        // An answer's citations, sent back: the text itself is there.
        "annotations" | "prompt_cache_breakpoint" => Fate::Hint,
        "audio" | "function_call" => Fate::Refuse,
        _ => Fate::Pass,
    }
}

/// What becomes of the fields that OpenAI's parts have on top.
fn openai_part_fate(key: &str, _: &Value) -> Fate {
    match key {
        "prompt_cache_breakpoint" => Fate::Hint,
        // Unknown fields of the wrapped object, which has no counterpart.
        "image_url" | "file" | "input_audio" | "function" => Fate::Refuse,
        "title" | "source" | "is_error" => Fate::Foreign,
        _ => Fate::Pass,
    }
}

/// One plain text as a string; anything else as an array of blocks.
fn as_content(mut blocks: Vec<Value>) -> Value {
    match blocks.as_mut_slice() {
        [] => Value::String(String::new()),
        [Value::Object(block)] if block.len() == 2 && block.contains_key("text") => {
            block.get_mut("text").map(Value::take).unwrap_or_default()
        }
        _ => Value::Array(blocks),
    }
}

impl Translation {
    /// A content block in Anthropic's shape; `None` when the part says nothing there.
    fn block(&mut self, part: &Part, path: &Path<'_>) -> Result<Option<Value>, Error> {
        let no_extra = Extra::new();
        let (mut block, extra) = match part {
            // Anthropic refuses empty texts.
            Part::Text { text, .. } if text.is_empty() && !self.same => return Ok(None),
            Part::Text { text, extra } => (object(json!({"type": "text", "text": text})), extra),
            Part::Refusal { text } => (object(json!({"type": "text", "text": text})), &no_extra),
            Part::Image {
                source,
                detail,
                extra,
            } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.leave_out(&path.key("image_url").key("detail"));
                }
                let source = self.source(source, path)?;
                (object(json!({"type": "image", "source": source})), extra)
            }
            Part::File {
                source,
                name,
                extra,
            } => {
                let source = self.document_source(source, path)?;
                let mut block = object(json!({"type": "document", "source": source}));
                put(&mut block, "title", name.clone());
                (block, extra)
            }
            Part::ToolCall { .. } => return self.tool_use(part, path).map(Some),
            Part::ToolResult { .. } => return self.tool_result(part, path).map(Some),
            Part::Thinking {
                text,
                signature,
                extra,
            } => {
                if signature.is_none() && !self.same {
                    // Anthropic takes back only reasoning that it signed.
                    self.leave_out(path);
                    return Ok(None);
                }
                let signature = signature.as_deref().unwrap_or_default();
                let block = json!({"type": "thinking", "thinking": text, "signature": signature});
                (object(block), extra)
            }
            Part::RedactedThinking { data } => {
                let block = json!({"type": "redacted_thinking", "data": data});
                (object(block), &no_extra)
            }
            Part::Unknown { dialect, value } if *dialect == DIALECT => {
                return Ok(Some(value.clone()));
            }
            Part::Audio { .. } => {
                return Err(path.unsupported("is a sound; the model's server takes none"));
            }
            Part::Unknown { .. } => return Err(path.unsupported(NO_WORD)),
        };
        self.block_extras(extra, path, &mut block)?;
        Ok(Some(block.into()))
    }

    /// Extras of a block; those that stood in the source go back into it.
    fn block_extras(
        &mut self,
        extra: &Extra,
        path: &Path<'_>,
        block: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let mut extra = extra.clone();
        if self.same
            && let Some(Value::Object(source)) = block.get_mut("source")
            && let Some(Value::Object(rest)) = extra.shift_remove("source")
        {
            source.extend(rest);
        }
        self.extras(&extra, path, block, openai_part_fate)
    }

    fn source(&self, source: &MediaSource, path: &Path<'_>) -> Result<Value, Error> {
        match source {
            MediaSource::Base64 { media_type, data } => {
                Ok(json!({"type": "base64", "media_type": media_type, "data": data}))
            }
            MediaSource::Url(url) if url.starts_with("data:") && !self.same => {
                Err(path.unsupported("is a data URL that is not plain base64"))
            }
            MediaSource::Url(url) => Ok(json!({"type": "url", "url": url})),
            MediaSource::FileId(id) if self.same => Ok(json!({"type": "file", "file_id": id})),
            MediaSource::FileId(_) => {
                Err(path.unsupported("names a file in another vendor's file store"))
            }
            MediaSource::Text(text) => {
                Ok(json!({"type": "text", "media_type": "text/plain", "data": text}))
            }
        }
    }

    /// Documents are PDFs or plain texts.
    fn document_source(&self, source: &MediaSource, path: &Path<'_>) -> Result<Value, Error> {
        let MediaSource::Base64 { media_type, data } = source else {
            return self.source(source, path);
        };
        if self.same {
            return self.source(source, path);
        }
        match media_type.split(';').next().unwrap_or_default() {
            // OpenAI takes bare base64 to be a PDF.
            "" | "application/pdf" => Ok(json!({
                "type": "base64",
                "media_type": "application/pdf",
                "data": data,
            })),
            kind if kind.starts_with("text/") => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok();
                match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => Ok(json!({
                        "type": "text",
                        "media_type": "text/plain",
                        "data": text,
                    })),
                    None => Err(path.invalid("must be base64 of UTF-8 text")),
                }
            }
            _ => Err(path.unsupported("is neither a PDF nor a text")),
        }
    }

    fn tool_use(&mut self, part: &Part, path: &Path<'_>) -> Result<Value, Error> {
        let Part::ToolCall {
            id,
            name,
            arguments,
            extra,
        } = part
        else {
            return Err(path.unsupported(NO_WORD));
        };
        let input = if arguments.trim().is_empty() {
            Value::Object(Map::new())
        } else {
            match serde_json::from_str(arguments) {
                Ok(input @ Value::Object(_)) => input,
                _ => {
                    let function = path.key("function");
                    return Err(function.key("arguments").unsupported(
                        "are not a JSON object, which the dialect of the model's server requires",
                    ));
                }
            }
        };
        let mut block = object(json!({
            "type": "tool_use",
            "id": id,
            "name": name,
            "input": input,
        }));
        self.block_extras(extra, path, &mut block)?;
        Ok(block.into())
    }

    fn tool_result(&mut self, part: &Part, path: &Path<'_>) -> Result<Value, Error> {
        let Part::ToolResult {
            call_id,
            parts,
            is_error,
            extra,
        } = part
        else {
            return Err(path.unsupported(NO_WORD));
        };
        let content_path = path.key("content");
        let mut content = Vec::with_capacity(parts.len());
        for (index, inner) in parts.iter().enumerate() {
            content.extend(self.block(inner, &content_path.index(index))?);
        }
        let mut block = object(json!({"type": "tool_result", "tool_use_id": call_id}));
        if !content.is_empty() {
            block.insert("content".to_owned(), as_content(content));
        }
        if *is_error {
            block.insert("is_error".to_owned(), true.into());
        }
        self.block_extras(extra, path, &mut block)?;
        Ok(block.into())
    }
}

/// The map of an object literal.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
