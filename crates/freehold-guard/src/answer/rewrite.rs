//! Walks the events of an answer and has every text in them rewritten.

use std::collections::BTreeMap;

use freehold_types::Extra;
use freehold_types::answer::{Delta, Event, PartKind};
use serde_json::Value;

/// What is done to the texts of an answer.
pub(super) trait Rewrite {
    /// A text that comes in pieces.
    type Text;

    /// A text begins; in JSON, values are strings' contents and numbers.
    fn open(&self, is_json: bool) -> Self::Text;

    /// Takes the next piece and gives back what is certain by now.
    fn push(&mut self, text: &mut Self::Text, delta: &str) -> String;

    /// The text has ended: gives back what was held.
    fn finish(&mut self, text: Self::Text) -> String;

    /// Rewrites a whole text.
    fn whole(&mut self, text: &str) -> String {
        let mut open = self.open(false);
        let mut written = self.push(&mut open, text);
        written.push_str(&self.finish(open));
        written
    }

    /// Rewrites a value of the upstream's own JSON.
    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.whole(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Rewrites fields of the upstream's own JSON, their names included.
    fn fields(&mut self, fields: &mut Extra) {
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(key, mut value)| {
                self.value(&mut value);
                (self.whole(&key), value)
            })
            .collect();
    }
}

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

/// Rewrites the events of one answer.
///
/// Each text of each part is rewritten on its own, so parts and choices may interleave. What is held
/// back comes before the part's end, before its choice's `Finish`, or before `End`. Log-probabilities
/// are dropped: they are those of other tokens than the client gets. Signatures, encrypted
/// reasoning, ids and counts of tokens stay as they are.
#[derive(Debug)]
pub(super) struct Rewriter<R: Rewrite> {
    rewrite: R,
    json_text: bool,
    open: BTreeMap<(u32, u32, Channel), R::Text>,
}

impl<R: Rewrite> Rewriter<R> {
    /// `json_text`: the answer's text is JSON.
    pub(super) fn new(rewrite: R, json_text: bool) -> Self {
        Self {
            rewrite,
            json_text,
            open: BTreeMap::new(),
        }
    }

    /// What rewrites the texts.
    pub(super) fn rewrite(&self) -> &R {
        &self.rewrite
    }

    /// Takes an event and gives back those that are certain by now, in their order.
    pub(super) fn push(&mut self, event: Event) -> Vec<Event> {
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
                    stop_sequence: stop_sequence.map(|text| self.rewrite.whole(&text)),
                }
            }
            Event::Extra { choice, mut fields } => {
                self.rewrite.fields(&mut fields);
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
    pub(super) fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.flush(|_| true, &mut events);
        events
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
        let rewrite = &mut self.rewrite;
        let open = self
            .open
            .entry((choice, part, channel))
            .or_insert_with(|| rewrite.open(is_json));
        let written = rewrite.push(open, &text);
        // Some clients take an empty delta for a sign of life; one that was held back is none.
        if text.is_empty() || !written.is_empty() {
            events.push(Event::PartDelta {
                choice,
                part,
                delta: channel.delta(written),
            });
        }
    }

    fn other(&mut self, choice: u32, part: u32, delta: Delta, events: &mut Vec<Event>) -> Delta {
        match delta {
            Delta::Unknown { dialect, mut value } => {
                self.rewrite.value(&mut value);
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
        for (key, open) in self.open.extract_if(.., |key, _| which(key)) {
            let text = self.rewrite.finish(open);
            if !text.is_empty() {
                events.push(Event::PartDelta {
                    choice: key.0,
                    part: key.1,
                    delta: key.2.delta(text),
                });
            }
        }
    }

    fn kind(&mut self, kind: PartKind) -> PartKind {
        match kind {
            PartKind::ToolCall { id, name } => PartKind::ToolCall {
                id,
                name: self.rewrite.whole(&name),
            },
            PartKind::Unknown { dialect, mut value } => {
                self.rewrite.value(&mut value);
                PartKind::Unknown { dialect, value }
            }
            PartKind::Text
            | PartKind::Refusal
            | PartKind::Thinking
            | PartKind::RedactedThinking { .. } => kind,
        }
    }
}
