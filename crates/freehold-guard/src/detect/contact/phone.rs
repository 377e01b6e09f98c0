//! Telephone numbers: international ones (ITU-T E.164), national ones as they are written in their
//! country, others next to a word.

use crate::detect::Hit;
use crate::detect::identifiers::checksum::value;
use crate::detect::identifiers::context::{Context, Topic, Topics};
use crate::detect::identifiers::number::is_in_series;

/// Most digits of a number (E.164, 6.1), and of one written with a trunk prefix.
const DIGITS_MAX: usize = 16;
const GROUPS_MAX: usize = 8;

/// A telephone number as it is written.
struct Written {
    start: usize,
    end: usize,
    digits: [u8; DIGITS_MAX],
    count: usize,
    /// Lengths of the groups.
    groups: [usize; GROUPS_MAX],
    group_count: usize,
    plus: bool,
    /// The first group stands in parentheses.
    parenthesis: bool,
    /// What parts the groups, as bits: space, hyphen, dot, slash.
    separators: u8,
    extension: bool,
}

/// How far before a number in one piece, which could be any, its word may stand.
const NAME_WITHIN_BYTES: usize = 40;
/// How far behind it.
const BEHIND_BYTES: usize = 8;

/// The telephone number whose first digit stands at a place.
pub(crate) fn phone(text: &str, first: usize, around: Topics, context: &Context) -> Option<Hit> {
    let bytes = text.as_bytes();
    let written = read(bytes, first)?;
    if !is_whole(bytes, &written)
        || !written.plus && is_in_series(bytes, written.start, written.end)
    {
        return None;
    }
    let announced = || {
        let behind = context.within(written.end..written.end + BEHIND_BYTES);
        context.announces(text, Topic::Phone, written.start, NAME_WITHIN_BYTES)
            || behind.iter().any(|mark| mark.topics.has(Topic::Phone))
    };
    let named = around.has(Topic::Phone) && (written.group_count > 1 || announced());
    let other = around.has(Topic::Other) && !named;
    let confidence = if written.plus {
        match is_international(written.digits()) {
            true => Some(0.95),
            false => (named && written.count >= 7).then_some(0.8),
        }
    } else if written.digits().starts_with(&[0, 0]) && written.group_count > 1 {
        is_international(&written.digits()[2..]).then_some(0.85)
    } else if is_north_american(&written) {
        // Hyphens tell a little even next to the word of another number.
        match other && !written.parenthesis {
            true => (written.groups() == [3, 3, 4] && written.separators == 0b10).then_some(0.55),
            false => Some(if named { 0.95 } else { 0.75 }),
        }
    } else if is_national(&written) && !other {
        Some(if named { 0.9 } else { 0.6 })
    } else if named && is_plausible(&written) {
        Some(0.75)
    } else {
        None
    }?;
    Some(Hit::new(
        "phone_number",
        written.start..written.end,
        confidence,
    ))
}

impl Written {
    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn groups(&self) -> &[usize] {
        &self.groups[..self.group_count]
    }
}

fn read(bytes: &[u8], first: usize) -> Option<Written> {
    let mut start = first;
    // The area alone stands in parentheses; those around the whole number are not part of it.
    let area = group_length(bytes, first)?;
    let parenthesis =
        start > 0 && bytes[start - 1] == b'(' && bytes.get(first + area) == Some(&b')');
    if parenthesis {
        start -= 1;
    }
    let plus = start > 0 && bytes[start - 1] == b'+';
    if plus {
        start -= 1;
    }
    let plus_inside = !plus && parenthesis && start > 0 && bytes[start - 1] == b'+';
    let mut written = Written {
        start,
        end: first,
        digits: [0; DIGITS_MAX],
        count: 0,
        groups: [0; GROUPS_MAX],
        group_count: 0,
        plus: plus || plus_inside,
        parenthesis,
        separators: 0,
        extension: false,
    };
    let mut open = parenthesis;
    let mut at = first;
    while let Some(length) = group_length(bytes, at) {
        if written.group_count == GROUPS_MAX || written.count + length > DIGITS_MAX {
            break;
        }
        for byte in &bytes[at..at + length] {
            written.digits[written.count] = byte - b'0';
            written.count += 1;
        }
        written.groups[written.group_count] = length;
        written.group_count += 1;
        at += length;
        written.end = at;
        match joint(bytes, at, &mut open) {
            Some((length, kinds)) => {
                written.separators |= kinds;
                at += length;
            }
            None => break,
        }
    }
    if open && bytes.get(written.end) == Some(&b')') {
        written.end += 1;
    }
    extend(bytes, &mut written);
    (written.count >= 6).then_some(written)
}

