//! Numbers that are called by their name but break its rule: mistyped, made up, or newer than the rule.
//! They are reported, with little confidence: a wrong digit makes a number no less personal.

use super::checksum::is_monotone;
use super::context::{Context, Topic, Topics};
use super::labelled::announces;
use super::number::{Number, stands_alone};
use super::rules::{CALLED, RULES};
use super::{Code, cards, iban, vat};
use crate::detect::Hit;

/// Names that mean other things, too: behind them only what keeps the rule is believed.
const AMBIGUOUS: &[&str] = &[
    "sin",
    "pan",
    "fin",
    "tin",
    "uid",
    "nas",
    "cf",
    "c.f.",
    "tic",
    "arc",
    "spi",
    "cns",
    "nie",
    "nif",
    "cif",
    "aba",
    "nin",
    "pnr",
    "a.k.",
    "a/k",
    "p.k.",
    "matricule",
    "income tax",
    "self assessment",
    "id number",
    "id no",
    "id card",
    "identity number",
    "identification number",
    "individual number",
    "personal code",
    "provider number",
    "resident number",
];

/// Digits of the shortest number.
const DIGITS_MIN: usize = 7;

/// The number that the nearest name before a place announces, whatever its check digit says.
pub(super) fn called(
    text: &str,
    start: usize,
    number: Option<&Number>,
    context: &Context,
) -> Option<Hit> {
    let mark = context.before(start)?;
    if !mark.topics.meets(RULES.topics) && !mark.topics.meets(ACCOUNTS) {
        return None;
    }
    let bytes = text.as_bytes();
    let (entity, end) = account(bytes, start, mark.topics)
        .or_else(|| digits(number?, mark.topics))
        .or_else(|| code(bytes, start, mark.topics))?;
    let name = text.get(mark.start..mark.end)?;
    let is_ambiguous = AMBIGUOUS.iter().any(|word| word.eq_ignore_ascii_case(name));
    let is_called = !is_ambiguous && announces(text, mark, start);
    (is_called && stands_alone(bytes, start, end)).then(|| Hit::new(entity, start..end, CALLED))
}

/// Names of what [`account`] looks for.
const ACCOUNTS: Topics = Topics::of(&[Topic::Card, Topic::Iban, Topic::Vat]);

/// Cards, IBANs and VAT numbers.
fn account(bytes: &[u8], start: usize, topics: Topics) -> Option<(&'static str, usize)> {
    if topics.has(Topic::Card) {
        return cards::shaped(bytes, start).map(|end| ("payment_card", end));
    }
    if topics.has(Topic::Iban) {
        return iban::shaped(bytes, start).map(|end| ("iban", end));
    }
    let end = topics
        .has(Topic::Vat)
        .then(|| vat::shaped(bytes, start))
        .flatten()?;
    Some(("vat_id", end))
}

/// As many digits as the number of that name has. What has no check digit was judged already.
fn digits(number: &Number, topics: Topics) -> Option<(&'static str, usize)> {
    let rules = &*RULES;
    number.prefixes().find_map(|prefix| {
        let rules = rules.numbers.get(prefix.digits.len())?;
        let is_some = prefix.digits.len() >= DIGITS_MIN && !is_monotone(prefix.digits);
        let rule = rules.iter().find(|rule| {
            let laid_out = || rule.printed.iter().any(|layout| prefix.is_laid_out(layout));
            let written = prefix.is_even() || laid_out();
            is_some && !rule.unchecked && !rule.doubtful && rule.topics.meets(topics) && written
        })?;
        Some((rule.entity, prefix.end))
    })
}

/// Letters and digits of the shape of that name.
fn code(bytes: &[u8], start: usize, topics: Topics) -> Option<(&'static str, usize)> {
    let code = Code::read(bytes, start);
    let rules = &*RULES;
    let lengths = (DIGITS_MIN..rules.codes.len()).rev();
    lengths
        .filter(|length| code.ends_mask >> length & 1 == 1)
        .find_map(|length| {
            let shaped = rules.codes[length].iter().find(|shaped| {
                shaped.rule.topics.meets(topics)
                    && shaped.fits(code.letters)
                    && code.upper[..length].iter().any(u8::is_ascii_digit)
            })?;
            Some((shaped.rule.entity, code.ends[length]))
        })
}
