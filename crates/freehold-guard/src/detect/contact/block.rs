//! What belongs to an address around its street or its unit: numbers and the street before, unit, town,
//! state, post code and country behind, on one line or on several, quoted ones too.

use std::ops::Range;

use super::digits_end;
use super::street::is_house_number;

/// How far an address goes on behind its street.
const TAIL_BYTES_MAX: usize = 128;
/// Lines that follow a street, at most.
const TAIL_LINES_MAX: usize = 4;
/// Words before a unit that are looked at for its street.
const HEAD_WORDS_MAX: usize = 8;
/// Bytes before a street that are looked at for the number that begins its line.
const LINE_BYTES_MAX: usize = 64;
/// Words of a line of an address in small letters.
const LINE_WORDS_MAX: usize = 4;

/// What may stand between the words of an address, quotation marks of mails included.
fn is_gap(char: char) -> bool {
    matches!(
        char,
        ' ' | ',' | '\n' | '\r' | '\t' | '#' | '>' | '?' | '|' | '*'
    )
}

/// Words within names of streets, towns and countries.
pub(super) fn is_link(word: &str) -> bool {
    [
        "de", "du", "des", "la", "le", "les", "del", "della", "degli", "di", "da", "do", "dos",
        "das", "delle", "los", "las", "el", "al", "d", "dei", "et", "y", "e", "van", "den", "der",
        "of", "the", "and", "u", "am", "an", "im", "nad", "pod", "sur", "sous", "en",
    ]
    .contains(&word)
}

/// Where an address begins whose street or unit begins at a place: with the numbers before it, and for
/// a unit with the street before it.
pub(super) fn head(text: &str, start: usize, is_unit: bool) -> usize {
    let start = match is_unit {
        true => street_before(text, start).unwrap_or(start),
        false => start,
    };
    let mut start = number_of_line(text, start).unwrap_or(start);
    // Two numbers before a street: some registers write an area's, too.
    for _ in 0..2 {
        let line = &text[..start];
        let Some(before) = line.strip_suffix(' ') else {
            break;
        };
        let word = last_word(before);
        if !is_house_number(word) || word.len() > 6 {
            break;
        }
        let from = before.len() - word.len();
        // Not a piece of something longer.
        if text[..from].ends_with(|char: char| !is_gap(char)) {
            break;
        }
        start = from;
    }
    match text[..start].strip_suffix("the corner of ") {
        Some(before) => before.len(),
        None => start,
    }
}

/// The number that begins the line of a street, when only names stand between: `95 Dirk de Derdelaan`.
fn number_of_line(text: &str, start: usize) -> Option<usize> {
    let from = text.floor_char_boundary(start.saturating_sub(LINE_BYTES_MAX));
    let line_start = from + text[from..start].rfind('\n')? + 1;
    let line = text[line_start..start].trim_start_matches(is_gap);
    let mut words = line.split_whitespace();
    let is_name = |word: &str| word.starts_with(char::is_uppercase) || is_link(word);
    let begins = words.next().is_some_and(is_house_number);
    let count = words.clone().count();
    (begins && (1..=LINE_WORDS_MAX).contains(&count) && words.all(is_name))
        .then(|| start - line.len())
}

/// The street before a unit, on its line or on the one before.
fn street_before(text: &str, unit: usize) -> Option<usize> {
    let before = text[..unit].trim_end_matches(is_gap);
    let lines = text[before.len()..unit].matches('\n').count();
    if lines > 2 || before.len() == unit {
        return None;
    }
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = &before[line_start..];
    let mut at = line.len();
    let mut number = None;
    let mut words = 0;
    let mut is_named = false;
    let mut name = None;
    while words < HEAD_WORDS_MAX {
        let rest = line[..at].trim_end_matches([' ', ',']);
        let word = last_word(rest);
        let bare = word.trim_end_matches(['.', ',']);
        let from = rest.len() - word.len();
        let is_number = is_house_number(bare);
        let is_capital = bare.starts_with(char::is_uppercase);
        let is_small = !is_number && !is_capital;
        // A line in small letters is an address as a whole: `16 salontie 6`.
        let is_whole = || {
            let line = rest.trim_start_matches(is_gap);
            line.split(' ').count() <= LINE_WORDS_MAX + 2
                && line.starts_with(|char: char| char.is_ascii_digit())
                && !line.contains([':', '@'])
        };
        let is_part = bare.chars().any(char::is_alphanumeric)
            && !word.contains([':', '@', '"', '(', ')', ';'])
            && (!is_small || is_link(bare) || is_whole());
        if !is_part {
            break;
        }
        if is_number {
            number = Some(from);
            name = name.or(is_named.then_some(from));
        } else if number.is_some() || is_capital || is_whole() {
            is_named = true;
            if number.is_some() && is_capital && name.is_none() {
                // `Dalmatinova 112`: the name stands before its number.
                number = Some(from);
            }
        }
        at = from;
        words += 1;
    }
    (is_named && number.is_some())
        .then(|| number.map(|number| line_start + name.unwrap_or(number).min(number)))
        .flatten()
}

