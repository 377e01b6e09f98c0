//! Germany, Austria, Switzerland, France, Netherlands, Belgium, Luxembourg.

use super::checksum::{is_day, is_monotone, luhn, mod_11_10, value, verhoeff, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("de_tax_id", 11, &[Topic::DeTax], steuer_id).printed(&["2 3 3 3"]),
        number("at_svnr", 10, &[Topic::AtSv], at_svnr).printed(&["4 6"]),
        number("ch_ahv", 13, &[Topic::ChAhv], ahv)
            .printed(&["3.4.4.2"])
            .alone(),
        number("fr_nir", 15, &[Topic::FrNir], nir)
            .printed(&["1 2 2 2 3 3 2", "1 2 2 2 3 3-2", "1.2.2.2.3.3.2"])
            .alone(),
        number("fr_nir", 13, &[Topic::FrNir], nir_without_key).printed(&["1 2 2 2 3 3"]),
        number("fr_spi", 13, &[Topic::FrNir], spi).printed(&["2 2 3 3 3"]),
        number("nl_bsn", 9, &[Topic::NlBsn], bsn),
        number("be_national_number", 11, &[Topic::BeNn], rijksregister)
            .printed(&["2.2.2-3.2", "2.2.2.3.2", "6-3-2", "6-3.2", "2 2 2 3 2"])
            .alone(),
        number("lu_matricule", 13, &[Topic::LuId], matricule)
            .printed(&["4 2 2 3 2"])
            .alone(),
    ],
    codes: &[
        code("de_id_card", "XXXXXXXXX9", &[Topic::DeId], id_card),
        code("de_id_card", "AXXXXXXXX", &[Topic::DeId], |code| {
            code.iter().any(u8::is_ascii_digit)
        }),
        code(
            "de_health_insurance",
            "A999999999",
            &[Topic::DeSocial, Topic::Health],
            kvnr,
        ),
        code(
            "de_social_insurance",
            "99999999A999",
            &[Topic::DeSocial],
            de_social,
        )
        .alone()
        .spaced(),
        code("fr_nir", "999999A99999999", &[Topic::FrNir], nir_of_corsica)
            .alone()
            .spaced(),
    ],
};

/// Steuer-ID: one of the first ten digits two or three times, the others once at most; modulus 11,10
/// (Bundeszentralamt für Steuern, Identifikationsnummer; § 139b AO).
fn steuer_id(digits: &[u8]) -> bool {
    let mut times = [0_u8; 10];
    digits[..10]
        .iter()
        .for_each(|digit| times[usize::from(*digit)] += 1);
    let repeated = times.iter().filter(|times| **times > 1).count();
    let most = times.iter().max().copied().unwrap_or_default();
    digits[0] != 0 && repeated == 1 && most <= 3 && mod_11_10(digits)
}

/// Machine-readable zone's check digit: weights 7, 3, 1, letters from 10 on (ICAO Doc 9303-3, 4.9).
fn mrz_check(body: &[u8], check: u8) -> bool {
    let sum: u32 = body
        .iter()
        .zip([7, 3, 1].into_iter().cycle())
        .map(|(byte, weight): (_, u32)| weight * alphanumeric(*byte))
        .sum();
    sum % 10 == u32::from(check.wrapping_sub(b'0'))
}

fn alphanumeric(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte.wrapping_sub(b'A')) + 10,
    }
}

/// Identity card since 2010: nine characters without vowels and their check digit (BMI,
/// Personalausweisverordnung).
fn id_card(code: &[u8]) -> bool {
    let alphabet = |byte: &u8| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte);
    code[..9].iter().all(alphabet) && mrz_check(&code[..9], code[9])
}

/// Krankenversichertennummer: the letter as two digits, weights 1 and 2, digit sums, modulus 10
/// (GKV-Spitzenverband, § 290 SGB V).
fn kvnr(code: &[u8]) -> bool {
    let letter = code[0] - b'A' + 1;
    let body = [letter / 10, letter % 10].into_iter();
    let body = body.chain(code[1..9].iter().map(|byte| byte - b'0'));
    let sum: u32 = body
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, weight)| digit_sum(u32::from(digit) * weight))
        .sum();
    sum % 10 == u32::from(code[9] - b'0')
}

fn digit_sum(number: u32) -> u32 {
    number / 10 + number % 10
}

