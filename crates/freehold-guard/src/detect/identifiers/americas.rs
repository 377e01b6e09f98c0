//! United States, Canada, Brazil.

use super::checksum::{is_monotone, luhn, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("us_ssn", 9, &[Topic::UsSsn], ssn)
            .printed(&["3-2-4"])
            .unchecked(),
        number("us_ssn", 9, &[Topic::UsSsn], called_ssn)
            .printed(&["3-2-4"])
            .doubtful(),
        number("us_itin", 9, &[Topic::UsItin, Topic::UsSsn], itin)
            .printed(&["3-2-4"])
            .unchecked(),
        number("us_ein", 9, &[Topic::UsEin], ein),
        number("us_bank_routing", 9, &[Topic::Routing], aba),
        number("us_npi", 10, &[Topic::UsNpi], npi),
        number("ca_sin", 9, &[Topic::CaSin], sin),
        number("br_cpf", 11, &[Topic::BrCpf], cpf).printed(&["3.3.3-2"]),
        number("br_cnpj", 14, &[Topic::BrCnpj], cnpj).printed(&["2.3.3/4-2"]),
    ],
    codes: &[
        code("us_mbi", "9AX9AX9AA99", &[Topic::UsMbi, Topic::Health], mbi).alone(),
        code("br_cnpj", "XXXXXXXXXXXX99", &[Topic::BrCnpj], cnpj_code),
    ],
};

/// Numbers printed in advertisements or always given as examples; nobody's.
const NOBODYS_SSN: [[u8; 9]; 2] = [[0, 7, 8, 0, 5, 1, 1, 2, 0], [2, 1, 9, 0, 9, 9, 9, 9, 9]];

/// Social security number: area not 000, 666 or 9xx, no group or serial of zeros (SSA, POMS RM
/// 10201.035). There is no checksum.
fn ssn(digits: &[u8]) -> bool {
    !is_never_given(&digits[..3]) && has_group_and_serial(digits)
}

/// What is called or written like a social security number and could be one but for its area, which is not given
/// out: mistyped, made up, or another authority's.
fn called_ssn(digits: &[u8]) -> bool {
    is_never_given(&digits[..3]) && has_group_and_serial(digits) && !itin(digits)
}

fn is_never_given(area: &[u8]) -> bool {
    area == [0, 0, 0] || area == [6, 6, 6] || area[0] == 9
}

fn has_group_and_serial(digits: &[u8]) -> bool {
    let blank = digits[3..5] == [0, 0] || digits[5..] == [0, 0, 0, 0];
    !blank && !NOBODYS_SSN.iter().any(|known| known == digits)
}

/// Individual taxpayer number: 9xx, group 50-65, 70-88, 90-92, 94-99 (IRS, Publication 1915).
fn itin(digits: &[u8]) -> bool {
    let group = digits[3] * 10 + digits[4];
    digits[0] == 9 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Employer number: two digits of the campus that assigned it (IRS, "How EINs are assigned").
fn ein(digits: &[u8]) -> bool {
    let campus = digits[0] * 10 + digits[1];
    let never_given = matches!(
        campus,
        0 | 7 | 8 | 9 | 17 | 18 | 19 | 28 | 29 | 49 | 69 | 70 | 78 | 79 | 89 | 96 | 97
    );
    !never_given && !is_monotone(digits)
}

/// ABA routing number: weights 3, 7, 1 and the Federal Reserve's ranges (ABA, Key to Routing
/// Numbers).
fn aba(digits: &[u8]) -> bool {
    let range = digits[0] * 10 + digits[1];
    let sum = weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]);
    matches!(range, 0..=12 | 21..=32 | 61..=72 | 80) && sum > 0 && sum.is_multiple_of(10)
}

/// National provider identifier: Luhn over 80840 and the number (45 CFR 162.406).
fn npi(digits: &[u8]) -> bool {
    let mut whole = [8, 0, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    whole[5..].copy_from_slice(digits);
    matches!(digits[0], 1 | 2) && luhn(&whole)
}

/// Medicare beneficiary identifier: no S, L, O, I, B, Z and a fixed shape (CMS, "Understanding the
/// MBI").
fn mbi(code: &[u8]) -> bool {
    let letters = |byte: &u8| !b"SLOIBZ".contains(byte);
    code[0] != b'0' && code.iter().all(letters)
}

/// Social insurance number: Luhn; 0 and 8 are not given to persons (Service Canada, SIN Code of
/// Practice).
fn sin(digits: &[u8]) -> bool {
    !matches!(digits[0], 0 | 8) && !is_monotone(digits) && luhn(digits)
}

/// CPF: two check digits by modulus 11 (Receita Federal, Instrução Normativa 1548).
fn cpf(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let weights = (2..=11).rev().skip(10 - count);
        let sum: u32 = digits[..count]
            .iter()
            .zip(weights)
            .map(|(digit, weight): (_, u32)| u32::from(*digit) * weight)
            .sum();
        sum * 10 % 11 % 10 == u32::from(digits[count])
    };
    !is_monotone(digits) && check(9) && check(10)
}

/// CNPJ of digits.
fn cnpj(digits: &[u8]) -> bool {
    !is_monotone(digits) && cnpj_values(digits)
}

/// CNPJ with letters, as given since July 2026: a character counts its ASCII code less 48 (Receita
/// Federal, Instrução Normativa 2229).
fn cnpj_code(code: &[u8]) -> bool {
    let mut values = [0; 14];
    for (value, byte) in values.iter_mut().zip(code) {
        *value = byte - b'0';
    }
    code.iter().any(u8::is_ascii_uppercase) && cnpj_values(&values)
}

fn cnpj_values(values: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let check = |count: usize| {
        let rest = weighted(&values[..count], &WEIGHTS[13 - count..]) % 11;
        let expected = if rest < 2 { 0 } else { 11 - rest };
        expected == u32::from(values[count])
    };
    check(12) && check(13)
}
