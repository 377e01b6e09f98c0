//! Dates, and dates of birth: those behind words such as `born`.

use std::ops::Range;

use super::{digits_before, digits_end};
use crate::detect::Hit;
use crate::detect::identifiers::checksum::{is_day, value};
use crate::detect::identifiers::context::{Context, Mark, Topic};
use crate::detect::identifiers::number::{Number, Prefix, stands_alone};

/// A date of digits: `1985-05-20`, `20.05.1985`, `5/20/85`.
pub(crate) fn numeric(bytes: &[u8], number: &Number, context: &Context) -> Option<Hit> {
    if number.groups() < 3 {
        return None;
    }
    let prefix = number.prefixes().find(|prefix| prefix.groups == 3)?;
    let separator = prefix.separator(0);
    if separator != prefix.separator(1) || !is_date(&prefix, separator) {
        return None;
    }
    let end = prefix.end;
    // `1994-03-24T01:19:22` and `1994-03-24 01:19:22` are a program's times, not a person's.
    let has_clock = is_clock(&bytes[end..]);
    let is_called = is_called_date(&bytes[..number.start]);
    if !stands_alone(bytes, number.start, end) || has_clock && !is_called {
        return None;
    }
    let end = if has_clock { end + CLOCK_BYTES } else { end };
    Some(hit(bytes, number.start..end, context))
}

/// Bytes of ` 01:19:22`.
const CLOCK_BYTES: usize = 9;

/// ` 01:19:22`.
fn is_clock(behind: &[u8]) -> bool {
    let shaped = |(place, byte): (usize, &u8)| match place {
        0 => *byte == b' ',
        3 | 6 => *byte == b':',
        _ => byte.is_ascii_digit(),
    };
    behind
        .get(..CLOCK_BYTES)
        .is_some_and(|clock| clock.iter().enumerate().all(shaped))
}

/// Whether a text ends with `date:`.
fn is_called_date(before: &[u8]) -> bool {
    let name = before.trim_ascii_end();
    let name = name.strip_suffix(b":").unwrap_or_default();
    name.len() >= 4 && name[name.len() - 4..].eq_ignore_ascii_case(b"date")
}

fn is_date(prefix: &Prefix<'_>, separator: u8) -> bool {
    let lengths = [prefix.length(0), prefix.length(1), prefix.length(2)];
    let [first, second, third] = [0, 1, 2].map(|group| value(prefix.group(group)));
    let either = |a, b| is_day(a, b) || is_day(b, a);
    match (lengths, separator) {
        ([4, 1..=2, 1..=2], b'-' | b'/' | b'.') => is_year(first) && is_day(second, third),
        ([1..=2, 1..=2, 4], b'-' | b'/' | b'.') => is_year(third) && either(first, second),
        ([2, 2, 2], b'/') | ([1..=2, 1..=2, 2], b'/') => either(first, second),
        ([2, 2, 2], b'.' | b'-') => is_day(second, first) && (separator == b'.' || third > 31),
        _ => false,
    }
}

fn is_year(year: u64) -> bool {
    (1_870..=2_100).contains(&year)
}

/// A date around a month's name: `May 20, 1985`, `20th of May 1985`, `20. Mai 1985`, `May 1985`.
pub(super) fn around_month(bytes: &[u8], mark: &Mark, context: &Context) -> Option<Hit> {
    let mut range = mark.start..mark.end;
    let before = day_before(bytes, mark.start);
    let mut end = mark.end;
    if let Some(day) = &before {
        range.start = day.start;
    } else if let Some(day) = day_after(bytes, mark.end) {
        end = day.end;
        range.end = end;
    }
    let year = year_after(bytes, end);
    let has_day = range.start < mark.start || range.end > mark.end;
    let has_year = year.is_some();
    if let Some(year) = year {
        range.end = year.end;
    }
    // Without day or year a date tells little, and the month may be a name or a verb.
    let whole = has_day && has_year;
    let some = has_day || has_year;
    let hit = hit(bytes, range, context);
    (whole || some && hit.entity.as_str() == "date_of_birth").then_some(hit)
}

