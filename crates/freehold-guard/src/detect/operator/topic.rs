//! Blocked words and topics.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use regex::RegexBuilder;

use super::{Pattern, patterns};
use crate::Entity;
use crate::detect::Hit;
use crate::detect::around::stands_as_word;
use crate::settings::{SettingsError, Topic};

/// A word that the operator listed is certain to be that word.
const CONFIDENCE: f32 = 0.95;

/// Words of all topics together.
const WORDS_MAX: usize = 20_000;

/// The topics of one guard.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// All words written in ASCII at once; `owners` says whose each is.
    words: Option<AhoCorasick>,
    owners: Vec<Entity>,
    /// Patterns, and words whose letters the automaton cannot fold.
    patterns: Vec<(Entity, Pattern)>,
}

impl Topics {
    /// What they report, some of it more than once.
    pub(super) fn entities(&self) -> impl Iterator<Item = &Entity> {
        let patterns = self.patterns.iter().map(|(entity, _)| entity);
        self.owners.iter().chain(patterns)
    }

    pub(super) fn new(topics: &[Topic]) -> Result<Self, SettingsError> {
        let mut words = Vec::new();
        let mut made = Self::default();
        for topic in topics {
            let entry = format!("guard.topics `{}`", topic.name);
            if topic.words.is_empty() && topic.patterns.is_empty() {
                let needs = "words or patterns";
                return Err(SettingsError::Empty { entry, needs });
            }
            let entity = Entity::from(topic.entity.clone());
            for word in &topic.words {
                made.add_word(&entry, &entity, word.trim(), &mut words)?;
            }
            for pattern in patterns(&entry, &topic.patterns)? {
                made.patterns.push((entity.clone(), pattern));
            }
        }
        if made.owners.len() > WORDS_MAX {
            return Err(SettingsError::TooMany {
                entry: "guard.topics",
                max: WORDS_MAX,
                what: "words",
            });
        }
        if !words.is_empty() {
            let automaton = AhoCorasickBuilder::new()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .build(&words);
            let automaton = automaton.map_err(|error| SettingsError::Pattern {
                entry: "guard.topics".to_owned(),
                number: 1,
                why: error.to_string(),
            })?;
            made.words = Some(automaton);
        }
        Ok(made)
    }

    fn add_word<'a>(
        &mut self,
        entry: &str,
        entity: &Entity,
        word: &'a str,
        words: &mut Vec<&'a str>,
    ) -> Result<(), SettingsError> {
        if word.is_empty() {
            return Err(SettingsError::Empty {
                entry: entry.to_owned(),
                needs: "words that are not blank",
            });
        }
        if word.is_ascii() {
            words.push(word);
            self.owners.push(entity.clone());
            return Ok(());
        }
        let regex = RegexBuilder::new(&regex::escape(word))
            .case_insensitive(true)
            .build()
            .map_err(|error| SettingsError::Pattern {
                entry: entry.to_owned(),
                number: 1,
                why: error.to_string(),
            })?;
        self.patterns.push((
            entity.clone(),
            Pattern {
                regex,
                group: 0,
                is_word: true,
            },
        ));
        Ok(())
    }

    pub(super) fn detect(&self, text: &str, found: &mut dyn FnMut(Hit)) {
        let mut report = |entity: &Entity, start: usize, end: usize| {
            found(Hit {
                entity: entity.clone(),
                range: start..end,
                confidence: CONFIDENCE,
            });
        };
        if let Some(words) = &self.words {
            for seen in words.find_overlapping_iter(text) {
                if stands_as_word(text, seen.start(), seen.end()) {
                    report(&self.owners[seen.pattern()], seen.start(), seen.end());
                }
            }
        }
        for (entity, pattern) in &self.patterns {
            pattern.each(text, &mut |start, end| report(entity, start, end));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.patterns.is_empty()
    }
}
