//! Spain, Portugal, Italy, Greece, Cyprus, Malta.

use super::checksum::{is_day, is_monotone, luhn, value, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("pt_nif", 9, &[Topic::PtNif], pt_nif),
        number(
            "it_partita_iva",
            11,
            &[Topic::ItPiva, Topic::Vat],
            partita_iva,
        ),
        number("gr_amka", 11, &[Topic::GrAmka], amka),
        number("gr_afm", 9, &[Topic::GrAfm], afm),
    ],
    codes: &[
        code("es_dni", "99999999A", &[Topic::EsDni], dni).alone(),
        code("es_nie", "A9999999A", &[Topic::EsDni], nie).alone(),
        code("es_cif", "A9999999X", &[Topic::EsDni, Topic::Vat], cif),
        code(
            "it_codice_fiscale",
            "AAAAAAXXAXXAXXXA",
            &[Topic::ItCf],
            codice_fiscale,
        )
        .alone()
        .spaced(),
        code("cy_tin", "99999999A", &[Topic::CyTin], cyprus),
        code("mt_id_card", "9999999A", &[Topic::MtId], |code| {
            b"MGAPLHBZ".contains(&code[7])
        }),
    ],
};

const DNI_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn dni_letter(number: u64) -> u8 {
    DNI_LETTERS[usize::try_from(number % 23).unwrap_or_default()]
}

fn number_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, byte| {
        number * 10 + u64::from(byte.wrapping_sub(b'0'))
    })
}

/// DNI: the number modulo 23 selects the letter (Ministerio del Interior).
fn dni(code: &[u8]) -> bool {
    !is_monotone(&code[..8]) && dni_letter(number_of(&code[..8])) == code[8]
}

/// NIE: X, Y, Z stand for 0, 1, 2 (Orden INT/2058/2008).
fn nie(code: &[u8]) -> bool {
    let head = match code[0] {
        b'X' => 0,
        b'Y' => 10_000_000,
        b'Z' => 20_000_000,
        _ => return false,
    };
    dni_letter(head + number_of(&code[1..8])) == code[8]
}

/// NIF of companies: a sum like Luhn's, as digit or letter (Orden EHA/451/2008).
fn cif(code: &[u8]) -> bool {
    let mut digits = [0; 8];
    for (digit, byte) in digits.iter_mut().zip(&code[1..8]) {
        *digit = byte - b'0';
    }
    let check = (0..10_u8).find(|check| {
        digits[7] = *check;
        luhn(&digits)
    });
    let Some(check) = check else {
        return false;
    };
    b"ABCDEFGHJKLMNPQRSUVW".contains(&code[0])
        && (code[8] == check + b'0' || code[8] == b"JABCDEFGHI"[usize::from(check)])
}

/// Codice fiscale: names, date, place, check letter by odd and even places (Decreto Ministeriale 23
/// December 1976).
fn codice_fiscale(code: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    // Where two persons would share a code, letters take the place of digits.
    const DIGIT_LETTERS: &[u8] = b"LMNPQRSTUV";
    let is_digit = |at: usize| code[at].is_ascii_digit() || DIGIT_LETTERS.contains(&code[at]);
    let sum: u32 = code[..15]
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let value = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte - b'A',
            };
            match place % 2 {
                0 => ODD[usize::from(value)],
                _ => u32::from(value),
            }
        })
        .sum();
    [6, 7, 9, 10, 12, 13, 14].into_iter().all(is_digit)
        && b"ABCDEHLMPRST".contains(&code[8])
        && sum % 26 == u32::from(code[15] - b'A')
}

/// Partita IVA: Luhn over eleven digits (DPR 633/1972).
fn partita_iva(digits: &[u8]) -> bool {
    !is_monotone(digits) && luhn(digits)
}

/// NIF: weights 9 to 2 modulo 11 (Decreto-Lei 14/2013).
fn pt_nif(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let check = if rest < 2 { 0 } else { 11 - rest };
    matches!(digits[0], 1 | 2 | 3 | 5 | 6 | 8 | 9)
        && !is_monotone(digits)
        && check == u32::from(digits[8])
}

/// AMKA: date of birth and Luhn (IDIKA).
fn amka(digits: &[u8]) -> bool {
    is_day(value(&digits[2..4]), value(&digits[..2])) && luhn(digits)
}

/// AFM: powers of two modulo 11 (AADE).
fn afm(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[256, 128, 64, 32, 16, 8, 4, 2]);
    !is_monotone(digits) && sum % 11 % 10 == u32::from(digits[8])
}

/// Tax number: digits at even places as they are, at odd ones by a table, modulo 26 (OECD, TIN sheet
/// for Cyprus).
fn cyprus(code: &[u8]) -> bool {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let sum: u32 = code[..8]
        .iter()
        .enumerate()
        .map(|(place, byte)| match place % 2 {
            0 => ODD[usize::from(byte - b'0')],
            _ => u32::from(byte - b'0'),
        })
        .sum();
    sum % 26 == u32::from(code[8] - b'A')
}
