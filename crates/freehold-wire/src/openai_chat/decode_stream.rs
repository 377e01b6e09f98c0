//! OpenAI streams, chat and legacy: events of the wire into canonical events.

use freehold_types::request::Extra;
use freehold_types::usage::ServiceTier;
use freehold_types::{Delta, Dialect, Error, Event, PartKind, TokenLogprob};
use serde_json::Value;

use super::chunk::{Chunk, ChunkChoice, Content, Delta as WireDelta, Logprobs, ToolCall};
use super::chunk::{Text, finish_reason};
use super::usage::decode_usage;
use crate::completions::logprobs::LegacyLogprobs;
use crate::error_body::{error_in_answer, garbled};
use crate::form::Forms;
use crate::stream::Events;

/// More choices or parts than this are a defect of the upstream.
const CHOICES_MAX: u64 = 128;
const PARTS_MAX: u32 = 4_096;

/// Reads one upstream stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    dialect: Dialect,
    hide_usage: bool,
    started: bool,
    tier: ServiceTier,
    choices: Vec<ChoiceState>,
    forms: Forms,
}

#[derive(Debug)]
struct ChoiceState {
    index: u32,
    parts: u32,
    /// The part that grows, unless it is a tool call: texts do not overlap.
    current: Option<(Kind, u32)>,
    calls: Vec<Call>,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thinking,
}

#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    part: u32,
}

impl Decoder {
    pub(crate) fn new(dialect: Dialect, hide_usage: bool) -> Self {
        Self {
            dialect,
            hide_usage,
            started: false,
            tier: ServiceTier::Standard,
            choices: Vec::new(),
            forms: Forms::default(),
        }
    }

    /// True when every choice that began has finished, so that only `[DONE]` is missing.
    pub(crate) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Ends a stream that lacks only `[DONE]`.
    pub(crate) fn end(events: &mut Events) {
        events.push(Event::End);
    }

    /// Reads the data of one event. True when the client did not ask for this one.
    pub(crate) fn decode(&mut self, data: &[u8], events: &mut Events) -> Result<bool, Error> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(false);
        }
        if data == b"[DONE]" {
            for position in 0..self.choices.len() {
                self.choices[position].close_all(events);
            }
            Self::end(events);
            return Ok(false);
        }
        if let Some(delta) = self.more_text(data) {
            events.push(delta);
            return Ok(false);
        }
        let text = std::str::from_utf8(data).map_err(|_| garbled("an event is not UTF-8"))?;
        let chunk: Chunk<'_> = serde_json::from_str(text).map_err(|error| {
            garbled(format_args!(
                "an event is not a chunk ({:?})",
                error.classify()
            ))
        })?;
        let says_error = chunk
            .object
            .as_ref()
            .is_some_and(|object| object.0 == "error");
        if chunk.error.is_some_and(|error| error.get() != "null") || says_error {
            let body: Value = serde_json::from_slice(data).unwrap_or_default();
            return Err(error_in_answer(self.dialect, &body, data));
        }
        self.start(&chunk, data, events);
        if let Some(Content::Text(word)) = &chunk.service_tier {
            self.tier = ServiceTier::of_word(word);
        }
        let usage = chunk.told_usage();
        let choices = chunk.choices.unwrap_or_default();
        let only_usage = choices.is_empty() && usage.is_some();
        let text = match choices.as_slice() {
            [choice] if usage.is_none() => choice.plain_text().cloned(),
            _ => None,
        };
        for choice in choices {
            self.choice(choice, events)?;
        }
        self.forms.learn(data, text.as_ref(), events);
        let usage = usage.and_then(|raw| decode_usage(raw.get(), self.tier));
        events.extend(usage.map(Event::Usage));
        Ok(only_usage && self.hide_usage)
    }

    /// What an event adds that is like the one before but for its text.
    fn more_text(&self, data: &[u8]) -> Option<Event> {
        let (text, choice, part) = self.forms.read(data)?;
        let state = self.choices.iter().find(|state| state.index == choice)?;
        (state.current == Some((Kind::Text, part))).then(|| Event::PartDelta {
            choice,
            part,
            delta: Delta::Text {
                text: text.to_owned(),
                logprobs: Vec::new(),
            },
        })
    }

    fn start(&mut self, chunk: &Chunk<'_>, data: &[u8], events: &mut Events) {
        if self.started {
            return;
        }
        self.started = true;
        let text = |text: &Option<Text<'_>>| match text {
            Some(Text(text)) => text.to_string(),
            None => String::new(),
        };
        events.push(Event::Start {
            id: text(&chunk.id),
            model: text(&chunk.model),
            created_s: chunk.created.map(|count| count.0),
            extra: first_extra(data),
        });
    }

    fn choice(&mut self, choice: ChunkChoice<'_>, events: &mut Events) -> Result<(), Error> {
        let index = choice.index.unwrap_or_default().0;
        if index >= CHOICES_MAX {
            return Err(garbled("it has more than 128 choices"));
        }
        let logprobs = self.logprobs(&choice)?;
        let state = self.state(u32::try_from(index).unwrap_or(0));
        if let Some(Text(text)) = &choice.text {
            state.text(Kind::Text, text, logprobs, events)?;
        } else {
            state.delta(choice.delta.unwrap_or_default(), logprobs, events)?;
        }
        if let Some(Text(word)) = &choice.finish_reason
            && !state.finished
        {
            state.close_all(events);
            state.finished = true;
            let stop_sequence = match choice.stop_reason {
                Some(Content::Text(text)) => Some(text.into_owned()),
                _ => None,
            };
            events.push(Event::Finish {
                choice: state.index,
                reason: finish_reason(word, stop_sequence.as_deref()),
                stop_sequence,
            });
        }
        Ok(())
    }

    fn logprobs(&self, choice: &ChunkChoice<'_>) -> Result<Vec<TokenLogprob>, Error> {
        let Some(raw) = choice.logprobs.map(serde_json::value::RawValue::get) else {
            return Ok(Vec::new());
        };
        let read = match self.dialect {
            Dialect::OpenaiCompletions => serde_json::from_str::<Option<LegacyLogprobs>>(raw)
                .map(|logprobs| logprobs.unwrap_or_default().into_canonical()),
            _ => serde_json::from_str::<Option<Logprobs>>(raw)
                .map(|logprobs| logprobs.unwrap_or_default().into_canonical()),
        };
        read.map_err(|_| garbled("its log-probabilities are malformed"))
    }

    fn state(&mut self, index: u32) -> &mut ChoiceState {
        let known = self.choices.iter().position(|choice| choice.index == index);
        let position = known.unwrap_or_else(|| {
            self.choices.push(ChoiceState {
                index,
                parts: 0,
                current: None,
                calls: Vec::new(),
                finished: false,
            });
            self.choices.len() - 1
        });
        &mut self.choices[position]
    }
}

