//! Undoes spacing tricks: `4 1 1 1 - 1 1 ...`, digits in odd groups, identifiers cut by a line end,
//! `name [at] example [dot] com`.
//!
//! The view holds only the places where something was put together, each with a little of what stands
//! before and after it.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use super::map::View;
use crate::bytes::{ALPHANUMERIC, BLANK, Class, DASH, DIGIT, DOT_OR_AT, LETTER};

/// How much of the text around a place belongs to the view, in bytes.
const AROUND_BYTES: usize = 64;

/// Fewest single characters in a row that count as spaced out.
const SINGLES_MIN: usize = 9;

/// Digits of an identifier that may be written in odd groups.
const DIGITS: std::ops::RangeInclusive<usize> = 9..=19;

/// From so many digits on, an identifier is found whatever its groups are.
const LONG_DIGITS_MIN: usize = 13;

/// What stands within addresses and keys.
const JOINT: Class = DASH.or(DOT_OR_AT);
const CODE: Class = JOINT.or(ALPHANUMERIC);

/// Most groups in which such a number is looked for.
const GROUPS_MAX: usize = 10;

/// Shortest key that is put together from two words.
const KEY_BYTES_MIN: usize = 16;

/// Most characters of an IBAN.
const IBAN_BYTES_MAX: usize = 34;

/// What to put in place of a range.
#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    plain: &'static str,
}

/// The places of a text where something was spaced out, put together; `None` when there are none.
pub(super) fn squeeze(text: &str) -> Option<View> {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        edits: Vec::new(),
        word: 0,
        digit: 0,
        at_sign: 0,
    };
    reader.run();
    if reader.edits.is_empty() {
        return None;
    }
    Some(around(text, &reader.edits))
}

/// The edited places with what stands around them.
fn around(text: &str, edits: &[Edit]) -> View {
    let mut view = View::default();
    let mut at = 0;
    for (index, edit) in edits.iter().enumerate() {
        let from = text.floor_char_boundary(edit.range.start.saturating_sub(AROUND_BYTES));
        if index == 0 || from > at {
            // What is left out between two places must join nothing.
            view.put("\n\n", from..from);
            view.copy(text, from..edit.range.start);
        } else {
            view.copy(text, at..edit.range.start);
        }
        view.put(edit.plain, edit.range.clone());
        let next = edits
            .get(index + 1)
            .map_or(text.len(), |next| next.range.start);
        let to = text.ceil_char_boundary((edit.range.end + AROUND_BYTES).min(next));
        view.copy(text, edit.range.end..to);
        at = to;
    }
    view
}

struct Reader<'a> {
    bytes: &'a [u8],
    edits: Vec<Edit>,
    /// Where the word being read begins: behind the last blank.
    word: usize,
    /// Where the last group with a digit ended, and the last `@` stood.
    digit: usize,
    at_sign: usize,
}

/// A piece of a number or identifier: letters and digits without anything between.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
}

/// Those of one number.
type Groups = SmallVec<[Group; GROUPS_MAX]>;

impl Group {
    fn len(self) -> usize {
        self.end - self.start
    }
}

