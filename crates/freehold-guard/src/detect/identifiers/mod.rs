//! Identifiers of persons, accounts and things: cards, accounts, national, tax and health numbers,
//! documents, vehicles, wallets.
//!
//! One pass over the words that hold digits. What has a strong checksum or is written in full is
//! believed as it stands; what is only a few digits needs its name in the neighbourhood.

use std::ops::Range;

use super::Hit;
use super::contact;
use crate::bytes::{ALPHANUMERIC, Class, DIGIT, LETTER};

mod americas;
mod asia_pacific;
mod called;
mod cards;
pub(super) mod checksum;
pub(super) mod context;
mod europe_east;
mod europe_north;
mod europe_south;
mod europe_west;
mod iban;
mod labelled;
pub(super) mod number;
mod rules;
mod united_kingdom;
mod vat;
mod vehicles;
mod wallet;
mod words;

use context::{Context, Topic, Topics};
use number::{Number, stands_alone};
use rules::{CODE_MAX, RULES, Region};

const REGIONS: [Region; 8] = [
    americas::REGION,
    asia_pacific::REGION,
    united_kingdom::REGION,
    europe_west::REGION,
    europe_south::REGION,
    europe_north::REGION,
    europe_east::REGION,
    vehicles::REGION,
];

/// What is reported beside what the rules and the names of numbers say.
const ENTITIES: &[&str] = &[
    "bic",
    "crypto_wallet",
    "fi_hetu",
    "iban",
    "payment_card",
    "vat_id",
];

/// Everything that is reported.
pub(super) fn entities() -> impl Iterator<Item = &'static str> {
    let numbers = |region: &Region| region.numbers.iter().map(|rule| rule.entity);
    let codes = |region: &Region| region.codes.iter().map(|rule| rule.entity);
    let rules = REGIONS
        .iter()
        .flat_map(move |region| numbers(region).chain(codes(region)));
    rules
        .chain(labelled::entities())
        .chain(ENTITIES.iter().copied())
}

/// Looks for identifiers, telephone numbers, network addresses, dates, ages and street addresses: all
/// that depends on numbers and the words around them.
pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    if let Some(scanner) = Scanner::new(text, true) {
        scanner.numbers(found);
        contact::marked(text, &scanner.context, found);
    }
}

