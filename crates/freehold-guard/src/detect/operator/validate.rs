//! Check digits that a recogniser can ask for.

use crate::settings::Validator;

/// Longest value that is checked: none of the schemes is used for longer ones.
const VALUE_BYTES_MAX: usize = 128;

/// Whether a match satisfies the validator. Separators do not count.
pub(super) fn passes(validator: Validator, value: &str) -> bool {
    if validator == Validator::None {
        return true;
    }
    let plain: Vec<u8> = value
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| byte.to_ascii_uppercase())
        .take(VALUE_BYTES_MAX + 1)
        .collect();
    if plain.is_empty() || plain.len() > VALUE_BYTES_MAX {
        return false;
    }
    match validator {
        Validator::None => true,
        Validator::Luhn => digits(&plain).is_some_and(|digits| luhn(&digits)),
        Validator::Verhoeff => digits(&plain).is_some_and(|digits| verhoeff(&digits)),
        Validator::Damm => digits(&plain).is_some_and(|digits| damm(&digits)),
        Validator::Mod97 => mod_97(plain.iter()) == 1,
        Validator::Iban => plain.len() > 4 && mod_97(plain[4..].iter().chain(&plain[..4])) == 1,
        Validator::Mod11 => mod_11(&plain),
        Validator::Mod11_10 => digits(&plain).is_some_and(|digits| mod_11_10(&digits)),
        Validator::Entropy => bits_per_byte(value.as_bytes()) >= 3.0,
    }
}

/// The values of the digits, when there is nothing else.
fn digits(plain: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: &u8| byte.is_ascii_digit().then(|| byte - b'0');
    plain.iter().map(value).collect()
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

/// Multiplication in the dihedral group of ten elements.
fn dihedral(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a - 5 + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// J. Verhoeff, Error Detecting Decimal Codes (1969).
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let check = digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |check, (place, digit)| {
            let turned = (0..place % 8).fold(*digit, |digit, _| PERMUTED[usize::from(digit)]);
            dihedral(check, turned)
        });
    check == 0
}

/// H. M. Damm, Total anti-symmetrische Quasigruppen (2004).
fn damm(digits: &[u8]) -> bool {
    const TABLE: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    let check = digits.iter().fold(0, |check, digit| {
        TABLE[usize::from(check)][usize::from(*digit)]
    });
    check == 0
}

fn mod_97<'a>(plain: impl Iterator<Item = &'a u8>) -> u32 {
    plain.fold(0, |rest, byte| {
        if byte.is_ascii_digit() {
            (rest * 10 + u32::from(byte - b'0')) % 97
        } else {
            (rest * 100 + u32::from(byte - b'A') + 10) % 97
        }
    })
}

fn mod_11(plain: &[u8]) -> bool {
    let mut sum = 0;
    for (place, byte) in plain.iter().enumerate() {
        let weight = plain.len() - place;
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'X' if weight == 1 => 10,
            _ => return false,
        };
        sum += weight * usize::from(value);
    }
    plain.len() > 1 && sum % 11 == 0
}

fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let product = body.iter().fold(10, |product, digit| {
        let sum = match (product + u32::from(*digit)) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    (product + u32::from(*check)) % 10 == 1
}

/// Shannon entropy of the bytes, in bits per byte.
fn bits_per_byte(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        for (validator, good, bad) in [
            (
                Validator::Luhn,
                "4111 1111 1111 1111",
                "4111 1111 1111 1112",
            ),
            (Validator::Luhn, "79927398713", "79927398710"),
            (Validator::Verhoeff, "2363", "2364"),
            (Validator::Verhoeff, "2341 2341 2346", "2341 2341 2347"),
            (Validator::Damm, "5724", "5727"),
            (
                Validator::Mod97,
                "3214282912345698765432161182",
                "3214282912345698765432161183",
            ),
            (
                Validator::Iban,
                "GB82 WEST 1234 5698 7654 32",
                "GB82 WEST 1234 5698 7654 33",
            ),
            (Validator::Mod11, "0-8044-2957-X", "0-8044-2957-0"),
            (Validator::Mod11, "943 476 5919", "943 476 5918"),
            (Validator::Mod11_10, "86095742719", "86095742718"),
            (Validator::Entropy, "q7Zc0wYb3Vn8Xs5K", "aaaaaaaaaaaaaaab"),
        ] {
            assert!(passes(validator, good), "{validator:?} {good}");
            assert!(!passes(validator, bad), "{validator:?} {bad}");
            assert!(validator == Validator::Entropy || !passes(validator, "-"));
        }
        assert!(passes(Validator::None, ""));
    }

    #[test]
    fn one_changed_digit_is_seen() {
        let digit = |place: usize, by: u8| {
            let mut value = *b"234123412346";
            value[place] = b'0' + (value[place] - b'0' + by) % 10;
            String::from_utf8(value.to_vec()).unwrap()
        };
        for place in 0..12 {
            for by in 1..10 {
                assert!(!passes(Validator::Verhoeff, &digit(place, by)));
            }
        }
    }
}
