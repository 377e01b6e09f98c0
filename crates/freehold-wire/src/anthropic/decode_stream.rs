//! Anthropic messages: events of the wire into canonical events.

use freehold_types::request::{Extra, Part};
use freehold_types::{Delta, Dialect, Error, Event, PartKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::decode_response::decode_lenient;
use super::stop::finish_reason;
use super::usage::UsageSoFar;
use crate::error_body::{error_in_answer, garbled};
use crate::form::Forms;
use crate::openai_chat::chunk::Text;
use crate::openai_chat::decode_response::take_text;
use crate::openai_chat::usage::Count;
use crate::stream::Events;

const DIALECT: Dialect = Dialect::AnthropicMessages;
const PARTS_MAX: u32 = 4_096;

/// Reads one upstream stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    usage: UsageSoFar,
    /// Whether the usage of the whole answer has been told.
    usage_is_whole: bool,
    parts: u32,
    /// Blocks that have begun and not ended: the wire's index and the part's.
    open: Vec<(u64, u32)>,
    finished: bool,
    forms: Forms,
}

/// Any event: fields of all kinds side by side, so that one pass reads the frequent ones.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(default)]
    index: Option<Count>,
    #[serde(borrow, default)]
    delta: Option<WireDelta<'a>>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    /// Read by itself, so that a malformed one does not cost the answer.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
}

impl Decoder {
    /// Reads one event.
    pub(crate) fn decode(
        &mut self,
        name: Option<&[u8]>,
        data: &[u8],
        events: &mut Events,
    ) -> Result<(), Error> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if let Some(delta) = self.more_text(name, data) {
            events.push(delta);
            return Ok(());
        }
        let text = std::str::from_utf8(data).map_err(|_| garbled("an event is not UTF-8"))?;
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| {
            garbled(format_args!(
                "an event cannot be read ({:?})",
                error.classify()
            ))
        })?;
        let kind = wire.kind.as_ref().map_or("", |Text(kind)| kind);
        match kind {
            "content_block_delta" => {
                self.delta(&wire, data, events)?;
                let text = wire.delta.as_ref().and_then(|delta| delta.text.as_ref());
                self.forms.learn(data, text.map(|Text(text)| text), events);
            }
            "content_block_start" => self.block_start(&wire, events)?,
            "content_block_stop" => self.block_stop(&wire, events),
            "message_start" => self.message_start(&wire, events)?,
            "message_delta" => self.message_delta(wire, data, events),
            "message_stop" => {
                for (_, part) in self.open.drain(..) {
                    events.push(Event::PartEnd { choice: 0, part });
                }
                events.push(Event::End);
            }
            _ if kind == "error" || name == Some(b"error") => {
                let body: Value = serde_json::from_slice(data).unwrap_or_default();
                return Err(error_in_answer(DIALECT, &body, data));
            }
            // `ping`, and whatever is invented next.
            _ => {}
        }
        Ok(())
    }

    /// What an event adds that is like the one before but for its text. Only the last block that was opened grows so:
    /// an earlier one with its index may be another part by now.
    fn more_text(&self, name: Option<&[u8]>, data: &[u8]) -> Option<Event> {
        let (text, choice, part) = self.forms.read(data)?;
        let (_, last) = self.open.last()?;
        (*last == part && name != Some(b"error")).then(|| Event::PartDelta {
            choice,
            part,
            delta: Delta::Text {
                text: text.to_owned(),
                logprobs: Vec::new(),
            },
        })
    }

    fn message_start(&mut self, wire: &Wire<'_>, events: &mut Events) -> Result<(), Error> {
        let message = wire.message.map_or("{}", RawValue::get);
        let mut message: Map<String, Value> =
            serde_json::from_str(message).map_err(|_| garbled("`message` is malformed"))?;
        let usage = message.shift_remove("usage");
        for key in ["type", "role", "content", "stop_reason", "stop_sequence"] {
            message.shift_remove(key);
        }
        let id = take_text(&mut message, "id").unwrap_or_default();
        let model = take_text(&mut message, "model").unwrap_or_default();
        message.retain(|_, value| !value.is_null());
        events.push(Event::Start {
            id,
            model,
            created_s: None,
            extra: message,
        });
        if let Some(usage) = usage.filter(|usage| !usage.is_null()) {
            self.take_usage(&usage.to_string(), events);
        }
        Ok(())
    }

    fn take_usage(&mut self, told: &str, events: &mut Events) {
        self.usage.take(told);
        let usage = self.usage.usage(self.usage_is_whole);
        events.extend(usage.map(Event::Usage));
    }

    fn block_start(&mut self, wire: &Wire<'_>, events: &mut Events) -> Result<(), Error> {
        let index = wire.index.unwrap_or_default().0;
        let block = wire.content_block.map_or("null", RawValue::get);
        let block: Value =
            serde_json::from_str(block).map_err(|_| garbled("a block is malformed"))?;
        let part = self.parts;
        if part >= PARTS_MAX {
            return Err(garbled("it has more than 4096 blocks"));
        }
        self.parts += 1;
        self.open.push((index, part));
        let (kind, first) = split(decode_lenient(block));
        events.push(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
        events.extend(first.map(|delta| Event::PartDelta {
            choice: 0,
            part,
            delta,
        }));
        Ok(())
    }

    fn block_stop(&mut self, wire: &Wire<'_>, events: &mut Events) {
        let index = wire.index.unwrap_or_default().0;
        if let Some(position) = self.open.iter().position(|(open, _)| *open == index) {
            let (_, part) = self.open.remove(position);
            events.push(Event::PartEnd { choice: 0, part });
        }
    }

    fn delta(&mut self, wire: &Wire<'_>, data: &[u8], events: &mut Events) -> Result<(), Error> {
        let index = wire.index.unwrap_or_default().0;
        let open = self.open.iter().rfind(|(open, _)| *open == index);
        let Some((_, part)) = open else {
            return Err(garbled("a delta belongs to no open block"));
        };
        let Some(delta) = &wire.delta else {
            return Ok(());
        };
        let owned = |text: &Option<Text<'_>>| match text {
            Some(Text(text)) => text.to_string(),
            None => String::new(),
        };
        let kind = delta.kind.as_ref().map_or("", |Text(kind)| kind);
        let delta = match kind {
            "text_delta" => Delta::Text {
                text: owned(&delta.text),
                logprobs: Vec::new(),
            },
            "input_json_delta" => Delta::Arguments(owned(&delta.partial_json)),
            "thinking_delta" => Delta::Thinking(owned(&delta.thinking)),
            "signature_delta" => Delta::Signature(owned(&delta.signature)),
            _ => {
                let mut whole: Value = serde_json::from_slice(data).unwrap_or_default();
                Delta::Unknown {
                    dialect: DIALECT,
                    value: whole.get_mut("delta").map(Value::take).unwrap_or_default(),
                }
            }
        };
        events.push(Event::PartDelta {
            choice: 0,
            part: *part,
            delta,
        });
        Ok(())
    }

    fn message_delta(&mut self, wire: Wire<'_>, data: &[u8], events: &mut Events) {
        if let Some(usage) = wire.usage.map(RawValue::get).filter(|raw| *raw != "null") {
            self.usage_is_whole |= UsageSoFar::tells_output(usage);
            self.take_usage(usage, events);
        }
        let fields = late_fields(data);
        if !fields.is_empty() {
            events.push(Event::Extra {
                choice: None,
                fields,
            });
        }
        let Some(WireDelta {
            stop_reason: Some(Text(word)),
            stop_sequence,
            ..
        }) = wire.delta
        else {
            return;
        };
        if !self.finished {
            self.finished = true;
            events.push(Event::Finish {
                choice: 0,
                reason: finish_reason(&word),
                stop_sequence: stop_sequence.map(|Text(text)| text.into_owned()),
            });
        }
    }
}

