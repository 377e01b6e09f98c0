//! What is odd about a policy that can run: rules that never match or never matter, and demands
//! that no deployment fulfils.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_types::{Deployment, Perimeter, Sensitivity};

use crate::compile::{Place, Surroundings, Warning, facts_of, nearest};
use crate::condition::Fact;
use crate::mask::{MaskSettings, MaskWhere};
use crate::pattern::{Pattern, is_wild};
use crate::policy::Policy;
use crate::selector::Selector;
use crate::settings::{
    FindingSettings, OneOrMany, PolicySettings, RequireSettings, RuleSettings, WhenSettings,
};
use crate::storing::StoreSettings;

/// Most reasons that one warning gives.
const REASONS_MAX: usize = 3;

pub(crate) fn warnings(
    policy: &Policy,
    settings: &PolicySettings,
    surroundings: &Surroundings<'_>,
) -> Vec<Warning> {
    let mut analysis = Analysis {
        policy,
        settings,
        surroundings,
        implied: vec![],
        warnings: vec![],
    };
    let implied = settings
        .rules
        .iter()
        .map(|rule| analysis.implied(&rule.when));
    analysis.implied = implied.collect();
    analysis.default_label();
    for index in 0..settings.rules.len() {
        analysis.names(index);
        analysis.labels(index);
        analysis.expression(index);
        analysis.storing(index);
        let overruled = analysis.overruled(index);
        if !overruled {
            analysis.satisfiable(index);
        }
    }
    analysis.warnings
}

struct Analysis<'a> {
    policy: &'a Policy,
    settings: &'a PolicySettings,
    surroundings: &'a Surroundings<'a>,
    /// The label that each rule's findings imply.
    implied: Vec<Sensitivity>,
    warnings: Vec<Warning>,
}

impl<'a> Analysis<'a> {
    fn warn(&mut self, index: usize, field: &str, message: impl Into<String>) {
        let name = self.settings.rules[index].name.clone();
        self.warnings.push(Warning {
            place: Place {
                rule: Some((index, name)),
                field: field.to_owned(),
            },
            message: message.into(),
        });
    }

