//! The permit, and the passage that comes from it.

use std::fmt;
use std::sync::Arc;

use freehold_guard::Unwanted;
use freehold_types::{
    BackendId, Deployment, DeploymentId, Perimeter, Region, RequestId, Sensitivity, Site, Tag,
};

use crate::constraint::Constraint;
use crate::mask::{Masked, Masks};
use crate::refusal::{Code, Refusal};
use crate::rule::Rule;
use crate::storing::{StoredText, Storing, Terms};

/// Proof that policy has run for one request: what it may reach, and what must be masked first.
///
/// The fields are private and there is no other constructor than [`crate::Policy::decide`].
#[derive(Clone, Debug, PartialEq)]
pub struct Permit {
    pub(crate) sensitivity: Sensitivity,
    pub(crate) outside: bool,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) masks_outside: Masks,
    pub(crate) masks_inside: Masks,
    pub(crate) review: bool,
    pub(crate) store: Option<Terms>,
    pub(crate) reasons: Vec<String>,
}

/// Why a permit does not cover one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    rule: Option<String>,
    text: String,
}

impl Denial {
    pub(crate) fn new(text: String) -> Self {
        Self { rule: None, text }
    }

    /// The rule that forbids it; `None` when it is the label, the route or the key.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{} (rule {rule})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// The right to call one deployment once for one request. Comes only from [`Permit::passage`] and
/// [`Permit::passage_masked`].
#[derive(Debug, PartialEq)]
pub struct Passage {
    deployment: DeploymentId,
    backend: BackendId,
    site: Site,
    sensitivity: Sensitivity,
    masked: bool,
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

    /// The names of the rules that matched, in the order in which they are written.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Whether a person shall look at the request.
    pub fn review(&self) -> bool {
        self.review
    }

    /// Which text of a sample of such requests is stored; `None` when none is.
    pub fn stored(&self) -> Option<StoredText> {
        self.store.map(|terms| terms.what)
    }

    /// How this request's text is stored; `None` when it is not, because no rule says so, or the
    /// request is not in the sample.
    pub fn storing(&self, id: RequestId) -> Option<Storing> {
        Storing::of(self.store?, id, &self.masks_outside, &self.rules)
    }

    /// The same for text that is added to what is stored of the request: it is never masked less than
    /// that.
    pub fn storing_beside(&self, id: RequestId, stored: StoredText) -> Option<Storing> {
        let terms = self.store?.beside(stored);
        Storing::of(terms, id, &self.masks_outside, &self.rules)
    }

    /// Whether any outside backend may be reached, as far as the label goes.
    pub fn outside(&self) -> bool {
        self.outside
    }

    /// What keeps it inside, whatever deployments there are: its label, its route or key, or a rule, in words. `None`
    /// when something outside could serve it.
    pub fn kept_inside_by(&self) -> Option<String> {
        let inside = Some(Perimeter::Inside);
        if !self.outside {
            return Some(format!("its label, {}", self.sensitivity));
        }
        if self.constraints.iter().any(|one| one.perimeter == inside) {
            return Some("its route or its key".to_owned());
        }
        let demands = |rule: &&Arc<Rule>| {
            let requirement = rule.requirement.as_ref();
            requirement.is_some_and(|must| must.perimeter == inside)
        };
        let rule = self.rules.iter().find(demands)?;
        Some(format!("the rule {}", rule.name))
    }

    /// Regions that its route and its key allow; none means any. What rules demand is told by their
    /// names.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.constraints
            .iter()
            .flat_map(|constraint| &constraint.regions)
    }

