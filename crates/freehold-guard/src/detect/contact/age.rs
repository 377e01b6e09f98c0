//! Ages: `aged 45`, `39 years old`, `I just turned 54`.

use std::ops::Range;

use super::{digits_before, digits_end};
use crate::detect::Hit;
use crate::detect::identifiers::context::{Mark, Topic};

/// Words that say an age by themselves.
const TELLING_BEFORE: [&str; 10] = [
    "age",
    "age:",
    "aged",
    "turned",
    "turning",
    "alter",
    "edad",
    "leeftijd",
    "the age of",
    "at the age of",
];

/// Ends of words that say one.
const TELLING_AFTER: [&str; 7] = [
    "old",
    "olds",
    "y/o",
    "y.o.",
    "of age",
    "jahre alt",
    "gammel",
];

pub(super) fn age(text: &str, mark: &Mark) -> Option<Hit> {
    let word = text[mark.start..mark.end].to_ascii_lowercase();
    let range = match mark.topics.has(Topic::AgeBefore) {
        true => behind(text.as_bytes(), mark.end, &word),
        false => None,
    };
    let range = range.or_else(|| match mark.topics.has(Topic::AgeAfter) {
        true => before(text.as_bytes(), mark.start, &word),
        false => None,
    })?;
    Some(Hit::new("age", range, 0.8))
}

/// `Age: 45`, `I'm 45.`
fn behind(bytes: &[u8], end: usize, word: &str) -> Option<Range<usize>> {
    let gap = bytes[end..]
        .iter()
        .take(4)
        .take_while(|byte| b" :=\"".contains(byte))
        .count();
    let range = end + gap..digits_end(bytes, end + gap, 4);
    // `I'm 45 minutes late`: other words need an end behind the number.
    let ends = matches!(
        bytes[range.end..],
        [] | [b'.' | b',' | b'!' | b'?' | b';' | b'\n', ..]
    );
    let told = TELLING_BEFORE.contains(&word) || ends && range.len() == 2;
    (told && gap > 0 && is_age(bytes, &range)).then_some(range)
}

/// `45 years old`, `45-year-old`, `45yo`.
fn before(bytes: &[u8], start: usize, word: &str) -> Option<Range<usize>> {
    let joint = start.checked_sub(1)?;
    let end = if matches!(bytes[joint], b' ' | b'-') {
        joint
    } else {
        start
    };
    let range = digits_before(bytes, end, 4);
    let told = TELLING_AFTER.iter().any(|ending| word.ends_with(ending));
    (told && is_age(bytes, &range)).then_some(range)
}

fn is_age(bytes: &[u8], range: &Range<usize>) -> bool {
    let number = bytes[range.clone()]
        .iter()
        .fold(0_u32, |number, byte| number * 10 + u32::from(byte - b'0'));
    let begins = match bytes[..range.start] {
        [.., digit, b'-' | b'/'] => !digit.is_ascii_digit(),
        [.., byte] => !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b','),
        [] => true,
    };
    let ends = match bytes[range.end..] {
        [b'.' | b',' | b':', digit, ..] => !digit.is_ascii_digit(),
        [byte, ..] => !byte.is_ascii_digit() && byte != b'%',
        [] => true,
    };
    (1..=3).contains(&range.len()) && begins && ends && number <= 120
}
