//! VAT numbers of the European Union, Great Britain and Switzerland: the country's letters, then the
//! number. Sources: European Commission, "VIES: VAT identification number structure and check";
//! HMRC for GB.

use super::checksum::{luhn, mod_11_10, mod_97, value, weighted};
use super::number::stands_alone;

/// A country's number behind its two letters.
struct Vat {
    country: &'static [u8; 2],
    /// Least and most characters behind the letters.
    length: (usize, usize),
    /// `None` where no public checksum holds for all numbers.
    valid: Option<fn(&[u8]) -> bool>,
}

const fn vat(country: &'static [u8; 2], min: usize, max: usize) -> Vat {
    Vat {
        country,
        length: (min, max),
        valid: None,
    }
}

impl Vat {
    const fn checked(mut self, valid: fn(&[u8]) -> bool) -> Self {
        self.valid = Some(valid);
        self
    }
}

const COUNTRIES: &[Vat] = &[
    vat(b"AT", 9, 9).checked(austria),
    vat(b"BE", 10, 10).checked(|code| {
        digits(code).is_some_and(|digits| value(&digits[8..10]) == 97 - value(&digits[..8]) % 97)
    }),
    vat(b"BG", 9, 10),
    vat(b"CY", 9, 9),
    vat(b"CZ", 8, 10),
    vat(b"DE", 9, 9).checked(|code| {
        code[0] != b'0' && digits(code).is_some_and(|digits| mod_11_10(&digits[..9]))
    }),
    vat(b"DK", 8, 8).checked(|code| divides(code, &[2, 7, 6, 5, 4, 3, 2, 1], 11)),
    vat(b"EE", 9, 9).checked(|code| divides(code, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10)),
    vat(b"EL", 9, 9).checked(greece),
    vat(b"ES", 9, 9),
    vat(b"FI", 8, 8).checked(|code| divides(code, &[7, 9, 10, 5, 8, 4, 2, 1], 11)),
    vat(b"FR", 11, 11).checked(france),
    vat(b"GB", 9, 9).checked(britain),
    vat(b"GB", 12, 12),
    vat(b"XI", 9, 9).checked(britain),
    vat(b"HR", 11, 11).checked(|code| digits(code).is_some_and(|digits| mod_11_10(&digits[..11]))),
    vat(b"HU", 8, 8).checked(|code| divides(code, &[9, 7, 3, 1, 9, 7, 3, 1], 10)),
    vat(b"IE", 8, 9),
    vat(b"IT", 11, 11).checked(|code| digits(code).is_some_and(|digits| luhn(&digits[..11]))),
    vat(b"LT", 9, 12),
    vat(b"LU", 8, 8).checked(|code| {
        digits(code).is_some_and(|digits| value(&digits[..6]) % 89 == value(&digits[6..8]))
    }),
    vat(b"LV", 11, 11),
    vat(b"MT", 8, 8),
    vat(b"NL", 12, 12).checked(netherlands),
    vat(b"PL", 10, 10).checked(|code| {
        digits(code).is_some_and(|digits| {
            weighted(&digits, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u32::from(digits[9])
        })
    }),
    vat(b"PT", 9, 9).checked(|code| {
        digits(code).is_some_and(|digits| {
            let rest = weighted(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
            u32::from(digits[8]) == if rest < 2 { 0 } else { 11 - rest }
        })
    }),
    vat(b"RO", 2, 10),
    vat(b"SE", 12, 12).checked(|code| {
        code[10..] == *b"01" && digits(code).is_some_and(|digits| luhn(&digits[..10]))
    }),
    vat(b"SI", 8, 8),
    vat(b"SK", 10, 10)
        .checked(|code| digits(code).is_some_and(|digits| value(&digits[..10]).is_multiple_of(11))),
];

/// Most characters behind the letters.
const VAT_MAX: usize = 12;

/// The values of a code of digits only.
fn digits(code: &[u8]) -> Option<[u8; VAT_MAX]> {
    let mut digits = [0; VAT_MAX];
    for (digit, byte) in digits.iter_mut().zip(code) {
        *digit = byte.is_ascii_digit().then(|| byte - b'0')?;
    }
    Some(digits)
}

fn divides(code: &[u8], weights: &[u32], by: u32) -> bool {
    digits(code).is_some_and(|digits| weighted(&digits, weights).is_multiple_of(by))
}

fn austria(code: &[u8]) -> bool {
    let Some(digits) = (code[0] == b'U').then(|| digits(&code[1..])).flatten() else {
        return false;
    };
    let sum: u32 = digits[..7]
        .iter()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => u32::from(*digit),
            _ => u32::from(digit * 2 / 10 + digit * 2 % 10),
        })
        .sum();
    (96 - sum) % 10 == u32::from(digits[7])
}

