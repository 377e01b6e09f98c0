//! Made-up values of the same kind and shape, from ranges that are reserved for the purpose.
//!
//! E-mail: `example.com`, `.org`, `.net` (RFC 2606). IP: `192.0.2.0/24`, `198.51.100.0/24`,
//! `203.0.113.0/24` (RFC 5737), `2001:db8::/32` (RFC 3849). Phone: 555-0100 to 555-0199 of the North
//! American plan; Ofcom's numbers for drama for `+44`. Cards: the payment providers' test prefixes, valid by Luhn.
//! US social security numbers: 987-65-4320 to 987-65-4329, never issued. Names: a list.

use core::net::IpAddr;
use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::names::{FIRST, LAST, LOCATIONS, ORGANISATIONS};
use super::tokens::Fold;
use super::vault::{EntryKind, ValueKey, Vault};
use super::{MaskError, MaskStyle};

/// So many candidates are tried; then a pseudonym has to do.
const ATTEMPTS: u32 = 64;
/// Names of more words are something else.
const NAME_WORDS_MAX: usize = 5;
/// Words that join the parts of a name.
const PARTICLES: &[&str] = &[
    "de", "van", "von", "der", "den", "la", "le", "del", "da", "dos", "di", "bin", "al", "el", "y",
];

/// How a surrogate of this type may be spelled in an answer.
pub(super) fn fold(entity: &str) -> Fold {
    match entity {
        "payment_card" | "phone_number" | "us_ssn" => Fold::Digits,
        "email_address" | "ip_address" => Fold::AnyCase,
        _ => Fold::Exact,
    }
}

/// A surrogate for an entry; `None` when its type has none, its shape is odd, or all are taken.
pub(super) fn make(
    vault: &mut Vault,
    place: usize,
    real: &HashSet<ValueKey>,
) -> Result<Option<String>, MaskError> {
    let entry = &vault.entries[place];
    if entry.kind == EntryKind::Literal {
        return Ok(None);
    }
    let value = entry.value.clone();
    let entity = entry.entity.clone();
    if entity == "person" {
        return person(vault, &value, real);
    }
    Ok((0..ATTEMPTS)
        .filter_map(|attempt| candidate(&entity, &value, Draw::new(vault, place, attempt)))
        .find(|candidate| is_free(vault, &entity, candidate, real)))
}

/// Neither a real value nor another's surrogate.
fn is_free(vault: &Vault, entity: &str, candidate: &str, real: &HashSet<ValueKey>) -> bool {
    let key = vault.key(entity, candidate);
    !vault.holds(&key) && !vault.surrogates.contains(&key) && !real.contains(&key)
}

fn candidate(entity: &str, value: &str, draw: Draw) -> Option<String> {
    match entity {
        "email_address" => email(value, draw),
        "phone_number" => phone(value, draw),
        "payment_card" => card(value, draw),
        "ip_address" => ip_address(value, draw),
        "us_ssn" => social_security(value, draw),
        "organisation" => Some(draw.pick(0, ORGANISATIONS).to_owned()),
        "location" => Some(draw.pick(0, LOCATIONS).to_owned()),
        _ => None,
    }
}

/// Numbers that depend only on the vault, the entry and the attempt.
struct Draw([u8; 32]);

impl Draw {
    fn new(vault: &Vault, place: usize, attempt: u32) -> Self {
        let digest = Sha256::new()
            .chain_update(vault.seed.as_slice())
            .chain_update(b"surrogate")
            .chain_update((place as u64).to_le_bytes())
            .chain_update(attempt.to_le_bytes());
        Self(digest.finalize().into())
    }

    fn below(&self, which: usize, bound: usize) -> usize {
        let low = self.0[(2 * which) % 32];
        let high = self.0[(2 * which + 1) % 32];
        usize::from(u16::from_le_bytes([low, high])) % bound
    }

