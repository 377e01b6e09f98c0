//! Identifiers with a checksum: payment cards and IBANs; and US social security numbers, which have
//! none and therefore count only next to their name.

use super::Hit;

/// One pass over the text; each detector only looks where a number or code begins.
pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if !byte.is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let hit = if byte.is_ascii_digit() {
            card(bytes, at).or_else(|| social_security(bytes, at))
        } else {
            iban(bytes, at)
        };
        if let Some(hit) = hit {
            at = hit.range.end;
            found(hit);
        } else {
            // Nothing begins inside a word or a number.
            at += word_length(&bytes[at..]);
        }
    }
}

fn word_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count()
}

/// True when the number is not a piece of something longer: a word, a decimal, an id, a version.
/// `card-4111...` stands alone, `a716-4111...` and `0.4111...` do not.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = bytes[..start].iter().rev().copied();
    let after = bytes[end..].iter().copied();
    !is_glued(before) && !is_glued(after)
}

/// True when the bytes next to a number (nearest first) continue it: a letter or digit at once, or a
/// joint and then a word in which there are digits.
fn is_glued(mut neighbours: impl Iterator<Item = u8>) -> bool {
    match neighbours.next() {
        Some(byte) if byte.is_ascii_alphanumeric() => true,
        Some(b'-' | b'.' | b'+' | b'_') => neighbours
            .take(JOINED_WORD_BYTES)
            .take_while(u8::is_ascii_alphanumeric)
            .any(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// How much of a word joined to a number is looked at.
const JOINED_WORD_BYTES: usize = 16;

/// Most digits of a card number.
const CARD_DIGITS_MAX: usize = 19;

fn card(bytes: &[u8], start: usize) -> Option<Hit> {
    // No network's numbers begin otherwise.
    if !(b'2'..=b'6').contains(&bytes[start]) {
        return None;
    }
    let mut digits = [0_u8; CARD_DIGITS_MAX];
    let mut groups = Groups::default();
    let mut count = 0;
    let mut separator = None;
    let mut end = start;
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            if count == CARD_DIGITS_MAX {
                return None;
            }
            digits[count] = byte - b'0';
            count += 1;
            groups.grow();
            at += 1;
            end = at;
        } else if matches!(byte, b' ' | b'-')
            && separator.is_none_or(|known| known == byte)
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && groups.next()
        {
            separator = Some(byte);
            at += 1;
        } else {
            break;
        }
    }
    let digits = &digits[..count];
    let plausible = groups.are_card_groups(count) && is_network(digits) && !is_monotone(digits);
    if !plausible || !luhn(digits) || !stands_alone(bytes, start, end) {
        return None;
    }
    let confidence = if separator.is_some() { 0.99 } else { 0.95 };
    Some(Hit::new("payment_card", start..end, confidence))
}

/// Lengths of the groups in which a number is written.
#[derive(Default)]
struct Groups {
    lengths: [usize; 5],
    last: usize,
}

impl Groups {
    fn grow(&mut self) {
        self.lengths[self.last] += 1;
    }

    fn next(&mut self) -> bool {
        let more = self.last + 1 < self.lengths.len();
        if more {
            self.last += 1;
        }
        more
    }

    /// In one piece, or in the groups that are printed on cards.
    fn are_card_groups(&self, count: usize) -> bool {
        let groups = &self.lengths[..=self.last];
        match groups {
            [whole] => *whole == count,
            [4, 4, 4, last] => (1..=4).contains(last),
            [4, 4, 4, 4, last] => (1..=3).contains(last),
            [4, 6, last] => matches!(last, 4 | 5),
            _ => false,
        }
    }
}

/// The networks' number ranges and lengths.
fn is_network(digits: &[u8]) -> bool {
    let length = digits.len();
    if length < 13 {
        return false;
    }
    let prefix = |count: usize| {
        digits[..count]
            .iter()
            .fold(0_u32, |n, d| n * 10 + u32::from(*d))
    };
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match digits[0] {
        // Visa.
        4 => matches!(length, 13 | 16 | 19),
        // Mastercard, old range and new; some Maestro.
        5 => length == 16 && (51..=55).contains(&two) || maestro(four, length),
        2 => length == 16 && (2_221..=2_720).contains(&four),
        3 => match two {
            // American Express.
            34 | 37 => length == 15,
            // JCB.
            35 => (3_528..=3_589).contains(&four) && (16..=19).contains(&length),
            // Diners Club.
            _ => ((300..=305).contains(&three) || matches!(two, 36 | 38 | 39)) && length == 14,
        },
        // Discover, UnionPay, some Maestro.
        6 => {
            let discover = four == 6_011 || (644..=649).contains(&three) || two == 65;
            (discover || two == 62) && (16..=19).contains(&length) || maestro(four, length)
        }
        _ => false,
    }
}

fn maestro(four: u32, length: usize) -> bool {
    matches!(
        four,
        5_018 | 5_020 | 5_038 | 5_893 | 6_304 | 6_759 | 6_761..=6_763
    ) && (13..=19).contains(&length)
}

/// One digit only, as in placeholders.
fn is_monotone(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == digits[0])
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => u32::from(*digit),
            _ => u32::from(digit * 2 % 10 + digit / 5),
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Countries of the IBAN registry and the lengths of their numbers.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

fn iban(bytes: &[u8], start: usize) -> Option<Hit> {
    let head = bytes.get(start..start + 4)?;
    if !head[2].is_ascii_digit() || !head[3].is_ascii_digit() {
        return None;
    }
    let country = [head[0].to_ascii_uppercase(), head[1].to_ascii_uppercase()];
    let (_, length) = IBAN_LENGTHS.iter().find(|(code, _)| **code == country)?;
    let mut code = [0_u8; 34];
    let mut count = 0;
    let mut at = start;
    let mut end = start;
    while count < *length {
        match bytes.get(at) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                code[count] = byte.to_ascii_uppercase();
                count += 1;
                end = at + 1;
            }
            // Written in groups of four.
            Some(b' ' | b'-') if count.is_multiple_of(4) && end == at => {}
            _ => return None,
        }
        at += 1;
    }
    if !stands_alone(bytes, start, end) || mod_97(&code[..count]) != 1 {
        return None;
    }
    Some(Hit::new("iban", start..end, 0.99))
}

