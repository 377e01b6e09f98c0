//! United Kingdom and Ireland.

use super::checksum::{is_monotone, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("uk_nhs", 10, &[Topic::UkNhs], nhs),
        number("uk_utr", 10, &[Topic::UkUtr], utr),
    ],
    codes: &[
        code("uk_nino", "AA999999A", &[Topic::UkNino], nino)
            .alone()
            .spaced(),
        code("ie_pps", "9999999A", &[Topic::IePps], pps),
        code("ie_pps", "9999999AA", &[Topic::IePps], pps),
    ],
};

/// NHS number: weights 10 to 2 modulo 11, no remainder of 10 (NHS Data Dictionary, "NHS NUMBER").
fn nhs(digits: &[u8]) -> bool {
    let check = (11 - weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    !is_monotone(digits) && check == u32::from(digits[9])
}

/// Unique taxpayer reference: the first digit checks the others, weights 6, 7, 8, 9, 10, 5, 4, 3, 2
/// (HMRC, "Modulus checking of UTRs").
fn utr(digits: &[u8]) -> bool {
    let rest = weighted(&digits[1..], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    let check = b"21987654321"[usize::try_from(rest).unwrap_or_default()] - b'0';
    check == digits[0] && !is_monotone(digits)
}

/// National insurance number: prefixes that are given out, suffix A to D (HMRC, NIM39110).
fn nino(code: &[u8]) -> bool {
    let (first, second) = (code[0], code[1]);
    let banned = [b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"];
    !b"DFIQUV".contains(&first)
        && !b"DFIQUVO".contains(&second)
        && !banned.iter().any(|pair| **pair == [first, second])
        && matches!(code[8], b'A'..=b'D')
}

/// PPS number: weights 8 to 2, a second letter with weight 9, check letter modulo 23 (Department of
/// Social Protection, "PPS number").
fn pps(code: &[u8]) -> bool {
    let mut sum: u32 = code[..7]
        .iter()
        .zip((2..=8).rev())
        .map(|(byte, weight): (_, u32)| u32::from(byte - b'0') * weight)
        .sum();
    if let Some(second) = code.get(8) {
        if !matches!(second, b'A'..=b'I' | b'W' | b'T' | b'X') {
            return false;
        }
        if second.is_ascii_uppercase() && *second != b'W' {
            sum += u32::from(second - b'A' + 1) * 9;
        }
    }
    let expected = b"WABCDEFGHIJKLMNOPQRSTUV"[usize::try_from(sum % 23).unwrap_or_default()];
    expected == code[7]
}