    fn pick(&self, which: usize, among: &[&'static str]) -> &'static str {
        among[self.below(which, among.len())]
    }

    fn digit(&self, which: usize) -> u8 {
        b'0' + self.0[which % 32] % 10
    }
}

fn email(value: &str, draw: Draw) -> Option<String> {
    value.contains('@').then(|| {
        format!(
            "{}.{}{}@example.{}",
            draw.pick(0, FIRST).to_lowercase(),
            draw.pick(1, LAST).to_lowercase(),
            draw.below(2, 90) + 10,
            draw.pick(3, &["com", "org", "net"]),
        )
    })
}

/// The digits of a value replaced, its spacing kept. `None` when it is not digits and spacing, or when
/// a bracket of it stands outside.
fn shaped(value: &str, digits: &str) -> Option<String> {
    let mut next = digits.chars();
    if value.matches('(').count() != value.matches(')').count() {
        return None;
    }
    let shaped: Option<String> = value
        .chars()
        .map(|letter| match letter {
            '0'..='9' => next.next(),
            ' ' | '-' | '.' | '(' | ')' | '/' | '+' => Some(letter),
            _ => None,
        })
        .collect();
    shaped.filter(|_| next.next().is_none())
}

fn digits_of(value: &str) -> String {
    value.chars().filter(char::is_ascii_digit).collect()
}

fn phone(value: &str, draw: Draw) -> Option<String> {
    // Area codes in use, so that validators accept them; 555-01xx is reserved in every one.
    const AREAS: &[&str] = &[
        "202", "206", "212", "213", "215", "216", "303", "305", "312", "313", "314", "404", "406",
        "412", "415", "503", "504", "505", "512", "602", "612", "615", "617", "702", "713", "801",
        "808", "816", "901", "907",
    ];
    let north_american = format!("{}55501{:02}", draw.pick(0, AREAS), draw.below(1, 100));
    let digits = digits_of(value);
    let shaped_as = match digits.len() {
        _ if value.starts_with("+44") => {
            let british = format!("7700900{:03}", draw.below(1, 1_000));
            return shaped(value, &format!("44{british}"))
                .or_else(|| Some(format!("+44{british}")));
        }
        10 if !value.starts_with('+') => shaped(value, &north_american),
        11 if digits.starts_with('1') => shaped(value, &format!("1{north_american}")),
        7..=15 => None,
        _ => return None,
    };
    shaped_as.or_else(|| Some(format!("+1{north_american}")))
}

fn card(value: &str, draw: Draw) -> Option<String> {
    let real = digits_of(value);
    if !(13..=19).contains(&real.len()) {
        return None;
    }
    let prefix = match real.as_bytes()[0] {
        b'3' => "378282",
        b'5' | b'2' => "555555",
        b'6' => "601111",
        _ => "400000",
    };
    let mut digits = prefix.to_owned();
    for which in digits.len()..real.len() - 1 {
        digits.push(char::from(draw.digit(which)));
    }
    digits.push(char::from(b'0' + luhn_check_digit(&digits)));
    shaped(value, &digits)
}

/// ISO/IEC 7812-1, annex B.
fn luhn_check_digit(digits: &str) -> u8 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match (place % 2, digit * 2) {
                (0, doubled @ 10..) => doubled - 9,
                (0, doubled) => doubled,
                _ => digit,
            }
        })
        .sum();
    ((10 - sum % 10) % 10) as u8
}

fn ip_address(value: &str, draw: Draw) -> Option<String> {
    match value.parse().ok()? {
        IpAddr::V4(_) => {
            let network = draw.pick(0, &["192.0.2", "198.51.100", "203.0.113"]);
            Some(format!("{network}.{}", draw.below(1, 254) + 1))
        }
        IpAddr::V6(_) => Some(format!(
            "2001:db8:{:x}:{:x}::{:x}",
            draw.below(0, 65_535) + 1,
            draw.below(1, 65_535) + 1,
            draw.below(2, 65_535) + 1,
        )),
    }
}

fn social_security(value: &str, draw: Draw) -> Option<String> {
    shaped(value, &format!("98765432{}", draw.below(0, 10)))
}

/// A name is made up word by word, so that `Dear Thaddeus` is restored where the answer says only
/// that much, and two people of one family stay one.
fn person(
    vault: &mut Vault,
    value: &str,
    real: &HashSet<ValueKey>,
) -> Result<Option<String>, MaskError> {
    let words: Vec<&str> = value.split(' ').collect();
    if words.len() == 1 && is_name(value) {
        return Ok(name_word(vault, value, FIRST, real));
    }
    if words.len() > NAME_WORDS_MAX {
        return Ok(None);
    }
    let mut made_up = Vec::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        let letters = word.trim_end_matches('.').chars().count();
        let is_initial = letters == 1 || word.ends_with('.');
        if is_initial {
            // Its letter would tell something; any other does as well.
            made_up.push("X.".to_owned());
            continue;
        }
        if PARTICLES.contains(word) {
            made_up.push((*word).to_owned());
            continue;
        }
        if !is_name(word) {
            return Ok(None);
        }
        let key = vault.key("person", word);
        let among = if place == 0 { FIRST } else { LAST };
        let entry = match vault.place(&key) {
            Some(known) => known,
            None => vault.intern("person", word, EntryKind::Piece, MaskStyle::Pseudonym, real)?,
        };
        if vault.entries[entry].surrogate.is_none()
            && let Some(made_up) = name_word(vault, word, among, real)
        {
            vault.set_surrogate(entry, made_up);
        }
        match &vault.entries[entry].surrogate {
            Some(word) => made_up.push(word.clone()),
            None => return Ok(None),
        }
    }
    let is_made_up = made_up
        .iter()
        .zip(&words)
        .any(|(new, word)| new != "X." && new != word);
    let made_up = made_up.join(" ");
    Ok((is_made_up && is_free(vault, "person", &made_up, real)).then_some(made_up))
}

fn is_name(word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '\'' | '’');
    !word.is_empty() && word.chars().all(is_part)
}

/// One free word of the list, in the case of the real one.
fn name_word(
    vault: &Vault,
    word: &str,
    among: &[&str],
    real: &HashSet<ValueKey>,
) -> Option<String> {
    let offset = Draw::new(vault, vault.entries.len(), 0).below(0, among.len());
    (0..among.len())
        .map(|step| in_case_of(word, among[(offset + step) % among.len()]))
        .find(|candidate| is_free(vault, "person", candidate, real))
}

fn in_case_of(word: &str, name: &str) -> String {
    let any = |is: fn(char) -> bool| word.chars().any(is);
    match (any(char::is_lowercase), any(char::is_uppercase)) {
        (true, false) => name.to_lowercase(),
        (false, true) => name.to_uppercase(),
        _ => name.to_owned(),
    }
}
