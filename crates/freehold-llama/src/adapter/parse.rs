//! Finds tool calls and reasoning in a model's text, while it is being written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json_scan::{self, Head, Scanner};

/// What opens a call in running text.
const CALL_OPENERS: [&str; 3] = ["<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"];
const THINK_OPEN: &str = "<think>";
const THINK_CLOSE: &str = "</think>";
/// What may stand between and after calls.
const CALL_TRAILERS: [&str; 5] = ["</tool_call>", "[TOOL_CALLS]", "]", ",", ";"];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Text(String),
    Thinking(String),
    /// A call begins.
    Call {
        name: String,
    },
    /// Its arguments go on, as JSON text.
    Arguments(String),
    /// It is complete.
    CallEnd,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParseOptions {
    /// The functions that may be called; none: text is text.
    pub(crate) functions: BTreeSet<String>,
    /// Whether the model writes its reasoning between `<think>` and `</think>`.
    pub(crate) thinks: bool,
    /// Whether the prompt ended with `<think>`.
    pub(crate) starts_thinking: bool,
}

/// Reads one answer.
#[derive(Clone, Debug)]
pub(crate) struct OutputParser {
    options: ParseOptions,
    state: State,
    /// Text that is not decided yet.
    pending: String,
    /// Whether any call was found.
    has_called: bool,
    /// Whether blanks at the beginning are dropped: reasoning stood before them.
    trims_lead: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing but blanks so far.
    Lead,
    Thinking,
    Text,
    /// In a call's JSON object, before its arguments; `opener` is what stood before it.
    CallHead {
        opener: &'static str,
    },
    /// In a call's arguments, which are passed on as they come.
    Arguments(Scanner),
    /// Behind a call's arguments, before the object's end.
    CallTail,
    /// Behind a call.
    AfterCall,
}

impl OutputParser {
    pub(crate) fn new(options: ParseOptions) -> Self {
        let state = if options.starts_thinking {
            State::Thinking
        } else {
            State::Lead
        };
        Self {
            options,
            state,
            pending: String::new(),
            has_called: false,
            trims_lead: false,
        }
    }

    pub(crate) const fn has_called(&self) -> bool {
        self.has_called
    }