/// Versicherungsnummer of the pension insurance: area, date of birth, letter, serial; weights 2, 1,
/// 2, 5, 7, 1, 2, 1, 2, 1, 2, 1, digit sums, modulus 10 (VKVV § 2).
fn de_social(code: &[u8]) -> bool {
    let digit = |at: usize| u32::from(code[at] - b'0');
    let letter = u32::from(code[8] - b'A' + 1);
    let body = (0..8)
        .map(digit)
        .chain([letter / 10, letter % 10, digit(9), digit(10)]);
    let weights = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    let sum: u32 = body
        .zip(weights)
        .map(|(digit, weight)| digit_sum(digit * weight))
        .sum();
    let (day, month) = (digit(2) * 10 + digit(3), digit(4) * 10 + digit(5));
    is_day(month.into(), day.into()) && sum % 10 == digit(11)
}

/// Sozialversicherungsnummer: serial of three, check digit, date of birth; weights 3, 7, 9, 0, 5, 8,
/// 4, 2, 1, 6 modulo 11 (Dachverband der Sozialversicherungsträger; ASVG § 31).
fn at_svnr(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    let (day, month) = (value(&digits[4..6]), value(&digits[6..8]));
    // Months 13 to 15 where a day's numbers ran out.
    let date = is_day(month, day) || (13..=15).contains(&month) && (1..=31).contains(&day);
    digits[0] != 0 && date && rest == u32::from(digits[3])
}

/// AHV number: 756 and the check digit of EAN-13 (Zentrale Ausgleichsstelle, AHVN13).
fn ahv(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    digits[..3] == [7, 5, 6] && sum.is_multiple_of(10)
}

/// NIR: sex, year and month of birth, place, serial, and 97 less the rest as key (INSEE).
fn nir(digits: &[u8]) -> bool {
    nir_without_key(digits) && value(&digits[13..]) == 97 - value(&digits[..13]) % 97
}

fn nir_without_key(digits: &[u8]) -> bool {
    let month = value(&digits[3..5]);
    let known_month = matches!(month, 1..=12 | 20 | 30..=42 | 50..=99);
    matches!(digits[0], 1..=4 | 7 | 8) && known_month && value(&digits[5..7]) >= 1
}

/// NIR of those born in Corsica: 2A counts as 19, 2B as 18.
fn nir_of_corsica(code: &[u8]) -> bool {
    let department = match &code[5..7] {
        b"2A" => [1, 9],
        b"2B" => [1, 8],
        _ => return false,
    };
    let mut digits = [0; 15];
    for (digit, byte) in digits.iter_mut().zip(code) {
        *digit = byte.wrapping_sub(b'0');
    }
    digits[5..7].copy_from_slice(&department);
    digits.iter().all(|digit| *digit <= 9) && nir(&digits)
}

/// Numéro fiscal: the last three digits are the first ten modulo 511 (OECD, TIN sheet for France).
fn spi(digits: &[u8]) -> bool {
    digits[0] <= 3 && value(&digits[10..]) == value(&digits[..10]) % 511
}

/// BSN: weights 9 to 2 and -1 modulo 11 (Rijksdienst voor Identiteitsgegevens, "elfproef").
fn bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    !is_monotone(digits) && sum % 11 == u32::from(digits[8])
}

/// National number: 97 less the rest of the first nine digits, with a 2 before them for those born
/// since 2000 (Belgian Royal Decree of 3 April 1984).
fn rijksregister(digits: &[u8]) -> bool {
    let (body, check) = (value(&digits[..9]), value(&digits[9..]));
    let month = value(&digits[2..4]);
    // Months 20 and 40 higher are those of "bis" numbers.
    let date = matches!(month % 20, 0..=12) && month <= 52 && value(&digits[4..6]) <= 31;
    date && body > 0 && (check == 97 - body % 97 || check == 97 - (body + 2_000_000_000) % 97)
}

/// Matricule: date of birth and serial, then a Luhn digit and a Verhoeff digit (CTIE, law of 19 June
/// 2013).
fn matricule(digits: &[u8]) -> bool {
    let mut with_second = [0; 12];
    with_second[..11].copy_from_slice(&digits[..11]);
    with_second[11] = digits[12];
    (1_880..=2_100).contains(&value(&digits[..4]))
        && is_day(value(&digits[4..6]), value(&digits[6..8]))
        && luhn(&digits[..12])
        && verhoeff(&with_second)
}