    fn rule(&self, index: usize) -> &'a RuleSettings {
        &self.settings.rules[index]
    }

    /// The deployments, when there are any: a gateway without models refuses everything anyway.
    fn deployments(&self) -> Option<&'a [Arc<Deployment>]> {
        self.surroundings.deployments.filter(|all| !all.is_empty())
    }

    fn default_label(&mut self) {
        let label = self.settings.default_sensitivity;
        let inside = |d: &Arc<Deployment>| d.site.perimeter == Perimeter::Inside;
        let Some(deployments) = self.deployments() else {
            return;
        };
        if !self.policy.lets_out(label) && !deployments.iter().any(inside) {
            self.warnings.push(Warning {
                place: Place {
                    rule: None,
                    field: "default_sensitivity".to_owned(),
                },
                message: format!(
                    "what is {label} must stay inside, and no deployment is: every request will \
                     be refused"
                ),
            });
        }
    }

    /// Names that nobody has.
    fn names(&mut self, index: usize) {
        for (fact, names) in facts_of(&self.rule(index).when) {
            let known = match fact {
                Fact::Tenant => self.surroundings.tenants,
                Fact::Key => self.surroundings.keys,
                Fact::Flow => self.surroundings.flows,
                Fact::Route => self.surroundings.routes,
                Fact::Region => self.surroundings.regions,
            };
            if let Some(known) = known {
                self.fact(index, fact.as_str(), names, known);
            }
        }
    }

    fn fact(
        &mut self,
        index: usize,
        fact: &str,
        names: &OneOrMany<String>,
        known: &BTreeSet<String>,
    ) {
        let nobody_has = |name: &&String| {
            let pattern = Pattern::new(name);
            // Most are whole names, which need no walk through all that there are.
            !known.contains(*name) && !known.iter().any(|one| pattern.matches(one))
        };
        let missing: Vec<_> = names.iter().filter(nobody_has).collect();
        let never = if missing.len() == names.0.len() {
            "; the rule never matches"
        } else {
            ""
        };
        for name in missing {
            let near = nearest(name, known.iter().map(String::as_str));
            let message = format!("there is no {fact} `{name}`{near}{never}");
            self.warn(index, &format!("when.{fact}"), message);
        }
    }

    /// Conditions on labels that always hold, and raises that raise nothing.
    fn labels(&mut self, index: usize) {
        let rule = self.rule(index);
        let found = self.implied[index];
        let floor = self.settings.default_sensitivity.max(found);
        if let Some(least) = rule.when.sensitivity
            && least > Sensitivity::Public
            && least <= floor
        {
            let whence = if found >= least {
                "what it finds"
            } else {
                "the default"
            };
            let message = format!("always holds: {whence} makes a request at least {floor}");
            self.warn(index, "when.sensitivity", message);
        }
        let floor = floor.max(rule.when.sensitivity.unwrap_or(Sensitivity::Public));
        if let Some(raise) = rule.raise
            && raise <= floor
        {
            let message = format!("raises nothing: what matches is at least {floor} already");
            self.warn(index, "raise", message);
        }
    }

    /// The label that a request has at least when this holds, by what was found in it.
    fn implied(&self, when: &WhenSettings) -> Sensitivity {
        let lowest = |finding: &FindingSettings| {
            let selectors: Vec<_> = finding
                .entity
                .iter()
                .map(|name| Selector::new(name))
                .collect();
            let entities = self.surroundings.entities?.iter();
            entities
                .filter(|(entity, _)| selectors.iter().any(|one| one.selects_name(entity)))
                .map(|(_, label)| *label)
                .min()
        };
        let findings = when.findings.iter().flatten();
        let labels: Option<Vec<_>> = findings.map(lowest).collect();
        labels
            .and_then(|labels| labels.into_iter().min())
            .unwrap_or(Sensitivity::Public)
    }

    fn expression(&mut self, index: usize) {
        let rule = &self.policy.rules[index];
        if let Some(expression) = &rule.condition.expression
            && let Err(failure) = expression.holds_of_nothing()
        {
            let message = format!(
                "for a request of which nothing is known, {failure}: it would be refused; \
                 ask with `in` or `has` first"
            );
            self.warn(index, "when.cel", message);
        }
    }

    /// Text that a rule stores, although every request that it matches is too sensitive for it.
    fn storing(&mut self, index: usize) {
        let rule = self.rule(index);
        let Some(StoreSettings::Keep(keep)) = &rule.store else {
            return;
        };
        let label = rule.when.sensitivity.unwrap_or(Sensitivity::Public);
        let raised = rule.raise.unwrap_or(Sensitivity::Public);
        let label = label.max(self.implied[index]).max(raised);
        if label > keep.up_to {
            let message = format!(
                "stores nothing: what it matches is {label}; write `up_to: {label}` if that is meant"
            );
            self.warn(index, "store", message);
        }
    }

    /// Whether another rule makes this one moot: it matches whenever this one does, and takes away
    /// as much. Of two that say the same, the later is moot.
    fn overruled(&mut self, index: usize) -> bool {
        let rule = self.rule(index);
        for other_index in self.candidates(index) {
            if other_index == index || !self.wider(other_index, index) {
                continue;
            }
            let other = self.rule(other_index);
            let blocks = other.block.is_some() && rule.block.is_none();
            // An expression that fails refuses the request, which is something the other may not do.
            let never_fails = rule.when.cel.is_none() || rule.when.cel == other.when.cel;
            let as_strict = other.block.is_some() || (never_fails && at_least(other, rule));
            let mutual = at_least(rule, other) && self.wider(index, other_index);
            if as_strict && (blocks || !mutual || other_index < index) {
                let message = if other.block.is_some() {
                    format!("never matters: `{}` blocks all that it matches", other.name)
                } else {
                    format!("never matters: `{}` says all that it says", other.name)
                };
                self.warn(index, "name", message);
                return true;
            }
        }
        false
    }

    /// The rules that may hold whenever this one does.
    fn candidates(&self, index: usize) -> Vec<usize> {
        let rule = &self.policy.rules[index];
        self.policy.index.at_least_as_wide(rule)
    }

    /// Whether the one holds whenever the other does, as far as their form shows.
    fn wider(&self, one: usize, other: usize) -> bool {
        let implied = self.implied[other];
        let (one, other) = (&self.rule(one).when, &self.rule(other).when);
        let label = one.sensitivity.is_none_or(|least| {
            let floor = other.sensitivity.unwrap_or(Sensitivity::Public);
            floor.max(implied) >= least
        });
        let findings = one.findings.as_ref().is_none_or(|one| {
            let other = other.findings.as_ref();
            other.is_some_and(|other| {
                other.iter().all(|narrow| {
                    one.iter().any(|wide| {
                        wide.count <= narrow.count
                            && wide.confidence <= narrow.confidence
                            && within(&narrow.entity, &wide.entity)
                    })
                })
            })
        });
        let facts = facts_of(one).all(|(fact, names)| {
            facts_of(other).any(|(same, narrow)| same == fact && within(narrow, names))
        });
        let labels = one.labels.iter().all(|(name, values)| {
            let narrow = other.labels.get(name);
            narrow.is_some_and(|narrow| within(narrow, values))
        });
        let expression = one.cel.is_none() || one.cel == other.cel;
        label && findings && facts && labels && expression
    }

    /// Whether some deployment may serve a request that matches this rule, and all rules that then
    /// match as well.
    fn satisfiable(&mut self, index: usize) {
        let Some(deployments) = self.deployments() else {
            return;
        };
        let rule = self.rule(index);
        let mut together = self.candidates(index);
        together.retain(|other| *other == index || self.wider(*other, index));
        if together.iter().any(|one| self.rule(*one).block.is_some()) {
            return;
        }
        let raises = together.iter().filter_map(|one| self.rule(*one).raise);
        let label = [
            self.settings.default_sensitivity,
            rule.when.sensitivity.unwrap_or(Sensitivity::Public),
            self.implied[index],
        ];
        let label = label
            .into_iter()
            .chain(raises)
            .max()
            .unwrap_or(Sensitivity::Restricted);
        let mut reasons = BTreeSet::new();
        for deployment in deployments {
            match self.obstacle(deployment, label, &together) {
                None => return,
                Some(obstacle) => reasons.insert(format!("{}: {obstacle}", deployment.id)),
            };
        }
        let field = match (&rule.require, rule.raise) {
            (Some(_), _) => "require",
            (None, Some(_)) => "raise",
            // It takes no deployment away; the default or another rule does, and is warned of.
            (None, None) => return,
        };
        let shown: Vec<_> = reasons.into_iter().take(REASONS_MAX).collect();
        let more = if deployments.len() > REASONS_MAX {
            format!("; and {} more", deployments.len() - REASONS_MAX)
        } else {
            String::new()
        };
        let message = format!(
            "no deployment is left: requests that match will be refused ({}{more})",
            shown.join("; ")
        );
        self.warn(index, field, message);
    }

    fn obstacle(
        &self,
        deployment: &Deployment,
        label: Sensitivity,
        rules: &[usize],
    ) -> Option<String> {
        if deployment.site.perimeter == Perimeter::Outside && !self.policy.lets_out(label) {
            return Some(format!("outside, and the request is {label}"));
        }
        rules.iter().find_map(|index| {
            let rule = &self.policy.rules[*index];
            let lack = rule.requirement.as_ref()?.lacking(deployment)?;
            Some(lack.to_string())
        })
    }
}

