//! Removes from an answer what the model wrote and the caller did not send.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use freehold_types::Extra;
use freehold_types::answer::Event;
use freehold_types::request::ResponseFormat;
use serde_json::Value;

use super::known::KnownValues;
use super::text::HeldText;
use super::{Rewrite, Rewriter, json};
use crate::{Entity, Guard};

/// What is written where nobody can tell what stood there.
const UNREADABLE: &str = "unreadable";
/// Longer JSON texts are not held until they are complete, but treated as text.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// Which findings are removed.
pub type Unwanted = Arc<dyn Fn(&Entity) -> bool + Send + Sync>;

/// Removes findings from the events of one answer: `[REDACTED:email_address]` stands where they
/// stood. Values that the caller sent stay.
///
/// What is given back is safe for every way of cutting. Held back are the last word and the words
/// before it that may belong to it (at most 512 bytes, of a word without an end 4 KiB, of a private
/// key 16 KiB), and tool calls' arguments and JSON answers until they are complete, so that they
/// stay JSON. Log-probabilities are dropped.
///
/// What the guard cannot read (a long encoded blob), or fails on, is removed too.
#[derive(Debug)]
pub struct AnswerGuard(Rewriter<Redact>);

impl AnswerGuard {
    /// `format` is what the request asked for.
    pub fn new(
        guard: Guard,
        unwanted: Unwanted,
        known: KnownValues,
        format: &ResponseFormat,
    ) -> Self {
        let looking = Looking {
            guard,
            unwanted,
            known,
            counts: BTreeMap::new(),
        };
        let json_text = !matches!(format, ResponseFormat::Text);
        Self(Rewriter::new(Redact(looking), json_text))
    }

    /// Takes an event and gives back those that are certain by now, in their order.
    pub fn push(&mut self, event: Event) -> Vec<Event> {
        self.0.push(event)
    }

    /// The answer was cut short: gives back what was held.
    pub fn finish(&mut self) -> Vec<Event> {
        self.0.finish()
    }

    /// How many findings of each type were removed so far.
    pub fn counts(&self) -> &BTreeMap<String, u32> {
        &self.0.rewrite().0.counts
    }
}

/// What is said of a text as a whole is no value that could be removed from it.
const OF_WHOLE_TEXTS: &str = "prompt_injection";

/// Looks at texts and keeps count.
pub(super) struct Looking {
    guard: Guard,
    unwanted: Unwanted,
    known: KnownValues,
    counts: BTreeMap<String, u32>,
}

impl fmt::Debug for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looking")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Where something stands that is to be removed, and its type; sorted.
pub(super) type Spots = Vec<(Range<usize>, String)>;

impl Looking {
    /// What is to be removed behind `from`.
    pub(super) fn look(&mut self, text: &str, from: usize) -> Spots {
        let scan = self.guard.scan_text(text);
        let mut spots = Spots::new();
        for hit in scan.hits {
            let (entity, range) = (hit.entity.as_str(), hit.range);
            let stays = range.end <= from
                || entity == OF_WHOLE_TEXTS
                || !(self.unwanted)(&hit.entity)
                || self.is_known(entity, text, &range);
            if !stays {
                spots.push((range.start.max(from)..range.end, entity.to_owned()));
            }
        }
        if scan.incomplete.is_some() {
            let before = spots.len();
            let mut at = from;
            for word in text[from..].split_inclusive(char::is_whitespace) {
                let plain = word.trim_end();
                if self.guard.scan_text(plain).incomplete.is_some() {
                    spots.push((at..at + plain.len(), UNREADABLE.to_owned()));
                }
                at += word.len();
            }
            if spots.len() == before {
                spots.push((from..text.len(), UNREADABLE.to_owned()));
            }
            spots.sort_by_key(|(range, _)| range.start);
        }
        spots
    }

