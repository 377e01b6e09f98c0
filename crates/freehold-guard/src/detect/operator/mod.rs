//! The operator's own recognisers and topics, compiled once.

mod topic;
mod validate;

use regex::{Regex, RegexBuilder};

use super::Hit;
use super::around::{contains_word_of, lower_ascii, stands_as_word, window};
use crate::Entity;
use crate::settings::{Recogniser, Settings, SettingsError, Validator};

use topic::Topics;

/// Recognisers and topics that one guard may have: each costs a pass over every text.
const ENTRIES_MAX: usize = 256;

/// Patterns of one entry.
const PATTERNS_MAX: usize = 64;

/// Bytes that one compiled pattern, and the states it makes while it runs, may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A pattern is run over so many bytes at a time, each piece beginning within the last one by the
/// overlap. Listing all matches of an unlucky pattern takes quadratic time in the piece, so pieces
/// keep it linear in the text; a match longer than the overlap may be missed.
const PIECE_BYTES: usize = 4 * 1_024;
const OVERLAP_BYTES: usize = 512;

/// Everything the operator added.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    recognisers: Vec<Compiled>,
    topics: Topics,
}

#[derive(Debug)]
struct Compiled {
    entity: Entity,
    patterns: Vec<Pattern>,
    validator: Validator,
    context: Vec<String>,
    context_within_bytes: usize,
    context_required: bool,
    confidence: f32,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// The index of the group named `value`, or 0.
    group: usize,
    /// Whether letters and digits may not touch a match.
    is_word: bool,
}

impl Operator {
    /// Compiles the recognisers and topics.
    ///
    /// # Errors
    ///
    /// The first entry that cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        at_most(
            "guard.recognisers",
            settings.recognisers.len(),
            "recognisers",
        )?;
        at_most("guard.topics", settings.topics.len(), "topics")?;
        let recognisers = settings
            .recognisers
            .iter()
            .map(compile)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            recognisers,
            topics: Topics::new(&settings.topics)?,
        })
    }

    /// Runs them over a text.
    pub(crate) fn detect(&self, text: &str, found: &mut dyn FnMut(Hit)) {
        for recogniser in &self.recognisers {
            recogniser.detect(text, found);
        }
        self.topics.detect(text, found);
    }

    /// What they report.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &Entity> {
        let recognisers = self.recognisers.iter().map(|recogniser| &recogniser.entity);
        recognisers.chain(self.topics.entities())
    }

    /// True when there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.recognisers.is_empty() && self.topics.is_empty()
    }
}

fn at_most(entry: &'static str, count: usize, what: &'static str) -> Result<(), SettingsError> {
    if count > ENTRIES_MAX {
        return Err(SettingsError::TooMany {
            entry,
            max: ENTRIES_MAX,
            what,
        });
    }
    Ok(())
}

fn compile(raw: &Recogniser) -> Result<Compiled, SettingsError> {
    let entry = format!("guard.recognisers `{}`", raw.name);
    if raw.patterns.is_empty() {
        let needs = "at least one pattern";
        return Err(SettingsError::Empty { entry, needs });
    }
    if raw.context_required && raw.context.is_empty() {
        return Err(SettingsError::NoContext { entry });
    }
    Ok(Compiled {
        entity: Entity::from(raw.name.clone()),
        patterns: patterns(&entry, &raw.patterns)?,
        validator: raw.validator,
        context: raw.context.iter().map(|word| word.to_lowercase()).collect(),
        context_within_bytes: raw.context_within_bytes,
        context_required: raw.context_required,
        confidence: raw.confidence,
    })
}

/// Compiles an entry's patterns.
fn patterns(entry: &str, raw: &[String]) -> Result<Vec<Pattern>, SettingsError> {
    if raw.len() > PATTERNS_MAX {
        return Err(SettingsError::TooMany {
            entry: "an entry's `patterns`",
            max: PATTERNS_MAX,
            what: "patterns",
        });
    }
    let compiled = raw.iter().enumerate();
    compiled
        .map(|(index, pattern)| {
            let number = index + 1;
            let regex = RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| SettingsError::Pattern {
                    entry: entry.to_owned(),
                    number,
                    why: last_line(&error.to_string()),
                })?;
            if regex.is_match("") {
                let entry = entry.to_owned();
                return Err(SettingsError::MatchesNothing { entry, number });
            }
            let named = regex.capture_names().position(|name| name == Some("value"));
            let group = named.unwrap_or(0);
            let is_word = false;
            Ok(Pattern {
                regex,
                group,
                is_word,
            })
        })
        .collect()
}

/// The compiler draws the pattern first; its last line says what is wrong.
fn last_line(message: &str) -> String {
    let last = message.trim().lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

impl Pattern {
    /// Every match in the text, in pieces.
    fn each(&self, text: &str, found: &mut dyn FnMut(usize, usize)) {
        let mut start = 0;
        // Matches that begin before this were found in the piece before.
        let mut seen_to = 0;
        loop {
            let end = text.floor_char_boundary(start + PIECE_BYTES);
            // The whole text up to the piece's end is given, so that anchors and word boundaries see
            // what really stands before.
            let mut at = start.max(seen_to);
            while let Some((from, to, next)) = self.next(&text[..end], at) {
                let is_cut = to == end && end < text.len() && from > start;
                // A match that touches the end may go on: the next piece begins before it.
                if !is_cut {
                    if !self.is_word || stands_as_word(text, from, to) {
                        found(from, to);
                    }
                    seen_to = next;
                }
                if next <= at {
                    break;
                }
                at = next;
            }
            if end == text.len() {
                return;
            }
            start = text.floor_char_boundary(end - OVERLAP_BYTES);
        }
    }

    /// The next match from `at`: what to report, and where to go on.
    fn next(&self, text: &str, at: usize) -> Option<(usize, usize, usize)> {
        if self.group == 0 {
            let whole = self.regex.find_at(text, at)?;
            return Some((whole.start(), whole.end(), whole.end()));
        }
        let groups = self.regex.captures_at(text, at)?;
        let whole = groups.get(0)?;
        let value = groups.get(self.group).unwrap_or(whole);
        Some((value.start(), value.end(), whole.end()))
    }
}

impl Compiled {
    fn detect(&self, text: &str, found: &mut dyn FnMut(Hit)) {
        for pattern in &self.patterns {
            pattern.each(text, &mut |start, end| {
                if start == end || !validate::passes(self.validator, &text[start..end]) {
                    return;
                }
                let confidence = if self.context.is_empty() {
                    self.confidence
                } else if self.in_context(text, start, end) {
                    self.confidence + (1.0 - self.confidence) / 2.0
                } else if self.context_required {
                    return;
                } else {
                    self.confidence
                };
                found(Hit {
                    entity: self.entity.clone(),
                    range: start..end,
                    confidence,
                });
            });
        }
    }

    /// Whether one of the context words stands near.
    fn in_context(&self, text: &str, start: usize, end: usize) -> bool {
        let near = window(text, start, end, self.context_within_bytes);
        let (before, after) = (&text[near.start..start], &text[end..near.end]);
        [before, after].into_iter().map(lower_ascii).any(|side| {
            self.context
                .iter()
                .any(|word| contains_word_of(&side, word))
        })
    }
}

#[cfg(test)]
mod tests;