/// The last word, without a space.
fn last_word(text: &str) -> &str {
    let from = text
        .char_indices()
        .rev()
        .take(32)
        .take_while(|(_, char)| !char.is_whitespace() && !matches!(char, '>' | '?' | '|'))
        .last()
        .map_or(text.len(), |(at, _)| at);
    &text[from..]
}

/// One word of a tail.
struct Word<'a> {
    text: &'a str,
    end: usize,
    /// What stands before it.
    gap: &'a str,
}

fn word_at(text: &str, at: usize) -> Word<'_> {
    let gap: usize = text[at..]
        .chars()
        .take(16)
        .take_while(|char| is_gap(*char))
        .map(char::len_utf8)
        .sum();
    let start = at + gap;
    let run = text[start..].char_indices().take(24);
    let end = run
        .take_while(|(_, char)| char.is_alphanumeric() || matches!(char, '-' | '\''))
        .last()
        .map_or(start, |(place, char)| start + place + char.len_utf8());
    Word {
        text: &text[start..end],
        end,
        gap: &text[at..start],
    }
}

/// The end of an address: unit, town, state, post code and country behind the street, parted by commas,
/// spaces and line ends.
pub(super) fn tail(text: &str, street: &Range<usize>) -> usize {
    let limit = street.end + TAIL_BYTES_MAX;
    let is_small = !text[street.clone()].chars().any(char::is_uppercase);
    let mut end = street.end;
    let mut at = street.end;
    if text[at..].starts_with('.') {
        at += 1;
    }
    let mut lines = 0;
    let mut was_unit = false;
    loop {
        let word = word_at(text, at);
        let breaks = word.gap.contains('\n');
        let parted = breaks || word.gap.contains(',');
        lines += usize::from(breaks);
        let behind = &text[word.end..];
        let is_number = word.text.starts_with(|char: char| char.is_ascii_digit())
            && word.text.len() <= 10
            && !(breaks && is_long_number(behind));
        let is_capital = word.text.starts_with(char::is_uppercase);
        let is_unit = is_tail_word(word.text);
        let goes_on = parted || end > street.end || is_unit;
        let is_name = is_capital && goes_on
            || is_small && goes_on && is_short_line(text, word.end - word.text.len())
            // `Land of the Free`, `ec 12345`: small words within.
            || goes_on && is_small_word(word.text, behind);
        // Behind a town comes the state or the post code; a new sentence or field ends the address.
        let is_field = behind.starts_with([':', '@', '=']);
        let belongs = !word.gap.is_empty()
            && !word.text.is_empty()
            && lines <= TAIL_LINES_MAX
            && word.end <= limit
            && !is_field
            && (is_number || is_name || is_unit && parted);
        if !belongs {
            return end;
        }
        if !is_link(word.text) {
            end = word.end;
        }
        at = word.end;
        if is_number && word.text.len() >= 4 && !was_unit {
            return rest_of_code(text, end);
        }
        was_unit = is_unit;
        let stops = text[at..].starts_with('.');
        // `Kossuth u. 12.`, then the unit.
        if stops && (is_unit || is_tail_word(word_at(text, at + 1).text)) {
            at += 1;
        } else if stops {
            return end;
        }
    }
}

/// The other part of a post code such as `340 12`, `90010-170`.
fn rest_of_code(text: &str, end: usize) -> usize {
    let rest = &text.as_bytes()[end..];
    let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit());
    let count = digits.count();
    match rest.first() {
        Some(b'-') if (3..=4).contains(&count) => end + 1 + count,
        _ => end,
    }
}

/// Whether what follows makes a number at the beginning of a line a telephone number.
fn is_long_number(behind: &str) -> bool {
    let mut chars = behind.chars();
    let joins = chars
        .next()
        .is_some_and(|char| matches!(char, ' ' | '-' | '/' | '.'));
    let digits = chars.take_while(char::is_ascii_digit).count();
    joins && digits >= 3
}

/// A link before a capital, or a state's letters before a post code.
fn is_small_word(word: &str, behind: &str) -> bool {
    let next = behind
        .strip_prefix(' ')
        .and_then(|rest| rest.chars().next());
    let next_name = next.is_some_and(char::is_uppercase) || behind.starts_with(" the ");
    let code = behind.trim_start_matches(is_gap);
    let is_code = digits_end(code.as_bytes(), 0, 6) >= 4 && code.len() < behind.len();
    is_link(word) && next_name || is_code && word.len() <= 3
}

/// Whether the line or the part up to a comma that begins at a place has only a few words.
fn is_short_line(text: &str, start: usize) -> bool {
    let before = text[..start].trim_end_matches(' ');
    let begins = before.ends_with(|char: char| is_gap(char) && char != ' ');
    let part = text[start..].split(['\n', ',']).next().unwrap_or_default();
    begins
        && part.len() <= 48
        && part.split_whitespace().count() <= LINE_WORDS_MAX
        && !part.contains([':', '@', '=', '.', '!', '?'])
        || !begins && part.len() <= 32 && part.split_whitespace().count() < LINE_WORDS_MAX
}

/// Words for units and the quarters of a town.
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