impl Reader<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while at < self.bytes.len() {
            at = match self.bytes[at] {
                b'[' | b'(' | b'{' | b'<' => self.spelled_sign(at).unwrap_or(at + 1),
                b'@' => {
                    self.at_sign = at + 1;
                    self.open_sign(at)
                }
                byte if ALPHANUMERIC.has(byte) => self.token(at),
                byte => {
                    if is_blank(byte) {
                        self.word = at + 1;
                    }
                    at + 1
                }
            };
        }
    }

    /// Whatever begins with the letters and digits here; returns where to go on.
    fn token(&mut self, start: usize) -> usize {
        let first = self.group(start);
        if self.is_plain_word(first) {
            return first.end;
        }
        let has_digit = is_coded(&self.bytes[start..first.end]);
        if has_digit {
            self.digit = first.end;
        }
        let singles = (first.len() == 1).then(|| self.singles(start)).flatten();
        if let Some(end) = singles {
            return end;
        }
        if has_digit && self.letters_for_digits(first) {
            return first.end;
        }
        let is_number = self.bytes[start].is_ascii_digit();
        let joined = if is_number {
            self.digits(first)
        } else {
            self.iban(first)
        };
        joined.or_else(|| self.line_end(first)).unwrap_or(first.end)
    }

    /// A word of letters on whose line more stands, with neither digits nor `@` before it without a blank: most words
    /// are, and nothing begins with them.
    fn is_plain_word(&self, group: Group) -> bool {
        let goes_on = match self.bytes[group.end..] {
            [] => true,
            [b' ', next, ..] => !BLANK.has(next),
            [next, ..] => !BLANK.or(JOINT).has(next),
        };
        goes_on
            && group.len() > 2
            && self.digit <= self.word
            && self.at_sign <= self.word
            && self.bytes[group.start..group.end]
                .iter()
                .fold(true, |plain, byte| plain & LETTER.has(*byte))
    }

    /// `4O12` and `4l11`: letters that stand for digits among digits.
    fn letters_for_digits(&mut self, group: Group) -> bool {
        let bytes = &self.bytes[group.start..group.end];
        let letters = bytes.iter().filter(|byte| !byte.is_ascii_digit()).count();
        let stands_for = |byte: u8| match byte {
            b'O' | b'o' => Some("0"),
            b'l' | b'I' => Some("1"),
            _ => None,
        };
        let is_digit_like = |byte: &u8| byte.is_ascii_digit() || stands_for(*byte).is_some();
        if letters == 0
            || bytes.len() < 3
            || !bytes.iter().all(is_digit_like)
            || letters * 2 > bytes.len()
        {
            return false;
        }
        for (place, byte) in bytes.iter().enumerate() {
            if let Some(plain) = stands_for(*byte) {
                let start = group.start + place;
                self.edits.push(Edit {
                    range: start..start + 1,
                    plain,
                });
            }
        }
        true
    }

    fn group(&self, start: usize) -> Group {
        Group {
            start,
            end: ALPHANUMERIC.run_end(self.bytes, start),
        }
    }

    fn separators(&self, at: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().take(most).take_while(|byte| is(**byte)).count()
    }

    /// Single characters with the same separator between: the separators go.
    fn singles(&mut self, start: usize) -> Option<usize> {
        let length = self.separators(start + 1, 3, |byte| !byte.is_ascii_alphanumeric());
        let separator = *self.bytes.get(start + 1)?;
        if length == 0 || !separator.is_ascii() {
            return None;
        }
        let by_space = is_blank(separator);
        let before = self.edits.len();
        let mut count = 1;
        let mut last = start + 1;
        loop {
            let gap = if by_space {
                self.separators(last, 4, is_blank)
            } else {
                self.separators(last, 1, |byte| byte == separator)
                    + self.separators(last + 1, 1, |byte| byte == b' ' && separator != b',')
            };
            let next = last + gap;
            let is_next =
                |byte: &u8| byte.is_ascii_graphic() && (by_space || byte.is_ascii_alphanumeric());
            if gap == 0 || !self.bytes.get(next).is_some_and(is_next) {
                break;
            }
            let after = self.bytes.get(next + 1);
            let is_single = match self.bytes[next].is_ascii_alphanumeric() {
                true => after.is_none_or(|byte| !byte.is_ascii_alphanumeric()),
                false => after.is_none_or(|byte| is_blank(*byte)),
            };
            if !is_single {
                break;
            }
            self.edits.push(Edit {
                range: last..next,
                plain: "",
            });
            count += 1;
            last = next + 1;
        }
        if count < SINGLES_MIN {
            self.edits.truncate(before);
            return None;
        }
        Some(last)
    }

    /// Groups of digits that together can be a number, whatever stands between them.
    fn digits(&mut self, first: Group) -> Option<usize> {
        let is_digits = |group: Group| {
            self.bytes[group.start..group.end]
                .iter()
                .all(u8::is_ascii_digit)
        };
        if !is_digits(first) || first.len() > *DIGITS.end() {
            return None;
        }
        let mut groups: Groups = smallvec![first];
        let mut total = first.len();
        while let Some(last) = groups.last().copied() {
            let gap = self.separators(last.end, 3, is_between_digits);
            if gap == 0
                || !self
                    .bytes
                    .get(last.end + gap)
                    .is_some_and(u8::is_ascii_digit)
            {
                break;
            }
            let next = self.group(last.end + gap);
            total += next.len();
            if !is_digits(next) || total > *DIGITS.end() || groups.len() == GROUPS_MAX {
                // Too long to be one: none of its pieces stands alone.
                return Some(next.end);
            }
            groups.push(next);
        }
        let last = groups.last()?.end;
        if groups.len() < 2 || !DIGITS.contains(&total) || self.is_usual(&groups) {
            return None;
        }
        if total < LONG_DIGITS_MIN {
            // The shape of short numbers matters: only what a line end cut is put together.
            return self.join_lines(&groups).then_some(last);
        }
        if self.is_date(first) && !self.is_checked(&groups) {
            return Some(last);
        }
        self.join(&groups);
        Some(last)
    }

    /// `2024-01-15 12:30:45` has as many digits as a card.
    fn is_date(&self, first: Group) -> bool {
        let year = &self.bytes[first.start..first.end];
        year.len() == 4 && (year.starts_with(b"19") || year.starts_with(b"20"))
    }

    /// Whether the check digit of cards is right.
    fn is_checked(&self, groups: &[Group]) -> bool {
        let digits = groups
            .iter()
            .flat_map(|group| &self.bytes[group.start..group.end]);
        let sum: u32 = digits
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte.saturating_sub(b'0'));
                if place % 2 == 0 {
                    digit
                } else {
                    digit * 2 % 10 + digit / 5
                }
            })
            .sum();
        sum.is_multiple_of(10)
    }

    /// Takes line ends out from between groups; false when there are none.
    fn join_lines(&mut self, groups: &[Group]) -> bool {
        let before = self.edits.len();
        for pair in groups.windows(2) {
            let gap = &self.bytes[pair[0].end..pair[1].start];
            if let Some(line_end) = gap.iter().position(|byte| *byte == b'\n' || *byte == b'\r') {
                let start = pair[0].end + line_end;
                let length = self.separators(start, 3, is_blank);
                self.edits.push(Edit {
                    range: start..start + length,
                    plain: "",
                });
            }
        }
        self.edits.len() > before
    }

    /// Groups as they are printed on cards: those are found as they stand.
    fn is_usual(&self, groups: &[Group]) -> bool {
        let separator = self.bytes[groups[0].end];
        let uniform = groups
            .windows(2)
            .all(|pair| pair[1].start - pair[0].end == 1 && self.bytes[pair[0].end] == separator);
        let (last, others) = groups.split_last().unzip();
        let fours =
            others.is_some_and(|others: &[Group]| others.iter().all(|group| group.len() == 4));
        uniform
            && matches!(separator, b' ' | b'-')
            && fours
            && last.is_some_and(|last| last.len() <= 4)
    }

    /// The groups of an IBAN that are not groups of four.
    fn iban(&mut self, first: Group) -> Option<usize> {
        let head = self.bytes[first.start..]
            .iter()
            .filter(|byte| !is_between(**byte));
        let mut count = 0;
        let begins = head.take(4).all(|byte| {
            count += 1;
            if count <= 2 {
                byte.is_ascii_alphabetic()
            } else {
                byte.is_ascii_digit()
            }
        });
        let begins = begins && count == 4;
        if !begins || first.len() > IBAN_BYTES_MAX {
            return None;
        }
        let mut groups: Groups = smallvec![first];
        let mut total = first.len();
        while let Some(last) = groups.last().copied() {
            let gap = self.separators(last.end, 2, is_between);
            if gap == 0 {
                break;
            }
            let next = self.group(last.end + gap);
            let bytes = &self.bytes[next.start..next.end];
            let fits = bytes.iter().any(u8::is_ascii_digit)
                || bytes.len() <= 4
                    && !bytes.is_empty()
                    && bytes.iter().all(u8::is_ascii_uppercase);
            if !fits || total + next.len() > IBAN_BYTES_MAX {
                break;
            }
            total += next.len();
            groups.push(next);
        }
        let (last, others) = groups.split_last()?;
        let is_usual = others.iter().all(|group| group.len() == 4);
        if groups.len() < 2 || total < 15 || is_usual {
            return None;
        }
        let end = last.end;
        self.join(&groups);
        Some(end)
    }

    fn join(&mut self, groups: &[Group]) {
        self.edits.extend(groups.windows(2).map(|pair| Edit {
            range: pair[0].end..pair[1].start,
            plain: "",
        }));
    }

    /// Where the address or key begins that ends at a place, or its last bytes.
    fn code_start(&self, end: usize) -> usize {
        let back = self.bytes[..end].iter().rev().take(AROUND_BYTES);
        end - back.take_while(|byte| CODE.has(**byte)).count()
    }

    /// A token that a space or line end cuts in two: both sides look like pieces of a code.
    fn line_end(&mut self, first: Group) -> Option<usize> {
        let tail = self.separators(first.end, 2, |byte| JOINT.has(byte));
        let end = first.end + tail;
        let gap = self.separators(end, 4, is_blank);
        let next = end + gap;
        if gap == 0 || !self.bytes.get(next).is_some_and(|byte| CODE.has(*byte)) {
            return None;
        }
        let is_line_end = self.bytes[end..next].contains(&b'\n');
        let seems_coded = self.digit > self.word || self.at_sign > self.word || tail > 0;
        if !is_line_end && !seems_coded {
            return None;
        }
        let left = &self.bytes[self.code_start(end)..end];
        let to = self.bytes.len().min(next + AROUND_BYTES);
        let right = &self.bytes[next..CODE.run_end(&self.bytes[..to], next)];
        let has_at = |token: &[u8]| token.contains(&b'@');
        let cut = if has_at(left) {
            // An address whose domain has not got its dot yet.
            let domain = left.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
            let domain = domain.strip_suffix(b".").unwrap_or(domain);
            is_line_end && !domain.contains(&b'.') && !has_at(right)
        } else if has_at(right) {
            is_line_end && right.starts_with(b"@") && is_named(left)
        } else if is_line_end {
            is_coded(left) && is_coded(right)
        } else {
            gap == 1
                && is_random(left)
                && is_random(right)
                && left.len() + right.len() >= KEY_BYTES_MIN
        };
        if !cut {
            return None;
        }
        self.edits.push(Edit {
            range: end..next,
            plain: "",
        });
        Some(next)
    }

    /// `[at]`, `(dot)` and the like, with the spaces around them.
    fn spelled_sign(&mut self, at: usize) -> Option<usize> {
        let inner = at + 1 + self.separators(at + 1, 2, is_blank);
        let small: Vec<u8> = self.bytes[inner..]
            .iter()
            .take(3)
            .map(u8::to_ascii_lowercase)
            .collect();
        let (plain, length) = match small.as_slice() {
            b"dot" => (".", 3),
            [b'a', b't', ..] => ("@", 2),
            [b'@', ..] => ("@", 1),
            [b'.', ..] => (".", 1),
            _ => return None,
        };
        let closing = inner + length + self.separators(inner + length, 2, is_blank);
        if !matches!(self.bytes.get(closing), Some(b']' | b')' | b'}' | b'>')) {
            return None;
        }
        let back = self.bytes[..at].iter().rev().take(3);
        let start = at - back.take_while(|byte| is_blank(**byte)).count();
        let end = closing + 1 + self.separators(closing + 1, 3, is_blank);
        if self.edits.last().is_some_and(|last| last.range.end > start) {
            return None;
        }
        self.edits.push(Edit {
            range: start..end,
            plain,
        });
        Some(end)
    }

    /// An `@` with a space on one side or on both.
    fn open_sign(&mut self, at: usize) -> usize {
        let back = self.bytes[..at].iter().rev().take(3);
        let before = back.take_while(|byte| is_blank(**byte)).count();
        let after = self.separators(at + 1, 3, is_blank);
        let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let start = at - before;
        let touches = start > 0
            && is_word(self.bytes.get(start - 1))
            && is_word(self.bytes.get(at + 1 + after));
        let is_free = self.edits.last().is_none_or(|last| last.range.end <= start);
        // `name @example.com` is a mention more often than an address with a hole.
        let name = || &self.bytes[self.code_start(start)..start];
        let is_hole = after > 0 || before > 0 && is_named(name());
        if is_hole && touches && is_free {
            self.edits.push(Edit {
                range: start..at + 1 + after,
                plain: "@",
            });
            return at + 1 + after;
        }
        at + 1
    }
}

