//! Letters beyond ASCII, fast for the most frequent scripts: the standard tables cost ten times more.

/// The character that begins at `at`, which lies on a character boundary.
pub(in crate::detect) fn char_at(text: &str, at: usize) -> char {
    let bytes = text.as_bytes();
    let continued = |offset: usize| u32::from(bytes.get(at + offset).copied().unwrap_or(0) & 0x3f);
    let first = u32::from(bytes.get(at).copied().unwrap_or(b' '));
    let code = match first {
        0..0x80 => first,
        0x80..0xe0 => (first & 0x1f) << 6 | continued(1),
        0xe0..0xf0 => (first & 0x0f) << 12 | continued(1) << 6 | continued(2),
        _ => (first & 0x07) << 18 | continued(1) << 12 | continued(2) << 6 | continued(3),
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether it is a letter or digit; marks of Indian scripts count, they stand inside words.
pub(in crate::detect) fn is_letter(letter: char) -> bool {
    match letter {
        'а'..='я' | 'А'..='Я' | '\u{620}'..='\u{64a}' | '\u{ac00}'..='\u{d7a3}' => true,
        '\u{964}' | '\u{965}' | '\u{970}' => false,
        '\u{900}'..='\u{dff}' => true,
        other => other.is_alphanumeric(),
    }
}

/// In lower case, when that is one character.
pub(in crate::detect) fn lower(letter: char) -> char {
    match letter {
        'а'..='я' | '\u{620}'..='\u{64a}' | '\u{900}'..='\u{dff}' | '\u{3040}'..='\u{d7a3}' => {
            letter
        }
        'А'..='Я' => char::from_u32(u32::from(letter) + 0x20).unwrap_or(letter),
        other => other.to_lowercase().next().unwrap_or(other),
    }
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Case {
    /// A small letter.
    Lower,
    /// A capital.
    Upper,
    /// A letter of a script without capitals, a digit, a mark.
    None,
}

/// Its case.
pub(in crate::detect) fn case(letter: char) -> Case {
    match letter {
        'а'..='я' => Case::Lower,
        'А'..='Я' => Case::Upper,
        '\u{5d0}'..='\u{64a}' | '\u{900}'..='\u{dff}' | '\u{3040}'..='\u{d7a3}' => Case::None,
        other if other.is_lowercase() => Case::Lower,
        other if other.is_uppercase() => Case::Upper,
        _ => Case::None,
    }
}

/// Scripts written without blanks.
pub(in crate::detect) fn is_unspaced(letter: char) -> bool {
    letter >= '\u{e00}'
        && matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}')
}
