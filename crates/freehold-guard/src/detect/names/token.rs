//! Words, their shape, and what stands between them.

use super::letter::{Case, case, char_at, is_letter, is_unspaced, lower};
use super::lexicon::{Grades, Lexicon};
use crate::bytes::{ALPHANUMERIC, Class, DIGIT, LOWER, UPPER, WIDE};

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// `word`
    Lower,
    /// `Word`
    Title,
    /// `W`
    Initial,
    /// `WORD`
    Upper,
    /// `wordWord`, `WordWord`
    Mixed,
    /// `123`
    Digits,
    /// `a1`, `3rd`
    Alphanumeric,
    /// A script without capitals.
    Caseless,
}

/// What stands before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Gap {
    /// The text begins.
    Start,
    /// One or more blanks.
    Space,
    /// A line break, alone or among others.
    Line,
    /// A comma or semicolon.
    Comma,
    /// A full stop, question or exclamation mark, then a blank.
    Stop,
    /// A colon.
    Colon,
    /// A hyphen and nothing else.
    Hyphen,
    /// An apostrophe and nothing else.
    Apostrophe,
    /// `@`, `/`, `\`, `_`, `=`, or a full stop without a blank: addresses, paths, code.
    Glued,
    /// An opening bracket or quote.
    Open,
    /// A closing bracket or quote.
    Close,
    /// An ampersand or plus.
    And,
    /// `#`
    Hash,
    /// Anything else.
    Other,
    /// A full stop and a blank after one letter: `J. Doe`.
    Abbreviation,
    /// A dash with blanks, a bullet, a bar.
    Dash,
}

/// One word.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
    /// Hash of the word in lower case.
    pub key: u32,
    /// How it is written.
    pub shape: Shape,
    /// What stands before it.
    pub gap: Gap,
    /// What the lexicon knows about it.
    pub grades: Grades,
    /// Characters, at most 255.
    pub length: u8,
}

/// FNV-1a over a word in lower case, mixed at the end.
#[derive(Clone, Copy)]
pub(super) struct Key(u32);

impl Key {
    pub(super) const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }

    fn push_char(&mut self, letter: char) {
        let lower = lower(letter);
        if lower.is_ascii() {
            // Of the Turkish capital i only the letter is kept, not the dot.
            self.push(lower as u8);
        } else {
            self.0 = (self.0 ^ u32::from(lower)).wrapping_mul(0x0100_0193);
        }
    }

    pub(super) const fn finish(self) -> u32 {
        mix(self.0)
    }
}

/// Spreads a hash over all bits (the finaliser of MurmurHash3).
pub(super) const fn mix(hash: u32) -> u32 {
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The key of a word as [`tokens`] computes it.
pub fn key(word: &str) -> u32 {
    let mut key = Key::new();
    word.chars().for_each(|letter| {
        if letter.is_ascii() {
            key.push(letter.to_ascii_lowercase() as u8);
        } else {
            key.push_char(letter);
        }
    });
    key.finish()
}

/// Marks and joiners that belong to the word they stand in.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}')
}

/// What one word was made of, while it is read.
#[derive(Default)]
struct Seen {
    first_upper: bool,
    uppers: u32,
    lowers: u32,
    digits: u32,
    others: u32,
}

impl Seen {
    fn ascii(&mut self, class: Class) {
        if class.meets(UPPER) {
            self.upper();
        } else {
            self.lowers += u32::from(class.meets(LOWER));
            self.digits += u32::from(class.meets(DIGIT));
        }
    }

    fn wide(&mut self, letter: char) {
        match case(letter) {
            Case::Lower => self.lowers += 1,
            Case::Upper => self.upper(),
            Case::None => self.others += 1,
        }
    }

    fn upper(&mut self) {
        if self.uppers + self.lowers + self.digits + self.others == 0 {
            self.first_upper = true;
        }
        self.uppers += 1;
    }

    fn letters(&self) -> u32 {
        self.uppers + self.lowers + self.digits + self.others
    }

    fn shape(&self) -> Shape {
        if self.uppers + self.lowers + self.others == 0 {
            Shape::Digits
        } else if self.digits > 0 {
            Shape::Alphanumeric
        } else if self.others > 0 && self.uppers + self.lowers == 0 {
            Shape::Caseless
        } else if self.uppers == 0 {
            Shape::Lower
        } else if self.lowers == 0 {
            if self.uppers == 1 {
                Shape::Initial
            } else {
                Shape::Upper
            }
        } else if self.first_upper && self.uppers == 1 {
            Shape::Title
        } else {
            Shape::Mixed
        }
    }
}

