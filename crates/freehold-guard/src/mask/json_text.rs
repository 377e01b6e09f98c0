//! Finds the strings and numbers of a JSON text, so that they can be replaced and all else stays as
//! the model wrote it.

use std::ops::Range;

use serde::de::IgnoredAny;

/// A string or a number of a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its bytes, quotes included.
    pub(crate) range: Range<usize>,
    pub(crate) kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Key,
    Text,
    Number,
}

/// The tokens of a JSON text, in order; `None` when it is not valid JSON.
pub(crate) fn tokens(json: &str) -> Option<Vec<Token>> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let bytes = json.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                let next = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace());
                let is_key = next == Some(&b':');
                let kind = if is_key {
                    TokenKind::Key
                } else {
                    TokenKind::Text
                };
                let range = start..at;
                tokens.push(Token { range, kind });
            }
            b'-' | b'0'..=b'9' => {
                while at < bytes.len() && is_number(bytes[at]) {
                    at += 1;
                }
                let (range, kind) = (start..at, TokenKind::Number);
                tokens.push(Token { range, kind });
            }
            _ => at += 1,
        }
    }
    Some(tokens)
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}
