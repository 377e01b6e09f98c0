//! Poland, Czechia, Slovakia, Hungary, Romania, Bulgaria, Croatia, Slovenia.

use super::checksum::{is_day, is_monotone, mod_11_10, value, weighted};
use super::context::Topic;
use super::rules::{Region, code, number};

pub(super) const REGION: Region = Region {
    numbers: &[
        number("pl_pesel", 11, &[Topic::PlPesel], pesel),
        number("pl_nip", 10, &[Topic::PlNip, Topic::Vat], nip).printed(&["3-3-2-2", "3-2-2-3"]),
        number("pl_regon", 9, &[Topic::PlRegon], regon),
        number("cz_sk_rodne_cislo", 10, &[Topic::CzRc], rodne_cislo).printed(&["6/4"]),
        number(
            "cz_sk_rodne_cislo",
            9,
            &[Topic::CzRc],
            rodne_cislo_before_1954,
        ),
        number("ro_cnp", 13, &[Topic::RoCnp], cnp),
        number("bg_egn", 10, &[Topic::BgEgn], egn),
        number("hu_taj", 9, &[Topic::HuTaj], taj),
        number("hu_tax_id", 10, &[Topic::HuTax], hungarian_tax),
        number("hr_oib", 11, &[Topic::HrOib], oib),
        number("si_emso", 13, &[Topic::Emso], emso),
    ],
    codes: &[code(
        "pl_id_card",
        "AAA999999",
        &[Topic::NationalId],
        pl_id_card,
    )],
};

/// PESEL: date with the century in the month, weights 1, 3, 7, 9 (Ustawa o ewidencji ludności).
fn pesel(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let month = value(&digits[2..4]) % 20;
    is_day(month, value(&digits[4..6])) && sum.is_multiple_of(10)
}

/// NIP: weights 6, 5, 7, 2, 3, 4, 5, 6, 7 modulo 11 (Ustawa o zasadach ewidencji podatników).
fn nip(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11;
    digits[0] != 0 && !is_monotone(digits) && sum == u32::from(digits[9])
}

/// REGON: weights 8, 9, 2, 3, 4, 5, 6, 7 modulo 11 (GUS).
fn regon(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[8, 9, 2, 3, 4, 5, 6, 7]) % 11 % 10;
    !is_monotone(digits) && sum == u32::from(digits[8])
}

/// Dowód osobisty: letters from 10 on, weights 7, 3, 1, 9, 7, 3, 1, 7, 3 (MSWiA).
fn pl_id_card(code: &[u8]) -> bool {
    let values = code.iter().map(|byte| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    });
    let sum: u32 = values
        .zip([7, 3, 1, 9, 7, 3, 1, 7, 3])
        .map(|(value, weight)| value * weight)
        .sum();
    sum.is_multiple_of(10)
}

/// Rodné číslo: divisible by 11; months 50 higher for women, 20 more when a day's numbers ran out
/// (Czech Act 133/2000, § 13).
fn rodne_cislo(digits: &[u8]) -> bool {
    let number = value(digits);
    // Until 1985 a rest of 10 was written as 0.
    let check = number.is_multiple_of(11) || (number / 10) % 11 == 10 && digits[9] == 0;
    rodne_cislo_date(digits) && check
}

fn rodne_cislo_before_1954(digits: &[u8]) -> bool {
    value(&digits[..2]) < 54 && rodne_cislo_date(digits) && digits[6..] != [0, 0, 0]
}

fn rodne_cislo_date(digits: &[u8]) -> bool {
    let month = value(&digits[2..4]) % 50;
    let month = if month > 20 { month - 20 } else { month };
    is_day(month, value(&digits[4..6]))
}

/// CNP: sex and century, date, county, weights 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9 modulo 11 (Law
/// 105/1996).
fn cnp(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    let check = if rest == 10 { 1 } else { rest };
    digits[0] != 0
        && is_day(value(&digits[3..5]), value(&digits[5..7]))
        && check == u32::from(digits[12])
}

/// EGN: date with the century in the month, weights 2, 4, 8, 5, 10, 9, 7, 3, 6 modulo 11 (GRAO).
fn egn(digits: &[u8]) -> bool {
    let month = value(&digits[2..4]) % 20;
    let sum = weighted(digits, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    is_day(month, value(&digits[4..6])) && sum == u32::from(digits[9])
}

/// TAJ: weights 3 and 7 modulo 10 (Hungarian Act LXXX of 1997).
fn taj(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10;
    !is_monotone(digits) && sum == u32::from(digits[8])
}

/// Adóazonosító jel: begins with 8, weights 1 to 9 modulo 11 (Act CL of 2017).
fn hungarian_tax(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11;
    digits[0] == 8 && sum == u32::from(digits[9])
}

/// OIB: ISO 7064 MOD 11,10 (Zakon o osobnom identifikacijskom broju).
fn oib(digits: &[u8]) -> bool {
    !is_monotone(digits) && mod_11_10(digits)
}

/// EMŠO, JMBG: date, region, weights 7 to 2 twice modulo 11 (Zakon o centralnem registru
/// prebivalstva).
fn emso(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let check = (11 - sum % 11) % 11;
    is_day(value(&digits[2..4]), value(&digits[..2])) && check == u32::from(digits[12])
}
