//! A rule, ready to be applied.

use std::fmt;

use freehold_types::{Deployment, Perimeter, Sensitivity, Tag};

use crate::condition::{Condition, View};
use crate::mask::{MaskMethod, MaskWhere, Masks};
use crate::pattern::Patterns;
use crate::selector::Selector;
use crate::storing::StoreSettings;

/// A rule, ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) condition: Condition,
    pub(crate) requirement: Option<Requirement>,
    pub(crate) mask: Option<Mask>,
    /// What is removed from answers, as written and compiled.
    pub(crate) redact_answers: Vec<(String, Selector)>,
    pub(crate) store: Option<StoreSettings>,
    pub(crate) block: Option<String>,
    pub(crate) raise: Option<Sensitivity>,
    pub(crate) review: bool,
    /// What it does, in words.
    pub(crate) effects: String,
}

/// What a rule wants replaced.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mask {
    pub(crate) at: MaskWhere,
    pub(crate) entities: Vec<(Selector, MaskMethod)>,
}

impl Mask {
    /// Adds what this asks of what was seen.
    pub(crate) fn demand(&self, view: &View<'_>, masks: &mut Masks) {
        for seen in view.seen {
            for (selector, method) in &self.entities {
                if selector.selects(seen) {
                    masks.demand(seen.entity, *method);
                }
            }
        }
    }
}

/// What a rule demands of backends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Requirement {
    pub(crate) perimeter: Option<Perimeter>,
    pub(crate) regions: Option<Patterns>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) deployments: Option<Patterns>,
}

/// What a deployment lacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lack<'a> {
    Perimeter(Perimeter),
    Region(Option<&'a str>),
    Tag(&'a Tag),
    Deployment,
}

impl fmt::Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Perimeter(perimeter) => write!(f, "{perimeter} only"),
            Self::Region(Some(region)) => write!(f, "region {region} is not allowed"),
            Self::Region(None) => f.write_str("declares no region"),
            Self::Tag(tag) => write!(f, "lacks the tag {tag}"),
            Self::Deployment => f.write_str("not among the allowed deployments"),
        }
    }
}

impl Requirement {
    /// What the deployment lacks; `None` when it fulfils all.
    pub(crate) fn lacking<'a>(&'a self, deployment: &'a Deployment) -> Option<Lack<'a>> {
        let site = &deployment.site;
        if let Some(perimeter) = self.perimeter
            && perimeter != site.perimeter
        {
            return Some(Lack::Perimeter(perimeter));
        }
        if let Some(regions) = &self.regions {
            let region = site.region.as_ref().map(freehold_types::Region::as_str);
            if !region.is_some_and(|region| regions.matches(region)) {
                return Some(Lack::Region(region));
            }
        }
        if let Some(tag) = self.tags.iter().find(|tag| !site.tags.contains(*tag)) {
            return Some(Lack::Tag(tag));
        }
        if let Some(deployments) = &self.deployments
            && !deployments.matches(deployment.id.as_str())
        {
            return Some(Lack::Deployment);
        }
        None
    }
}