/// Whether whatever fits the one list fits the other, as far as their form shows.
fn within(narrow: &OneOrMany<String>, wide: &OneOrMany<String>) -> bool {
    let wide: Vec<_> = wide.iter().map(|name| (name, Pattern::new(name))).collect();
    narrow.iter().all(|name| {
        wide.iter().any(|(text, pattern)| {
            // A `*` that takes in another pattern's `*` takes in all that it stands for; a `?` does
            // not.
            let comparable = !is_wild(name) || !text.contains('?');
            *text == name || (comparable && pattern.matches(name))
        })
    })
}

/// Whether a rule takes away all that the other does, and does not block less.
fn at_least(one: &RuleSettings, other: &RuleSettings) -> bool {
    (other.block.is_none() || one.block.is_some())
        && one.raise >= other.raise
        && (one.review || !other.review)
        && other.require.as_ref().is_none_or(|other| {
            let one = one.require.as_ref();
            one.is_some_and(|one| demands_all_of(one, other))
        })
        && other.mask.as_ref().is_none_or(|other| {
            let one = one.mask.as_ref();
            one.is_some_and(|one| masks_all_of(one, other))
        })
        && other.store.as_ref().is_none_or(|other| {
            let one = one.store.as_ref();
            one.is_some_and(|one| one.within(other))
        })
        && other.redact_answers.as_ref().is_none_or(|other| {
            let one = one.redact_answers.as_ref();
            one.is_some_and(|one| within(other, one))
        })
}

fn demands_all_of(one: &RequireSettings, other: &RequireSettings) -> bool {
    let narrower = |one: &Option<OneOrMany<String>>, other: &Option<OneOrMany<String>>| {
        other
            .as_ref()
            .is_none_or(|other| one.as_ref().is_some_and(|one| within(one, other)))
    };
    let tags = |tags: &Option<OneOrMany<String>>| -> BTreeSet<String> {
        tags.iter().flatten().cloned().collect()
    };
    (other.perimeter.is_none() || other.perimeter == one.perimeter)
        && narrower(&one.regions, &other.regions)
        && narrower(&one.deployments, &other.deployments)
        && tags(&one.tags).is_superset(&tags(&other.tags))
}

fn masks_all_of(one: &MaskSettings, other: &MaskSettings) -> bool {
    (one.at == MaskWhere::Always || other.at == MaskWhere::Outside)
        && other.entities.iter().all(|(name, method)| {
            let strictness = one.entities.get(name);
            strictness.is_some_and(|strictness| strictness >= method)
        })
}