fn group_length(bytes: &[u8], at: usize) -> Option<usize> {
    let run = bytes.get(at..)?.iter().take(DIGITS_MAX + 1);
    let length = run.take_while(|byte| byte.is_ascii_digit()).count();
    (1..=DIGITS_MAX).contains(&length).then_some(length)
}

/// What parts two groups: a separator, parentheses, a hyphen between spaces. Its length and kinds.
fn joint(bytes: &[u8], at: usize, open: &mut bool) -> Option<(usize, u8)> {
    let mut kinds = 0;
    let mut length = 0;
    for byte in bytes[at..].iter().take(4) {
        let kind = match byte {
            b' ' => 1,
            b'-' => 2,
            b'.' => 4,
            b'/' => 8,
            b')' if *open => {
                *open = false;
                0
            }
            b'(' if !*open => {
                *open = true;
                0
            }
            byte if byte.is_ascii_digit() && length > 0 => return Some((length, kinds)),
            _ => return None,
        };
        kinds |= kind;
        length += 1;
    }
    let digit = bytes.get(at + length).is_some_and(u8::is_ascii_digit);
    (digit && length > 0).then_some((length, kinds))
}

/// Takes in ` ext. 123`, `x123`.
fn extend(bytes: &[u8], written: &mut Written) {
    let rest = &bytes[written.end..];
    let space = usize::from(rest.first() == Some(&b' '));
    let word = [
        &b"extension "[..],
        b"ext. ",
        b"ext.",
        b"ext ",
        b"ext",
        b"x ",
    ]
    .into_iter()
    .chain([&b"x"[..]])
    .find(|word| {
        rest.get(space..space + word.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(word))
    });
    let Some(word) = word else {
        return;
    };
    let from = written.end + space + word.len();
    let digits = bytes[from..]
        .iter()
        .take(7)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let ends = !bytes
        .get(from + digits)
        .is_some_and(u8::is_ascii_alphanumeric);
    if (1..=6).contains(&digits) && ends {
        written.end = from + digits;
        written.extension = true;
    }
}

/// True when no letter, digit or joint with a digit continues the number.
fn is_whole(bytes: &[u8], written: &Written) -> bool {
    let before = written.start.checked_sub(1).map(|at| bytes[at]);
    let earlier = written.start.checked_sub(2).map(|at| bytes[at]);
    let digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    let begins = match before {
        Some(byte) if byte.is_ascii_alphanumeric() => false,
        Some(b'-') => written.plus,
        Some(b'.' | b'/' | b',') => !digit(earlier),
        Some(b'$' | b'#' | b'_' | b'=' | b'%') => written.plus || written.parenthesis,
        _ => true,
    };
    let after = bytes.get(written.end).copied();
    let later = bytes.get(written.end + 1).copied();
    let ends = match after {
        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%') => false,
        Some(b'-' | b'.' | b',' | b'/' | b':') => !digit(later),
        _ => true,
    };
    begins && ends
}

