//! Street addresses: a number, the name of a street, and what follows of unit, town and post code.

use std::ops::Range;

use super::digits_end;
use crate::detect::Hit;
use crate::detect::identifiers::context::{Context, Topic};

/// Words of a street's name, at most.
const NAME_WORDS_MAX: usize = 5;
/// How far an address goes on behind its street.
const TAIL_BYTES_MAX: usize = 96;

/// The address around one of the words that announce it.
pub(super) fn street(text: &str, index: usize, context: &Context) -> Option<Hit> {
    let mark = context.marks[index];
    let word = mark.start..mark.end;
    let found = if mark.topics.has(Topic::Unit) {
        unit(text, &word)
    } else {
        None
    };
    let found = found
        .or_else(|| {
            mark.topics
                .has(Topic::StreetAfterName)
                .then(|| number_then_name(text, &word))
                .flatten()
        })
        .or_else(|| {
            mark.topics
                .has(Topic::StreetEnd)
                .then(|| name_then_number(text, &word))
                .flatten()
        })
        .or_else(|| {
            mark.topics
                .has(Topic::StreetBeforeName)
                .then(|| word_then_name(text, &word))
                .flatten()
        })
        .or_else(|| {
            mark.topics
                .has(Topic::Address)
                .then(|| announced(text, mark.end))
                .flatten()
        })?;
    let (range, confidence) = found;
    let end = tail(text, range.end);
    Some(Hit::new("street_address", range.start..end, confidence))
}

/// `123 Main Street`, `5 Old Mill Rd.`: back over the name to the number.
fn number_then_name(text: &str, word: &Range<usize>) -> Option<(Range<usize>, f32)> {
    let mut at = word.start;
    for _ in 0..=NAME_WORDS_MAX {
        let previous = word_before(text, at)?;
        let written = &text[previous.clone()];
        at = previous.start;
        if is_house_number(written) {
            let names = text[previous.end..word.start].trim();
            let part = text[..previous.start].ends_with([':', '.', ',', '$']);
            return (!part && is_street(names, &text[word.clone()]))
                .then_some((previous.start..word.end, 0.8));
        }
        if !is_name(written) {
            return None;
        }
    }
    None
}

/// `Main` and `Street`, `old mill` and `road`, but not `mile` and `drive`.
fn is_street(names: &str, kind: &str) -> bool {
    const CLEAR: [&str; 4] = ["street", "avenue", "road", "boulevard"];
    const MEASURES: [&str; 11] = [
        "mile", "way", "lane", "car", "meter", "block", "minute", "min", "hour", "year", "day",
    ];
    let is_capital =
        |word: &str| word.starts_with(|char: char| char.is_uppercase() || char.is_ascii_digit());
    let words = || names.split(' ').filter(|word| !word.is_empty());
    if words().count() == 0 || words().any(is_hour) {
        return false;
    }
    if is_capital(kind) {
        return words().any(is_capital);
    }
    let short =
        words().count() <= 2 && !words().any(|word| MEASURES.contains(&word.trim_end_matches('s')));
    let clear = CLEAR.iter().any(|known| known.eq_ignore_ascii_case(kind));
    clear && (words().all(is_capital) || short)
}

/// What follows the number of an hour.
fn is_hour(word: &str) -> bool {
    [
        "am", "pm", "a.m.", "p.m.", "uhr", "est", "utc", "gmt", "cet",
    ]
    .iter()
    .any(|hour| hour.eq_ignore_ascii_case(word))
}

/// `Hauptstraße 12`, `Lozerlaan 172`, `Kossuth utca 3`: a capital, then the number.
fn name_then_number(text: &str, word: &Range<usize>) -> Option<(Range<usize>, f32)> {
    let bytes = text.as_bytes();
    let after = bytes[word.end..]
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b' ' | b'.'))
        .count();
    let start = word.end + after;
    let end = house_number_end(bytes, start)?;
    let mut begin = word_start(text, word.start);
    let written = &text[begin..word.end];
    let mut capital = written.chars().next().is_some_and(char::is_uppercase);
    let alone = begin == word.start;
    if alone || !capital {
        // The name stands before: `Kossuth utca`, `Am alten Markt`.
        let previous = word_before(text, begin)?;
        capital = text[previous.clone()]
            .chars()
            .next()
            .is_some_and(char::is_uppercase);
        begin = previous.start;
    }
    // `Ring 3`, `Weg 5` are streets only with a name before them.
    (after > 0 && capital).then_some((begin..end, 0.75))
}

