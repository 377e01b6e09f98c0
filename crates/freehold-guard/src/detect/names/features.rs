//! Which words may be part of a name, and what the tagger looks at.

use super::address::{FORMS_OF_ADDRESS, GREETINGS};
use super::token::{Gap, Shape, Token, key, mix};

/// Rows of weights, a power of two.
pub const ROWS: usize = 1 << 16;
/// Features of one word.
pub const FEATURES: usize = 30;
/// The first so many features tell the word itself; training leaves them out now and then, so that
/// the tagger also learns to do without.
pub const LEXICAL_FEATURES: usize = 5;

/// Stands for a word beyond either end.
const NO_WORD: Token = Token {
    start: 0,
    end: 0,
    key: 1,
    shape: Shape::Digits,
    gap: Gap::Start,
    grades: super::lexicon::Grades(0),
    length: 0,
};

/// Words in lower case that a name may hold between two capitalised ones.
const LINKS: &[&str] = &[
    "of", "and", "the", "for", "de", "del", "della", "di", "da", "do", "dos", "das", "du", "des",
    "la", "le", "el", "al", "van", "von", "vom", "zu", "der", "den", "ter", "ten", "te", "het",
    "bin", "ibn", "ben", "bint", "y", "e", "und", "et", "en", "i", "am", "an", "on", "sur", "bei",
    "für", "für", "upon", "in", "st", "af", "av", "dal", "d",
];

/// Words after which a word in lower case may be a name.
const CUES: &[&str] = &[
    "mr",
    "mrs",
    "ms",
    "miss",
    "dr",
    "prof",
    "sir",
    "madam",
    "herr",
    "frau",
    "monsieur",
    "madame",
    "mme",
    "señor",
    "señora",
    "sr",
    "sra",
    "signor",
    "signora",
    "named",
    "called",
    "name",
    "aunt",
    "uncle",
    "cousin",
    "colleague",
    "sister",
    "brother",
    "dear",
    "hi",
    "hello",
    "hey",
    "heiße",
    "heisse",
    "appelle",
    "llamo",
    "chiamo",
    "chamo",
    "heet",
];

/// Hashes of a handful of words, sorted.
struct Words(Vec<u32>);

impl Words {
    fn new<'a>(words: impl Iterator<Item = &'a &'a str>) -> Self {
        let mut keys: Vec<u32> = words.map(|word| key(word)).collect();
        keys.sort_unstable();
        Self(keys)
    }

    fn has(&self, key: u32) -> bool {
        self.0.binary_search(&key).is_ok()
    }
}

/// Finds runs of words that may be part of a name.
pub struct Gate {
    links: Words,
    cues: Words,
    titles: Words,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            links: Words::new(LINKS.iter()),
            cues: Words::new(CUES.iter()),
            titles: Words::new(FORMS_OF_ADDRESS.iter().chain(GREETINGS)),
        }
    }
}

impl Gate {
    /// Runs of candidates, as ranges of token numbers. Each is tagged on its own.
    pub fn runs(&self, tokens: &[Token], mut run: impl FnMut(std::ops::Range<usize>)) {
        let mut first = 0;
        let mut open = false;
        for at in 0..tokens.len() {
            let is_candidate = self.is_candidate(tokens, at, open);
            let breaks = matches!(
                tokens[at].gap,
                Gap::Stop | Gap::Line | Gap::Colon | Gap::Dash | Gap::Open | Gap::Close
            );
            if is_candidate && !open {
                first = at;
            } else if is_candidate && breaks {
                run(first..at);
                first = at;
            } else if open && !is_candidate {
                run(first..at);
            }
            open = is_candidate;
        }
        if open {
            run(first..tokens.len());
        }
    }

    fn is_candidate(&self, tokens: &[Token], at: usize, in_run: bool) -> bool {
        let token = &tokens[at];
        let next = tokens.get(at + 1);
        if token.gap == Gap::Glued || next.is_some_and(|next| next.gap == Gap::Glued) {
            return false;
        }
        if token.length <= 9 && self.titles.has(token.key) {
            return false;
        }
        match token.shape {
            Shape::Title => {
                // "Where is ...": an ordinary word that opens a sentence.
                token.grades.word() < 3
                    || token.grades.is_name()
                    || in_run
                    || next.is_some_and(|next| {
                        matches!(next.shape, Shape::Title | Shape::Initial | Shape::Upper)
                    })
            }
            Shape::Initial | Shape::Upper => true,
            Shape::Mixed => token.length < 32,
            Shape::Lower | Shape::Caseless => self.may_be_name(tokens, at, in_run),
            Shape::Alphanumeric => in_run,
            Shape::Digits => false,
        }
    }