/// `20 `, `20th of `, `20. `, `20 de `, `20-` before a month.
fn day_before(bytes: &[u8], month: usize) -> Option<Range<usize>> {
    let mut end = month;
    let trim = |end: usize| {
        bytes[..end]
            .iter()
            .rposition(|byte| !matches!(byte, b' ' | b'-' | b'.'))
            .map_or(0, |at| at + 1)
    };
    end = trim(end).max(end.saturating_sub(3));
    for link in [&b"of"[..], b"de", b"of the", b"di", b"d"] {
        if bytes[..end].ends_with(link) && end > link.len() && bytes[end - link.len() - 1] == b' ' {
            end = trim(end - link.len());
            break;
        }
    }
    for ending in [&b"st"[..], b"nd", b"rd", b"th", b"er"] {
        if bytes[..end].ends_with(ending) {
            end -= 2;
            break;
        }
    }
    day(bytes, digits_before(bytes, end, 3))
}

/// ` 20`, ` 20th`, ` the 20th` behind a month.
fn day_after(bytes: &[u8], month: usize) -> Option<Range<usize>> {
    let gap = bytes[month..]
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b' ' | b'.' | b'-'))
        .count();
    let mut start = month + gap;
    if bytes[start..].starts_with(b"the ") {
        start += 4;
    }
    let end = digits_end(bytes, start, 3);
    let mut range = day(bytes, start..end)?;
    let ending = bytes.get(end..end + 2);
    if ending.is_some_and(|ending| {
        [b"st", b"nd", b"rd", b"th"]
            .iter()
            .any(|known| *known == ending)
    }) {
        range.end += 2;
    }
    (gap > 0 && !bytes.get(range.end).is_some_and(u8::is_ascii_alphanumeric)).then_some(range)
}

fn day(bytes: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let digits = &bytes[range.clone()];
    let number = digits
        .iter()
        .fold(0_u32, |number, byte| number * 10 + u32::from(byte - b'0'));
    let begins = range.start == 0 || !bytes[range.start - 1].is_ascii_alphanumeric();
    let fraction = matches!(bytes[range.end..], [b':' | b'%', ..]);
    ((1..=2).contains(&digits.len()) && (1..=31).contains(&number) && begins && !fraction)
        .then_some(range)
}

/// `, 1985`, ` 1985`, ` de 1985`, `-85`.
fn year_after(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let gap = bytes[from..]
        .iter()
        .take(3)
        .take_while(|byte| matches!(byte, b' ' | b',' | b'-' | b'.'))
        .count();
    let mut start = from + gap;
    for link in [&b"de "[..], b"del ", b"of "] {
        if bytes[start..].starts_with(link) {
            start += link.len();
        }
    }
    let end = digits_end(bytes, start, 5);
    let digits = &bytes[start..end];
    let number = digits
        .iter()
        .fold(0_u64, |number, byte| number * 10 + u64::from(byte - b'0'));
    let ends = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (gap > 0 && digits.len() == 4 && is_year(number) && ends).then_some(start..end)
}

/// How far before a date the word may stand that makes it a date of birth.
const BIRTH_WITHIN_BYTES: usize = 48;

fn hit(bytes: &[u8], range: Range<usize>, context: &Context) -> Hit {
    let near = range.start.saturating_sub(BIRTH_WITHIN_BYTES)..range.start;
    let birth = context
        .within(near)
        .iter()
        .rev()
        .find(|mark| mark.topics.has(Topic::Birth));
    let is_birth = birth.is_some_and(|mark| {
        let gap = &bytes[mark.end.min(range.start)..range.start];
        !gap.iter().any(u8::is_ascii_digit) && !gap.windows(2).any(|pair| pair == b". ")
    });
    if is_birth {
        Hit::new("date_of_birth", range, 0.9)
    } else {
        Hit::new("date", range, 0.6)
    }
}
