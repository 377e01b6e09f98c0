//! Texts and what is known about the names in them.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use freehold_guard::training::{LABELS, Shape, Token};

use crate::data::{Row, rows};

/// What is known about a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gold {
    /// A name: 0 person, 1 location, 2 organisation.
    Class(usize),
    /// Part of an address: a location or nothing.
    Address,
}

/// One text.
#[derive(Clone)]
pub(super) struct Example {
    pub(super) text: String,
    pub(super) spans: Vec<(Range<usize>, Gold)>,
    pub(super) template: Option<String>,
    /// Whether only persons are annotated reliably.
    pub(super) silver: bool,
}

/// Bits of the labels that mean a location or nothing; organisations too.
const LOCATION_OR_NONE: u8 = 0b001_1001;
const NO_PERSON: u8 = 0b111_1001;
/// Nothing.
pub(super) const OUTSIDE: u8 = 1;
const ANYTHING: u8 = (1 << LABELS) - 1;

impl Example {
    /// For each word, the labels that it may have.
    pub(super) fn allowed(&self, tokens: &[Token]) -> Vec<u8> {
        let mut allowed: Vec<u8> = tokens.iter().map(|token| self.unmarked(token)).collect();
        for (range, gold) in &self.spans {
            let mut first = true;
            for (token, allowed) in tokens.iter().zip(&mut allowed) {
                if (token.start as usize) < range.end && (token.end as usize) > range.start {
                    *allowed = match gold {
                        Gold::Class(class) => 1 << (2 * class + if first { 1 } else { 2 }),
                        Gold::Address => LOCATION_OR_NONE,
                    };
                    first = false;
                }
            }
        }
        allowed
    }

    fn unmarked(&self, token: &Token) -> u8 {
        let ordinary = token.grades.word() >= 2 && !token.grades.is_name();
        match (self.silver, token.shape) {
            (false, _) | (_, Shape::Lower | Shape::Initial | Shape::Digits) => OUTSIDE,
            _ if ordinary => OUTSIDE,
            _ if self.spans.is_empty() => ANYTHING,
            _ => NO_PERSON,
        }
    }
}

fn class(kind: &str) -> Option<Gold> {
    Some(match kind {
        "PERSON" | "NAME" | "DOCTOR" | "person" => Gold::Class(0),
        "LOCATION" | "GPE" | "location" => Gold::Class(1),
        "ORGANIZATION" | "ORG" | "COMPANY" | "SCHOOL" | "UNIVERSITY" | "BANK" | "INSURER"
        | "HOSPITAL" | "COURT" | "corporation" | "group" => Gold::Class(2),
        "ADDRESS" | "STREET_ADDRESS" => Gold::Address,
        _ => return None,
    })
}

fn example(row: Row, silver: bool) -> Example {
    let plausible =
        |text: &str| !text.contains(['@', '[', '{']) && text.chars().any(char::is_alphabetic);
    let spans = row.spans();
    let spans = spans
        .into_iter()
        .filter_map(|(range, kind)| Some((range, class(kind)?)))
        .filter(|(range, _)| plausible(&row.text[range.clone()]))
        .collect();
    Example {
        text: row.text,
        spans,
        template: row.template,
        silver,
    }
}

/// The texts of one file; `silver` where only persons are annotated reliably.
pub(super) fn load(data: &Path, file: &str, silver: bool) -> Result<Vec<Example>> {
    let rows = rows(&data.join("guard/pii").join(file))?;
    Ok(rows.into_iter().map(|row| example(row, silver)).collect())
}

/// A text in which nothing is annotated.
pub(super) fn unmarked(text: String, silver: bool) -> Example {
    Example {
        text,
        spans: vec![],
        template: None,
        silver,
    }
}
