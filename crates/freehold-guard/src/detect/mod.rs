//! The detectors: text in, hits out. All of them are linear in the text.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use crate::Entity;

mod around;
mod contact;
mod health;
mod identifiers;
pub mod injection;
pub(crate) mod names;
mod operator;
mod secrets;

pub(crate) use operator::Operator;

/// No detector finds anything in less.
pub(crate) const SHORTEST_BYTES: usize = 6;

/// Something seen in one text. It never holds the text it saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The entity type, e.g. `payment_card`.
    pub entity: Entity,
    /// Where it stands: bytes of the text, on character boundaries.
    pub range: Range<usize>,
    /// Between 0 and 1.
    pub confidence: f32,
}

impl Hit {
    /// A hit of one of our own detectors.
    pub(crate) fn new(entity: &'static str, range: Range<usize>, confidence: f32) -> Self {
        debug_assert!(ENTITIES.contains(entity), "{entity} is in no list");
        Self {
            entity: Entity::from(entity),
            range,
            confidence,
        }
    }
}

/// Every entity type that these detectors can report.
pub(crate) static ENTITIES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let lists = [
        contact::ENTITIES,
        names::ENTITIES,
        health::ENTITIES,
        injection::ENTITIES,
    ];
    lists
        .into_iter()
        .flatten()
        .copied()
        .chain(secrets::entities())
        .chain(identifiers::entities())
        .collect()
});

/// Runs all detectors over a text. Ranges lie on character boundaries.
pub(crate) fn all(text: &str, found: &mut dyn FnMut(Hit)) {
    if text.len() < SHORTEST_BYTES {
        return;
    }
    instructions(text, found);
    injection::detect(text, found);
}

/// Runs all detectors but the one for attempts to tell a model something, for texts that are there to
/// tell it something.
pub(crate) fn instructions(text: &str, found: &mut dyn FnMut(Hit)) {
    if text.len() < SHORTEST_BYTES {
        return;
    }
    secrets::detect(text, found);
    identifiers::detect(text, found);
    contact::detect(text, found);
    names::detect(text, found);
    health::detect(text, found);
}

/// Looks for secrets only: what they cost by themselves is measured with this.
pub fn secrets_only(text: &str, found: &mut dyn FnMut(Hit)) {
    secrets::detect(text, found);
}

/// Runs the detectors whose findings are verified by a checksum or a telling shape: only they look
/// at texts that were put together from pieces, where words mean little.
pub(crate) fn firm(text: &str, found: &mut dyn FnMut(Hit)) {
    if text.len() < SHORTEST_BYTES {
        return;
    }
    secrets::detect(text, found);
    identifiers::firm(text, found);
    contact::firm(text, found);
}

#[cfg(test)]
mod tests;
