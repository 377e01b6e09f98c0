//! Which entities a rule means, and what a scan saw of them.

use freehold_guard::{Entity, Scan};

use crate::group::{self, GroupSet};
use crate::pattern::Pattern;

/// One entity type of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) entity: &'a Entity,
    pub(crate) count: u32,
    groups: GroupSet,
}

/// Every entity type of a scan, once.
pub(crate) fn seen(scan: &Scan) -> Vec<Seen<'_>> {
    let mut all: Vec<Seen<'_>> = Vec::new();
    for finding in &scan.findings {
        match all.iter_mut().find(|seen| *seen.entity == finding.entity) {
            Some(seen) => seen.count = seen.count.saturating_add(1),
            None => all.push(Seen {
                entity: &finding.entity,
                count: 1,
                groups: group::groups_of(finding.entity.as_str()),
            }),
        }
    }
    all
}

/// Which entities a rule means: by a group, a name or a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selector {
    /// All of a group.
    Group(GroupSet),
    /// Those whose name fits.
    Name(Pattern),
}

impl Selector {
    pub(crate) fn new(name: &str) -> Self {
        match group::named(name) {
            Some(group) => Self::Group(group),
            None => Self::Name(Pattern::new(name)),
        }
    }

    pub(crate) fn selects(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Group(group) => seen.groups & group != 0,
            Self::Name(pattern) => pattern.matches(seen.entity.as_str()),
        }
    }

    /// The same for an entity that no scan saw.
    pub(crate) fn selects_name(&self, entity: &str) -> bool {
        match self {
            Self::Group(group) => group::groups_of(entity) & group != 0,
            Self::Name(pattern) => pattern.matches(entity),
        }
    }
}