fn greece(code: &[u8]) -> bool {
    digits(code).is_some_and(|digits| {
        let sum = weighted(&digits, &[256, 128, 64, 32, 16, 8, 4, 2]);
        sum > 0 && sum % 11 % 10 == u32::from(digits[8])
    })
}

/// Two key digits over the SIREN, which has Luhn's. Keys with letters have no public rule.
fn france(code: &[u8]) -> bool {
    digits(code).is_some_and(|digits| {
        let siren = value(&digits[2..11]);
        siren > 0 && luhn(&digits[2..11]) && value(&digits[..2]) == (12 + 3 * (siren % 97)) % 97
    })
}

fn britain(code: &[u8]) -> bool {
    digits(code).is_some_and(|digits| {
        let sum = weighted(&digits, &[8, 7, 6, 5, 4, 3, 2]);
        let check = u32::from(digits[7]) * 10 + u32::from(digits[8]);
        let sum = sum + check;
        sum > 0 && (sum.is_multiple_of(97) || (sum + 55).is_multiple_of(97))
    })
}

/// The BSN of the holder with modulus 11, or since 2020 modulus 97 over the whole.
fn netherlands(code: &[u8]) -> bool {
    let shaped = code[9] == b'B' && code[..9].iter().chain(&code[10..]).all(u8::is_ascii_digit);
    let old = || {
        let sum = digits(&code[..9]).map(|digits| weighted(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]));
        sum.is_some_and(|sum| sum > 0 && sum % 11 == u32::from(code[8] - b'0'))
    };
    let whole = b"NL".iter().chain(code).copied();
    shaped && (old() || mod_97(whole) == 1)
}

/// A number found: its end, and whether a checksum holds.
pub(super) struct Found {
    pub(super) end: usize,
    pub(super) checked: bool,
}

/// A VAT number that begins at a place, written in one piece or with single separators.
pub(super) fn vat_number(bytes: &[u8], start: usize) -> Option<Found> {
    rows(bytes, start).find_map(|(row, code, count, end)| match row.valid {
        Some(valid) if !valid(&code[..count]) => None,
        valid => Some(Found {
            end,
            checked: valid.is_some(),
        }),
    })
}

/// The end of what is written like a VAT number, whatever its check digits.
pub(super) fn shaped(bytes: &[u8], start: usize) -> Option<usize> {
    rows(bytes, start).map(|(_, _, _, end)| end).next()
}

/// The countries whose numbers could begin at a place, what stands there and where it ends.
fn rows(
    bytes: &[u8],
    start: usize,
) -> impl Iterator<Item = (&'static Vat, [u8; VAT_MAX], usize, usize)> + '_ {
    let country = bytes.get(start..start + 2).unwrap_or_default();
    let rows = COUNTRIES.iter().filter(move |row| row.country == country);
    rows.filter_map(move |row| {
        let (code, count, end) = read(bytes, start + 2, row.length.1);
        let numeric = code[..count].iter().filter(|byte| byte.is_ascii_digit());
        let is_some = count >= row.length.0
            && numeric.count() + 3 >= count
            && stands_alone(bytes, start, end);
        is_some.then_some((row, code, count, end))
    })
}

/// Capitals and digits from a place on, at most so many, over single separators: the code, how long it
/// is and where it ends.
fn read(bytes: &[u8], from: usize, most: usize) -> ([u8; VAT_MAX], usize, usize) {
    let mut code = [0; VAT_MAX];
    let (mut count, mut at, mut end) = (0, from, from);
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            if count == most {
                break;
            }
            code[count] = *byte;
            count += 1;
            end = at + 1;
        } else if !matches!(byte, b' ' | b'.' | b'-') || at != end || count == most {
            break;
        }
        at += 1;
    }
    (code, count, end)
}
