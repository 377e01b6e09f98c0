//! Anthropic messages: canonical events into a stream.
//!
//! The dialect allows one open block at a time, so parts that overlap (parallel tool calls) wait
//! for their turn. `message_start` waits for the event after the start, because the counts it
//! holds often come just behind.

use std::collections::VecDeque;

use freehold_types::request::Extra;
use freehold_types::{Delta, Dialect, Event, FinishReason, PartKind, Usage};
use serde::Serialize;
use serde_json::{Value, json};

use super::encode_response::shown_stop_sequence;
use super::stop::stop_reason;
use super::usage::encode_usage;
use crate::options::AnswerContext;
use crate::sse;

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// Writes one answer.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: String,
    model: String,
    context: AnswerContext,
    extra: Extra,
    /// Fields that came too late for `message_start`.
    late: Extra,
    begun: bool,
    /// The open block's part.
    open: Option<u32>,
    blocks: u32,
    waiting: VecDeque<Waiting>,
    refused: bool,
    finish: Option<(FinishReason, Option<String>)>,
    usage: Usage,
}

/// A part whose turn has not come.
#[derive(Debug)]
struct Waiting {
    part: u32,
    block: Value,
    deltas: Vec<Value>,
    complete: bool,
}

impl Encoder {
    pub(crate) fn new(context: AnswerContext) -> Self {
        Self {
            id: context.id.clone(),
            model: context.model.clone(),
            context,
            extra: Extra::new(),
            late: Extra::new(),
            begun: false,
            open: None,
            blocks: 0,
            waiting: VecDeque::new(),
            refused: false,
            finish: None,
            usage: Usage::default(),
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
            Event::Usage(usage) => self.usage = *usage,
            Event::PartStart {
                choice: 0,
                part,
                kind,
            } => self.part_start(*part, kind, out),
            Event::PartDelta {
                choice: 0,
                part,
                delta,
            } => self.part_delta(*part, delta, out),
            Event::PartEnd { choice: 0, part } => self.part_end(*part, out),
            Event::Finish {
                choice: 0,
                reason,
                stop_sequence,
            } => self.finish = Some((reason.clone(), stop_sequence.clone())),
            Event::Extra {
                choice: None,
                fields,
            } if self.begun => self.late.extend(fields.clone()),
            Event::Extra {
                choice: None,
                fields,
            } => self.extra.extend(fields.clone()),
            Event::End => self.end(out),
            // The dialect has one answer, and no place for fields of its message.
            Event::PartStart { .. }
            | Event::PartDelta { .. }
            | Event::PartEnd { .. }
            | Event::Finish { .. }
            | Event::Extra { .. } => {}
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let mut message = json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": encode_usage(&self.usage),
        });
        merge(&mut message, &self.extra);
        let event = json!({"type": "message_start", "message": message});
        sse::write(out, Some("message_start"), &event);
    }

    fn part_start(&mut self, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let block = match kind {
            PartKind::Text => json!({"type": "text", "text": ""}),
            PartKind::Refusal => {
                self.refused = true;
                json!({"type": "text", "text": ""})
            }
            PartKind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            PartKind::RedactedThinking { data } => {
                json!({"type": "redacted_thinking", "data": data})
            }
            PartKind::ToolCall { id, name } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
            PartKind::Unknown { dialect, value } if *dialect == DIALECT => value.clone(),
            // Only the vendor's own clients know it.
            PartKind::Unknown { .. } => return,
        };
        self.begin(out);
        if self.open.is_none() {
            self.open_block(part, block, out);
        } else {
            self.waiting.push_back(Waiting {
                part,
                block,
                deltas: Vec::new(),
                complete: false,
            });
        }
    }

    fn part_delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let delta = match delta {
            Delta::Text { text, .. } | Delta::Refusal(text) => WireDelta::TextDelta { text },
            Delta::Thinking(thinking) => WireDelta::ThinkingDelta { thinking },
            Delta::Signature(signature) => WireDelta::SignatureDelta { signature },
            Delta::Arguments(partial_json) => WireDelta::InputJsonDelta { partial_json },
            Delta::Unknown { dialect, value } if *dialect == DIALECT => WireDelta::Unknown(value),
            Delta::Unknown { .. } => return,
        };
        if self.open == Some(part) {
            self.write_delta(&delta, out);
        } else if let Some(waiting) = self.waiting.iter_mut().rfind(|wait| wait.part == part) {
            waiting.deltas.extend(serde_json::to_value(&delta));
        }
    }

    fn part_end(&mut self, part: u32, out: &mut Vec<u8>) {
        if self.open == Some(part) {
            self.close_block(out);
            self.serve_waiting(out);
        } else if let Some(waiting) = self.waiting.iter_mut().rfind(|wait| wait.part == part) {
            waiting.complete = true;
        }
    }

    /// Writes parts that waited, until one is still growing.
    fn serve_waiting(&mut self, out: &mut Vec<u8>) {
        while self.open.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.open_block(next.part, next.block, out);
            for delta in &next.deltas {
                self.write_delta(delta, out);
            }
            if next.complete {
                self.close_block(out);
            }
        }
    }

    fn open_block(&mut self, part: u32, block: Value, out: &mut Vec<u8>) {
        self.open = Some(part);
        let event = json!({
            "type": "content_block_start",
            "index": self.blocks,
            "content_block": block,
        });
        sse::write(out, Some("content_block_start"), &event);
    }

    fn write_delta(&self, delta: &impl Serialize, out: &mut Vec<u8>) {
        let event = DeltaEvent {
            kind: "content_block_delta",
            index: self.blocks,
            delta,
        };
        sse::write(out, Some(event.kind), &event);
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        let event = json!({"type": "content_block_stop", "index": self.blocks});
        sse::write(out, Some("content_block_stop"), &event);
        self.open = None;
        self.blocks += 1;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        for waiting in &mut self.waiting {
            waiting.complete = true;
        }
        if self.open.is_some() {
            self.close_block(out);
        }
        self.serve_waiting(out);
        let (reason, stop_sequence) = match &self.finish {
            Some((reason, stop_sequence)) => {
                let shown = shown_stop_sequence(Some(reason), stop_sequence.as_deref());
                (Some(stop_reason(reason, self.refused)), shown)
            }
            None => (None, None),
        };
        let mut delta = json!({"stop_reason": reason, "stop_sequence": stop_sequence});
        merge(&mut delta, &self.late);
        let event = json!({
            "type": "message_delta",
            "delta": delta,
            "usage": encode_usage(&self.usage),
        });
        sse::write(out, Some("message_delta"), &event);
        sse::write(out, Some("message_stop"), &json!({"type": "message_stop"}));
    }
}

#[derive(Serialize)]
struct DeltaEvent<'a, D> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
    delta: &'a D,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireDelta<'a> {
    TextDelta {
        text: &'a str,
    },
    ThinkingDelta {
        thinking: &'a str,
    },
    SignatureDelta {
        signature: &'a str,
    },
    InputJsonDelta {
        partial_json: &'a str,
    },
    #[serde(untagged)]
    Unknown(&'a Value),
}

/// Adds fields that are not there yet.
fn merge(value: &mut Value, extra: &Extra) {
    if let Value::Object(map) = value {
        for (key, value) in extra {
            map.entry(key).or_insert_with(|| value.clone());
        }
    }
}
