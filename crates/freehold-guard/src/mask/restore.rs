//! Puts values back where their tokens stand, in text that comes in pieces.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::tokens::{Escape, Match, Table, View};

/// Restores one text that may come in pieces cut anywhere.
///
/// What is given back is the same for every way of cutting. Only what may be the beginning of a token
/// is held back: never more than the longest token in its longest spelling.
///
/// Recognised are this vault's placeholders in any case, with or without their brackets, with `-` or a
/// space for `_`, with Markdown's backslashes, with brackets as `\u003c` or `&lt;`; and its
/// surrogates: numbers in any spacing, e-mail and IP addresses in any case, names exactly. Everything
/// else comes out as it went in.
///
/// In JSON text ([`Restorer::for_json`]) values are escaped once. A JSON text within a JSON string is
/// recognised only by escaped brackets (`\\u003c`); a value with quotes, backslashes or line breaks
/// restored in one with plain brackets is escaped once too few.
#[derive(Clone)]
pub struct Restorer {
    table: Arc<Table>,
    json: bool,
    held: String,
    after_word: bool,
}

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restorer")
            .field("json", &self.json)
            .field("held_bytes", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Restorer {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            json: false,
            held: String::new(),
            after_word: false,
        }
    }

    /// Restores JSON text: values are escaped as JSON strings want it.
    #[must_use]
    pub fn for_json(mut self) -> Self {
        self.json = true;
        self
    }

    /// A restorer of the same kind for another text.
    #[must_use]
    pub fn another(&self) -> Self {
        let restorer = Self::new(Arc::clone(&self.table));
        if self.json {
            restorer.for_json()
        } else {
            restorer
        }
    }

    /// Takes the next piece and gives back what is certain by now.
    pub fn push(&mut self, delta: &str) -> String {
        if self.table.is_empty() {
            return delta.to_owned();
        }
        self.held.push_str(delta);
        self.release(false)
    }

    /// The text has ended: gives back what was held.
    pub fn finish(&mut self) -> String {
        let rest = self.release(true);
        self.after_word = false;
        rest
    }

    /// Restores a whole text.
    pub fn restore(&self, text: &str) -> String {
        let mut restorer = self.another();
        let mut restored = restorer.push(text);
        restored.push_str(&restorer.finish());
        restored
    }

    /// Where tokens stand in a whole text.
    pub(crate) fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        self.another()
            .tokens(text, true, &mut |range, _, _| places.push(range));
        places
    }

    fn release(&mut self, last: bool) -> String {
        let text = std::mem::take(&mut self.held);
        let mut restored = String::with_capacity(text.len());
        let mut tokens = Vec::new();
        let end = self.tokens(&text, last, &mut |range, value, escape| {
            tokens.push((range, value, escape));
        });
        let mut written = 0;
        for (range, value, escape) in tokens {
            restored.push_str(&text[written..range.start]);
            restored.push_str(&self.written(self.table.value(value), escape));
            written = range.end;
        }
        restored.push_str(&text[written..end]);
        self.held = text[end..].to_owned();
        restored
    }

    /// Finds the tokens of a text, and says up to where it is certain.
    fn tokens(
        &mut self,
        text: &str,
        last: bool,
        found: &mut dyn FnMut(Range<usize>, usize, Escape),
    ) -> usize {
        let view = View {
            text,
            json: self.json,
            last,
        };
        let mut at = 0;
        loop {
            (at, self.after_word) = self.table.skip(text, at, self.after_word);
            let Some(unit) = view.unit(at) else {
                break;
            };
            match self.table.match_at(&view, at, self.after_word) {
                Match::More => break,
                Match::No => {
                    self.after_word = unit.is_word();
                    at += unit.length;
                }
                Match::Yes {
                    length,
                    value,
                    escape,
                } => {
                    found(at..at + length, value, escape);
                    at += length;
                    // What follows a token begins anew: two may stand side by side.
                    self.after_word = false;
                }
            }
        }
        at
    }

    /// The value as it must be written where its token stood.
    fn written<'v>(&self, value: &'v str, escape: Escape) -> Cow<'v, str> {
        let mut value = Cow::Borrowed(value);
        if escape.html {
            let html = value.replace('&', "&amp;").replace('<', "&lt;");
            value = Cow::Owned(html.replace('>', "&gt;").replace('"', "&quot;"));
        }
        for _ in 0..u8::from(self.json) + escape.json {
            value = Cow::Owned(json_escaped(&value));
        }
        value
    }
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    // The first and the last byte are the quotes.
    quoted[1..quoted.len() - 1].to_owned()
}
