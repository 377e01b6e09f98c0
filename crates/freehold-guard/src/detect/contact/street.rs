//! Street addresses: a number, the name of a street, and what stands around them of unit, town and
//! post code.

use std::ops::Range;

use super::block::{head, is_link, tail};
use super::digits_end;
use crate::detect::Hit;
use crate::detect::identifiers::context::{Context, Topic};

/// Words of a street's name, at most.
const NAME_WORDS_MAX: usize = 5;

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
    let end = tail(text, &range);
    let is_unit = mark.topics.has(Topic::Unit) && range.start == mark.start;
    let start = head(text, range.start, is_unit);
    Some(Hit::new("street_address", start..end, confidence))
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
        let link = is_link(written);
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
    let before = text[..word.start].trim_end_matches(' ');
    let begins = before.ends_with(['\n', ',', '>', '?', '|']);
    let telling = box_ || capital || begins || bytes[word.start..].starts_with(b"apt");
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
    for link in ["is ", "to ", "at ", "on ", "of ", "with "] {
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
    if !known || is_hour(name) {
        return None;
    }
    let end = name_end(text, next.end);
    Some((start..end, 0.6))
}

/// Where the name of a street that began before goes on to: over capitals and links, to its number when
/// it has one.
fn name_end(text: &str, from: usize) -> usize {
    let (mut at, mut end) = (from, from);
    for _ in 0..NAME_WORDS_MAX {
        // A full stop only behind one letter: `C. Manuel`, `C/ Manuel`.
        let is_letter = text[..at]
            .chars()
            .rev()
            .nth(1)
            .is_none_or(|char| !char.is_alphanumeric());
        let parted = |next: &Range<usize>| match text[at..next.start].trim() {
            "" => true,
            "." | "/" => is_letter,
            _ => false,
        };
        let Some(next) = word_after(text, at).filter(parted) else {
            break;
        };
        let written = &text[next.clone()];
        if is_house_number(written) {
            return next.end;
        }
        let is_name = written.starts_with(char::is_uppercase);
        if !is_name && !is_link(written) {
            break;
        }
        if is_name {
            end = next.end;
        }
        at = next.end;
    }
    end
}

/// `to 07 Celso Emilio Ferreiro 23,`: a number, a name and another number behind a word for a place, and
/// nothing more in that part of the text.
pub(in crate::detect) fn between_numbers(
    text: &str,
    start: usize,
    context: &Context,
) -> Option<Hit> {
    const PLACES: [&str; 9] = ["to", "at", "is", "in", "on", "are", "with", "and", "from"];
    let bytes = text.as_bytes();
    let mut number = house_number_end(bytes, start)?;
    if bytes.get(number) == Some(&b' ') {
        number = house_number_end(bytes, number + 1).unwrap_or(number);
    }
    // Most numbers are followed by something else.
    let begins_name = |byte: &u8| byte.is_ascii_uppercase() || *byte >= 0x80;
    if bytes.get(number) != Some(&b' ') || !bytes.get(number + 1).is_some_and(begins_name) {
        return None;
    }
    let announced = text[..start].ends_with(": ")
        || word_before(text, start)
            .is_some_and(|word| PLACES.contains(&text[word].to_ascii_lowercase().as_str()));
    if !announced {
        return None;
    }
    let first = word_after(text, number)?;
    let end = name_end(text, number);
    let last = text[..end].rsplit(' ').next().unwrap_or_default();
    let is_name = text[first.clone()].starts_with(char::is_uppercase) && first.len() > 1;
    let is_numbered = end > first.end && is_house_number(last);
    let is_year = last.len() == 4 && matches!(last.as_bytes()[..2], [b'1', b'9'] | [b'2', b'0']);
    let is_whole = matches!(bytes.get(end), None | Some(b',' | b'\n'))
        || text[end..].starts_with(" Apt")
        || text[end..].starts_with(" Suite");
    let marks = context.within(start..end);
    let is_month = marks.iter().any(|mark| mark.topics.has(Topic::Month));
    if !is_name || !is_numbered || is_year || !is_whole || is_month {
        return None;
    }
    let end = tail(text, &(start..end));
    Some(Hit::new("street_address", start..end, 0.55))
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

pub(super) fn is_house_number(word: &str) -> bool {
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
        .take_while(|char| matches!(char, ' ' | '.' | ',' | '/' | '\'' | '’'))
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
