//! Visits every string, key and long number of a request, in an order that does not change as the
//! conversation grows: what stands outside the messages first, then message by message.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use freehold_types::request::{MediaSource, Prompt, ResponseFormat, Tool, ToolChoice};
use freehold_types::{Extra, Message, Part, Request};
use serde_json::{Number, Value};

use super::json_text::{self, Token, TokenKind};

/// What may stand in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Free,
    /// A part of an address: no brackets.
    Bare,
    /// A name or id of letters, digits, `_` and `-`: replaced whole.
    Identifier,
    /// A number of a JSON value: replaced whole.
    Number,
    /// A JSON string that cannot be decoded: replaced whole.
    Whole,
    /// What base64 holds: places in the encoded text mean nothing here.
    Decoded,
    /// Signed or encrypted by a vendor: cannot be changed.
    Sealed(&'static str),
}

/// Takes each string in turn and may change it.
pub(crate) trait Visit {
    /// A string at a path.
    fn text(&mut self, kind: Kind, path: &str, text: &mut String);

    /// A JSON text at a path, before its tokens are visited one by one. `tokens` is `None` when it is
    /// not valid JSON: then the text is visited as a whole, after this.
    fn json_text(&mut self, path: &str, text: &str, tokens: Option<&[Token]>);

    /// So many bytes at a path that cannot be read, such as a picture.
    fn opaque(&mut self, path: &str, bytes: usize);
}

/// Visits all of a request.
pub(crate) fn walk(request: &mut Request, visit: &mut dyn Visit) {
    let mut walk = Walk {
        path: String::new(),
        visit,
    };
    walk.request(request);
}

struct Walk<'v> {
    path: String,
    visit: &'v mut dyn Visit,
}

