//! The operator's policy, and the one function that makes a permit.

use std::fmt::Display;
use std::sync::Arc;

use freehold_types::{Perimeter, Sensitivity};

use crate::condition::{Verdict, View, with_view};
use crate::constraint::Constraint;
use crate::expression::Failure;
use crate::index::Index;
use crate::mask::{MaskWhere, Masks};
use crate::permit::Permit;
use crate::refusal::{Code, Refusal};
use crate::rule::Rule;
use crate::settings::IncompleteScan;
use crate::storing::{StoreSettings, Terms};
use crate::{Facts, Labels};

/// The operator's policy, ready to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) outside_up_to: Option<Sensitivity>,
    pub(crate) incomplete_scan: IncompleteScan,
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) index: Index,
}

/// A policy without rules of its own: the limit alone.
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

impl From<&Rules> for Policy {
    fn from(rules: &Rules) -> Self {
        Self {
            outside_up_to: rules.outside_up_to,
            incomplete_scan: IncompleteScan::default(),
            rules: vec![],
            index: Index::default(),
        }
    }
}

impl From<Rules> for Policy {
    fn from(rules: Rules) -> Self {
        Self::from(&rules)
    }
}

/// Decides by the limit alone, for a request of which nothing else is known: see
/// [`Policy::decide`].
///
/// # Errors
/// As [`Policy::decide`].
pub fn decide(
    rules: &Rules,
    labels: &Labels<'_>,
    constraints: impl IntoIterator<Item = Constraint>,
) -> Result<Permit, Refusal> {
    Policy::from(rules).decide(labels, &Facts::default(), constraints)
}

/// What the rules make of a request.
pub(crate) struct Match<'p> {
    /// The label after all raises.
    pub(crate) sensitivity: Sensitivity,
    /// Who set it.
    pub(crate) by: Who<'p>,
    /// The rules that were asked, by their places, and whether each matched; `None` when the label never reached it.
    pub(crate) verdicts: Vec<(usize, Option<Verdict<'p>>)>,
}

/// Who set a label.
#[derive(Clone, Copy)]
pub(crate) enum Who<'p> {
    /// One of those who have a say in it.
    Said(&'static str),
    /// A rule.
    Rule(&'p str),
}

impl Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(who) => f.write_str(who),
            Self::Rule(name) => write!(f, "the rule {name}"),
        }
    }
}

impl<'p> Match<'p> {
    fn failed(&self) -> impl Iterator<Item = (usize, Failure)> {
        let failure = |(place, verdict): &(usize, Option<Verdict<'_>>)| match verdict {
            Some(Verdict::Fails(failure)) => Some((*place, *failure)),
            _ => None,
        };
        self.verdicts.iter().filter_map(failure)
    }

    fn matched(&self, rules: &'p [Arc<Rule>]) -> impl Iterator<Item = &'p Arc<Rule>> {
        let verdicts = self.verdicts.iter();
        verdicts
            .filter(|(_, verdict)| *verdict == Some(Verdict::Holds))
            .filter_map(|(place, _)| rules.get(*place))
    }
}

impl Policy {
    /// The most sensitive label that may go to outside backends; `None` when sealed.
    pub fn outside_up_to(&self) -> Option<Sensitivity> {
        self.outside_up_to
    }

    /// The same with other rules.
    pub(crate) fn with(&self, rules: Vec<Arc<Rule>>) -> Self {
        Self {
            outside_up_to: self.outside_up_to,
            incomplete_scan: self.incomplete_scan,
            index: Index::new(&rules),
            rules,
        }
    }

    /// The names of its rules, in the order in which they are written.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Whether a rule wants text stored.
    pub fn stores(&self) -> bool {
        let mut stores = self.rules.iter().filter_map(|rule| rule.store.as_ref());
        stores.any(|store| matches!(store, StoreSettings::Keep(_)))
    }

    /// Whether a label may go to outside backends. What is restricted never may.
    pub(crate) fn lets_out(&self, label: Sensitivity) -> bool {
        label < Sensitivity::Restricted && self.outside_up_to.is_some_and(|limit| label <= limit)
    }

