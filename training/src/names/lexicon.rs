//! Builds the lexicon from the lists and from how words are written in the texts.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use freehold_guard::training::{Grades, Lexicon, key};

use crate::data::list;

/// Occurrences in lower case from which a word is ordinary, by grade.
const ORDINARY: [u32; 3] = [5, 20, 150];

/// The table, from all lists and the given texts.
pub(super) fn build(texts: &[String]) -> Result<Vec<u8>> {
    let counts = count(texts);
    let mut words: BTreeMap<u32, [u8; 4]> = BTreeMap::new();
    let mut note = |word: &str, field: usize, grade: u8| {
        // Two letters are an abbreviation more often than a name.
        let least = if word.is_ascii() && field < 3 { 3 } else { 2 };
        if word.chars().count() >= least {
            let grades = words.entry(key(word)).or_default();
            grades[field] = grades[field].max(grade);
        }
    };
    for (field, name) in ["given", "family", "place"].into_iter().enumerate() {
        for listed in list(name)? {
            let parts: Vec<&str> = split(&listed.value).collect();
            let single = parts.len() == 1;
            for part in parts {
                let small =
                    part.chars().count() < 3 || part.chars().next().is_some_and(char::is_lowercase);
                let frequent = counts
                    .get(&part.to_lowercase())
                    .is_some_and(|&(lower, _)| lower >= ORDINARY[1]);
                if part.is_ascii() && small && !single || frequent && !single {
                    continue;
                }
                note(
                    part,
                    field,
                    if single {
                        listed.grade
                    } else {
                        listed.grade.min(2)
                    },
                );
            }
        }
    }
    for listed in list("stop")? {
        note(
            &listed.value,
            3,
            if listed.locales.iter().any(|locale| locale == "en") {
                3
            } else {
                2
            },
        );
    }
    for (word, (lower, other)) in &counts {
        if *lower >= 2 * other {
            let grade = ORDINARY.iter().filter(|&&least| *lower >= least).count();
            note(word, 3, u8::try_from(grade).unwrap_or(3));
        }
    }
    let mut words: Vec<(u32, Grades)> = words
        .into_iter()
        .map(|(key, [given, family, place, word])| {
            (key, Grades(given | family << 2 | place << 4 | word << 6))
        })
        .filter(|(_, grades)| grades.0 != 0)
        .collect();
    eprint_count(words.len());
    words.sort_by_key(|(key, grades)| {
        (
            std::cmp::Reverse(grades.given() + grades.family() + grades.place() + grades.word()),
            *key,
        )
    });
    Ok(Lexicon::build(&words))
}

#[expect(
    clippy::print_stderr,
    reason = "progress of a program for the terminal"
)]
fn eprint_count(words: usize) {
    eprintln!("{words} words in the lexicon");
}

fn split(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(|letter: char| {
            letter.is_whitespace() || matches!(letter, '-' | '.' | ',' | '(' | ')' | '/' | '&')
        })
        .filter(|part| !part.is_empty())
}

/// How often each word occurs in lower case and otherwise (in the middle of a sentence).
fn count(texts: &[String]) -> HashMap<String, (u32, u32)> {
    let mut counts: HashMap<String, (u32, u32)> = HashMap::new();
    for text in texts {
        let mut opens = true;
        for word in text.split_whitespace() {
            let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            if bare.chars().all(char::is_alphabetic) && !bare.is_empty() {
                if bare.chars().all(char::is_lowercase) {
                    counts.entry(bare.to_owned()).or_default().0 += 1;
                } else if !opens {
                    counts.entry(bare.to_lowercase()).or_default().1 += 1;
                }
            }
            opens = word.ends_with(['.', '!', '?', ':', '\n']);
        }
    }
    counts
}
