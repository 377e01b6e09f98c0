//! OpenAI chat completions: canonical events into a stream of chunks.

use std::collections::HashMap;

use freehold_types::request::{Extra, Part};
use freehold_types::{Delta, Event, PartKind, Usage};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::chunk::finish_word;
use super::chunk_head::{ChunkHead, UsageField};
use super::encode_message::thinking_block;
use super::encode_response::encode_logprobs;
use super::usage::encode_usage;
use crate::options::AnswerContext;

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Encoder {
    context: AnswerContext,
    /// From the upstream's start.
    id: String,
    model: String,
    extra: Extra,
    head: ChunkHead,
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
            extra: Extra::new(),
            head: new_head(&context, &context.id, &context.model, &Extra::new()),
            context,
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
                self.renew_head();
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
                Some(choice) => self.delta(*choice, fields, out),
                None => {
                    self.extra.extend(fields.clone());
                    self.renew_head();
                }
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
                self.chunk(choice, &TextDelta { content: text }, logprobs, None, out);
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
            self.chunk(choice, &Map::new(), None, Some(word), out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage
            && self.context.include_usage
        {
            let counts = UsageField::Counts(encode_usage(&usage));
            self.head.write(out, &[(); 0], &counts);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn field(&mut self, choice: u32, key: &str, value: Value, out: &mut Vec<u8>) {
        self.delta(choice, &Map::from_iter([(key.to_owned(), value)]), out);
    }

    fn delta(&mut self, choice: u32, delta: &Map<String, Value>, out: &mut Vec<u8>) {
        self.chunk(choice, delta, None, None, out);
    }

    /// Writes a chunk; before a choice's first, the one that tells its role.
    fn chunk(
        &mut self,
        choice: u32,
        delta: &impl Serialize,
        logprobs: Option<Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if !self.begun.contains(&choice) {
            self.begun.push(choice);
            let role = json!({"role": "assistant", "content": "", "refusal": null});
            self.write(choice, &role, None, None, out);
        }
        self.write(choice, delta, logprobs, finish, out);
    }

    fn write(
        &self,
        choice: u32,
        delta: &impl Serialize,
        logprobs: Option<Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let usage = if self.context.include_usage {
            UsageField::Later
        } else {
            UsageField::Absent
        };
        let choice = ChoiceChunk {
            index: choice,
            delta,
            logprobs,
            finish_reason: finish,
        };
        self.head.write(out, &[choice], &usage);
    }

    fn renew_head(&mut self) {
        self.head = new_head(&self.context, &self.id, &self.model, &self.extra);
    }
}

fn new_head(context: &AnswerContext, id: &str, model: &str, extra: &Extra) -> ChunkHead {
    ChunkHead::new("chat.completion.chunk", id, model, context.created_s, extra)
}

#[derive(Serialize)]
struct ChoiceChunk<'a, D> {
    index: u32,
    delta: &'a D,
    logprobs: Option<Value>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    content: &'a str,
}
