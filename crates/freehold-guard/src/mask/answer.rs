//! Restores answers, whole or event by event.

use std::collections::BTreeMap;

use freehold_types::answer::{Choice, Delta, Event, PartKind, Response};
use freehold_types::{Extra, Part};
use serde_json::Value;

use super::restore::Restorer;

/// Which text of a part a delta adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Channel {
    Text,
    Refusal,
    Thinking,
    Arguments,
}

impl Channel {
    fn delta(self, text: String) -> Delta {
        match self {
            Self::Text => Delta::Text {
                text,
                logprobs: Vec::new(),
            },
            Self::Refusal => Delta::Refusal(text),
            Self::Thinking => Delta::Thinking(text),
            Self::Arguments => Delta::Arguments(text),
        }
    }
}

/// Restores the events of one answer to a masked request.
///
/// Each text of each part is restored on its own, so parts and choices may interleave. What is held
/// back comes before the part's end, before its choice's `Finish`, or before `End`. Log-probabilities
/// are dropped: they are those of the placeholders' tokens and no longer fit the text. Signatures,
/// encrypted reasoning, ids and counts of tokens stay as they are.
#[derive(Debug)]
pub struct AnswerRestorer {
    text: Restorer,
    json: Restorer,
    json_text: bool,
    open: BTreeMap<(u32, u32, Channel), Restorer>,
}

impl AnswerRestorer {
    pub(super) fn new(text: Restorer, json_text: bool) -> Self {
        Self {
            json: text.clone().for_json(),
            text,
            json_text,
            open: BTreeMap::new(),
        }
    }

    /// Takes an event and gives back those that are certain by now, in their order.
    pub fn push(&mut self, event: Event) -> Vec<Event> {
        let mut events = Vec::with_capacity(2);
        let event = match event {
            Event::PartDelta {
                choice,
                part,
                delta,
            } => {
                self.delta(choice, part, delta, &mut events);
                return events;
            }
            Event::PartStart { choice, part, kind } => Event::PartStart {
                choice,
                part,
                kind: self.kind(kind),
            },
            Event::PartEnd { choice, part } => {
                self.flush(|key| key.0 == choice && key.1 == part, &mut events);
                event
            }
            Event::Finish {
                choice,
                reason,
                stop_sequence,
            } => {
                self.flush(|key| key.0 == choice, &mut events);
                Event::Finish {
                    choice,
                    reason,
                    stop_sequence: stop_sequence.map(|text| self.text.restore(&text)),
                }
            }
            Event::Extra { choice, mut fields } => {
                self.fields(&mut fields);
                Event::Extra { choice, fields }
            }
            Event::End => {
                self.flush(|_| true, &mut events);
                event
            }
            Event::Start { .. } | Event::Usage(_) => event,
        };
        events.push(event);
        events
    }

    /// The answer was cut short: gives back what was held.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.flush(|_| true, &mut events);
        events
    }

    /// Restores a whole answer.
    pub fn restore(&self, mut response: Response) -> Response {
        for choice in &mut response.choices {
            self.choice(choice);
        }
        self.fields(&mut response.extra);
        response
    }

    fn delta(&mut self, choice: u32, part: u32, delta: Delta, events: &mut Vec<Event>) {
        let (channel, text) = match delta {
            Delta::Text { text, logprobs: _ } => (Channel::Text, text),
            Delta::Refusal(text) => (Channel::Refusal, text),
            Delta::Thinking(text) => (Channel::Thinking, text),
            Delta::Arguments(text) => (Channel::Arguments, text),
            Delta::Signature(_) | Delta::Unknown { .. } => {
                let delta = self.other(choice, part, delta, events);
                events.push(Event::PartDelta {
                    choice,
                    part,
                    delta,
                });
                return;
            }
        };
        let is_json = channel == Channel::Arguments || (channel == Channel::Text && self.json_text);
        let fresh = if is_json { &self.json } else { &self.text };
        let restorer = self
            .open
            .entry((choice, part, channel))
            .or_insert_with(|| fresh.another());
        let restored = restorer.push(&text);
        // Some clients take an empty delta for a sign of life; one that was held back is none.
        if text.is_empty() || !restored.is_empty() {
            events.push(Event::PartDelta {
                choice,
                part,
                delta: channel.delta(restored),
            });
        }
    }

    fn other(&mut self, choice: u32, part: u32, delta: Delta, events: &mut Vec<Event>) -> Delta {
        match delta {
            Delta::Unknown { dialect, mut value } => {
                self.value(&mut value);
                Delta::Unknown { dialect, value }
            }
            // The signature closes the reasoning.
            signature => {
                let thinking = (choice, part, Channel::Thinking);
                self.flush(|key| *key == thinking, events);
                signature
            }
        }
    }

    /// Gives back what is held of some texts; they are complete.
    fn flush(&mut self, which: impl Fn(&(u32, u32, Channel)) -> bool, events: &mut Vec<Event>) {
        self.open.retain(|key, restorer| {
            if !which(key) {
                return true;
            }
            let text = restorer.finish();
            if !text.is_empty() {
                events.push(Event::PartDelta {
                    choice: key.0,
                    part: key.1,
                    delta: key.2.delta(text),
                });
            }
            false
        });
    }

    fn kind(&self, kind: PartKind) -> PartKind {
        match kind {
            PartKind::ToolCall { id, name } => PartKind::ToolCall {
                id,
                name: self.text.restore(&name),
            },
            PartKind::Unknown { dialect, mut value } => {
                self.value(&mut value);
                PartKind::Unknown { dialect, value }
            }
            PartKind::Text
            | PartKind::Refusal
            | PartKind::Thinking
            | PartKind::RedactedThinking { .. } => kind,
        }
    }

    fn choice(&self, choice: &mut Choice) {
        for part in &mut choice.parts {
            self.part(part);
        }
        choice.logprobs.clear();
        if let Some(text) = &mut choice.stop_sequence {
            *text = self.text.restore(text);
        }
        self.fields(&mut choice.extra);
    }

    fn part(&self, part: &mut Part) {
        match part {
            Part::Text { text, extra } => {
                let restorer = if self.json_text {
                    &self.json
                } else {
                    &self.text
                };
                *text = restorer.restore(text);
                self.fields(extra);
            }
            Part::Refusal { text } => *text = self.text.restore(text),
            Part::Thinking { text, extra, .. } => {
                *text = self.text.restore(text);
                self.fields(extra);
            }
            Part::ToolCall {
                name,
                arguments,
                extra,
                ..
            } => {
                *name = self.text.restore(name);
                *arguments = self.json.restore(arguments);
                self.fields(extra);
            }
            Part::Unknown { value, .. } => self.value(value),
            Part::ToolResult { parts, extra, .. } => {
                parts.iter_mut().for_each(|part| self.part(part));
                self.fields(extra);
            }
            Part::Image { extra, .. } | Part::Audio { extra, .. } | Part::File { extra, .. } => {
                self.fields(extra);
            }
            Part::RedactedThinking { .. } => {}
        }
    }

    fn fields(&self, fields: &mut Extra) {
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(key, mut value)| {
                self.value(&mut value);
                (self.text.restore(&key), value)
            })
            .collect();
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text.restore(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
