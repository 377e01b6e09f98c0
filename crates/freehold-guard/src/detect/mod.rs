//! The detectors: text in, hits out. All of them are linear in the text.

use std::ops::Range;

use crate::Entity;

mod numbers;
mod secrets;
mod unescape;

pub(crate) use unescape::unescaped;

/// No detector finds anything in less.
pub(crate) const SHORTEST_BYTES: usize = 9;

/// Something seen in one text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) entity: Entity,
    pub(crate) range: Range<usize>,
    pub(crate) confidence: f32,
}

impl Hit {
    /// A hit of one of our own detectors.
    pub(crate) fn new(entity: &'static str, range: Range<usize>, confidence: f32) -> Self {
        Self {
            entity: Entity::from(entity),
            range,
            confidence,
        }
    }
}

/// Runs all detectors over a text. Ranges lie on character boundaries: everything found is ASCII.
pub(crate) fn all(text: &str, found: &mut dyn FnMut(Hit)) {
    if text.len() < SHORTEST_BYTES {
        return;
    }
    secrets::detect(text, found);
    numbers::detect(text, found);
}

#[cfg(test)]
mod tests;