    /// Tags that its route and its key demand.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.constraints
            .iter()
            .flat_map(|constraint| &constraint.tags)
    }

    /// What is removed from answers unless the caller sent it, as rules name it: entities, groups
    /// and patterns.
    pub fn redacted_in_answers(&self) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter().flat_map(|rule| &rule.redact_answers);
        rules.map(|(name, _)| name.as_str())
    }

    /// Tells which findings are removed from answers; `None` when all may stay.
    pub fn unwanted_in_answers(&self) -> Option<Unwanted> {
        let rules = self.rules.iter();
        let rules: Vec<_> = rules
            .filter(|rule| !rule.redact_answers.is_empty())
            .cloned()
            .collect();
        (!rules.is_empty()).then(|| -> Unwanted {
            Arc::new(move |entity| {
                let mut selectors = rules.iter().flat_map(|rule| &rule.redact_answers);
                selectors.any(|(_, selector)| selector.selects_name(entity.as_str()))
            })
        })
    }

    /// What must be replaced before the request goes to an outside backend.
    pub fn masks_outside(&self) -> &Masks {
        &self.masks_outside
    }

    /// What must be replaced before the request goes to this deployment.
    pub fn masks_for(&self, deployment: &Deployment) -> &Masks {
        match deployment.site.perimeter {
            Perimeter::Inside => &self.masks_inside,
            Perimeter::Outside => &self.masks_outside,
        }
    }

    /// Whether this deployment may serve the request, once it is masked.
    ///
    /// # Errors
    /// A [`Denial`] that says which rule forbids it.
    pub fn allows(&self, deployment: &Deployment) -> Result<(), Denial> {
        if deployment.site.perimeter == Perimeter::Outside && !self.outside {
            return Err(Denial::new(format!(
                "outside, and the request is {}",
                self.sensitivity
            )));
        }
        for constraint in &self.constraints {
            constraint.allows(deployment)?;
        }
        for rule in &self.rules {
            let requirement = rule.requirement.as_ref();
            if let Some(lack) = requirement.and_then(|must| must.lacking(deployment)) {
                return Err(Denial {
                    rule: Some(rule.name.clone()),
                    text: lack.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Whether one of these deployments may serve the request.
    ///
    /// # Errors
    /// A [`Refusal`] with the code `policy_unsatisfiable` when none may; it names the rules that
    /// stand against them.
    pub fn allows_any<'a>(
        &self,
        deployments: impl IntoIterator<Item = &'a Deployment>,
    ) -> Result<(), Refusal> {
        let mut rules = Vec::new();
        for deployment in deployments {
            match self.allows(deployment) {
                Ok(()) => return Ok(()),
                Err(denial) => {
                    if let Some(rule) = denial.rule
                        && !rules.contains(&rule)
                    {
                        rules.push(rule);
                    }
                }
            }
        }
        let because = match &rules[..] {
            [] => String::new(),
            rules => format!(" (rules: {})", rules.join(", ")),
        };
        Err(Refusal {
            code: Code::Unsatisfiable,
            sensitivity: self.sensitivity,
            reason: format!(
                "the request is {}, and policy permits no deployment that could serve it{because}",
                self.sensitivity
            ),
            rules,
        })
    }

    /// The right to call this deployment once with the request as it came.
    ///
    /// # Errors
    /// A [`Denial`] that says which rule forbids it, or what must be masked first.
    pub fn passage(&self, deployment: &Deployment) -> Result<Passage, Denial> {
        self.passage_masked(deployment, &Masked::nothing())
    }

    /// The right to call this deployment once with the request that `masked` is the receipt for.
    ///
    /// # Errors
    /// A [`Denial`] that says which rule forbids it, or what was left unmasked.
    pub fn passage_masked(
        &self,
        deployment: &Deployment,
        masked: &Masked,
    ) -> Result<Passage, Denial> {
        self.allows(deployment)?;
        if let Some((entity, method)) = masked.lacks(self.masks_for(deployment)) {
            return Err(Denial::new(format!(
                "{entity} must be masked first ({method})"
            )));
        }
        Ok(Passage {
            deployment: deployment.id.clone(),
            backend: deployment.backend.clone(),
            site: deployment.site.clone(),
            sensitivity: self.sensitivity,
            masked: masked.is_some(),
        })
    }
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

    /// True when it is for the masked request, not for the request as it came.
    pub fn masked(&self) -> bool {
        self.masked
    }

    /// True when it leads to this backend as it is declared now: same backend, perimeter, region
    /// and tags. A backend that moved since the permit was given is not covered.
    pub fn covers(&self, backend: &BackendId, site: &Site) -> bool {
        self.backend == *backend && self.site == *site
    }
}
