//! Finds where else in a request masked values stand, and client's text that could be mistaken for
//! what stands for them.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};

use super::restore::json_escaped;
use super::tokens::{Match, Table, View, is_word};
use super::{MaskError, MaskStyle};

/// Shorter values are not looked for.
const SOUGHT_BYTES_MIN: usize = 3;
/// Values from this length on are looked for within words, too.
const ANYWHERE_BYTES_MIN: usize = 8;

/// A value to look for in every string.
pub(super) struct Sought {
    pub(super) entity: String,
    pub(super) style: MaskStyle,
}

/// Looks for values that were seen in one place in all others, where their context may be missing.
pub(super) struct Elsewhere {
    automaton: AhoCorasick,
    sought: Vec<Sought>,
    /// Of each pattern, which of `sought` it spells.
    patterns: Vec<usize>,
}

impl Elsewhere {
    /// Values with their types, also as JSON writes them. `None` when there are none.
    pub(super) fn new<'v>(
        values: impl Iterator<Item = (&'v str, Sought)>,
    ) -> Result<Option<Self>, MaskError> {
        let mut spellings = Vec::new();
        let mut patterns = Vec::new();
        let mut sought = Vec::new();
        for (value, what) in values.filter(|value| value.0.len() >= SOUGHT_BYTES_MIN) {
            let escaped = json_escaped(value);
            let all = [
                ascii_escaped(&escaped, false),
                ascii_escaped(&escaped, true),
                escaped,
            ];
            for spelling in all {
                if spelling != value && !spellings.ends_with(std::slice::from_ref(&spelling)) {
                    spellings.push(spelling);
                    patterns.push(sought.len());
                }
            }
            spellings.push(value.to_owned());
            patterns.push(sought.len());
            sought.push(what);
        }
        if sought.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&spellings)
            .map_err(|_| MaskError::VaultFull)?;
        Ok(Some(Self {
            automaton,
            sought,
            patterns,
        }))
    }

    /// Where any of the values stands in a text.
    pub(super) fn find(&self, text: &str, mut found: impl FnMut(Range<usize>, &Sought)) {
        let mut at = 0;
        while let Some(hit) = self.automaton.find(Input::new(text).range(at..)) {
            let range = hit.range();
            if range.len() >= ANYWHERE_BYTES_MIN || is_alone(text, &range) {
                at = range.end;
                found(range, &self.sought[self.patterns[hit.pattern().as_usize()]]);
            } else {
                at = text.ceil_char_boundary(range.start + 1);
            }
        }
    }
}

/// Whether no word goes on into or out of a range.
pub(super) fn is_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    !before.is_some_and(is_word) && !after.is_some_and(is_word)
}

/// Where the client's own text holds the tag: all of the word around it, with its brackets.
pub(super) fn find_tag(text: &str, tag: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'\\');
    let mut at = 0;
    while let Some(hit) = find_ignoring_case(&bytes[at..], tag.as_bytes()) {
        let (mut start, mut end) = (at + hit, at + hit + tag.len());
        while start > at && is_part(bytes[start - 1]) {
            start -= 1;
        }
        while end < bytes.len() && is_part(bytes[end]) {
            end += 1;
        }
        if start > at && bytes[start - 1] == b'<' && bytes.get(end) == Some(&b'>') {
            start -= 1;
            end += 1;
        }
        found(start..end);
        at = end;
    }
}

/// Whether a text holds the tag.
pub(super) fn holds_tag(text: &str, tag: &str) -> bool {
    find_ignoring_case(text.as_bytes(), tag.as_bytes()).is_some()
}

fn find_ignoring_case(bytes: &[u8], tag: &[u8]) -> Option<usize> {
    bytes
        .windows(tag.len())
        .position(|window| window.eq_ignore_ascii_case(tag))
}

/// Where the client's own text reads like a surrogate.
pub(super) fn find_surrogates(text: &str, table: &Table, mut found: impl FnMut(Range<usize>)) {
    let view = View {
        text,
        json: false,
        last: true,
    };
    let (mut at, mut after_word) = (0, false);
    loop {
        (at, after_word) = table.skip(text, at, after_word);
        let Some(unit) = view.unit(at) else {
            break;
        };
        if let Match::Yes { length, .. } = table.match_at(&view, at, after_word) {
            found(at..at + length);
            at += length;
            after_word = false;
        } else {
            after_word = unit.is_word();
            at += unit.length;
        }
    }
}

/// Everything outside ASCII as `\u` escapes, with their digits in small or capital letters.
fn ascii_escaped(text: &str, capital: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0; 2];
    for letter in text.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut units) {
                escaped.push_str(&match capital {
                    true => format!("\\u{unit:04X}"),
                    false => format!("\\u{unit:04x}"),
                });
            }
        }
    }
    escaped
}