fn is_blank(byte: u8) -> bool {
    BLANK.has(byte)
}

fn is_between(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'-' | b'.' | b'/' | b'_')
}

/// What may stand between the groups of a disguised number. Commas make lists.
fn is_between_digits(byte: u8) -> bool {
    is_between(byte) || matches!(byte, b'*' | b'|' | b'~' | b'+' | b':' | b'\'')
}

/// Whether digits stand in a token, as in codes.
fn is_coded(token: &[u8]) -> bool {
    token.iter().any(|byte| DIGIT.has(*byte))
}

/// Whether a token is rather the name in an address than a word.
fn is_named(token: &[u8]) -> bool {
    is_coded(token) || token.contains(&b'.') && !token.ends_with(b".")
}

/// Whether a token looks like a piece of a key: letters and digits, or the prefix of one.
fn is_random(token: &[u8]) -> bool {
    let has_letter = token.iter().any(u8::is_ascii_alphabetic);
    let is_prefix = matches!(token.last(), Some(b'-' | b'_'));
    token.len() >= 3 && (has_letter && is_coded(token) || is_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let view = squeeze(text).unwrap_or_else(|| panic!("{text}"));
        assert!(view.text.contains(expected), "{text}: {}", view.text);
    }

    #[test]
    fn what_is_spaced_out_is_put_together() {
        for (text, expected) in [
            (
                "card 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 ok",
                "card 4111111111111111 ok",
            ),
            (
                "4 1 1 1 - 1 1 1 1 - 1 1 1 1 - 1 1 1 1",
                "4111-1111-1111-1111",
            ),
            ("4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "4111111111111111"),
            ("4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", "4111111111111111"),
            ("j o h n @ e x a m p l e . o r g", "john@example.org"),
            (
                "4\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1",
                "4111111111111111",
            ),
            ("4O12 8888 8888 l88l", "4012 8888 8888 1881"),
            ("41 11 11 11 11 11 11 11", "4111111111111111"),
            ("4111/1111/1111/1111", "4111111111111111"),
            ("4 111111111111111", "4111111111111111"),
            ("4111 1111\n1111 1111", "4111111111111111"),
            (
                "DE8937 0400440532013000 bitte",
                "DE89370400440532013000 bitte",
            ),
            ("SSN 536-90-\n4399", "SSN 536-90-4399"),
            (
                "sk-ant-api03-q7Zc0 wYb3Vn8Xs5Kd2",
                "sk-ant-api03-q7Zc0wYb3Vn8Xs5Kd2",
            ),
            ("john [at] example (dot) org", "john@example.org"),
            ("john.doe@\nexample.org", "john.doe@example.org"),
            ("john @ example.org", "john@example.org"),
            ("john.doe\n@example.org", "john.doe@example.org"),
            ("john@exam\nple.org", "john@example.org"),
            ("john@example.\norg", "john@example.org"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn usual_texts_have_nothing_to_put_together() {
        for text in [
            "A plain sentence, with I and a and 3 of them.",
            "4111 1111 1111 1111",
            "DE89 3704 0044 0532 0130 00",
            "2024-01-15 12:30:45 started",
            "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
            "a b c d",
            "first line\nsecond line",
            "John Smith\njohn.smith@example.org\nSubject: 5 things",
            "def f():\n    pass\n\n@app.post\ndef start_recording @app.post",
            "at M5H 2Y4 maria11@example.org",
            "",
        ] {
            assert!(squeeze(text).is_none(), "{text}");
        }
    }

    #[test]
    fn ranges_lead_back() {
        let text = "my card: 41 11 11 11 11 11 11 11, thanks";
        let view = squeeze(text).unwrap();
        let at = view.text.find("4111").unwrap();
        assert_eq!(
            &text[view.source(&(at..at + 16))],
            "41 11 11 11 11 11 11 11"
        );
    }
}
