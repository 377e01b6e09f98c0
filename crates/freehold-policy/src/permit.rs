//! The permit, the passage that comes from it, and the one function that makes a permit.

use std::collections::BTreeSet;
use std::fmt;

use freehold_types::{
    BackendId, Deployment, DeploymentId, Perimeter, Region, Sensitivity, Site, Tag,
};

use crate::Labels;

/// The operator's rules that hold for every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most sensitive label that may go to outside backends; `None` keeps everything inside
    /// (sealed).
    pub outside_up_to: Option<Sensitivity>,
}

impl Rules {
    /// Outside backends may serve what is at most `internal`.
    pub fn open() -> Self {
        Self {
            outside_up_to: Some(Sensitivity::Internal),
        }
    }

    /// Nothing leaves.
    pub fn sealed() -> Self {
        Self {
            outside_up_to: None,
        }
    }
}

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

/// Proof that policy has run for one request: what it may reach.
///
/// The fields are private and there is no other constructor than [`decide`].
#[derive(Clone, Debug, PartialEq)]
pub struct Permit {
    sensitivity: Sensitivity,
    outside: bool,
    constraints: Vec<Constraint>,
    reasons: Vec<String>,
}

/// Why policy lets a request reach nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The label that led to it.
    pub sensitivity: Sensitivity,
    /// In words, for the client and the audit trail; no prompt text.
    pub reason: String,
}

/// Why a permit does not cover one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(String);

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to call one deployment once for one request. Comes only from [`Permit::passage`].
#[derive(Debug, PartialEq)]
pub struct Passage {
    deployment: DeploymentId,
    backend: BackendId,
    site: Site,
    sensitivity: Sensitivity,
}

/// Decides what a request may reach. `constraints` are those of its route and of its key.
///
/// # Errors
/// A [`Refusal`] when the constraints and the label contradict each other, so that no backend
/// whatsoever could serve.
pub fn decide(
    rules: &Rules,
    labels: &Labels<'_>,
    constraints: impl IntoIterator<Item = Constraint>,
) -> Result<Permit, Refusal> {
    let (sensitivity, who) = labels.highest();
    let outside = rules
        .outside_up_to
        .is_some_and(|limit| sensitivity <= limit);
    let constraints: Vec<_> = constraints
        .into_iter()
        .filter(|c| *c != Constraint::default())
        .collect();

    let mut reasons = vec![format!("{sensitivity} by {who}")];
    reasons.push(match rules.outside_up_to {
        None => "sealed: inside backends only".to_owned(),
        Some(limit) if outside => format!("outside backends may serve up to {limit}"),
        Some(limit) => format!("inside backends only: outside may serve up to {limit}"),
    });
    for constraint in &constraints {
        reasons.extend(constraint.reasons());
        if constraint.perimeter == Some(Perimeter::Outside) && !outside {
            return Err(Refusal {
                sensitivity,
                reason: format!(
                    "the request is {sensitivity} (by {who}) and must stay inside, \
                     but its route or key allows outside backends only"
                ),
            });
        }
    }
    Ok(Permit {
        sensitivity,
        outside,
        constraints,
        reasons,
    })
}

impl Permit {
    /// The label that policy acted on.
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// What was decided, in words.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// Whether this deployment may serve the request.
    ///
    /// # Errors
    /// A [`Denial`] that says which rule forbids it.
    pub fn allows(&self, deployment: &Deployment) -> Result<(), Denial> {
        let site = &deployment.site;
        if site.perimeter == Perimeter::Outside && !self.outside {
            return Err(Denial(format!(
                "outside, and the request is {}",
                self.sensitivity
            )));
        }
        self.constraints
            .iter()
            .try_for_each(|constraint| constraint.allows(deployment, site))
    }

    /// The right to call this deployment once.
    ///
    /// # Errors
    /// A [`Denial`] that says which rule forbids it.
    pub fn passage(&self, deployment: &Deployment) -> Result<Passage, Denial> {
        self.allows(deployment)?;
        Ok(Passage {
            deployment: deployment.id.clone(),
            backend: deployment.backend.clone(),
            site: deployment.site.clone(),
            sensitivity: self.sensitivity,
        })
    }
}

impl Constraint {
    fn allows(&self, deployment: &Deployment, site: &Site) -> Result<(), Denial> {
        if let Some(perimeter) = self.perimeter
            && perimeter != site.perimeter
        {
            return Err(Denial(format!("{} only", perimeter)));
        }
        if !self.regions.is_empty()
            && !site
                .region
                .as_ref()
                .is_some_and(|r| self.regions.contains(r))
        {
            return Err(Denial(match &site.region {
                Some(region) => format!("region {region} is not allowed"),
                None => "declares no region".to_owned(),
            }));
        }
        if let Some(tag) = self.tags.iter().find(|tag| !site.tags.contains(*tag)) {
            return Err(Denial(format!("lacks the tag {tag}")));
        }
        if let Some(deployments) = &self.deployments
            && !deployments.contains(&deployment.id)
        {
            return Err(Denial("not among the allowed deployments".to_owned()));
        }
        Ok(())
    }

    fn reasons(&self) -> Vec<String> {
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

impl Passage {
    /// The deployment it leads to.
    pub fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    /// The backend it leads to.
    pub fn backend(&self) -> &BackendId {
        &self.backend
    }

    /// The request's label.
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// True when it leads to this backend as it is declared now: same backend, perimeter, region
    /// and tags. A backend that moved since the permit was given is not covered.
    pub fn covers(&self, backend: &BackendId, site: &Site) -> bool {
        self.backend == *backend && self.site == *site
    }
}