/// Splits `text[from..to]` into words. Offsets are those of `text`; both ends are character boundaries.
pub fn tokens(text: &str, from: usize, to: usize, lexicon: &Lexicon, into: &mut Vec<Token>) {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut gap_from = from;
    let mut after_initial = false;
    while at < to {
        let byte = bytes[at];
        if !ALPHANUMERIC.or(WIDE).has(byte) {
            at += 1;
            continue;
        }
        if !byte.is_ascii() {
            let letter = char_at(text, at);
            if !is_letter(letter) || is_unspaced(letter) {
                at += letter.len_utf8();
                continue;
            }
        }
        let gap = if at == 0 {
            Gap::Start
        } else {
            gap(&bytes[gap_from..at], after_initial)
        };
        let gap = if gap_from == 0 && gap == Gap::Space {
            Gap::Start
        } else {
            gap
        };
        let token = word(text, at, to, gap, lexicon);
        at = token.end as usize;
        gap_from = at;
        after_initial = token.shape == Shape::Initial
            || token.length < 4 && token.shape == Shape::Title
            || token.length == 1 && token.shape == Shape::Lower;
        into.push(token);
    }
}

fn word(text: &str, start: usize, to: usize, gap: Gap, lexicon: &Lexicon) -> Token {
    let bytes = text.as_bytes();
    let mut key = Key::new();
    let mut seen = Seen::default();
    let mut at = start;
    while at < to {
        let byte = bytes[at];
        let class = Class::of(byte);
        if class.meets(ALPHANUMERIC) {
            key.push(byte.to_ascii_lowercase());
            seen.ascii(class);
            at += 1;
        } else if byte.is_ascii() {
            if byte == b'\'' && joins(text, at, 1, &seen) {
                key.push(b'\'');
                at += 1;
            } else {
                break;
            }
        } else {
            let letter = char_at(text, at);
            if (is_letter(letter) || is_mark(letter)) && !is_unspaced(letter) {
                key.push_char(letter);
                seen.wide(letter);
            } else if letter == '\u{2019}' && joins(text, at, 3, &seen) {
                key.push(b'\'');
            } else {
                break;
            }
            at += letter.len_utf8();
        }
    }
    let shape = seen.shape();
    let key = key.finish();
    let grades = match shape {
        Shape::Digits => Grades::default(),
        _ if seen.letters() < 2 => Grades::default(),
        _ => lexicon.grades(key),
    };
    Token {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        end: u32::try_from(at).unwrap_or(u32::MAX),
        key,
        shape,
        gap,
        grades,
        length: u8::try_from(seen.letters()).unwrap_or(u8::MAX),
    }
}

/// Whether an apostrophe stands inside a name: `O'Brien`, `D’Amico`, but not `Anna's`, `don't`.
fn joins(text: &str, at: usize, width: usize, seen: &Seen) -> bool {
    let mut rest = text.get(at + width..).unwrap_or_default().chars();
    let (Some(next), Some(second)) = (rest.next(), rest.next()) else {
        return false;
    };
    next.is_uppercase() && second.is_alphabetic() && seen.letters() <= 3
}

/// What stands between two words. The strongest sign wins.
fn gap(between: &[u8], after_initial: bool) -> Gap {
    match between {
        b" " => return Gap::Space,
        b"-" => return Gap::Hyphen,
        b"'" | [0xe2, 0x80, 0x99] => return Gap::Apostrophe,
        b"." | b"_" | b"/" | b"@" | b"\\" | b"=" => return Gap::Glued,
        b", " => return Gap::Comma,
        b". " => {
            return if after_initial {
                Gap::Abbreviation
            } else {
                Gap::Stop
            };
        }
        b"" => return Gap::Glued,
        _ => {}
    }
    let spaced = between.iter().any(u8::is_ascii_whitespace);
    // `"name":"Anna"`, `name="Anna"`, `\"name\":\"Anna\"`: values in code and data.
    if !spaced && matches!(between, [.., b'"' | b'\'']) {
        let is_value = between.iter().any(|byte| matches!(byte, b':' | b'='));
        let is_opened = is_value || between.len() > 1 && !between.contains(&b'@');
        if is_opened {
            return if is_value { Gap::Colon } else { Gap::Open };
        }
    }
    if !spaced && matches!(between, [b'"' | b'\'' | b'\\', ..]) && between.len() > 1 {
        return Gap::Close;
    }
    let mut sign = Gap::Space;
    for byte in between.iter().take(16) {
        sign = match byte {
            b'\n' | b'\r' => return Gap::Line,
            b'@' | b'/' | b'\\' | b'_' | b'=' | b'<' | b'{' | b'$' if !spaced => return Gap::Glued,
            b'@' => return Gap::Glued,
            b'#' => return Gap::Hash,
            b'.' if after_initial && spaced && sign == Gap::Space => Gap::Abbreviation,
            b'.' | b'!' | b'?' => Gap::Stop,
            b':' => Gap::Colon,
            b',' | b';' if sign == Gap::Space => Gap::Comma,
            b'(' | b'[' | b'{' | b'"' | b'<' | b'\'' if spaced && byte_opens(between) => Gap::Open,
            b')' | b']' | b'}' | b'"' | b'>' => Gap::Close,
            b'&' | b'+' => Gap::And,
            b'-' | b'|' | b'*' => Gap::Dash,
            byte if byte.is_ascii_whitespace() => sign,
            _ if sign == Gap::Space => Gap::Other,
            _ => sign,
        };
    }
    sign
}

/// An opening sign is the last one before the word.
fn byte_opens(between: &[u8]) -> bool {
    between
        .last()
        .is_some_and(|last| !last.is_ascii_whitespace())
}
