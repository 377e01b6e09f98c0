//! Arithmetic of check digits. Digits are values from 0 to 9, not characters.

/// The Luhn sum of ISO/IEC 7812-1, annex B.
pub(crate) fn luhn(digits: &[u8]) -> bool {
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

/// The sum of digits times weights, over the shorter of both.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    let pairs = digits.iter().zip(weights);
    pairs
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum()
}

/// The digits as one number; the largest there is when they are too many.
pub(crate) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0_u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(*digit))
    })
}

/// Verhoeff's code over the dihedral group D5 (J. Verhoeff, Error Detecting Decimal Codes, 1969).
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a - 5 + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let sum = digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |sum, (place, digit)| {
            let times = place % 8;
            let permuted = (0..times).fold(*digit, |digit, _| PERMUTATION[usize::from(digit)]);
            product(sum, permuted)
        });
    sum == 0
}

/// ISO/IEC 7064, MOD 11,10.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let rest = body.iter().fold(10, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        let sum = if sum == 0 { 10 } else { sum };
        sum * 2 % 11
    });
    (11 - rest) % 10 == u32::from(*check)
}

/// The remainder by 97 of a text of digits and capitals, letters as 10 to 35.
pub(crate) fn mod_97(code: impl Iterator<Item = u8>) -> u32 {
    code.fold(0, |rest, byte| {
        if byte.is_ascii_digit() {
            (rest * 10 + u32::from(byte - b'0')) % 97
        } else {
            (rest * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97
        }
    })
}

/// True when the digits are all the same, as in placeholders.
pub(crate) fn is_monotone(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == digits[0])
}

/// True when month and day exist.
pub(crate) fn is_day(month: u64, day: u64) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}
