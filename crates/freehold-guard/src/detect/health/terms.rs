//! The automaton that knows the terms and the words around them.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

static TERMS_FILE: &str = include_str!("terms.txt");

/// Letters of the shortest word that the end of a drug's name is looked for in.
const STEM_WORD_LETTERS_MIN: usize = 7;

/// What a term says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// The entity, of a diagnosis or a drug.
    pub(super) term: Option<&'static str>,
    /// It is the end of a word.
    is_ending: bool,
    /// A patient is spoken of.
    pub(super) strong_cue: bool,
    /// A person may be spoken of.
    pub(super) weak_cue: bool,
    /// Somebody's own: `my`, `her`.
    pub(super) possessive: bool,
    /// A record number may follow.
    pub(super) announces_record: bool,
}

/// All terms.
pub(super) struct Terms {
    automaton: AhoCorasick,
    kinds: Vec<Kind>,
    not_drugs: Vec<&'static str>,
}

impl Terms {
    pub(super) fn new() -> Option<Self> {
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        let mut not_drugs = Vec::new();
        let mut section = "";
        for line in TERMS_FILE.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                continue;
            }
            for term in line
                .split(',')
                .map(str::trim)
                .filter(|term| !term.is_empty())
            {
                if section == "not a drug" {
                    not_drugs.push(term);
                    continue;
                }
                for form in forms(term) {
                    note(kinds.entry(form).or_default(), section);
                }
            }
        }
        let (patterns, kinds): (Vec<String>, Vec<Kind>) = kinds.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&patterns)
            .ok()?;
        Some(Self {
            automaton,
            kinds,
            not_drugs,
        })
    }

    /// Calls `found` for each term that stands there as a word.
    pub(super) fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>, Kind)) {
        let mut from = 0;
        for matched in self.automaton.find_iter(text) {
            let kind = self.kinds[matched.pattern().as_usize()];
            let range = if kind.is_ending {
                self.whole_word(text, matched.range(), from)
            } else {
                as_word(text, matched.range())
            };
            if let Some(range) = range {
                from = range.end;
                found(range, kind);
            }
        }
    }

    /// The word that ends with a drug's stem.
    fn whole_word(&self, text: &str, ending: Range<usize>, from: usize) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if bytes
            .get(ending.end)
            .is_some_and(|next| next.is_ascii_alphanumeric() || *next >= 0x80)
        {
            return None;
        }
        let letters = bytes[from.min(ending.start)..ending.start]
            .iter()
            .rev()
            .take(32)
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        let start = ending.start - letters;
        let fenced = start
            .checked_sub(1)
            .is_none_or(|before| !bytes[before].is_ascii_alphanumeric() && bytes[before] < 0x80);
        let word = text.get(start..ending.end)?;
        let is_drug = fenced
            && word.len() >= STEM_WORD_LETTERS_MIN
            && !self
                .not_drugs
                .iter()
                .any(|other| word.eq_ignore_ascii_case(other));
        is_drug.then_some(start..ending.end)
    }
}

/// How a term may be written: other scripts than ASCII also with a first capital.
fn forms(term: &str) -> Vec<String> {
    let mut letters = term.chars();
    let first: String = letters
        .next()
        .map(|letter| letter.to_uppercase().collect())
        .unwrap_or_default();
    let capital = first + letters.as_str();
    if term.is_ascii() || capital == term {
        vec![term.to_owned()]
    } else {
        vec![term.to_owned(), capital]
    }
}

fn note(kind: &mut Kind, section: &str) {
    match section {
        "diagnosis" => kind.term = Some("diagnosis"),
        "drug" => kind.term = Some("drug"),
        "drug ending" => {
            kind.term = kind.term.or(Some("drug"));
            kind.is_ending = true;
        }
        "strong cue" => kind.strong_cue = true,
        "weak cue" => kind.weak_cue = true,
        "possessive" => kind.possessive = true,
        "record cue" => kind.announces_record = true,
        _ => {}
    }
}

/// The range, when it is a word of its own. Scripts without blanks need no fence.
fn as_word(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let unspaced = |letter: char| matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    let inner = text.get(range.clone())?;
    let (first, last) = (inner.chars().next()?, inner.chars().next_back()?);
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    let fenced_before = unspaced(first) || before.is_none_or(|letter| !letter.is_alphanumeric());
    let fenced_after = unspaced(last) || after.is_none_or(|letter| !letter.is_alphanumeric());
    (fenced_before && fenced_after).then_some(range)
}
