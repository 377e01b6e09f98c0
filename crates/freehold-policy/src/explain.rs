//! Why a request is decided as it is: every rule, what it asked, and whether it mattered.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use freehold_types::{Deployment, Sensitivity};
use serde::Serialize;

use crate::condition::{Mismatch, Verdict, with_view};
use crate::constraint::Constraint;
use crate::permit::Permit;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::storing::Terms;
use crate::{Facts, Labels};

/// Why a request is decided as it is. Holds no prompt text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The label that policy acts on.
    pub sensitivity: Sensitivity,
    /// Who set it.
    pub labelled_by: String,
    /// Every rule, in the order in which they are written.
    pub rules: Vec<RuleTrace>,
    /// Why the request is refused as a whole; `None` when it is not.
    pub refusal: Option<RefusalTrace>,
    /// Whether each deployment may serve it. Empty when the request is refused as a whole.
    pub deployments: Vec<DeploymentTrace>,
    /// Whether a person shall look at it.
    pub review: bool,
    /// What is stored of requests like it; `None` when nothing is.
    pub store: Option<StoreTrace>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleTrace {
    /// Its name.
    pub name: String,
    /// Whether it matched.
    #[serde(flatten)]
    pub outcome: RuleOutcome,
    /// What it takes away when it matches, in words.
    pub effects: String,
    /// Whether the decision would be another without it.
    pub decisive: bool,
}

/// Whether a rule matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "because")]
pub enum RuleOutcome {
    /// Everything that it asks for held.
    Matched,
    /// The first thing that did not hold.
    Unmatched(String),
    /// Why its expression could not be evaluated.
    Failed(String),
}

/// Why a request is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalTrace {
    /// The stable code.
    pub code: String,
    /// The rules that led to it.
    pub rules: Vec<String>,
    /// What the client is told.
    pub reason: String,
}

/// What is stored of a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StoreTrace(Terms);

impl fmt::Display for StoreTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether one deployment may serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeploymentTrace {
    /// The deployment's id.
    pub id: String,
    /// Why it may not; `None` when it may.
    pub denied: Option<String>,
    /// What must be masked first, in words; empty when nothing need be.
    pub masks: String,
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and tells why.
    pub fn explain<'a>(
        &self,
        labels: &Labels<'_>,
        facts: &Facts<'_>,
        constraints: &[Constraint],
        deployments: impl IntoIterator<Item = &'a Deployment>,
    ) -> Explanation {
        let deployments: Vec<_> = deployments.into_iter().collect();
        let decide = |policy: &Self| policy.decide(labels, facts, constraints.to_vec());
        let decision = decide(self);
        let whole = essence(&decision, &deployments);
        let matters = |policy: &Self| essence(&decide(policy), &deployments) != whole;

        let mut explanation = with_view(labels.scan, facts, |view| {
            let found = self.matches(labels, view);
            let traces = self.rules.iter().zip(&found.verdicts);
            Explanation {
                sensitivity: found.sensitivity,
                labelled_by: found.by.to_string(),
                rules: traces
                    .map(|(rule, (_, verdict))| {
                        let outcome = match verdict {
                            None => {
                                let least = rule.condition.sensitivity.unwrap_or_default();
                                unmatched(&Mismatch::Sensitivity(least, found.sensitivity))
                            }
                            Some(Verdict::Holds) => RuleOutcome::Matched,
                            Some(Verdict::Differs(mismatch)) => unmatched(mismatch),
                            Some(Verdict::Fails(why)) => RuleOutcome::Failed(why.to_string()),
                        };
                        RuleTrace {
                            name: rule.name.clone(),
                            effects: rule.effects.clone(),
                            decisive: false,
                            outcome,
                        }
                    })
                    .collect(),
                refusal: None,
                deployments: vec![],
                review: false,
                store: None,
            }
        });
        match &decision {
            Err(refusal) => {
                for trace in &mut explanation.rules {
                    trace.decisive = refusal.rules.contains(&trace.name);
                }
                explanation.refusal = Some(RefusalTrace::from(refusal));
            }
            Ok(permit) => {
                self.mark_decisive(&mut explanation.rules, &matters, &|policy| {
                    essence(&decide(policy), &deployments)
                });
                explanation.review = permit.review();
                explanation.store = permit.store.map(StoreTrace);
                explanation.deployments = deployments
                    .iter()
                    .map(|deployment| DeploymentTrace::new(permit, deployment))
                    .collect();
            }
        }
        explanation
    }

    /// A rule decided when the decision is another without it. Where several say the same, none does
    /// so by itself: then those decided that change the decision of a policy without rules.
    fn mark_decisive(
        &self,
        traces: &mut [RuleTrace],
        matters: &dyn Fn(&Self) -> bool,
        essence_of: &dyn Fn(&Self) -> Essence,
    ) {
        let matched = |trace: &RuleTrace| trace.outcome == RuleOutcome::Matched;
        for (index, trace) in traces.iter_mut().enumerate() {
            if matched(trace) {
                let mut rules = self.rules.clone();
                rules.remove(index);
                trace.decisive = matters(&self.with(rules));
            }
        }
        let bare = self.with(vec![]);
        if traces.iter().any(|trace| trace.decisive) || !matters(&bare) {
            return;
        }
        let nothing = essence_of(&bare);
        for (rule, trace) in self.rules.iter().zip(traces) {
            if matched(trace) {
                let alone = self.with(vec![Arc::clone(rule)]);
                trace.decisive = essence_of(&alone) != nothing;
            }
        }
    }
}