impl Walk<'_> {
    fn request(&mut self, request: &mut Request) {
        self.field("model", |walk| {
            walk.text(Kind::Identifier, &mut request.model)
        });
        self.field("tools", |walk| walk.each(&mut request.tools, Self::tool));
        self.field("tool_choice", |walk| match &mut request.tool_choice {
            Some(ToolChoice::Function(name)) => walk.text(Kind::Identifier, name),
            Some(ToolChoice::Unknown { value, .. }) => walk.value(value),
            Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) | None => {}
        });
        self.field("response_format", |walk| {
            walk.response_format(&mut request.response_format);
        });
        self.field("stop", |walk| {
            walk.each(&mut request.sampling.stop, |walk, text| {
                walk.text(Kind::Free, text)
            });
        });
        if let Some(bias) = &mut request.sampling.logit_bias {
            self.field("logit_bias", |walk| walk.object(bias));
        }
        if let Some(reasoning) = &mut request.reasoning {
            self.field("reasoning", |walk| {
                walk.optional("effort", Kind::Free, reasoning.effort.as_mut());
                walk.optional("mode", Kind::Free, reasoning.mode.as_mut());
                walk.object(&mut reasoning.extra);
            });
        }
        self.optional("user", Kind::Free, request.user.as_mut());
        self.field("metadata", |walk| walk.object(&mut request.metadata));
        self.object(&mut request.extra);
        self.field("messages", |walk| {
            walk.each(&mut request.messages, Self::message)
        });
        if let Some(prompt) = &mut request.prompt {
            self.field("prompt", |walk| walk.prompt(prompt));
        }
    }

    fn message(&mut self, message: &mut Message) {
        self.optional("name", Kind::Identifier, message.name.as_mut());
        self.field("content", |walk| walk.each(&mut message.parts, Self::part));
        self.object(&mut message.extra);
    }

    fn part(&mut self, part: &mut Part) {
        match part {
            Part::Text { text, extra } => {
                self.field("text", |walk| walk.text(Kind::Free, text));
                self.object(extra);
            }
            Part::Image {
                source,
                detail,
                extra,
            } => {
                self.media(source);
                self.optional("detail", Kind::Free, detail.as_mut());
                self.object(extra);
            }
            Part::Audio { source, extra } => {
                self.media(source);
                self.object(extra);
            }
            Part::File {
                source,
                name,
                extra,
            } => {
                self.media(source);
                self.optional("name", Kind::Free, name.as_mut());
                self.object(extra);
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                extra,
            } => {
                self.field("id", |walk| walk.text(Kind::Identifier, id));
                self.field("name", |walk| walk.text(Kind::Identifier, name));
                self.field("arguments", |walk| walk.json_text(arguments));
                self.object(extra);
            }
            Part::ToolResult { .. } | Part::Thinking { .. } => self.longer_part(part),
            Part::RedactedThinking { data } => {
                self.field("data", |walk| walk.text(Kind::Sealed("data"), data));
            }
            Part::Refusal { text } => self.field("refusal", |walk| walk.text(Kind::Free, text)),
            Part::Unknown { value, .. } => self.value(value),
        }
    }

    fn longer_part(&mut self, part: &mut Part) {
        if let Part::ToolResult {
            call_id,
            parts,
            extra,
            is_error: _,
        } = part
        {
            self.field("tool_call_id", |walk| walk.text(Kind::Identifier, call_id));
            self.field("content", |walk| walk.each(parts, Self::part));
            self.object(extra);
        } else if let Part::Thinking {
            text,
            signature,
            extra,
        } = part
        {
            self.field("thinking", |walk| walk.text(Kind::Free, text));
            self.optional("signature", Kind::Sealed("signature"), signature.as_mut());
            self.object(extra);
        }
    }

    fn media(&mut self, source: &mut MediaSource) {
        self.field("source", |walk| match source {
            MediaSource::Url(url) => walk.url(url),
            MediaSource::Base64 { media_type, data } => {
                walk.field("media_type", |walk| walk.text(Kind::Free, media_type));
                walk.field("data", |walk| walk.base64(Kind::Free, data));
            }
            MediaSource::FileId(id) => walk.text(Kind::Identifier, id),
            MediaSource::Text(text) => walk.text(Kind::Free, text),
        });
    }

    /// The head and the body of a `data:` address are strings of their own.
    fn url(&mut self, url: &mut String) {
        const SCHEME: &str = "data:";
        let comma = url.find(',').filter(|_| url.starts_with(SCHEME));
        let Some(comma) = comma else {
            return self.text(Kind::Bare, url);
        };
        let mut body = url.split_off(comma + 1);
        let mut head = url[SCHEME.len()..comma].to_owned();
        self.text(Kind::Bare, &mut head);
        self.base64(Kind::Bare, &mut body);
        *url = format!("{SCHEME}{head},{body}");
    }

    /// Text that is encoded is decoded, masked and encoded again; what only pretends to be encoded is
    /// text as it stands.
    fn base64(&mut self, kind: Kind, data: &mut String) {
        if !is_base64(data) {
            return self.text(kind, data);
        }
        let Some(mut text) = decoded(data) else {
            return self.visit.opaque(&self.path, data.len());
        };
        let before = text.clone();
        self.text(Kind::Decoded, &mut text);
        if text != before {
            *data = ENCODED.encode(text);
        }
    }

    fn prompt(&mut self, prompt: &mut Prompt) {
        match prompt {
            Prompt::Text(text) => self.text(Kind::Free, text),
            Prompt::Texts(texts) => self.each(texts, |walk, text| walk.text(Kind::Free, text)),
            Prompt::Tokens(_) | Prompt::TokenLists(_) => {}
        }
    }

    fn tool(&mut self, tool: &mut Tool) {
        match tool {
            Tool::Function {
                name,
                description,
                parameters,
                strict: _,
                extra,
            } => {
                self.field("name", |walk| walk.text(Kind::Identifier, name));
                self.optional("description", Kind::Free, description.as_mut());
                if let Some(schema) = parameters {
                    self.field("parameters", |walk| walk.value(schema));
                }
                self.object(extra);
            }
            Tool::Unknown { value, .. } => self.value(value),
        }
    }

    fn response_format(&mut self, format: &mut ResponseFormat) {
        if let ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict: _,
        } = format
        {
            self.field("name", |walk| walk.text(Kind::Identifier, name));
            self.optional("description", Kind::Free, description.as_mut());
            self.field("schema", |walk| walk.value(schema));
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let mut text = number.to_string();
                self.text(Kind::Number, &mut text);
                if text != number.to_string() {
                    *value = number_or_text(text);
                }
            }
            Value::String(text) => self.text(Kind::Free, text),
            Value::Array(items) => self.each(items, Self::value),
            Value::Object(fields) => self.object(fields),
        }
    }

    fn object(&mut self, fields: &mut Extra) {
        for (mut key, mut value) in std::mem::take(fields) {
            let length = self.push(&key);
            self.text(Kind::Free, &mut key);
            self.value(&mut value);
            self.path.truncate(length);
            // Two keys that were redacted read the same, and neither may go.
            while fields.contains_key(&key) {
                key.push('_');
            }
            fields.insert(key, value);
        }
    }

    /// JSON in a string: its strings are decoded, so that escapes hide nothing, and what is put in
    /// their place is escaped.
    fn json_text(&mut self, json: &mut String) {
        let tokens = json_text::tokens(json);
        self.visit.json_text(&self.path, json, tokens.as_deref());
        let Some(tokens) = tokens else {
            self.text(Kind::Free, json);
            return;
        };
        let mut written = String::with_capacity(json.len());
        let mut at = 0;
        for token in tokens {
            written.push_str(&json[at..token.range.start]);
            written.push_str(&self.token(&json[token.range.clone()], token.kind));
            at = token.range.end;
        }
        written.push_str(&json[at..]);
        *json = written;
    }

    fn token(&mut self, spelled: &str, kind: TokenKind) -> String {
        let (kind, before) = match kind {
            TokenKind::Number => (Kind::Number, spelled.to_owned()),
            TokenKind::Key | TokenKind::Text => match serde_json::from_str::<String>(spelled) {
                Ok(text) => (Kind::Free, text),
                Err(_) => (Kind::Whole, spelled[1..spelled.len() - 1].to_owned()),
            },
        };
        let mut after = before.clone();
        self.text(kind, &mut after);
        if after == before {
            return spelled.to_owned();
        }
        if kind == Kind::Number {
            return number_or_text(after).to_string();
        }
        Value::String(after).to_string()
    }

    fn text(&mut self, kind: Kind, text: &mut String) {
        self.visit.text(kind, &self.path, text);
    }

    fn optional(&mut self, name: &str, kind: Kind, text: Option<&mut String>) {
        if let Some(text) = text {
            self.field(name, |walk| walk.text(kind, text));
        }
    }

    fn field(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let length = self.push(name);
        look(self);
        self.path.truncate(length);
    }

    fn push(&mut self, name: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        length
    }

    fn each<T>(&mut self, items: &mut [T], look: impl Fn(&mut Self, &mut T)) {
        for (index, item) in items.iter_mut().enumerate() {
            let length = self.path.len();
            self.path.push('[');
            self.path.push_str(&index.to_string());
            self.path.push(']');
            look(self, item);
            self.path.truncate(length);
        }
    }
}

fn is_base64(data: &str) -> bool {
    data.bytes().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n')
    })
}

/// Base64 with or without its padding.
const ENCODED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Looked at first, so that pictures are not decoded in full. A multiple of four.
const SAMPLE_BYTES: usize = 1_024;

/// The text in base64; `None` when it is something else.
fn decoded(data: &str) -> Option<String> {
    let mut data = Cow::Borrowed(data);
    if data.contains(['\r', '\n']) {
        data = Cow::Owned(data.replace(['\r', '\n'], ""));
    }
    let sample = &data[..data.len().min(SAMPLE_BYTES)];
    let sample = ENCODED.decode(sample).ok()?;
    // The sample may end within a character.
    if std::str::from_utf8(&sample).is_err_and(|wrong| wrong.error_len().is_some()) {
        return None;
    }
    String::from_utf8(ENCODED.decode(data.as_bytes()).ok()?).ok()
}

/// A replaced number stays one when it still is one, digit for digit.
fn number_or_text(text: String) -> Value {
    match serde_json::from_str::<Number>(&text) {
        Ok(number) if number.to_string() == text => Value::Number(number),
        _ => Value::String(text),
    }
}
