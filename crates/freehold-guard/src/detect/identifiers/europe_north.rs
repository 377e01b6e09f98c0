//! Sweden, Finland, Denmark, Norway, Estonia, Latvia, Lithuania.

use super::checksum::{is_day, luhn, value, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("se_personnummer", 10, &[Topic::SePn], personnummer).printed(&["6-4"]),
        number(
            "se_personnummer",
            12,
            &[Topic::SePn],
            personnummer_with_century,
        )
        .printed(&["8-4"]),
        number("dk_cpr", 10, &[Topic::DkCpr], cpr).printed(&[]),
        number("dk_cpr", 10, &[], cpr_with_check).printed(&["6-4"]),
        number("no_fnr", 11, &[Topic::NoFnr], fnr)
            .printed(&["6 5"])
            .alone(),
        number("ee_lt_personal_code", 11, &[Topic::Baltic], isikukood),
        number("lv_personal_code", 11, &[Topic::Baltic], personas_kods),
        number("lv_personal_code", 11, &[], personas_kods_with_check).printed(&["6-5"]),
    ],
    codes: &[code(
        "fi_hetu",
        "999999999X",
        &[Topic::FiHetu],
        hetu_of_1900,
    )],
};

/// Day and month, the day 60 higher in coordination numbers.
fn is_swedish_day(month: u64, day: u64) -> bool {
    is_day(month, day) || day > 60 && is_day(month, day - 60)
}

/// Personnummer: date and Luhn (Skatteverket, SKV 704).
fn personnummer(digits: &[u8]) -> bool {
    is_swedish_day(value(&digits[2..4]), value(&digits[4..6])) && luhn(digits)
}

fn personnummer_with_century(digits: &[u8]) -> bool {
    matches!(value(&digits[..2]), 18..=20) && personnummer(&digits[2..])
}

/// CPR number: a date and four digits; no checksum since 2007 (CPR-kontoret).
fn cpr(digits: &[u8]) -> bool {
    is_day(value(&digits[2..4]), value(&digits[..2]))
}

/// The check of older numbers: weights 4, 3, 2, 7, 6, 5, 4, 3, 2, 1 modulo 11.
fn cpr_with_check(digits: &[u8]) -> bool {
    cpr(digits) && weighted(digits, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// Fødselsnummer: date (day 40 higher in D numbers) and two check digits modulo 11 (Skatteetaten).
fn fnr(digits: &[u8]) -> bool {
    let (day, month) = (value(&digits[..2]), value(&digits[2..4]));
    let date = is_day(month, day) || day > 40 && is_day(month, day - 40);
    date && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// Personal code of Estonia and Lithuania: century and sex, date, two rounds of weights modulo 11
/// (EVS 585:2007; Lithuanian Law on the Population Register).
fn isikukood(digits: &[u8]) -> bool {
    let first = weighted(digits, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let check = match first {
        10 => weighted(digits, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        _ => first,
    };
    (1..=8).contains(&digits[0])
        && is_day(value(&digits[3..5]), value(&digits[5..7]))
        && check == u32::from(digits[10])
}

/// Personal code of Latvia: a date, or 32 to 39 in codes given since July 2017, which hold no date
/// (OCMA).
fn personas_kods(digits: &[u8]) -> bool {
    let recent = digits[0] == 3 && digits[1] >= 2;
    recent || personas_kods_with_check(digits)
}

/// The check of codes with a date: 1 more than 10 times weights 1, 6, 3, 7, 9, 10, 5, 8, 4, 2.
fn personas_kods_with_check(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let check = (1_101 - sum) % 11;
    is_day(value(&digits[2..4]), value(&digits[..2]))
        && digits[6] <= 2
        && check == u32::from(digits[10])
}

/// Check characters of the Finnish code (Digital and Population Data Services Agency).
const HETU: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// Henkilötunnus without its sign, as some forms write the one of those born in the 20th century.
fn hetu_of_1900(code: &[u8]) -> bool {
    let mut digits = [0; 9];
    for (digit, byte) in digits.iter_mut().zip(code) {
        *digit = byte.wrapping_sub(b'0');
    }
    let rest = usize::try_from(value(&digits) % 31).unwrap_or_default();
    digits.iter().all(|digit| *digit <= 9)
        && is_day(value(&digits[2..4]), value(&digits[..2]))
        && HETU[rest] == code[9]
}

/// Henkilötunnus `ddmmyySnnnC`: its end when one begins at a place. The sign S tells the century;
/// more signs are given out since 2023.
pub(super) fn hetu(bytes: &[u8], start: usize) -> Option<usize> {
    let code = bytes.get(start..start + 11)?;
    let sign = code[6].to_ascii_uppercase();
    if !matches!(sign, b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y') {
        return None;
    }
    let mut plain = [0; 10];
    plain[..6].copy_from_slice(&code[..6]);
    plain[6..9].copy_from_slice(&code[7..10]);
    plain[9] = code[10].to_ascii_uppercase();
    let digits = plain[..9].iter().all(u8::is_ascii_digit);
    let ends = !bytes.get(start + 11).is_some_and(u8::is_ascii_alphanumeric);
    (digits && ends && hetu_of_1900(&plain)).then_some(start + 11)
}
