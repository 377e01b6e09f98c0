//! Names of people, places and organisations, by a small statistical tagger.
//!
//! Words that may be part of a name (capitalised ones; words in lower case that a list of names
//! knows, or that follow a word such as "mr") are labelled by a linear-chain conditional random field
//! over hashed features: the word, its ends and shape, the words around it, and what the lexicon
//! knows about all of them. The model is `models/names.bin`; `models/README.md` says from what it was
//! trained, how well it does and what it does not cover.

use std::ops::Range;
use std::sync::LazyLock;

use super::Hit;

mod address;
mod features;
pub(super) mod letter;
mod lexicon;
mod tagger;
mod token;

use address::{FORMS_OF_ADDRESS, MORE_FORMS_OF_ADDRESS};
pub use features::{FEATURES, Gate, LEXICAL_FEATURES, ROWS, features};
pub use lexicon::{Grades, LEXICON_BYTES, Lexicon};
pub use tagger::{LABELS, MAGIC, Model, ROW_BYTES, Scratch, Span, may_follow};
pub use token::{Gap, Shape, Token, key, tokens};

static MODEL_FILE: &[u8] = include_bytes!("../../../models/names.bin");

/// Text is read in pieces of at most so many bytes, so that memory does not grow with it.
const PIECE_BYTES: usize = 16 * 1024;

/// Added to the score of "no name": a missed name costs more than a false alarm, and below 0 more is
/// found. Cross-validated, F1 of persons and places is highest here.
const OUTSIDE_BIAS: f32 = -1.0;

/// What a name is called in findings, by class.
pub const CLASSES: [&str; 3] = ["person", "location", "organisation"];

/// What a form of address before a name is called in findings: it tells gender, rank or degree.
const TITLE: &str = "person_title";

/// What is reported.
pub(super) const ENTITIES: &[&str] = &[CLASSES[0], CLASSES[1], CLASSES[2], TITLE];

/// Everything the detector needs; made once.
struct Detector {
    model: Option<Model<'static>>,
    gate: Gate,
}

static DETECTOR: LazyLock<Detector> = LazyLock::new(|| Detector {
    model: Model::new(MODEL_FILE),
    gate: Gate::default(),
});

/// Reports persons, locations and organisations.
pub(crate) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    let Some(model) = &DETECTOR.model else { return };
    detect_with(
        model,
        &DETECTOR.gate,
        OUTSIDE_BIAS,
        text,
        &mut |class, range, confidence| {
            if class == 0
                && let Some(title) = title_before(text, range.start)
            {
                found(Hit::new(TITLE, title, confidence));
            }
            found(Hit::new(CLASSES[class], range, confidence));
        },
    );
}

/// The form of address that stands right before a name: `Mr. `, `Frau Dr. `.
fn title_before(text: &str, name: usize) -> Option<Range<usize>> {
    let mut start = name;
    let mut end = name;
    // At most two, as in `Frau Dr.`.
    for _ in 0..2 {
        let line = text[..start].trim_end_matches(' ');
        let bare = line.strip_suffix('.').unwrap_or(line);
        let letters = bare.bytes().rev().take(TITLE_BYTES_MAX);
        let length = letters
            .take_while(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
            .count();
        let from = bare.len() - length;
        let known = bare.get(from..).is_some_and(|word| {
            FORMS_OF_ADDRESS
                .iter()
                .chain(MORE_FORMS_OF_ADDRESS)
                .any(|title| title.eq_ignore_ascii_case(word))
        });
        if line.len() == start || !known {
            break;
        }
        if end == name {
            end = line.len();
        }
        start = from;
    }
    (start < name).then_some(start..end)
}

/// Longest form of address that is looked for.
const TITLE_BYTES_MAX: usize = 12;

/// Finds names with a given model: class, byte range and confidence of each.
pub fn detect_with(
    model: &Model<'_>,
    gate: &Gate,
    bias: f32,
    text: &str,
    found: &mut impl FnMut(usize, Range<usize>, f32),
) {
    let mut words = Vec::with_capacity(text.len().min(PIECE_BYTES) / 5 + 1);
    let mut scratch = Scratch::default();
    let mut from = 0;
    while from < text.len() {
        let to = piece_end(text, from);
        words.clear();
        tokens(text, from, to, &model.lexicon, &mut words);
        gate.runs(&words, |run| {
            model.tag(text, &words, run, bias, &mut scratch, &mut |span| {
                let (Some(first), Some(last)) =
                    (words.get(span.tokens.start), words.get(span.tokens.end - 1))
                else {
                    return;
                };
                found(
                    span.class,
                    first.start as usize..last.end as usize,
                    span.confidence,
                );
            });
        });
        from = to;
    }
}

/// Where the piece that begins at `from` ends: in its last quarter at the end of a line, of a sentence
/// or at a blank, when there is one.
fn piece_end(text: &str, from: usize) -> usize {
    let mut end = from + PIECE_BYTES;
    if end >= text.len() {
        return text.len();
    }
    let tail = end - PIECE_BYTES / 4;
    let last = &text.as_bytes()[tail..end];
    let line = last.iter().rposition(|byte| *byte == b'\n');
    let sentence = || {
        last.windows(2)
            .rposition(|pair| pair == b". ")
            .map(|at| at + 1)
    };
    let blank = || last.iter().rposition(u8::is_ascii_whitespace);
    if let Some(at) = line.or_else(sentence).or_else(blank) {
        return tail + at;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests;