/// Country codes of one and two digits (ITU-T E.164 Annex, list of 2016); all others have three.
fn is_international(digits: &[u8]) -> bool {
    const TWO: [u8; 43] = [
        20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55,
        56, 57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95,
    ];
    let Some([first, second, ..]) = digits.get(..3) else {
        return false;
    };
    let two = first * 10 + second;
    match first {
        1 => digits.len() == 11,
        7 => digits.len() == 11,
        0 => false,
        _ if TWO.contains(&two) || two == 98 => (9..=15).contains(&digits.len()),
        _ => {
            matches!(
                two,
                21..=26
                    | 29
                    | 35
                    | 37
                    | 38
                    | 42
                    | 50
                    | 59
                    | 67
                    | 68
                    | 69
                    | 80
                    | 85
                    | 87
                    | 88
                    | 96
                    | 97
                    | 99
            ) && (8..=15).contains(&digits.len())
        }
    }
}

/// `(212) 555-0100`, `212-555-0100`, `1-800-555-0199`, `001-212-555-0100`.
fn is_north_american(written: &Written) -> bool {
    let groups = written.groups();
    let shaped = match groups {
        [3, 3, 4] | [1, 3, 3, 4] | [3, 3, 3, 4] => true,
        [3, 7] => written.parenthesis,
        [10] | [6, 4] => written.extension,
        _ => false,
    };
    let country_fits = match groups {
        [1, ..] => written.digits[0] == 1,
        [3, 3, 3, 4] => written.digits[..3] == [0, 0, 1],
        _ => true,
    };
    // Spaces alone part other numbers, too: then the area and the exchange must exist.
    let national = &written.digits()[written.count - 10.min(written.count)..];
    let exists = national.len() == 10 && national[0] >= 2 && national[3] >= 2;
    shaped && country_fits && (written.parenthesis || written.separators & 0b110 != 0 || exists)
}

/// Numbers with a trunk prefix, an area in parentheses, or the usual groups of a country.
fn is_national(written: &Written) -> bool {
    let groups = written.groups();
    let digits = written.digits();
    let parted = written.group_count > 1;
    if written.parenthesis {
        // BR, DE, UK, AU, IN: an area and six digits or more.
        return parted && (2..=5).contains(&groups[0]) && (8..=12).contains(&written.count);
    }
    if digits[0] == 0 {
        // UK, DE, FR, IT, NL, AU, JP, KR, ZA and many more: trunk prefix and area, then the number.
        let even = groups.iter().all(|length| *length >= 2);
        let shaped = (2..=6).contains(&groups[0]) && groups.len() <= 5 && even;
        return parted
            && digits[1] != 0
            && shaped
            && (9..=12).contains(&written.count)
            && written.separators != 4
            // An American post code; code points.
            && groups != [5, 4]
            && groups != [4, 4, 4];
    }
    let spaced = written.separators == 1;
    match groups {
        // Spain, Poland, Portugal: 612 345 678.
        [3, 3, 3] => matches!(digits[0], 6 | 7 | 9) && spaced && false_thousands(digits),
        // Spain: 91 123 45 67, 612 34 56 78.
        [2, 3, 2, 2] | [3, 2, 2, 2] => matches!(digits[0], 6..=9) && spaced,
        // India: 98765 43210.
        [5, 5] => matches!(digits[0], 6..=9) && written.separators & 0b11 != 0,
        // Korea: 10-1234-5678 without its prefix; Brazil: 11 91234-5678.
        [2, 4, 4] | [2, 5, 4] => written.separators & 0b10 != 0,
        _ => false,
    }
}

/// Rounded numbers with spaces between thousands are amounts.
fn false_thousands(digits: &[u8]) -> bool {
    digits[digits.len() - 3..] != [0, 0, 0]
}

/// Anything that could be dialled.
fn is_plausible(written: &Written) -> bool {
    let groups = written.groups();
    let varied = written
        .digits()
        .iter()
        .any(|digit| *digit != written.digits[0]);
    // `1999-2001`, `CVE-2023-29007`.
    let year = |place: usize| (1_900..=2_100).contains(&value(&written.digits[place..place + 4]));
    let years = groups == [4, 4] && year(0) && year(4);
    let dotted = written.separators & 4 != 0 && written.group_count == 2;
    let least = if written.group_count > 1 { 6 } else { 7 };
    varied && !dotted && !years && (least..=13).contains(&written.count) && groups.len() <= 6
}