    /// True when nothing is looked for, so that text passes as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.options.functions.is_empty() && !self.options.thinks && !self.options.starts_thinking
    }

    /// Adds text and returns what is certain.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Found> {
        if self.is_plain() {
            return vec![Found::Text(text.to_owned())];
        }
        self.pending.push_str(text);
        let mut found = Vec::new();
        while self.advance(&mut found, false) {}
        found
    }

    /// What was held back, now that nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        while self.advance(&mut found, true) {}
        let rest = std::mem::take(&mut self.pending);
        match &self.state {
            State::Arguments(_) => {
                push_text(&mut found, rest, Found::Arguments);
                found.push(Found::CallEnd);
            }
            State::CallTail => found.push(Found::CallEnd),
            State::AfterCall => {}
            State::Thinking => push_text(&mut found, rest, Found::Thinking),
            // A call that was never complete is text.
            State::CallHead { opener } => {
                push_text(&mut found, format!("{opener}{rest}"), Found::Text);
            }
            State::Lead | State::Text => push_text(&mut found, rest, Found::Text),
        }
        found
    }

    /// One step; false when more text is needed.
    fn advance(&mut self, found: &mut Vec<Found>, is_end: bool) -> bool {
        match &mut self.state {
            State::Lead => self.lead(is_end),
            State::Thinking => self.think(found, is_end),
            State::Text => self.text(found, is_end),
            State::CallHead { .. } => self.call_head(found),
            State::Arguments(scanner) => {
                let Some(length) = scanner.push(&self.pending) else {
                    push_text(found, std::mem::take(&mut self.pending), Found::Arguments);
                    return false;
                };
                let rest = self.pending.split_off(length);
                push_text(
                    found,
                    std::mem::replace(&mut self.pending, rest),
                    Found::Arguments,
                );
                self.state = State::CallTail;
                true
            }
            State::CallTail => {
                let Some(end) = self.pending.find('}') else {
                    return false;
                };
                self.pending.drain(..=end);
                found.push(Found::CallEnd);
                self.state = State::AfterCall;
                true
            }
            State::AfterCall => self.after_call(),
        }
    }

    fn lead(&mut self, is_end: bool) -> bool {
        if self.trims_lead {
            let start = self.pending.len() - self.pending.trim_start().len();
            self.pending.drain(..start);
        }
        let trimmed = self.pending.trim_start();
        if trimmed.is_empty() {
            return false;
        }
        if self.options.thinks {
            if trimmed.starts_with(THINK_OPEN) {
                let start = self.pending.len() - trimmed.len() + THINK_OPEN.len();
                self.pending.drain(..start);
                self.state = State::Thinking;
                return true;
            }
            if !is_end && THINK_OPEN.starts_with(trimmed) {
                return false;
            }
        }
        if !self.options.functions.is_empty() && trimmed.starts_with('{') {
            let start = self.pending.len() - trimmed.len();
            self.pending.drain(..start);
            self.state = State::CallHead { opener: "" };
            return true;
        }
        self.state = State::Text;
        true
    }

    fn think(&mut self, found: &mut Vec<Found>, is_end: bool) -> bool {
        match find_marker(&self.pending, &[THINK_CLOSE]) {
            Marker::At { start, end, .. } => {
                let text = self.pending[..start].trim_end().to_owned();
                push_text(found, text, Found::Thinking);
                self.pending.drain(..end);
                self.state = State::Lead;
                self.options.thinks = false;
                self.trims_lead = true;
                true
            }
            Marker::None { passing } if !is_end => {
                let passing = self.pending[..passing].trim_end().len();
                let rest = self.pending.split_off(passing);
                push_text(
                    found,
                    std::mem::replace(&mut self.pending, rest),
                    Found::Thinking,
                );
                false
            }
            Marker::None { .. } => false,
        }
    }

    fn text(&mut self, found: &mut Vec<Found>, is_end: bool) -> bool {
        if self.options.functions.is_empty() {
            push_text(found, std::mem::take(&mut self.pending), Found::Text);
            return false;
        }
        match find_marker(&self.pending, &CALL_OPENERS) {
            Marker::At { start, end, marker } => {
                // Blanks between text and call belong to neither.
                let text = self.pending[..start].trim_end().to_owned();
                push_text(found, text, Found::Text);
                self.pending.drain(..end);
                self.state = State::CallHead { opener: marker };
                true
            }
            Marker::None { passing } if !is_end => {
                let passing = self.pending[..passing].trim_end().len();
                let rest = self.pending.split_off(passing);
                push_text(
                    found,
                    std::mem::replace(&mut self.pending, rest),
                    Found::Text,
                );
                false
            }
            Marker::None { .. } => false,
        }
    }

    fn call_head(&mut self, found: &mut Vec<Found>) -> bool {
        let State::CallHead { opener } = self.state else {
            return false;
        };
        if opener == "[TOOL_CALLS]" && self.pending.trim_start().starts_with('[') {
            // A list; its commas and its end are passed over behind each call.
            let start = self.pending.len() - self.pending.trim_start().len();
            self.pending.drain(..=start);
            self.state = State::CallHead {
                opener: "[TOOL_CALLS][",
            };
            return true;
        }
        match json_scan::head(&self.pending) {
            Head::NeedsMore => false,
            Head::Streams { name, arguments } if self.options.functions.contains(&name) => {
                self.has_called = true;
                found.push(Found::Call { name });
                self.pending.drain(..arguments);
                self.state = State::Arguments(Scanner::default());
                true
            }
            Head::Object { end } => {
                if let Some((name, arguments)) = self.whole_call(end) {
                    self.has_called = true;
                    found.extend([
                        Found::Call { name },
                        Found::Arguments(arguments),
                        Found::CallEnd,
                    ]);
                    self.pending.drain(..end);
                    self.state = State::AfterCall;
                } else {
                    self.give_up(found, opener);
                }
                true
            }
            Head::Streams { .. } | Head::NoCall => {
                self.give_up(found, opener);
                true
            }
        }
    }

    /// What looked like a call is text after all.
    fn give_up(&mut self, found: &mut Vec<Found>, opener: &'static str) {
        push_text(found, opener.to_owned(), Found::Text);
        if opener.is_empty() {
            // The brace itself, or it would be looked at again.
            push_text(found, self.pending.drain(..1).collect(), Found::Text);
        }
        self.state = State::Text;
    }

    fn whole_call(&self, end: usize) -> Option<(String, String)> {
        let object: Value = serde_json::from_str(&self.pending[..end]).ok()?;
        let call = object
            .get("function")
            .filter(|call| call.is_object())
            .unwrap_or(&object);
        let name = call.get("name")?.as_str()?.to_owned();
        if !self.options.functions.contains(&name) {
            return None;
        }
        let arguments = match call.get("arguments").or_else(|| call.get("parameters")) {
            None => "{}".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(arguments) => arguments.to_string(),
        };
        Some((name, arguments))
    }

    fn after_call(&mut self) -> bool {
        let trimmed = self.pending.trim_start();
        let start = self.pending.len() - trimmed.len();
        if trimmed.is_empty() {
            self.pending.clear();
            return false;
        }
        if let Some(trailer) = CALL_TRAILERS
            .iter()
            .find(|trailer| trimmed.starts_with(**trailer))
        {
            let end = start + trailer.len();
            self.pending.drain(..end);
            return true;
        }
        if CALL_TRAILERS
            .iter()
            .any(|trailer| trailer.starts_with(trimmed))
        {
            // At the end it is a trailer that was cut.
            return false;
        }
        self.pending.drain(..start);
        self.state = if self.pending.starts_with('{') {
            State::CallHead { opener: "" }
        } else {
            State::Text
        };
        true
    }
}

enum Marker {
    At {
        start: usize,
        end: usize,
        marker: &'static str,
    },
    /// Not found; so much of the text cannot be the beginning of one.
    None { passing: usize },
}

fn find_marker(text: &str, markers: &[&'static str]) -> Marker {
    let found = markers
        .iter()
        .filter_map(|marker| Some((text.find(marker)?, *marker)))
        .min_by_key(|(start, _)| *start);
    if let Some((start, marker)) = found {
        return Marker::At {
            start,
            end: start + marker.len(),
            marker,
        };
    }
    let longest = markers.iter().map(|marker| marker.len()).max().unwrap_or(1);
    let from = text.len().saturating_sub(longest - 1);
    let passing = (from..text.len())
        .filter(|start| text.is_char_boundary(*start))
        .find(|start| {
            markers
                .iter()
                .any(|marker| marker.starts_with(&text[*start..]))
        })
        .unwrap_or(text.len());
    Marker::None { passing }
}

fn push_text(found: &mut Vec<Found>, text: String, kind: impl FnOnce(String) -> Found) {
    if !text.is_empty() {
        found.push(kind(text));
    }
}
