//! Texts: normal forms, chrF and ROUGE-L.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

/// The longest runs of characters that chrF counts.
const CHRF_ORDER: usize = 6;
/// chrF weighs recall so many times as much as precision.
const CHRF_BETA: f64 = 2.0;

/// Any of Unicode's punctuation.
static PUNCTUATION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{P}").ok());

/// A text in Unicode's NFKC, in lower case, punctuation and white space as single spaces. Signs and points of numbers
/// stay, so that `-5` and `5`, `1.5` and `15` differ: a hyphen before a digit unless a letter or digit is before it, and
/// a point or comma between digits.
#[must_use]
pub fn normalised(text: &str) -> String {
    let composed: String = text.nfkc().collect::<String>().to_lowercase();
    let Some(punctuation) = PUNCTUATION.as_ref() else {
        return composed;
    };
    let characters: Vec<char> = composed.chars().collect();
    let is_digit = |index: Option<usize>| {
        let character = index.and_then(|index| characters.get(index));
        character.is_some_and(char::is_ascii_digit)
    };
    let mut buffer = [0; 4];
    let mut plain = String::with_capacity(composed.len());
    for (index, character) in characters.iter().enumerate() {
        let before = index.checked_sub(1);
        let after = Some(index + 1);
        let is_number = match character {
            '-' => {
                let word = before.and_then(|index| characters.get(index));
                is_digit(after) && !word.is_some_and(|character| character.is_alphanumeric())
            }
            '.' | ',' => is_digit(before) && is_digit(after),
            _ => false,
        };
        if punctuation.is_match(character.encode_utf8(&mut buffer)) && !is_number {
            plain.push(' ');
        } else {
            plain.push(*character);
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// chrF2, from 0 to 1: precision and recall of runs of 1 to 6 characters, white space left out, recall twice as heavy
/// (Popović 2015, *chrF: character n-gram F-score for automatic MT evaluation*). As sacreBLEU computes it for one
/// sentence: lengths that either text is too short for do not count.
#[must_use]
pub fn chrf(answer: &str, reference: &str) -> f64 {
    let [answer, reference] = [answer, reference].map(|text| -> Vec<char> {
        text.chars()
            .filter(|character| !character.is_whitespace())
            .collect()
    });
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in 1..=CHRF_ORDER {
        if answer.len() < order || reference.len() < order {
            break;
        }
        let mut counts: HashMap<&[char], usize> = HashMap::new();
        for run in reference.windows(order) {
            *counts.entry(run).or_default() += 1;
        }
        let mut matches = 0_usize;
        for run in answer.windows(order) {
            if let Some(left) = counts.get_mut(run).filter(|left| **left > 0) {
                *left -= 1;
                matches += 1;
            }
        }
        precision += matches as f64 / (answer.len() - order + 1) as f64;
        recall += matches as f64 / (reference.len() - order + 1) as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    let factor = CHRF_BETA * CHRF_BETA;
    (1.0 + factor) * precision * recall / (factor * precision + recall)
}

/// ROUGE-L, from 0 to 1: the F-measure of the longest common subsequence of words (Lin 2004, *ROUGE: A Package for
/// Automatic Evaluation of Summaries*), precision and recall the same weight. Words are runs of letters and digits in
/// lower case, not stemmed; of languages that write no spaces, chrF tells more.
#[must_use]
pub fn rouge_l(answer: &str, reference: &str) -> f64 {
    let [answer, reference] = [answer, reference].map(str::to_lowercase);
    let [answer, reference] = [words(&answer), words(&reference)];
    let common = common_length(&answer, &reference) as f64;
    if common == 0.0 {
        return 0.0;
    }
    2.0 * common / (answer.len() + reference.len()) as f64
}

fn words(text: &str) -> Vec<&str> {
    // Marks belong to the letters before them.
    let is_word = |character: char| {
        character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character)
    };
    let words = text.split(|character| !is_word(character));
    words.filter(|word| !word.is_empty()).collect()
}

/// The length of the longest common subsequence, by dynamic programming over two rows.
fn common_length(first: &[&str], second: &[&str]) -> usize {
    let mut above = vec![0; second.len() + 1];
    for one in first {
        let mut diagonal = 0;
        for (index, other) in second.iter().enumerate() {
            let kept = above[index + 1];
            above[index + 1] = if one == other {
                diagonal + 1
            } else {
                kept.max(above[index])
            };
            diagonal = kept;
        }
    }
    above[second.len()]
}