    /// Whether the caller sent what stands there, or it stands for what the caller sent.
    fn is_known(&mut self, entity: &str, text: &str, range: &Range<usize>) -> bool {
        let (value, words) = (&text[range.clone()], whole_words(text, range));
        let within = range.start - words.start..range.end - words.start;
        let word = &text[words];
        self.known.stands_for(word, &within)
            || self.known.stands_for(value, &(0..value.len()))
            || [value, word]
                .iter()
                .any(|value| self.known.contains(&self.guard, entity, value))
    }

    /// A whole text with what is to be removed taken out; `None` when it may stay. `context` stands
    /// before it.
    pub(super) fn whole(&mut self, context: &str, text: &str) -> Option<String> {
        let lead = if context.is_empty() {
            String::new()
        } else {
            format!("{context}: ")
        };
        let spots = self.look(&format!("{lead}{text}"), lead.len());
        if spots.is_empty() {
            return None;
        }
        let mut written = String::with_capacity(text.len());
        let mut at = 0;
        for (range, entity) in spots {
            let range = range.start - lead.len()..range.end - lead.len();
            if range.start >= at {
                written.push_str(&text[at..range.start]);
                written.push_str(&self.removed(&entity));
            }
            at = at.max(range.end);
        }
        written.push_str(&text[at..]);
        Some(written)
    }

    /// What stands where a finding stood; counts it.
    pub(super) fn removed(&mut self, entity: &str) -> String {
        match self.counts.get_mut(entity) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.counts.insert(entity.to_owned(), 1);
            }
        }
        format!("[REDACTED:{entity}]")
    }
}

/// A range with the rest of the words at its ends, and the brackets of a placeholder.
fn whole_words(text: &str, range: &Range<usize>) -> Range<usize> {
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '<' | '>');
    let start = text[..range.start].trim_end_matches(is_word).len();
    let rest = text[range.end..].trim_start_matches(is_word);
    start..text.len() - rest.len()
}

#[derive(Debug)]
struct Redact(Looking);

/// A text of an answer. `Debug` shows none of it.
enum Held {
    Text(HeldText),
    /// Held until it is complete.
    Json(String),
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Json(_) => "Json",
        })
    }
}

impl Rewrite for Redact {
    type Text = Held;

    fn open(&self, is_json: bool) -> Held {
        if is_json {
            Held::Json(String::new())
        } else {
            Held::Text(HeldText::default())
        }
    }

    fn push(&mut self, text: &mut Held, delta: &str) -> String {
        match text {
            Held::Text(text) => text.push(delta, &mut self.0),
            Held::Json(json) => {
                json.push_str(delta);
                if json.len() <= JSON_BYTES_MAX {
                    return String::new();
                }
                let mut plain = HeldText::default();
                let written = plain.push(json, &mut self.0);
                *text = Held::Text(plain);
                written
            }
        }
    }

    fn finish(&mut self, text: Held) -> String {
        match text {
            Held::Text(text) => text.finish(&mut self.0),
            Held::Json(text) => json::redact(&text, &mut self.0).unwrap_or_else(|| {
                // A text that was cut short, or no JSON after all.
                self.0.whole("", &text).unwrap_or(text)
            }),
        }
    }

    fn whole(&mut self, text: &str) -> String {
        self.0.whole("", text).unwrap_or_else(|| text.to_owned())
    }

    fn value(&mut self, value: &mut Value) {
        self.value_under("", value);
    }

    fn fields(&mut self, fields: &mut Extra) {
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(key, mut value)| {
                self.value_under(&key, &mut value);
                (self.whole(&key), value)
            })
            .collect();
    }
}

impl Redact {
    /// Removes findings from a value that stands under a key.
    fn value_under(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(redacted) = self.0.whole(key, text) {
                    *text = redacted;
                }
            }
            Value::Number(number) => {
                if let Some(redacted) = self.0.whole(key, &number.to_string()) {
                    *value = Value::String(redacted);
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.value_under(key, item)),
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) => {}
        }
    }
}
