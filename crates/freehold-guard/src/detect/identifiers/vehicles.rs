//! Vehicles and devices.

use super::checksum::luhn;
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[number("imei", 15, &[Topic::Imei], imei).printed(&["2-6-6-1"])],
    codes: &[
        code("vin", "XXXXXXXXXXXXXXXXX", &[Topic::Vin], is_vin_shaped),
        code("vin", "XXXXXXXXXXXXXXXXX", &[], vin).alone(),
    ],
};

/// IMEI: Luhn (3GPP TS 23.003, annex B).
fn imei(digits: &[u8]) -> bool {
    luhn(digits) && digits[..2] != [0, 0]
}

/// No I, O, Q; digits at the end (ISO 3779).
fn is_vin_shaped(code: &[u8]) -> bool {
    let digits = code.iter().filter(|byte| byte.is_ascii_digit()).count();
    (3..=15).contains(&digits)
        && !code.iter().any(|byte| b"IOQ".contains(byte))
        && code[13..].iter().all(u8::is_ascii_digit)
}

/// The check digit of North America: weights 8 to 2, 10, 0, 9 to 2 modulo 11 (49 CFR 565.15).
fn vin(code: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'H' => u32::from(byte - b'A') + 1,
        b'J'..=b'R' => u32::from(byte - b'J') + 1,
        _ => u32::from(byte - b'S') + 2,
    };
    if !is_vin_shaped(code) {
        return false;
    }
    let sum: u32 = code
        .iter()
        .zip(WEIGHTS)
        .map(|(byte, weight)| value(*byte) * weight)
        .sum();
    let check = match sum % 11 {
        10 => b'X',
        rest => b"0123456789"[usize::try_from(rest).unwrap_or_default()],
    };
    // Hashes in hexadecimal have no letters behind F.
    let beyond_hex = code.iter().any(|byte| (b'G'..=b'Z').contains(byte));
    beyond_hex && check == code[8]
}