/// `12 rue de la Paix`, `Via Roma 12`, `ul. Długa 5`.
fn word_then_name(text: &str, word: &Range<usize>) -> Option<(Range<usize>, f32)> {
    // These are words of other languages, too.
    const AMBIGUOUS: [&str; 15] = [
        "place", "route", "plaza", "via", "cours", "camino", "vila", "largo", "strada", "borgo",
        "contrada", "cl", "al.", "pl.", "os.",
    ];
    if AMBIGUOUS.contains(&&text[word.clone()]) {
        return None;
    }
    let before =
        word_before(text, word.start).filter(|range| is_house_number(&text[range.clone()]));
    let mut at = word.end;
    let mut last = word.end;
    let mut capitals = 0;
    for _ in 0..NAME_WORDS_MAX {
        let Some(next) = word_after(text, at) else {
            break;
        };
        let written = &text[next.clone()];
        if capitals > 0 && written.starts_with(|char: char| char.is_ascii_digit()) {
            let end = house_number_end(text.as_bytes(), next.start)?;
            return Some((word.start..end, 0.75));
        }
        let capital = written.chars().next().is_some_and(char::is_uppercase);
        let link = matches!(
            written,
            "de" | "du"
                | "des"
                | "la"
                | "le"
                | "les"
                | "del"
                | "della"
                | "di"
                | "da"
                | "do"
                | "dos"
                | "delle"
                | "los"
                | "las"
                | "el"
                | "al"
                | "d"
                | "dei"
                | "et"
                | "y"
        );
        if !capital && !link {
            break;
        }
        if capital {
            capitals += 1;
            last = next.end;
        }
        at = next.end;
        if text[at..].starts_with([',', '\n']) && before.is_some() {
            break;
        }
    }
    let before = before?;
    (capitals > 0).then_some((before.start..last, 0.75))
}

/// `P.O. Box 149`, `Apt. 864`, `Suite 850`.
fn unit(text: &str, word: &Range<usize>) -> Option<(Range<usize>, f32)> {
    let bytes = text.as_bytes();
    let gap = bytes[word.end..]
        .iter()
        .take(3)
        .take_while(|byte| matches!(byte, b' ' | b'.' | b'#'))
        .count();
    let start = word.end + gap;
    let end = house_number_end(bytes, start)?;
    let box_ = text[word.clone()].to_ascii_lowercase().ends_with("box");
    let capital = bytes[word.start].is_ascii_uppercase();
    let telling = box_ || capital || bytes[word.start..].starts_with(b"apt");
    let is_unit = text[word.clone()].eq_ignore_ascii_case("unit")
        || text[word.clone()].eq_ignore_ascii_case("flat");
    (gap > 0 && telling && !is_unit).then_some((word.start..end, 0.6))
}

/// `lives at 643 Biskupa`, `address: 255 Hersnap`: a number and a capital behind a word for address.
fn announced(text: &str, end: usize) -> Option<(Range<usize>, f32)> {
    let gap = text[end..]
        .chars()
        .take(8)
        .take_while(|char| matches!(char, ' ' | ':' | '\n' | '\t' | '>' | '"' | '='))
        .count();
    let mut start = end + gap;
    for link in ["is ", "to ", "at ", "on ", "of "] {
        if text.get(start..).is_some_and(|rest| rest.starts_with(link)) {
            start += link.len();
        }
    }
    let rest = text.get(start..)?;
    if !rest.starts_with(|char: char| char.is_ascii_digit()) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut number = house_number_end(bytes, start)?;
    // Some registers write two numbers.
    if bytes.get(number) == Some(&b' ') {
        number = house_number_end(bytes, number + 1).unwrap_or(number);
    }
    let next = word_after(text, number)?;
    let name = &text[next.clone()];
    let known = name.starts_with(char::is_uppercase) || {
        // A name in small letters stands before a number of its own or a comma.
        let long = name.len() > 4 && name.starts_with(char::is_alphabetic);
        let after = &text[next.end..];
        let digit = after
            .strip_prefix(' ')
            .is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
        long && (after.starts_with(',') || digit)
    };
    (known && !is_hour(name)).then_some((start..next.end, 0.6))
}

/// One to six digits, a letter, another number: `12`, `12a`, `12-14`, `12/3`.
fn house_number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = digits_end(bytes, start, 7);
    if !(1..=6).contains(&(end - start)) {
        return None;
    }
    if bytes.get(end).is_some_and(u8::is_ascii_alphabetic)
        && !bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
    {
        end += 1;
    }
    if matches!(bytes.get(end), Some(b'-' | b'/')) {
        let more = digits_end(bytes, end + 1, 5);
        if more > end + 1 {
            end = more;
        }
    }
    (!bytes.get(end).is_some_and(u8::is_ascii_alphanumeric)).then_some(end)
}