/// Unknown top-level fields of the first chunk.
fn first_extra(data: &[u8]) -> Extra {
    const KNOWN: [&str; 6] = ["id", "object", "created", "model", "choices", "usage"];
    let mut extra: Extra = serde_json::from_slice(data).unwrap_or_default();
    extra.retain(|key, value| {
        !KNOWN.contains(&key.as_str()) && key != "obfuscation" && !value.is_null()
    });
    extra
}

impl ChoiceState {
    fn delta(
        &mut self,
        delta: WireDelta<'_>,
        logprobs: Vec<TokenLogprob>,
        events: &mut Events,
    ) -> Result<(), Error> {
        let mut logprobs = logprobs;
        if let Some(Text(text)) = &delta.reasoning_content {
            self.text(Kind::Thinking, text, Vec::new(), events)?;
        } else if let Some(Content::Text(text)) = &delta.reasoning {
            self.text(Kind::Thinking, text, Vec::new(), events)?;
        }
        if let Some(Value::Array(blocks)) = &delta.thinking_blocks {
            self.thinking_blocks(blocks, events)?;
        }
        match delta.content {
            Some(Content::Text(text)) => {
                let logprobs = std::mem::take(&mut logprobs);
                self.text(Kind::Text, &text, logprobs, events)?;
            }
            Some(Content::Other(value)) => self.content_parts(&value, events)?,
            None => {}
        }
        if let Some(Text(text)) = &delta.refusal {
            self.text(Kind::Refusal, text, Vec::new(), events)?;
        }
        if !logprobs.is_empty() {
            // Tokens without text of their own, such as the halves of a character.
            self.text(Kind::Text, "", logprobs, events)?;
        }
        for (position, call) in (0..).zip(delta.tool_calls.unwrap_or_default()) {
            self.call(position, call, events)?;
        }
        if let Some(function) = delta.function_call {
            let call = ToolCall {
                index: None,
                id: None,
                function: Some(function),
            };
            self.call(0, call, events)?;
        }
        let mut fields = Extra::new();
        for (key, value) in [("annotations", delta.annotations), ("audio", delta.audio)] {
            if let Some(value) = value {
                fields.insert(key.to_owned(), value);
            }
        }
        if !fields.is_empty() {
            events.push(Event::Extra {
                choice: Some(self.index),
                fields,
            });
        }
        Ok(())
    }

