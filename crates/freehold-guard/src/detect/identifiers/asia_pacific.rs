//! India, Singapore, Korea, Japan, Australia, South Africa.

use super::checksum::{is_day, is_monotone, luhn, value, verhoeff, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("in_aadhaar", 12, &[Topic::InAadhaar], aadhaar).printed(&["4 4 4", "4-4-4"]),
        number("kr_rrn", 13, &[Topic::KrRrn], rrn).printed(&["6-7"]),
        number("jp_my_number", 12, &[Topic::JpMyNumber], my_number),
        number("au_tfn", 9, &[Topic::AuTfn], tfn),
        number("au_tfn", 8, &[Topic::AuTfn], tfn_of_eight),
        number("au_abn", 11, &[Topic::AuAbn], abn).printed(&["2 3 3 3"]),
        number("au_medicare", 10, &[Topic::AuMedicare], medicare).printed(&["4 5 1"]),
        number("au_medicare", 11, &[Topic::AuMedicare], medicare)
            .printed(&["4 5 1 1", "4 5 1/1", "4 5 1-1"]),
        number("za_id", 13, &[Topic::ZaId], south_african).alone(),
    ],
    codes: &[
        code("in_pan", "AAAAA9999A", &[Topic::InPan], pan).alone(),
        code(
            "in_gstin",
            "99AAAAA9999AXAX",
            &[Topic::InGst, Topic::Vat],
            gstin,
        )
        .alone(),
        code("in_voter_id", "AAA9999999", &[Topic::Voter], |_| true),
        code("sg_nric", "A9999999A", &[Topic::SgNric], nric).alone(),
    ],
};

/// Aadhaar: twelve digits, the first from 2 on, Verhoeff's check digit (UIDAI, "Aadhaar Numbering
/// Scheme").
fn aadhaar(digits: &[u8]) -> bool {
    let palindrome = digits.iter().eq(digits.iter().rev());
    digits[0] >= 2 && !palindrome && verhoeff(digits)
}

/// Permanent account number: the fourth letter names the kind of holder (Income Tax Department,
/// "Structure of PAN"). There is no public checksum.
fn pan(code: &[u8]) -> bool {
    b"PCHABGJLFT".contains(&code[3]) && code[5..9] != *b"0000"
}

/// GSTIN: state, PAN, entity, Z, check character of base 36 with factors 1 and 2 (GSTN, "Structure
/// of GSTIN").
fn gstin(code: &[u8]) -> bool {
    let number = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    };
    let sum: u32 = code[..14]
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let product = number(*byte) * if place % 2 == 0 { 1 } else { 2 };
            product / 36 + product % 36
        })
        .sum();
    let state = (code[0] - b'0') * 10 + code[1] - b'0';
    matches!(state, 1..=38 | 97 | 99) && (36 - sum % 36) % 36 == number(code[14])
}

/// NRIC and FIN: weights 2, 7, 6, 5, 4, 3, 2 and a letter by series (checksum as used by the
/// Immigration & Checkpoints Authority; series M since 2022).
fn nric(code: &[u8]) -> bool {
    let mut digits = [0; 7];
    for (digit, byte) in digits.iter_mut().zip(&code[1..8]) {
        *digit = byte - b'0';
    }
    let sum = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]);
    let rest = |offset: u32| usize::try_from((sum + offset) % 11).unwrap_or_default();
    let expected = match code[0] {
        b'S' => b"JZIHGFEDCBA"[rest(0)],
        b'T' => b"JZIHGFEDCBA"[rest(4)],
        b'F' => b"XWUTRQPNMLK"[rest(0)],
        b'G' => b"XWUTRQPNMLK"[rest(4)],
        b'M' => b"XWUTRQPNJLK"[10 - rest(3)],
        _ => return false,
    };
    expected == code[8]
}

/// Resident registration number: date of birth, century and sex, check digit by weights 2 to 9, 2 to
/// 5 (Resident Registration Act, enforcement rules). Numbers given since October 2020 hold no check
/// digit any more; they are recognised by their date next to the number's name only.
fn rrn(digits: &[u8]) -> bool {
    let day = is_day(value(&digits[2..4]), value(&digits[4..6]));
    let sum = weighted(digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let check = (11 - sum % 11) % 10;
    let given_since_2020 = value(&digits[..2]) >= 20 && matches!(digits[6], 3 | 4 | 7 | 8);
    day && (check == u32::from(digits[12]) || given_since_2020)
}

/// My Number: check digit by weights 6 to 2, 7 to 2 modulo 11 (Ministerial ordinance 85 of 2014).
fn my_number(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    let check = if rest <= 1 { 0 } else { 11 - rest };
    !is_monotone(digits) && check == u32::from(digits[11])
}

/// Tax file number: weights 1, 4, 3, 7, 5, 8, 6, 9, 10 modulo 11 (Australian Taxation Office).
fn tfn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]);
    sum > 0 && !is_monotone(digits) && sum.is_multiple_of(11)
}

/// The older tax file numbers: weights 10, 7, 8, 4, 6, 3, 5, 1.
fn tfn_of_eight(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[10, 7, 8, 4, 6, 3, 5, 1]);
    sum > 0 && !is_monotone(digits) && sum.is_multiple_of(11)
}

/// Business number: one less in the first digit, weights modulo 89 (Australian Business Register,
/// "Format of the ABN").
fn abn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    digits[0] >= 1 && (sum - 10).is_multiple_of(89)
}

/// Medicare card: first digit 2 to 6, check digit by weights 1, 3, 7, 9 (Services Australia).
fn medicare(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9]);
    (2..=6).contains(&digits[0]) && digits[9] != 0 && sum % 10 == u32::from(digits[8])
}

/// Identity number: date of birth, sequence, citizenship 0 to 2, Luhn (Department of Home Affairs;
/// Identification Act 68 of 1997).
fn south_african(digits: &[u8]) -> bool {
    is_day(value(&digits[2..4]), value(&digits[4..6]))
        && digits[10] <= 2
        && matches!(digits[11], 8 | 9)
        && luhn(digits)
}
