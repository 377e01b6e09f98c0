//! Numbers without a checksum that their name announces: `passport number: X1234567`.

use super::context::{Context, Mark, Topic, Topics};
use crate::detect::Hit;

/// Names of one kind of number.
struct Kind {
    entity: &'static str,
    topics: Topics,
    /// Letters and digits, at least and at most.
    length: (usize, usize),
    digits_min: usize,
    confidence: f32,
}

const KINDS: &[Kind] = &[
    kind("passport_number", &[Topic::Passport], (6, 12), 4, 0.85),
    kind("driving_licence", &[Topic::DriverLicence], (5, 20), 3, 0.8),
    kind("license_plate", &[Topic::Plate], (4, 9), 1, 0.75),
    kind("vin", &[Topic::Vin], (17, 17), 3, 0.7),
    kind(
        "bank_account",
        &[Topic::Account, Topic::Routing, Topic::SortCode],
        (5, 20),
        5,
        0.7,
    ),
    kind(
        "identity_number",
        &[
            Topic::NationalId,
            Topic::Tax,
            // Names of one country's number are not among them: there the checksum decides.
            Topic::UsEin,
            Topic::Voter,
            Topic::DeId,
        ],
        (7, 20),
        5,
        0.5,
    ),
    kind(
        "insurance_number",
        &[Topic::Health, Topic::UsMbi, Topic::AuMedicare],
        (5, 20),
        3,
        0.6,
    ),
    kind("personal_number", &[Topic::PersonalNumber], (4, 20), 3, 0.6),
];

const fn kind(
    entity: &'static str,
    topics: &[Topic],
    length: (usize, usize),
    digits_min: usize,
    confidence: f32,
) -> Kind {
    Kind {
        entity,
        topics: Topics::of(topics),
        length,
        digits_min,
        confidence,
    }
}

/// What is reported.
pub(super) fn entities() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.entity)
}

/// How much may stand between a name and its number.
const GAP_BYTES: usize = 32;

/// Words that may stand there.
const LINKS: &[&str] = &[
    "is", "was", "no", "nr", "number", "num", "id", "the", "my", "his", "her", "their", "code",
    "as", "s", "it", "its", "details", "reads", "card", "ist", "lautet", "est", "es", "é",
    "numero", "nummer", "and", "with", "of", "dl", "like", "ssn",
];

/// The number that the nearest name before a place announces.
pub(super) fn labelled(text: &str, start: usize, context: &Context) -> Option<Hit> {
    let mark = context.before(start)?;
    let (end, letters, digits) = extent(text.as_bytes(), start);
    let kind = KINDS.iter().find(|kind| {
        mark.topics.meets(kind.topics)
            && (kind.length.0..=kind.length.1).contains(&letters)
            && digits >= kind.digits_min
    })?;
    announces(text, mark, start).then(|| Hit::new(kind.entity, start..end, kind.confidence))
}

/// True when nothing but links stands between a name and a place.
pub(super) fn announces(text: &str, mark: &Mark, start: usize) -> bool {
    let Some(gap) = text.get(mark.end..start) else {
        return false;
    };
    // `Nr.` and `No.` are abbreviations, no ends of sentences.
    let name = text.as_bytes().get(..mark.end).unwrap_or_default();
    let is_short = [b"nr", b"no"]
        .iter()
        .any(|short| name.len() > 2 && name[name.len() - 2..].eq_ignore_ascii_case(*short));
    let gap = match gap.strip_prefix('.') {
        Some(rest) if is_short => rest,
        _ => gap,
    };
    let ends_sentence = gap.contains(". ")
        || gap.contains('?')
        || gap.contains('\n')
            && !gap.trim().is_empty()
            && !gap.trim_matches([' ', ':']).starts_with('\n');
    // `self._policy.rfc2965`: a path, no announcement.
    let parted = gap.contains([' ', ':', '=', '#', '"', '\n', '\t', '|', '>']);
    gap.len() <= GAP_BYTES
        && parted
        && !ends_sentence
        && gap
            .split(|char: char| !char.is_alphabetic())
            .filter(|word| !word.is_empty())
            .all(|word| LINKS.iter().any(|link| link.eq_ignore_ascii_case(word)))
}

/// The end of a number that begins at a place, its letters and digits, its digits. Groups go on over
/// single joints, over spaces only from digit to digit.
fn extent(bytes: &[u8], start: usize) -> (usize, usize, usize) {
    const BYTES_MAX: usize = 32;
    let (mut at, mut end, mut letters, mut digits) = (start, start, 0, 0);
    while at < bytes.len().min(start + BYTES_MAX) {
        let byte = bytes[at];
        let next = bytes.get(at + 1);
        if byte.is_ascii_alphanumeric() {
            letters += 1;
            digits += usize::from(byte.is_ascii_digit());
            end = at + 1;
        } else {
            let joins = match byte {
                b'-' | b'/' | b'_' | b'.' => next.is_some_and(u8::is_ascii_alphanumeric),
                b' ' => bytes[at - 1].is_ascii_digit() && next.is_some_and(u8::is_ascii_digit),
                _ => false,
            };
            if !joins || at == start {
                break;
            }
        }
        at += 1;
    }
    (end, letters, digits)
}
