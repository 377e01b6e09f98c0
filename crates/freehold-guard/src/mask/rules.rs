//! Which types of finding are replaced, and by what.

use std::collections::BTreeMap;

/// What stands where a value stood. Ordered from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaskStyle {
    /// A made-up value of the same kind and shape, restored in the answer. Types for which none can
    /// be made get a pseudonym.
    Surrogate,
    /// A placeholder such as `<PERSON_1_k3f9x>`, restored in the answer.
    Pseudonym,
    /// `[REDACTED:payment_card]`, never restored.
    Redact,
}

/// The style for each entity type. Types that are not named are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskRules {
    styles: BTreeMap<String, MaskStyle>,
    all_others: Option<MaskStyle>,
}

impl MaskRules {
    /// Rules that replace nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces findings of this type (`person`, `payment_card`) in this style.
    #[must_use]
    pub fn with(mut self, entity: impl Into<String>, style: MaskStyle) -> Self {
        self.styles.insert(entity.into(), style);
        self
    }

    /// Replaces findings of all types that are not named in this style.
    #[must_use]
    pub fn with_all_others(mut self, style: MaskStyle) -> Self {
        self.all_others = Some(style);
        self
    }

    /// The style for a type; `None` when it stays as it is.
    pub fn style(&self, entity: &str) -> Option<MaskStyle> {
        self.styles.get(entity).copied().or(self.all_others)
    }

    /// True when nothing would be replaced.
    pub fn is_empty(&self) -> bool {
        self.styles.is_empty() && self.all_others.is_none()
    }
}