/// The remainder of ISO 13616: the first four characters moved to the end, letters as 10 to 35.
fn mod_97(code: &[u8]) -> u32 {
    let (head, tail) = code.split_at(4);
    tail.iter().chain(head).fold(0, |rest, byte| {
        if byte.is_ascii_digit() {
            (rest * 10 + u32::from(byte - b'0')) % 97
        } else {
            (rest * 100 + u32::from(byte - b'A') + 10) % 97
        }
    })
}

/// How far before a social security number its name may stand.
const NAME_WITHIN_BYTES: usize = 40;

fn social_security(bytes: &[u8], start: usize) -> Option<Hit> {
    let number = bytes.get(start..start + 11)?;
    let separator = number[3];
    let shaped = number.iter().enumerate().all(|(at, byte)| match at {
        3 | 6 => *byte == separator,
        _ => byte.is_ascii_digit(),
    });
    if !shaped || !matches!(separator, b'-' | b' ') || !stands_alone(bytes, start, start + 11) {
        return None;
    }
    let (area, group, serial) = (&number[..3], &number[4..6], &number[7..]);
    let never_given =
        area == b"000" || area == b"666" || area[0] == b'9' || group == b"00" || serial == b"0000";
    let before = &bytes[start.saturating_sub(NAME_WITHIN_BYTES)..start];
    if never_given || !names_social_security(before) {
        return None;
    }
    Some(Hit::new("us_ssn", start..start + 11, 0.9))
}

fn names_social_security(before: &[u8]) -> bool {
    let small = before.to_ascii_lowercase();
    [
        &b"ssn"[..],
        b"social security",
        b"social_security",
        b"socialsecurity",
    ]
    .iter()
    .any(|name| small.windows(name.len()).any(|window| window == *name))
}