fn is_house_number(word: &str) -> bool {
    let word = word.trim_end_matches(',');
    word.starts_with(|char: char| char.is_ascii_digit())
        && house_number_end(word.as_bytes(), 0) == Some(word.len())
}

fn is_name(word: &str) -> bool {
    let letter = word.chars().next().is_some_and(char::is_alphabetic);
    let ordinal = word.ends_with("th")
        || word.ends_with("st")
        || word.ends_with("nd")
        || word.ends_with("rd");
    letter
        && word
            .chars()
            .all(|char| char.is_alphanumeric() || matches!(char, '.' | '\'' | '-' | '’'))
        || ordinal && word.starts_with(|char: char| char.is_ascii_digit())
}

/// The beginning of the word that goes on at a place.
fn word_start(text: &str, at: usize) -> usize {
    let run = text[..at].char_indices().rev().take(40);
    run.take_while(|(_, char)| char.is_alphanumeric() || *char == '-')
        .last()
        .map_or(at, |(start, _)| start)
}

/// The word before a place, over one space.
fn word_before(text: &str, at: usize) -> Option<Range<usize>> {
    let end = text[..at].strip_suffix(' ')?.len();
    let run = text[..end].char_indices().rev().take(32);
    let start = run
        .take_while(|(_, char)| {
            !char.is_whitespace() && !matches!(char, '(' | '"' | ':' | ';' | '>')
        })
        .last()
        .map(|(start, _)| start)?;
    Some(start..end)
}

/// The word behind a place, over a space or a dot or comma and a space.
fn word_after(text: &str, at: usize) -> Option<Range<usize>> {
    let gap = text[at..]
        .chars()
        .take(3)
        .take_while(|char| matches!(char, ' ' | '.' | ',' | '\'' | '’'))
        .map(char::len_utf8)
        .sum::<usize>();
    let start = at + gap;
    let run = text[start..].char_indices().take(32);
    let end = run
        .take_while(|(_, char)| char.is_alphanumeric() || *char == '-')
        .last()
        .map(|(place, char)| start + place + char.len_utf8())?;
    (gap > 0).then_some(start..end)
}

/// The end of an address: unit, town, state and post code behind the street, parted by commas, spaces
/// and line breaks.
fn tail(text: &str, street_end: usize) -> usize {
    let mut end = street_end;
    let limit = street_end + TAIL_BYTES_MAX;
    let mut at = street_end;
    if text[at..].starts_with('.') {
        at += 1;
    }
    let mut lines = 0;
    loop {
        let gap: usize = text[at..]
            .chars()
            .take(6)
            .take_while(|char| matches!(char, ' ' | ',' | '\n' | '#' | '>'))
            .map(char::len_utf8)
            .sum();
        let comma = text[at..at + gap].contains([',', '\n']);
        lines += text[at..at + gap].matches('\n').count();
        let start = at + gap;
        let run = text[start..].char_indices().take(24);
        let word_end = run
            .take_while(|(_, char)| char.is_alphanumeric() || matches!(char, '-' | '\''))
            .last()
            .map_or(start, |(place, char)| start + place + char.len_utf8());
        let word = &text[start..word_end];
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        let number = word.starts_with(|char: char| char.is_ascii_digit()) && word.len() <= 10;
        // Behind a town comes the state or the post code; a new sentence or field ends the address.
        let field = text[word_end..].starts_with([':', '@', '=']);
        let belongs = gap > 0
            && !word.is_empty()
            && lines <= 2
            && word_end <= limit
            && !field
            && (number || capital && (comma || end > street_end || is_tail_word(word)));
        if !belongs {
            return end;
        }
        end = word_end;
        at = word_end;
        if number && word.len() >= 4 {
            return end;
        }
        if is_tail_word(word) && text[at..].starts_with('.') {
            at += 1;
        }
        if text[at..].starts_with('.') {
            return end;
        }
    }
}

fn is_tail_word(word: &str) -> bool {
    [
        "apt",
        "suite",
        "ste",
        "unit",
        "floor",
        "apartment",
        "flat",
        "po",
        "box",
        "north",
        "south",
        "east",
        "west",
        "ne",
        "nw",
        "se",
        "sw",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(word))
}
