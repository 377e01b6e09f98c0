//! Bank accounts and banks: IBAN, BIC.

use super::checksum::mod_97;
use super::number::stands_alone;
use crate::detect::Hit;

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
    (b"HN", 28),
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

/// An IBAN (ISO 13616) that begins at a place.
pub(super) fn iban(bytes: &[u8], start: usize) -> Option<Hit> {
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
    let mut separators = 0;
    while count < *length {
        match bytes.get(at) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                code[count] = byte.to_ascii_uppercase();
                count += 1;
                end = at + 1;
            }
            // Written in groups.
            Some(b' ' | b'-') if end == at => separators += 1,
            _ => return None,
        }
        at += 1;
    }
    // Groups of four; others happen, but not one or two characters each.
    if separators > count / 3 || !stands_alone(bytes, start, end) || !checks(&code[..count]) {
        return None;
    }
    Some(Hit::new("iban", start..end, 0.99))
}

/// The end of what is written like an IBAN, whatever its check digits and its length say: two letters,
/// two digits, then groups of letters and digits.
pub(super) fn shaped(bytes: &[u8], start: usize) -> Option<usize> {
    let head = bytes.get(start..start + 4)?;
    let (country, check) = head.split_at(2);
    if !country.iter().all(u8::is_ascii_alphabetic) || !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let known = IBAN_LENGTHS
        .iter()
        .find(|(code, _)| code.eq_ignore_ascii_case(country));
    let (mut at, mut end, mut count) = (start, start, 0);
    while count <= IBAN_MAX {
        let word = bytes[at..]
            .iter()
            .take(IBAN_MAX + 1)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        let group = &bytes[at..at + word];
        // Words of the text end it: `GB29 NWBK 6016 1331 9268 19 is mine`.
        let is_bank = word == 4 && group.iter().all(u8::is_ascii_uppercase);
        if !is_bank && !group.iter().any(u8::is_ascii_digit) {
            break;
        }
        count += word;
        at += word;
        end = at;
        let is_whole = known.is_some_and(|(_, length)| *length == count);
        if is_whole || !matches!(bytes.get(at), Some(b' ' | b'-')) {
            break;
        }
        at += 1;
    }
    (IBAN_MIN..=IBAN_MAX).contains(&count).then_some(end)
}

/// Letters and digits of the shortest and the longest IBAN.
const IBAN_MIN: usize = 15;
const IBAN_MAX: usize = 34;

/// ISO 7064 MOD 97-10 over the code with its first four characters moved to the end.
fn checks(code: &[u8]) -> bool {
    let (head, tail) = code.split_at(4);
    mod_97(tail.iter().chain(head).copied()) == 1
}

/// A bank's code (ISO 9362) that begins at a place: four letters, a country, a place, a branch.
/// It has no checksum and counts only next to its name.
pub(super) fn bic(bytes: &[u8], start: usize) -> Option<usize> {
    let code = &bytes[start..bytes.len().min(start + 11)];
    let word = code
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let length = match word {
        8 | 11 => word,
        _ => return None,
    };
    let ends = !bytes
        .get(start + length)
        .is_some_and(u8::is_ascii_alphanumeric);
    let letters = code[..6].iter().all(u8::is_ascii_uppercase);
    let rest = code[6..length]
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let country = [code[4], code[5]];
    let known = IBAN_LENGTHS.iter().any(|(code, _)| **code == country)
        || b"USCAJPCNAUNZINSGHKKRZAMXTWTHPHIDMYVNARCLCOPEKENG"
            .chunks_exact(2)
            .any(|code| code == country);
    (ends && letters && rest && known).then_some(start + length)
}