    /// Decides what a request may reach. `constraints` are those of its route and of its key.
    ///
    /// Every rule that matches applies, whatever the order: labels only rise, demands add up, the
    /// strictest mask holds, and one block is enough. A rule whose expression cannot be evaluated
    /// refuses the request, since nobody knows what it would have taken away.
    ///
    /// # Errors
    /// A [`Refusal`] when a rule blocks the request or cannot be evaluated, or when label, rules and
    /// constraints contradict each other, so that no backend whatsoever could serve.
    pub fn decide(
        &self,
        labels: &Labels<'_>,
        facts: &Facts<'_>,
        constraints: impl IntoIterator<Item = Constraint>,
    ) -> Result<Permit, Refusal> {
        let constraints: Vec<_> = constraints
            .into_iter()
            .filter(|c| *c != Constraint::default())
            .collect();
        with_view(labels.scan, facts, |view| {
            let asked = match facts.before {
                [] => self.index.candidates(|fact| fact.of(facts)),
                // Rules that stand by their names, whatever they ask for.
                _ => (0..self.rules.len()).collect(),
            };
            let matched = self.matches_of(asked, labels, view);
            self.permit(&matched, view, constraints)
        })
    }

    /// Asks every rule whether it matches, until no rule raises the label any further.
    ///
    /// A condition can only demand a label, never forbid one, so each rule is asked at most once,
    /// and what comes out does not depend on the order of the rules.
    pub(crate) fn matches<'p>(&'p self, labels: &Labels<'_>, view: &View<'_>) -> Match<'p> {
        self.matches_of((0..self.rules.len()).collect(), labels, view)
    }

    /// The same of some rules.
    fn matches_of<'p>(
        &'p self,
        asked: Vec<usize>,
        labels: &Labels<'_>,
        view: &View<'_>,
    ) -> Match<'p> {
        let (sensitivity, who) = labels.highest(view.facts.previous);
        let mut found = Match {
            sensitivity,
            by: Who::Said(who),
            verdicts: asked.into_iter().map(|place| (place, None)).collect(),
        };
        loop {
            let before = found.sensitivity;
            for (place, verdict) in &mut found.verdicts {
                let rule = &self.rules[*place];
                let stands = view.facts.before.contains(&rule.name);
                if verdict.is_some() || !(stands || rule.condition.reached_by(before)) {
                    continue;
                }
                let asked = if stands {
                    Verdict::Holds
                } else {
                    rule.condition.verdict(view)
                };
                if asked == Verdict::Holds
                    && let Some(raise) = rule.raise
                    && raise > found.sensitivity
                {
                    found.sensitivity = raise;
                    found.by = Who::Rule(&rule.name);
                }
                *verdict = Some(asked);
            }
            if found.sensitivity == before {
                return found;
            }
        }
    }

    fn permit(
        &self,
        matched: &Match<'_>,
        view: &View<'_>,
        constraints: Vec<Constraint>,
    ) -> Result<Permit, Refusal> {
        let outside = self.lets_out(matched.sensitivity);
        self.refuse(matched, view, &constraints, outside)?;
        let mut permit = Permit {
            sensitivity: matched.sensitivity,
            outside,
            reasons: self.reasons(matched, outside, &constraints),
            constraints,
            rules: vec![],
            masks_outside: Masks::default(),
            masks_inside: Masks::default(),
            review: false,
            store: Terms::left_by(
                matched
                    .matched(&self.rules)
                    .filter_map(|rule| rule.store.as_ref()),
                matched.sensitivity,
                view.scan.incomplete.is_none(),
            ),
        };
        for rule in matched.matched(&self.rules) {
            permit.review |= rule.review;
            if let Some(mask) = &rule.mask {
                mask.demand(view, &mut permit.masks_outside);
                if mask.at == MaskWhere::Always {
                    mask.demand(view, &mut permit.masks_inside);
                }
            }
            permit.rules.push(Arc::clone(rule));
        }
        Ok(permit)
    }

    /// Whether something stands against the request as a whole.
    fn refuse(
        &self,
        matched: &Match<'_>,
        view: &View<'_>,
        constraints: &[Constraint],
        outside: bool,
    ) -> Result<(), Refusal> {
        let refuse = |code, rules, reason| {
            Err(Refusal {
                code,
                sensitivity: matched.sensitivity,
                rules,
                reason,
            })
        };
        if self.incomplete_scan == IncompleteScan::Refuse && view.scan.incomplete.is_some() {
            let reason = "the request could not be scanned to its end".to_owned();
            return refuse(Code::ScanIncomplete, vec![], reason);
        }
        let blocking = || {
            matched
                .matched(&self.rules)
                .filter_map(|rule| Some((rule, rule.block.as_ref()?)))
        };
        if let Some((_, message)) = blocking().next() {
            let names = blocking().map(|(rule, _)| rule.name.clone()).collect();
            return refuse(Code::Blocked, names, message.clone());
        }
        if let Some((first, failure)) = matched.failed().next() {
            let name = &self.rules[first].name;
            let reason = format!("the policy rule {name} could not be evaluated: {failure}");
            let names = matched
                .failed()
                .map(|(index, _)| self.rules[index].name.clone());
            return refuse(Code::EvaluationFailed, names.collect(), reason);
        }
        let Some((rules, who)) = contradiction(matched, &self.rules, constraints, outside) else {
            return Ok(());
        };
        let (label, by) = (matched.sensitivity, matched.by);
        let reason = if outside {
            format!("{who} inside backends only and outside backends only at once")
        } else {
            format!(
                "the request is {label} (by {by}) and must stay inside, \
                 but {who} outside backends only"
            )
        };
        let incomplete = !outside && view.scan.incomplete.is_some();
        let code = if incomplete {
            Code::ScanIncomplete
        } else {
            Code::Unsatisfiable
        };
        refuse(code, rules, reason)
    }

    fn reasons(
        &self,
        matched: &Match<'_>,
        outside: bool,
        constraints: &[Constraint],
    ) -> Vec<String> {
        let label = matched.sensitivity;
        let mut reasons = vec![format!("{label} by {}", matched.by)];
        reasons.push(match self.outside_up_to {
            None => "sealed: inside backends only".to_owned(),
            Some(limit) if outside => format!("outside backends may serve up to {limit}"),
            Some(limit) => format!("inside backends only: outside may serve up to {limit}"),
        });
        reasons.extend(constraints.iter().flat_map(Constraint::reasons));
        for rule in matched.matched(&self.rules) {
            reasons.push(["rule ", &rule.name, ": ", &rule.effects].concat());
        }
        reasons
    }
}

/// The rules that leave no perimeter, and whom to name for it.
fn contradiction(
    matched: &Match<'_>,
    rules: &[Arc<Rule>],
    constraints: &[Constraint],
    outside: bool,
) -> Option<(Vec<String>, String)> {
    let demands = |perimeter| {
        let constrained = constraints.iter().any(|c| c.perimeter == Some(perimeter));
        let names: Vec<String> = matched
            .matched(rules)
            .filter(|rule| {
                let requirement = rule.requirement.as_ref();
                requirement.is_some_and(|must| must.perimeter == Some(perimeter))
            })
            .map(|rule| rule.name.clone())
            .collect();
        (constrained || !names.is_empty(), names)
    };
    let (wants_outside, mut names) = demands(Perimeter::Outside);
    if !wants_outside {
        return None;
    }
    let (wants_inside, inside) = demands(Perimeter::Inside);
    if outside && !wants_inside {
        return None;
    }
    if outside {
        names.extend(inside);
    }
    let who = match &names[..] {
        [] => "its route or key allows".to_owned(),
        [one] => format!("the policy rule {one} allows"),
        several => format!("the policy rules {} allow", several.join(", ")),
    };
    Some((names, who))
}