    fn may_be_name(&self, tokens: &[Token], at: usize, in_run: bool) -> bool {
        let token = &tokens[at];
        let rare = token.grades.word() == 0;
        if rare && token.grades.is_name() {
            return true;
        }
        let spaced = token.gap == Gap::Space;
        let previous = at.checked_sub(1).and_then(|before| tokens.get(before));
        if in_run && spaced && token.length <= 5 && self.links.has(token.key) {
            let follows = tokens[at + 1..]
                .iter()
                .take(2)
                .any(|next| is_capital(next.shape));
            return follows
                && previous.is_some_and(|token| is_capital(token.shape) || token.length <= 3);
        }
        // `eric g. samoylova`: an initial in small letters.
        if in_run && token.length == 1 && token.gap == Gap::Space {
            return tokens.get(at + 1).is_some_and(|next| {
                matches!(next.gap, Gap::Space | Gap::Abbreviation)
                    && next.length > 2
                    && next.grades.word() == 0
            });
        }
        if token.grades.word() >= 2 || token.length < 2 {
            return false;
        }
        if previous.is_some_and(|previous| self.cues.has(previous.key)) {
            return true;
        }
        // A stranger beside a name in lower case: "codey m ross".
        let beside = |other: Option<&Token>| {
            other.is_some_and(|other| {
                other.shape == token.shape && other.grades.word() == 0 && other.grades.is_name()
            })
        };
        rare && spaced
            && (beside(previous)
                || beside(tokens.get(at + 1).filter(|next| next.gap == Gap::Space)))
    }
}

fn is_capital(shape: Shape) -> bool {
    matches!(
        shape,
        Shape::Title | Shape::Initial | Shape::Upper | Shape::Mixed
    )
}

/// A row of weights for a feature of kind `kind` with two values.
fn row(kind: u32, left: u32, right: u32) -> u32 {
    mix(kind.wrapping_mul(0x9e37_79b1) ^ left.rotate_left(7) ^ right.wrapping_mul(0x2c1b_3c6d))
}

/// Hashes of the ends of a word in lower case.
struct Ends {
    prefix: u32,
    suffix_short: u32,
    suffix: u32,
    suffix_long: u32,
}

impl Ends {
    fn new(word: &str) -> Self {
        let mut lower = [0_u8; 24];
        let mut length = 0;
        // Beyond 24 bytes only the last ones matter.
        let tail = word
            .char_indices()
            .rev()
            .take(8)
            .last()
            .map_or(0, |(at, _)| at);
        for letter in word[tail..].chars() {
            let letter = if letter.is_ascii() {
                letter.to_ascii_lowercase()
            } else {
                letter.to_lowercase().next().unwrap_or(letter)
            };
            let mut buffer = [0; 4];
            let encoded = letter.encode_utf8(&mut buffer).as_bytes();
            if length + encoded.len() <= lower.len() {
                lower[length..length + encoded.len()].copy_from_slice(encoded);
                length += encoded.len();
            }
        }
        let hash = |bytes: &[u8]| {
            bytes.iter().fold(0x811c_9dc5_u32, |hash, &byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            })
        };
        let last = |bytes: usize| hash(&lower[length.saturating_sub(bytes)..length]);
        let head = word.char_indices().nth(3).map_or(word.len(), |(at, _)| at);
        let prefix = word[..head].bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        });
        Self {
            prefix,
            suffix_short: last(2),
            suffix: last(3),
            suffix_long: last(4),
        }
    }
}

/// What is seen of one word: the number of a row for each feature.
pub fn features(text: &str, tokens: &[Token], at: usize) -> [u32; FEATURES] {
    let token = &tokens[at];
    let before = |distance: usize| {
        at.checked_sub(distance)
            .and_then(|at| tokens.get(at))
            .unwrap_or(&NO_WORD)
    };
    let after = |distance: usize| tokens.get(at + distance).unwrap_or(&NO_WORD);
    let (previous, next) = (before(1), after(1));
    let word = text
        .get(token.start as usize..token.end as usize)
        .unwrap_or_default();
    let ends = Ends::new(word);
    let shape = token.shape as u32;
    let grades = u32::from(token.grades.0);
    let gaps = (token.gap as u32) << 8 | next.gap as u32;
    let shapes = shape << 16 | (previous.shape as u32) << 8 | next.shape as u32;
    let previous_grades = u32::from(previous.grades.0);
    let next_grades = u32::from(next.grades.0);
    let length = u32::from(token.length.min(12));
    // A new sentence, line or text begins here.
    let opens = u32::from(matches!(token.gap, Gap::Start | Gap::Line | Gap::Stop));
    [
        // The word itself: see LEXICAL_FEATURES.
        row(1, token.key, shape),
        row(2, ends.prefix, shape),
        row(3, ends.suffix_short, 0),
        row(4, ends.suffix, shape),
        row(5, ends.suffix_long, opens),
        // What the lexicon knows.
        row(6, grades, shape),
        row(7, grades, opens << 8 | shape),
        row(8, grades, previous_grades),
        row(9, grades, next_grades),
        row(10, grades >> 6 << 8 | previous_grades, next_grades),
        // How it is written.
        row(11, shape, length),
        row(12, shapes, 0),
        row(13, gaps, shape),
        row(14, token.gap as u32, shapes),
        row(15, next.gap as u32, shapes),
        // The words around.
        row(16, previous.key, 0),
        row(17, next.key, 0),
        row(18, previous.key, token.gap as u32),
        row(19, next.key, next.gap as u32),
        row(20, before(2).key, 0),
        row(21, after(2).key, 0),
        row(22, before(2).key, previous.key),
        row(23, next.key, after(2).key),
        row(24, previous.key, next.key),
        row(25, previous.key, grades),
        row(26, next.key, grades),
        // Names in lists, and what stands two words away.
        row(
            27,
            u32::from(before(2).grades.0),
            previous_grades << 8 | previous.shape as u32,
        ),
        row(
            28,
            u32::from(after(2).grades.0),
            next_grades << 8 | next.shape as u32,
        ),
        row(29, grades, gaps),
        row(30, u32::from(token.grades.word()), gaps << 16 | shapes),
    ]
}
