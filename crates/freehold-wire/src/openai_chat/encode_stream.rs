//! OpenAI chat completions: canonical events into a stream of chunks.

use std::collections::HashMap;

use freehold_types::request::{Extra, Part};
use freehold_types::{Delta, Event, PartKind, Usage};
use serde_json::{Map, Value, json};

use super::chunk::finish_word;
use super::encode_message::thinking_block;
use super::encode_response::encode_logprobs;
use super::usage::encode_usage;
use crate::options::AnswerContext;
use crate::sse;

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Encoder {
    context: AnswerContext,
    /// What every chunk begins with, from the upstream's start.
    id: String,
    model: String,
    created_s: u64,
    extra: Extra,
    /// Choices whose role was sent.
    begun: Vec<u32>,
    finished: Vec<u32>,
    parts: HashMap<(u32, u32), Open>,
    /// Tool calls so far, by choice.
    calls: HashMap<u32, u32>,
    usage: Option<Usage>,
}

/// What must be remembered of a part.
#[derive(Debug)]
enum Open {
    Plain,
    Call { index: u32, empty: bool },
    Thinking { text: String, signature: String },
}

impl Encoder {
    pub(crate) fn new(context: AnswerContext) -> Self {
        Self {
            id: context.id.clone(),
            model: context.model.clone(),
            created_s: context.created_s,
            context,
            extra: Extra::new(),
            begun: Vec::new(),
            finished: Vec::new(),
            parts: HashMap::new(),
            calls: HashMap::new(),
            usage: None,
        }
    }

    pub(crate) fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start {
                id, model, extra, ..
            } => {
                self.id = self.context.shown_id(id).to_owned();
                self.model = self.context.shown_model(model).to_owned();
                self.extra = extra.clone();
            }
            Event::PartStart { choice, part, kind } => self.part_start(*choice, *part, kind, out),
            Event::PartDelta {
                choice,
                part,
                delta,
            } => self.part_delta(*choice, *part, delta, out),
            Event::PartEnd { choice, part } => self.part_end(*choice, *part, out),
            Event::Finish { choice, reason, .. } => {
                self.finish(*choice, finish_word(reason), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Extra { choice, fields } => match choice {
                Some(choice) => self.delta(*choice, fields.clone(), out),
                None => self.extra.extend(fields.clone()),
            },
            Event::End => self.end(out),
        }
    }

    fn part_start(&mut self, choice: u32, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let open = match kind {
            PartKind::ToolCall { id, name } => {
                let calls = self.calls.entry(choice).or_default();
                let index = *calls;
                *calls += 1;
                let call = json!([{
                    "index": index,
                    "id": id,
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]);
                self.field(choice, "tool_calls", call, out);
                Open::Call { index, empty: true }
            }
            PartKind::Thinking => Open::Thinking {
                text: String::new(),
                signature: String::new(),
            },
            PartKind::RedactedThinking { data } => {
                let data = data.clone();
                let block = thinking_block(&Part::RedactedThinking { data });
                let blocks = Value::from_iter(block);
                self.field(choice, "thinking_blocks", blocks, out);
                Open::Plain
            }
            PartKind::Text | PartKind::Refusal | PartKind::Unknown { .. } => Open::Plain,
        };
        self.parts.insert((choice, part), open);
    }

    fn part_delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text { text, logprobs } => {
                let logprobs = (!logprobs.is_empty()).then(|| encode_logprobs(logprobs));
                let delta = Map::from_iter([("content".to_owned(), text.clone().into())]);
                self.chunk(choice, delta, logprobs, None, out);
            }
            Delta::Refusal(text) => self.field(choice, "refusal", text.clone().into(), out),
            Delta::Thinking(thought) => {
                if let Some(Open::Thinking { text, .. }) = self.parts.get_mut(&(choice, part)) {
                    text.push_str(thought);
                }
                self.field(choice, "reasoning_content", thought.clone().into(), out);
            }
            Delta::Signature(more) => {
                if let Some(Open::Thinking { signature, .. }) = self.parts.get_mut(&(choice, part))
                {
                    signature.push_str(more);
                }
            }
            Delta::Arguments(arguments) => {
                if let Some(Open::Call { index, empty }) = self.parts.get_mut(&(choice, part)) {
                    *empty &= arguments.is_empty();
                    let call = json!([{"index": index, "function": {"arguments": arguments}}]);
                    self.field(choice, "tool_calls", call, out);
                }
            }
            // Parts that only their own dialect knows have no place in a chunk.
            Delta::Unknown { .. } => {}
        }
    }

    /// A signature goes out with the whole thought, so that clients can send both back. A call
    /// without arguments gets an empty object: clients parse what they got.
    fn part_end(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        match self.parts.remove(&(choice, part)) {
            Some(Open::Thinking { text, signature }) if !signature.is_empty() => {
                let block = thinking_block(&Part::Thinking {
                    text,
                    signature: Some(signature),
                    extra: Extra::new(),
                });
                let blocks = Value::from_iter(block);
                self.field(choice, "thinking_blocks", blocks, out);
            }
            Some(Open::Call { index, empty: true }) => {
                let call = json!([{"index": index, "function": {"arguments": "{}"}}]);
                self.field(choice, "tool_calls", call, out);
            }
            _ => {}
        }
    }

    fn finish(&mut self, choice: u32, word: &str, out: &mut Vec<u8>) {
        if !self.finished.contains(&choice) {
            self.finished.push(choice);
            self.chunk(choice, Map::new(), None, Some(word), out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage
            && self.context.include_usage
        {
            let mut chunk = self.head();
            chunk.insert("choices".to_owned(), Value::Array(Vec::new()));
            chunk.insert("usage".to_owned(), encode_usage(&usage));
            sse::write(out, None, &chunk);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn field(&mut self, choice: u32, key: &str, value: Value, out: &mut Vec<u8>) {
        self.delta(choice, Map::from_iter([(key.to_owned(), value)]), out);
    }

    fn delta(&mut self, choice: u32, delta: Map<String, Value>, out: &mut Vec<u8>) {
        self.chunk(choice, delta, None, None, out);
    }

    /// Writes a chunk; before a choice's first, the one that tells its role.
    fn chunk(
        &mut self,
        choice: u32,
        delta: Map<String, Value>,
        logprobs: Option<Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if !self.begun.contains(&choice) {
            self.begun.push(choice);
            let role = json!({"role": "assistant", "content": "", "refusal": null});
            self.write(choice, role, None, None, out);
        }
        self.write(choice, delta.into(), logprobs, finish, out);
    }

    fn write(
        &self,
        choice: u32,
        delta: Value,
        logprobs: Option<Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let mut chunk = self.head();
        let choice = json!({
            "index": choice,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish,
        });
        chunk.insert("choices".to_owned(), Value::Array(vec![choice]));
        if self.context.include_usage {
            chunk.insert("usage".to_owned(), Value::Null);
        }
        sse::write(out, None, &chunk);
    }

    fn head(&self) -> Map<String, Value> {
        let mut chunk = Map::new();
        chunk.insert("id".to_owned(), self.id.clone().into());
        chunk.insert("object".to_owned(), "chat.completion.chunk".into());
        chunk.insert("created".to_owned(), self.created_s.into());
        chunk.insert("model".to_owned(), self.model.clone().into());
        for (key, value) in &self.extra {
            if !matches!(key.as_str(), "choices" | "usage") {
                chunk.entry(key).or_insert_with(|| value.clone());
            }
        }
        chunk
    }
}
