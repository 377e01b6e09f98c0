//! Keys cut in two by a blank or a line end: where one piece looks like a piece of a key, the other may
//! look like anything, so each such pair of words is put together on its own.

use std::ops::Range;

use super::map::View;
use crate::bytes::{ALPHANUMERIC, Class, DASH};

/// Shortest piece of a key that tells by itself.
const PIECE_BYTES_MIN: usize = 8;

/// The same for one of capitals alone.
const CAPITALS_MIN: usize = 12;

/// Shortest and longest key that is put together.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// What words consist of.
const WORD: Class = ALPHANUMERIC.or(DASH);

/// Most blanks between the pieces.
const BLANKS_MAX: usize = 4;

/// The pairs of neighbouring words of which one is a piece of a key, each on a line of its own; `None`
/// when there are none.
pub(super) fn pairs(text: &str) -> Option<View> {
    let bytes = text.as_bytes();
    if !may_hold_pieces(bytes) {
        return None;
    }
    let mut view = View::default();
    let mut before: Option<(Range<usize>, bool)> = None;
    let mut at = 0;
    while let Some(word) = next_word(bytes, at) {
        at = word.end;
        let is_piece = is_piece(&bytes[word.clone()]);
        if let Some((left, left_is_piece)) = &before
            && (is_piece || *left_is_piece)
            && KEY_BYTES.contains(&(left.len() + word.len()))
            && are_neighbours(&bytes[left.end..word.start])
        {
            view.put("\n\n", left.start..left.start);
            view.copy(text, left.clone());
            view.copy(text, word.clone());
        }
        before = Some((word, is_piece));
    }
    (!view.text.is_empty()).then_some(view)
}

/// Whether there are capitals enough for a piece, in a look that takes many bytes at a time: most prose has not.
fn may_hold_pieces(bytes: &[u8]) -> bool {
    let capitals = bytes
        .iter()
        .filter(|byte| byte.is_ascii_uppercase())
        .count();
    let digits = || bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    capitals >= CAPITALS_MIN || capitals > 0 && digits() > 0
}

/// The next word of letters, digits, `_` and `-`.
fn next_word(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + bytes[from..].iter().position(|byte| WORD.has(*byte))?;
    Some(start..WORD.run_end(bytes, start))
}

/// Whether a word is so long and mixed that it is no word of a language.
fn is_piece(word: &[u8]) -> bool {
    word.len() >= PIECE_BYTES_MIN
        && word.iter().any(u8::is_ascii_uppercase)
        && (word.iter().any(u8::is_ascii_digit)
            || word.len() >= CAPITALS_MIN && word.iter().all(u8::is_ascii_uppercase))
}

fn are_neighbours(between: &[u8]) -> bool {
    (1..=BLANKS_MAX).contains(&between.len())
        && between
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_keys_are_put_together_with_their_neighbours() {
        let text = "it is ghp_rBZEyxmUqLw8 sTz and no more";
        let view = pairs(text).unwrap();
        assert_eq!(view.text, "\n\nisghp_rBZEyxmUqLw8\n\nghp_rBZEyxmUqLw8sTz");
        let from = view.text.find("8sTz").unwrap();
        assert_eq!(view.source(&(from..from + 4)), 21..26);
    }

    #[test]
    fn words_are_no_pieces() {
        for text in [
            "internationally acknowledged considerations",
            "getElementById thenSomethingElse",
            "0123456789abcdef0123456789abcdef is a hash",
            "ghp_rBZEyxmUqLw8, sTz",
            "",
        ] {
            assert!(pairs(text).is_none(), "{text}");
        }
    }
}