fn unmatched(mismatch: &Mismatch<'_>) -> RuleOutcome {
    RuleOutcome::Unmatched(mismatch.to_string())
}

/// What of a decision has consequences.
#[derive(PartialEq)]
struct Essence {
    sensitivity: Sensitivity,
    review: bool,
    store: Option<Terms>,
    /// What is removed from answers.
    redacted: BTreeSet<String>,
    /// For each deployment, what must be masked; `None` where it may not serve.
    deployments: Vec<Option<String>>,
}

fn essence(decision: &Result<Permit, Refusal>, deployments: &[&Deployment]) -> Essence {
    match decision {
        Err(refusal) => Essence {
            sensitivity: refusal.sensitivity,
            review: false,
            store: None,
            redacted: BTreeSet::new(),
            deployments: vec![],
        },
        Ok(permit) => Essence {
            sensitivity: permit.sensitivity(),
            review: permit.review(),
            store: permit.store,
            redacted: permit.redacted_in_answers().map(str::to_owned).collect(),
            deployments: deployments
                .iter()
                .map(|deployment| {
                    let masks = permit.masks_for(deployment).to_string();
                    permit.allows(deployment).is_ok().then_some(masks)
                })
                .collect(),
        },
    }
}

impl From<&Refusal> for RefusalTrace {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code.to_string(),
            rules: refusal.rules.clone(),
            reason: refusal.reason.clone(),
        }
    }
}

impl DeploymentTrace {
    fn new(permit: &Permit, deployment: &Deployment) -> Self {
        let denied = permit.allows(deployment).err().map(|d| d.to_string());
        let masks = match denied {
            None => permit.masks_for(deployment).to_string(),
            Some(_) => String::new(),
        };
        Self {
            id: deployment.id.to_string(),
            denied,
            masks,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} by {}", self.sensitivity, self.labelled_by)?;
        for rule in &self.rules {
            let RuleTrace { name, effects, .. } = rule;
            let mark = if rule.decisive { '*' } else { ' ' };
            match &rule.outcome {
                RuleOutcome::Matched => writeln!(f, "{mark} {name}: matched; {effects}")?,
                RuleOutcome::Unmatched(why) => writeln!(f, "{mark} {name}: no match; {why}")?,
                RuleOutcome::Failed(why) => writeln!(f, "{mark} {name}: failed; {why}")?,
            }
        }
        if let Some(refusal) = &self.refusal {
            return writeln!(f, "refused ({}): {}", refusal.code, refusal.reason);
        }
        for deployment in &self.deployments {
            let DeploymentTrace { id, denied, masks } = deployment;
            match denied {
                Some(why) => writeln!(f, "denied {id}: {why}")?,
                None if masks.is_empty() => writeln!(f, "allowed {id}")?,
                None => writeln!(f, "allowed {id}, masked: {masks}")?,
            }
        }
        if self.review {
            writeln!(f, "to be reviewed")?;
        }
        if let Some(store) = &self.store {
            writeln!(f, "stored: {store}")?;
        }
        if self.rules.iter().any(|rule| rule.decisive) {
            writeln!(f, "* decided")?;
        }
        Ok(())
    }
}
