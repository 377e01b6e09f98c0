//! Words around a match.

use std::ops::Range;

/// The match with so many bytes on both sides, on character boundaries.
pub(crate) fn window(text: &str, start: usize, end: usize, within_bytes: usize) -> Range<usize> {
    let from = text.floor_char_boundary(start.saturating_sub(within_bytes));
    let to = text.ceil_char_boundary(end.saturating_add(within_bytes).min(text.len()));
    from..to
}

/// The text in small letters.
pub(crate) fn lower_ascii(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.to_lowercase()
    }
}

/// Whether `word`, in small letters like the text, stands in it as a whole word.
pub(crate) fn contains_word_of(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| stands_as_word(text, at, at + word.len()))
}

/// Whether no letter or digit touches the range. Scripts written without spaces have no such
/// boundary, so only a neighbour of the same kind, both ASCII or both not, counts; and in the latter
/// only where the script has spaces.
pub(crate) fn stands_as_word(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    let inside = &text[start..end];
    let first = inside.chars().next();
    let last = inside.chars().next_back();
    !is_glued(before, first) && !is_glued(after, last)
}

fn is_glued(outside: Option<char>, inside: Option<char>) -> bool {
    let (Some(outside), Some(inside)) = (outside, inside) else {
        return false;
    };
    outside.is_alphanumeric()
        && inside.is_alphanumeric()
        && !is_unspaced(outside)
        && !is_unspaced(inside)
}

/// Han, kana, Thai, Lao, Khmer, Burmese: written without spaces between words.
pub(crate) fn is_unspaced(char: char) -> bool {
    matches!(
        u32::from(char),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff
            | 0xf900..=0xfaff | 0x20000..=0x3ffff
    )
}
