//! What a route or a key demands of the backends that serve it.

use std::collections::BTreeSet;
use std::fmt;

use freehold_types::{Deployment, DeploymentId, Perimeter, Region, Tag};

use crate::permit::Denial;

/// What a route or a key demands of the backends that serve it. Empty demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// Only this perimeter.
    pub perimeter: Option<Perimeter>,
    /// Only these regions; empty means any.
    pub regions: BTreeSet<Region>,
    /// All of these tags.
    pub tags: BTreeSet<Tag>,
    /// Only these deployments; `None` means any.
    pub deployments: Option<BTreeSet<DeploymentId>>,
}

impl Constraint {
    pub(crate) fn allows(&self, deployment: &Deployment) -> Result<(), Denial> {
        let site = &deployment.site;
        if let Some(perimeter) = self.perimeter
            && perimeter != site.perimeter
        {
            return Err(Denial::new(format!("{perimeter} only")));
        }
        if !self.regions.is_empty()
            && !site
                .region
                .as_ref()
                .is_some_and(|r| self.regions.contains(r))
        {
            return Err(Denial::new(match &site.region {
                Some(region) => format!("region {region} is not allowed"),
                None => "declares no region".to_owned(),
            }));
        }
        if let Some(tag) = self.tags.iter().find(|tag| !site.tags.contains(*tag)) {
            return Err(Denial::new(format!("lacks the tag {tag}")));
        }
        if let Some(deployments) = &self.deployments
            && !deployments.contains(&deployment.id)
        {
            return Err(Denial::new("not among the allowed deployments".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(perimeter) = self.perimeter {
            reasons.push(format!("{perimeter} backends only"));
        }
        if !self.regions.is_empty() {
            reasons.push(format!("regions: {}", join(&self.regions)));
        }
        if !self.tags.is_empty() {
            reasons.push(format!("tags: {}", join(&self.tags)));
        }
        if let Some(deployments) = &self.deployments {
            reasons.push(format!("deployments: {}", join(deployments)));
        }
        reasons
    }
}

fn join<T: fmt::Display>(items: &BTreeSet<T>) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