    fn new_part(&mut self, kind: PartKind, events: &mut Events) -> Result<u32, Error> {
        let part = self.parts;
        if part >= PARTS_MAX {
            return Err(garbled("a choice has more than 4096 parts"));
        }
        self.parts += 1;
        events.push(Event::PartStart {
            choice: self.index,
            part,
            kind,
        });
        Ok(part)
    }

    fn text(
        &mut self,
        kind: Kind,
        text: &str,
        logprobs: Vec<TokenLogprob>,
        events: &mut Events,
    ) -> Result<(), Error> {
        if text.is_empty() && logprobs.is_empty() {
            return Ok(());
        }
        let part = match self.current {
            Some((current, part)) if current == kind => part,
            _ => {
                self.close_current(events);
                let part_kind = match kind {
                    Kind::Text => PartKind::Text,
                    Kind::Refusal => PartKind::Refusal,
                    Kind::Thinking => PartKind::Thinking,
                };
                let part = self.new_part(part_kind, events)?;
                self.current = Some((kind, part));
                part
            }
        };
        let text = text.to_owned();
        events.push(Event::PartDelta {
            choice: self.index,
            part,
            delta: match kind {
                Kind::Text => Delta::Text { text, logprobs },
                Kind::Refusal => Delta::Refusal(text),
                Kind::Thinking => Delta::Thinking(text),
            },
        });
        Ok(())
    }

    /// Signatures and encrypted reasoning, as gateways write them beside `reasoning_content`.
    fn thinking_blocks(&mut self, blocks: &[Value], events: &mut Events) -> Result<(), Error> {
        for block in blocks {
            let text = |key: &str| block.get(key).and_then(Value::as_str);
            if let Some(data) = text("data") {
                self.close_current(events);
                let data = data.to_owned();
                let part = self.new_part(PartKind::RedactedThinking { data }, events)?;
                events.push(Event::PartEnd {
                    choice: self.index,
                    part,
                });
            } else if let (Some(signature), Some((Kind::Thinking, part))) =
                (text("signature"), self.current)
            {
                events.push(Event::PartDelta {
                    choice: self.index,
                    part,
                    delta: Delta::Signature(signature.to_owned()),
                });
                self.close_current(events);
            }
        }
        Ok(())
    }

    /// Content as an array of parts (Mistral's reasoning models).
    fn content_parts(&mut self, value: &Value, events: &mut Events) -> Result<(), Error> {
        for part in value.as_array().into_iter().flatten() {
            if let Some(text) = part.get("text").and_then(Value::as_str) {
                self.text(Kind::Text, text, Vec::new(), events)?;
            }
            let thoughts = part.get("thinking").and_then(Value::as_array);
            for thought in thoughts.into_iter().flatten() {
                if let Some(text) = thought.get("text").and_then(Value::as_str) {
                    self.text(Kind::Thinking, text, Vec::new(), events)?;
                }
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        position: u64,
        call: ToolCall<'_>,
        events: &mut Events,
    ) -> Result<(), Error> {
        let index = call.index.map_or(position, |index| index.0);
        let id = call.id.map(|Text(id)| id).unwrap_or_default();
        let function = call.function;
        let name = function
            .as_ref()
            .and_then(|function| function.name.as_ref())
            .map_or("", |Text(name)| name);
        // Some vendors give every call index 0; a new id together with a name is a new call.
        let known = self.calls.iter().rfind(|known| {
            let other_id = !id.is_empty() && !name.is_empty() && known.id != id;
            known.index == index && !other_id
        });
        let part = match known {
            Some(known) => known.part,
            None => {
                self.close_current(events);
                let id = if id.is_empty() {
                    format!("call_{}_{}", self.index, self.parts)
                } else {
                    id.into_owned()
                };
                let kind = PartKind::ToolCall {
                    id: id.clone(),
                    name: name.to_owned(),
                };
                let part = self.new_part(kind, events)?;
                self.calls.push(Call { index, id, part });
                part
            }
        };
        let arguments = match function.and_then(|function| function.arguments) {
            Some(Content::Text(text)) if !text.is_empty() => text.into_owned(),
            Some(Content::Other(value)) if !value.is_null() => value.to_string(),
            _ => return Ok(()),
        };
        events.push(Event::PartDelta {
            choice: self.index,
            part,
            delta: Delta::Arguments(arguments),
        });
        Ok(())
    }

    fn close_current(&mut self, events: &mut Events) {
        if let Some((_, part)) = self.current.take() {
            events.push(Event::PartEnd {
                choice: self.index,
                part,
            });
        }
    }

    fn close_all(&mut self, events: &mut Events) {
        self.close_current(events);
        for call in self.calls.drain(..) {
            events.push(Event::PartEnd {
                choice: self.index,
                part: call.part,
            });
        }
    }
}
