//! Health data of a person: medical record numbers, diagnoses and drugs.
//!
//! A disease or a drug alone is general knowledge. It is reported only near a person: a patient or
//! relative is spoken of, somebody speaks of their own body, a date of birth or record number stands
//! in the text, or a name does. Record numbers are recognised by what is written before them; no
//! country gives them a checksum.
//!
//! Terms are in English, with the most frequent ones in German, French, Spanish, Italian, Portuguese,
//! Dutch, Polish, Russian, Turkish, Chinese, Japanese, Korean, Arabic and Hindi; drugs also by the
//! ends that the WHO gives their nonproprietary names. Not covered: rare diseases, codes (ICD, ATC),
//! laboratory values, symptoms, inflected forms in other languages than English.

use std::ops::Range;
use std::sync::LazyLock;

use super::{Hit, names};

mod terms;

use terms::{Kind, Terms};

/// What is reported.
pub(super) const ENTITIES: &[&str] = &["diagnosis", "drug", "medical_record_number"];

static TERMS: LazyLock<Option<Terms>> = LazyLock::new(Terms::new);

/// How far a patient, a date of birth or a record number reaches, in bytes.
const STRONG_REACH_BYTES: usize = 700;
/// How far a relative, a pronoun or a name reaches.
const WEAK_REACH_BYTES: usize = 120;
/// How far a possessive reaches.
const POSSESSIVE_REACH_BYTES: usize = 24;
/// Bytes between the words that announce a record number and the number.
const RECORD_GAP_BYTES_MAX: usize = 16;
/// Terms and cues of one text that are looked at: more say nothing new.
const NOTED_MAX: usize = 4_096;

/// Something that was noted in the text.
struct Noted {
    range: Range<usize>,
    kind: Kind,
}

/// Reports record numbers, and diagnoses and drugs near a person.
pub(crate) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let Some(terms) = &*TERMS else { return };
    let mut noted: Vec<Noted> = Vec::new();
    terms.find(text, &mut |range, kind| {
        if kind.announces_record
            && let Some(number) = record_number(text, range.end)
        {
            found(Hit::new("medical_record_number", number, 0.9));
        }
        if noted.len() < NOTED_MAX {
            noted.push(Noted { range, kind });
        }
    });
    if noted.iter().all(|noted| noted.kind.term.is_none()) {
        return;
    }
    let persons = persons(text, &noted);
    let mut passed = Cues::new(&noted, &persons);
    for noted in &noted {
        if let Some(entity) = noted.kind.term
            && let Some(confidence) = passed.near(&noted.range)
        {
            found(Hit::new(entity, noted.range.clone(), confidence));
        }
    }
}

/// Names in the text, if some term is not already near a cue.
fn persons(text: &str, noted: &[Noted]) -> Vec<Range<usize>> {
    let mut cues = Cues::new(noted, &[]);
    let all_near = noted
        .iter()
        .filter(|noted| noted.kind.term.is_some())
        .all(|noted| cues.near(&noted.range).is_some());
    let mut persons = Vec::new();
    if !all_near {
        names::detect(text, &mut |hit| {
            if hit.entity.as_str() == names::CLASSES[0] {
                persons.push(hit.range);
            }
        });
    }
    persons
}

/// Where persons are spoken of, by how far that reaches, in the order of the text.
struct Cues {
    strong: Walk,
    weak: Walk,
    possessive: Walk,
}

/// Ranges in order, and how many of them end before what was asked last.
struct Walk {
    ranges: Vec<Range<usize>>,
    passed: usize,
    reach_bytes: usize,
}

impl Walk {
    fn new(mut ranges: Vec<Range<usize>>, reach_bytes: usize) -> Self {
        ranges.sort_by_key(|range| range.start);
        Self {
            ranges,
            passed: 0,
            reach_bytes,
        }
    }

    /// Whether one of the ranges is within reach. Asked in the order of the text.
    fn near(&mut self, range: &Range<usize>) -> bool {
        while self
            .ranges
            .get(self.passed)
            .is_some_and(|cue| cue.end + self.reach_bytes < range.start)
        {
            self.passed += 1;
        }
        self.ranges
            .get(self.passed)
            .is_some_and(|cue| cue.start <= range.end + self.reach_bytes)
    }
}

impl Cues {
    fn new(noted: &[Noted], persons: &[Range<usize>]) -> Self {
        let of = |wanted: fn(&Kind) -> bool| {
            noted
                .iter()
                .filter(move |noted| wanted(&noted.kind))
                .map(|noted| noted.range.clone())
        };
        let strong = of(|kind| kind.strong_cue || kind.announces_record).collect();
        let weak = of(|kind| kind.weak_cue)
            .chain(persons.iter().cloned())
            .collect();
        let possessive = of(|kind| kind.possessive).collect();
        Self {
            strong: Walk::new(strong, STRONG_REACH_BYTES),
            weak: Walk::new(weak, WEAK_REACH_BYTES),
            possessive: Walk::new(possessive, POSSESSIVE_REACH_BYTES),
        }
    }

    /// How sure it is that a term at this place is about a person.
    fn near(&mut self, range: &Range<usize>) -> Option<f32> {
        let weak = self.possessive.near(range) | self.weak.near(range);
        let strong = self.strong.near(range);
        match (strong, weak) {
            (true, true) => Some(0.95),
            (true, false) => Some(0.85),
            (false, true) => Some(0.7),
            (false, false) => None,
        }
    }
}

/// The number that follows the words which announce it.
fn record_number(text: &str, after: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = after;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'.');
    while at < bytes.len() && at - after <= RECORD_GAP_BYTES_MAX {
        let start = at;
        while at < bytes.len() && is_part(bytes[at]) && at - start <= 32 {
            at += 1;
        }
        let number = bytes.get(start..at)?.trim_ascii();
        let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits >= 4 {
            let end = start + number.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
            let first = start + number.iter().position(u8::is_ascii_alphanumeric)?;
            return (end - first <= 24).then_some(first..end);
        }
        // "MRN is", "number:", "No.", "#": anything else ends the search.
        let filler = number.to_ascii_lowercase();
        let filler = filler.strip_suffix(b".").unwrap_or(&filler);
        let known: [&[u8]; 9] = [
            b"", b"is", b"no", b"nr", b"number", b"num", b"id", b"of", b"code",
        ];
        if !known.contains(&filler) {
            return None;
        }
        while at < bytes.len()
            && matches!(
                bytes[at],
                b' ' | b':' | b'#' | b'=' | b'\t' | b'(' | b'"' | b'\'' | b'*' | b'|'
            )
        {
            at += 1;
        }
        if at == start {
            // Full-width colons and the like: one character.
            at += text.get(at..)?.chars().next()?.len_utf8();
        }
    }
    None
}

#[cfg(test)]
mod tests;
