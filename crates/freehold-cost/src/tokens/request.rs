//! Guesses the prompt tokens of a whole request.

use freehold_types::request::{MediaSource, Prompt, ResponseFormat, Tool};
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
/// So much text is read in full; of what follows, a part.
const READ_BYTES: usize = 32 * 1024;
/// Which part: one byte in so many, in one piece from the middle of each text.
const SAMPLED_PART: usize = 8;
/// Shorter texts are always read in full.
const SAMPLED_FROM_BYTES: usize = 512;
/// Deeper values are not looked at; the gateway refuses such bodies long before.
const MAX_DEPTH: u32 = 128;

/// Guesses the prompt tokens of a request: messages with the chat template's overhead, tools,
/// schemas and media. Linear in the request; beyond 32 KiB of text, texts are sampled.
pub fn estimate_request(request: &Request) -> u64 {
    read(request, Measure::Guess)
}

/// More prompt tokens than the request can have: a tokenizer that works on bytes makes at most one
/// token of each, whatever the text. Pictures, sound and documents are guessed generously.
pub fn bound_request(request: &Request) -> u64 {
    read(request, Measure::Bound)
}

fn read(request: &Request, measure: Measure) -> u64 {
    let mut reader = Reader {
        left_bytes: READ_BYTES,
        measure,
    };
    let messages: u64 = request.messages.iter().map(|m| reader.message(m)).sum();
    let tools: u64 = request.tools.iter().map(|tool| reader.tool(tool)).sum();
    let format = match &request.response_format {
        ResponseFormat::JsonSchema { schema, .. } => reader.value(schema, 0),
        ResponseFormat::Text | ResponseFormat::JsonObject => 0,
    };
    let prompt = request.prompt.as_ref().map_or(0, |p| reader.prompt(p));
    messages + tools + format + prompt + reader.added(REPLY_OVERHEAD)
}

/// What is wanted of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Guess,
    Bound,
}

struct Reader {
    left_bytes: usize,
    measure: Measure,
}

impl Reader {
    fn text(&mut self, text: &str) -> u64 {
        let length = text.len();
        if self.measure == Measure::Bound {
            return length as u64;
        }
        let in_full = length <= SAMPLED_FROM_BYTES || length <= self.left_bytes;
        self.left_bytes = self.left_bytes.saturating_sub(length);
        if in_full {
            return estimate_text(text);
        }
        let sampled = length / SAMPLED_PART;
        let start = text.floor_char_boundary((length - sampled) / 2);
        let end = text.floor_char_boundary(start + sampled);
        let sample = &text[start..end];
        estimate_text(sample).saturating_mul(length as u64) / sample.len().max(1) as u64
    }

    /// What is no text: a bound takes four times the guess.
    const fn added(&self, tokens: u64) -> u64 {
        match self.measure {
            Measure::Guess => tokens,
            Measure::Bound => tokens.saturating_mul(4),
        }
    }

    fn optional(&mut self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| self.text(text))
    }

    fn prompt(&mut self, prompt: &Prompt) -> u64 {
        match prompt {
            Prompt::Text(text) => self.text(text),
            Prompt::Texts(texts) => texts.iter().map(|text| self.text(text)).sum(),
            Prompt::Tokens(tokens) => tokens.len() as u64,
            Prompt::TokenLists(lists) => lists.iter().map(|tokens| tokens.len() as u64).sum(),
        }
    }

    fn message(&mut self, message: &Message) -> u64 {
        let name = self.optional(message.name.as_deref());
        self.added(MESSAGE_OVERHEAD) + name + self.parts(&message.parts, 0)
    }

    fn parts(&mut self, list: &[Part], depth: u32) -> u64 {
        list.iter().map(|each| self.part(each, depth)).sum()
    }

    fn part(&mut self, part: &Part, depth: u32) -> u64 {
        match part {
            Part::Text { text, .. } | Part::Thinking { text, .. } | Part::Refusal { text } => {
                self.text(text)
            }
            Part::Image { detail, .. } => match detail.as_deref() {
                Some("low") => self.added(IMAGE_LOW_DETAIL_TOKENS),
                _ => self.added(IMAGE_TOKENS),
            },
            Part::Audio { source, .. } => self.media(source, AUDIO_BASE64_BYTES_PER_TOKEN),
            Part::File { source, name, .. } => {
                self.media(source, FILE_BASE64_BYTES_PER_TOKEN) + self.optional(name.as_deref())
            }
            Part::ToolCall {
                name, arguments, ..
            } => self.added(TOOL_OVERHEAD) + self.text(name) + self.text(arguments),
            Part::ToolResult { parts: inner, .. } if depth < MAX_DEPTH => {
                self.added(TOOL_OVERHEAD) + self.parts(inner, depth + 1)
            }
            Part::ToolResult { .. } => self.added(TOOL_OVERHEAD),
            // Encrypted text is about four thirds of its base64 in bytes, four bytes a token.
            Part::RedactedThinking { data } => data.len() as u64 / 5,
            Part::Unknown { value, .. } => self.value(value, 0),
        }
    }

    fn media(&mut self, source: &MediaSource, base64_bytes_per_token: u64) -> u64 {
        match source {
            MediaSource::Base64 { data, .. } => {
                self.added((data.len() as u64).div_ceil(base64_bytes_per_token))
            }
            MediaSource::Text(text) => self.text(text),
            MediaSource::Url(_) | MediaSource::FileId(_) => self.added(DISTANT_MEDIA_TOKENS),
        }
    }

    fn tool(&mut self, tool: &Tool) -> u64 {
        match tool {
            Tool::Function {
                name,
                description,
                parameters,
                ..
            } => {
                self.added(TOOL_OVERHEAD)
                    + self.text(name)
                    + self.optional(description.as_deref())
                    + parameters
                        .as_ref()
                        .map_or(0, |schema| self.value(schema, 0))
            }
            Tool::Unknown { value, .. } => self.added(TOOL_OVERHEAD) + self.value(value, 0),
        }
    }

    /// JSON as the model reads it: every key, every text, and the signs between them.
    fn value(&mut self, json: &Value, depth: u32) -> u64 {
        match json {
            Value::Null | Value::Bool(_) => self.added(1),
            Value::Number(number) if self.measure == Measure::Bound => {
                number.to_string().len() as u64
            }
            Value::Number(_) => 2,
            Value::String(text) => self.added(1) + self.text(text),
            Value::Array(items) if depth < MAX_DEPTH => {
                let items = items.iter().map(|item| 1 + self.value(item, depth + 1));
                1 + items.sum::<u64>()
            }
            Value::Object(fields) if depth < MAX_DEPTH => 1 + self.object(fields, depth + 1),
            Value::Array(_) | Value::Object(_) => 1,
        }
    }

    fn object(&mut self, fields: &Extra, depth: u32) -> u64 {
        fields
            .iter()
            .map(|(key, field)| self.added(2) + self.text(key) + self.value(field, depth))
            .sum()
    }
}