/// Looks for identifiers only: what has a checksum, a telling shape, or its name next to it.
pub(super) fn firm(text: &str, found: &mut dyn FnMut(Hit)) {
    if let Some(scanner) = Scanner::new(text, false) {
        scanner.numbers(found);
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    context: Context,
    /// Whether to look for what is only probable, too.
    all: bool,
}

impl<'a> Scanner<'a> {
    /// `None` for a text without digits, in which there is nothing to find.
    fn new(text: &'a str, all: bool) -> Option<Self> {
        let some = text
            .bytes()
            .fold(false, |some, byte| some | byte.is_ascii_digit());
        some.then(|| Self {
            text,
            bytes: text.as_bytes(),
            context: Context::of(text),
            all,
        })
    }

    fn numbers(&self, found: &mut dyn FnMut(Hit)) {
        let bytes = self.bytes;
        let mut at = 0;
        while at < bytes.len() {
            if !ALPHANUMERIC.has(bytes[at]) {
                at += 1;
                continue;
            }
            let word = word_at(bytes, at);
            let hit = if word.has_digit {
                self.word_with_digit(&word.range)
            } else {
                self.word_before_digit(&word.range)
            };
            at = word.range.end;
            if let Some(hit) = hit {
                at = at.max(hit.range.end);
                found(hit);
            }
        }
    }

    fn word_with_digit(&self, word: &Range<usize>) -> Option<Hit> {
        let start = word.start;
        // The inside of a version, a decimal, an id.
        if number::is_continued(self.bytes, start) {
            return None;
        }
        let number = match self.bytes[start].is_ascii_digit() {
            true => Number::read(self.bytes, start),
            false => None,
        };
        if number.as_ref().is_some_and(Number::is_row) {
            return None;
        }
        let around = self.context.around(start);
        self.account(start, around)
            .or_else(|| self.number(number.as_ref()?, around))
            .or_else(|| self.code(start, around))
            .or_else(|| self.vat(start, around))
            .or_else(|| self.wallet(word, around))
            .or_else(|| self.bic(start, around))
            .or_else(|| self.probable(start, number.as_ref(), around))
    }

    /// Cards and IBANs.
    fn account(&self, start: usize, around: Topics) -> Option<Hit> {
        if !self.bytes[start].is_ascii_digit() {
            return iban::iban(self.bytes, start);
        }
        let named = around.has(Topic::Card);
        // The shortest numbers are as long as those of goods.
        let doubtful = !named && around.has(Topic::Other);
        cards::card(self.bytes, start)
            .filter(|hit| hit.range.len() > 13 || !doubtful)
            .filter(|hit| named || !number::is_in_series(self.bytes, start, hit.range.end))
            .or_else(|| {
                named
                    .then(|| cards::named_card(self.bytes, start))
                    .flatten()
            })
    }

    /// What has no checksum and may be something else.
    fn probable(&self, start: usize, number: Option<&Number>, around: Topics) -> Option<Hit> {
        if !self.all {
            return None;
        }
        number
            .and_then(|number| contact::date::numeric(self.bytes, number, &self.context))
            .or_else(|| contact::network::address(self.text, start, around))
            .or_else(|| labelled::labelled(self.text, start, &self.context))
            .or_else(|| called::called(self.text, start, number, &self.context))
            .or_else(|| contact::postcode(self.text, start, &self.context))
            .or_else(|| contact::street::between_numbers(self.text, start, &self.context))
            .or_else(|| {
                number.and_then(|_| contact::phone::phone(self.text, start, around, &self.context))
            })
    }

    /// Letters alone begin an identifier only when digits follow: `QQ 12 34 56 C`, `IT 123...`.
    fn word_before_digit(&self, word: &Range<usize>) -> Option<Hit> {
        let length = word.len();
        let next = self.bytes.get(word.end).copied();
        let digit_follows = matches!(next, Some(b' ' | b'-' | b'.' | b'/'))
            && self.bytes.get(word.end + 1).is_some_and(u8::is_ascii_digit);
        if length <= 6 && digit_follows {
            let around = self.context.around(word.start);
            return self
                .code(word.start, around)
                .or_else(|| self.vat(word.start, around))
                .or_else(|| self.probable(word.start, None, around));
        }
        if matches!(length, 8 | 11) && self.bytes[word.start].is_ascii_uppercase() {
            return self.bic(word.start, self.context.around(word.start));
        }
        // `fe80::1`, `ab:cd:...`.
        if self.all && length <= 4 && next == Some(b':') {
            return contact::network::address(self.text, word.start, Topics::NONE);
        }
        None
    }

    fn number(&self, number: &Number, around: Topics) -> Option<Hit> {
        let rules = &*RULES;
        let start = number.start;
        for prefix in number.prefixes() {
            let length = prefix.digits.len();
            for rule in rules.numbers.get(length).into_iter().flatten() {
                let Some(confidence) = rule.confidence(&prefix, around) else {
                    continue;
                };
                let series =
                    confidence < 0.9 && number::is_in_series(self.bytes, start, prefix.end);
                if !series && stands_alone(self.bytes, start, prefix.end) {
                    return Some(Hit::new(rule.entity, start..prefix.end, confidence));
                }
            }
        }
        let end = europe_north::hetu(self.bytes, start)?;
        stands_alone(self.bytes, start, end).then(|| Hit::new("fi_hetu", start..end, 0.95))
    }

    /// Letters and digits of a fixed shape, in one piece or with single separators.
    fn code(&self, start: usize, around: Topics) -> Option<Hit> {
        let code = Code::read(self.bytes, start);
        let rules = &*RULES;
        let mut lengths = code.ends_mask & rules.code_lengths;
        while lengths != 0 {
            let length = 31 - lengths.leading_zeros() as usize;
            lengths &= !(1 << length);
            let end = code.ends[length];
            for shaped in &rules.codes[length] {
                if !shaped.fits(code.letters) {
                    continue;
                }
                let upper = &code.upper[..length];
                let Some(confidence) = shaped.rule.confidence(upper, around) else {
                    continue;
                };
                let written = &self.bytes[start..end];
                let trusted = confidence > 0.85 || shaped.rule.is_printed(written);
                if trusted && stands_alone(self.bytes, start, end) {
                    return Some(Hit::new(shaped.rule.entity, start..end, confidence));
                }
            }
        }
        None
    }

    fn vat(&self, start: usize, around: Topics) -> Option<Hit> {
        let vat = vat::vat_number(self.bytes, start)?;
        let confidence = match (
            around.has(Topic::Vat) || around.has(Topic::Tax),
            vat.checked,
        ) {
            (true, true) => 0.97,
            (true, false) => 0.8,
            (false, true) => 0.7,
            (false, false) => return None,
        };
        Some(Hit::new("vat_id", start..vat.end, confidence))
    }

    fn wallet(&self, word: &Range<usize>, around: Topics) -> Option<Hit> {
        let bytes = &self.bytes[word.clone()];
        let is_address = wallet::is_base58_address(bytes)
            || wallet::is_bech32_address(bytes)
            || around.has(Topic::Wallet) && wallet::is_ethereum_shaped(bytes);
        is_address.then(|| Hit::new("crypto_wallet", word.clone(), 0.9))
    }

    fn bic(&self, start: usize, around: Topics) -> Option<Hit> {
        if !around.has(Topic::Bic) {
            return None;
        }
        let end = iban::bic(self.bytes, start)?;
        Some(Hit::new("bic", start..end, 0.9))
    }
}

/// Letters and digits, without the single separators between them.
struct Code {
    upper: [u8; CODE_MAX],
    /// Bit `n` when the character `n` is a letter.
    letters: u32,
    /// Bit `n` when a word ends behind `n` characters.
    ends_mask: u32,
    /// Where it ends behind `n` characters.
    ends: [usize; CODE_MAX + 1],
}

impl Code {
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut code = Self {
            upper: [0; CODE_MAX],
            letters: 0,
            ends_mask: 0,
            ends: [0; CODE_MAX + 1],
        };
        let mut count = 0;
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            let class = Class::of(*byte);
            if class.meets(ALPHANUMERIC) {
                if count == CODE_MAX {
                    return code;
                }
                code.upper[count] = byte.to_ascii_uppercase();
                code.letters |= u32::from(class.meets(LETTER)) << count;
                count += 1;
                code.ends[count] = at + 1;
            } else {
                let joins = matches!(byte, b' ' | b'-' | b'.' | b'/');
                code.ends_mask |= 1 << count;
                if !joins
                    || !bytes
                        .get(at + 1)
                        .is_some_and(|byte| ALPHANUMERIC.has(*byte))
                {
                    return code;
                }
            }
            at += 1;
        }
        code.ends_mask |= 1 << count;
        code
    }
}

struct Word {
    range: Range<usize>,
    has_digit: bool,
}

fn word_at(bytes: &[u8], start: usize) -> Word {
    let mut end = start;
    let mut has_digit = false;
    while let Some(class) = bytes.get(end).map(|byte| Class::of(*byte))
        && class.meets(ALPHANUMERIC)
    {
        has_digit |= class.meets(DIGIT);
        end += 1;
    }
    Word {
        range: start..end,
        has_digit,
    }
}

#[cfg(test)]
mod tests;