/// Fields of a `message_delta` that have no event of their own (`container`, `stop_details`).
fn late_fields(data: &[u8]) -> Extra {
    let whole: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
    let Some(Value::Object(mut delta)) = whole.get("delta").cloned() else {
        return Extra::new();
    };
    delta.retain(|key, value| {
        !matches!(key.as_str(), "stop_reason" | "stop_sequence") && !value.is_null()
    });
    delta
}

/// A block's start as the part's kind, and what it already holds.
fn split(part: Part) -> (PartKind, Option<Delta>) {
    match part {
        Part::Text { text, .. } => {
            let first = (!text.is_empty()).then_some(Delta::Text {
                text,
                logprobs: Vec::new(),
            });
            (PartKind::Text, first)
        }
        Part::Thinking { text, .. } => {
            let first = (!text.is_empty()).then_some(Delta::Thinking(text));
            (PartKind::Thinking, first)
        }
        Part::RedactedThinking { data } => (PartKind::RedactedThinking { data }, None),
        Part::ToolCall {
            id,
            name,
            arguments,
            ..
        } => {
            // Anthropic starts with an empty object and sends the arguments as deltas; some
            // compatible servers send all of them here.
            let first = (arguments != "{}").then_some(Delta::Arguments(arguments));
            (PartKind::ToolCall { id, name }, first)
        }
        Part::Unknown { dialect, value } => (PartKind::Unknown { dialect, value }, None),
        other => {
            let value = Value::String(format!("{other:?}"));
            let dialect = DIALECT;
            (PartKind::Unknown { dialect, value }, None)
        }
    }
}
