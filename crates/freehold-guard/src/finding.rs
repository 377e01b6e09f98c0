//! What the guard reports.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use freehold_types::Sensitivity;

/// The type of what was seen, e.g. `payment_card`: ours, or one that the operator named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity(Cow<'static, str>);

impl Entity {
    /// The type as rules, audit and metrics write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Entity {
    fn from(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl From<String> for Entity {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing the guard saw. It never holds the text it saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The entity type, e.g. `payment_card`, `private_key`.
    pub entity: Entity,
    /// The path of the string it stands in, e.g. `messages[1].content[0].text`.
    pub path: String,
    /// Byte range within that string.
    pub range: Range<usize>,
    /// Between 0 and 1.
    pub confidence: f32,
    /// The label that such a thing deserves.
    pub sensitivity: Sensitivity,
}

/// The result of scanning one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// What was seen.
    pub findings: Vec<Finding>,
    /// Why the scan could not look at everything, when it could not. Policy treats such a request as
    /// `restricted`.
    pub incomplete: Option<String>,
}

impl Scan {
    /// The most sensitive label that the findings ask for; `None` when nothing was seen.
    pub fn sensitivity(&self) -> Option<Sensitivity> {
        if self.incomplete.is_some() {
            return Some(Sensitivity::Restricted);
        }
        self.findings
            .iter()
            .map(|finding| finding.sensitivity)
            .max()
    }

    /// How many findings of each entity type, for the ledger.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.entity.to_string()).or_insert(0) += 1;
        }
        counts
    }
}
