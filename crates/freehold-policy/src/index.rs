//! Which rules can match at all, found by a name that they ask for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::condition::Fact;
use crate::pattern::{Pattern, Patterns};
use crate::rule::Rule;

/// The facts by how many names they are likely to have: of a rule about several, the first counts.
const TELLING: [Fact; Fact::ALL.len()] = [
    Fact::Key,
    Fact::Flow,
    Fact::Route,
    Fact::Tenant,
    Fact::Region,
];

/// The places of rules, by one of the facts that each asks for. A rule about named keys is found by the request's key,
/// and thousands about other keys are never asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    /// Of each fact, by its number, the rules that ask for this very name.
    named: [HashMap<Box<str>, Vec<usize>>; Fact::ALL.len()],
    /// Rules that no single name leads to.
    others: Vec<usize>,
}

impl Index {
    pub(crate) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let names_of = |wanted: &Fact| {
                let mut facts = rule.condition.facts.iter();
                let (fact, patterns) = facts.find(|(fact, _)| fact == wanted)?;
                Some((*fact, exact(patterns)?))
            };
            let Some((fact, names)) = TELLING.iter().find_map(names_of) else {
                index.others.push(place);
                continue;
            };
            for name in names {
                let places = index.named[fact as usize].entry(name.into()).or_default();
                // A rule may repeat a name.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The rules whose condition can hold for who has these names, in their order: any other asks for another name.
    pub(crate) fn candidates<'a>(&self, name_of: impl Fn(Fact) -> Option<&'a str>) -> Vec<usize> {
        let mut places = self.others.clone();
        for fact in Fact::ALL {
            let named = name_of(fact).and_then(|name| self.named[fact as usize].get(name));
            places.extend(named.into_iter().flatten());
        }
        places.sort_unstable();
        places
    }

    /// The rules that can hold wherever this one does, in their order, itself included.
    pub(crate) fn at_least_as_wide(&self, rule: &Rule) -> Vec<usize> {
        self.candidates(|wanted| {
            let mut facts = rule.condition.facts.iter();
            let patterns = facts.find_map(|(fact, all)| (*fact == wanted).then_some(all))?;
            // Whoever is found by names must have all of this one's, the first among them.
            match patterns.iter().next()? {
                Pattern::Exact(name) => Some(&**name),
                _ => None,
            }
        })
    }
}

/// The names, when there are only whole ones.
fn exact(patterns: &Patterns) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for pattern in patterns.iter() {
        match pattern {
            Pattern::Exact(name) => names.push(&**name),
            _ => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use crate::{Policy, PolicySettings, Surroundings};

    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        let rules = rules
            .iter()
            .enumerate()
            .map(|(place, when)| format!("- {{name: r{place}, when: {{{when}}}, review: true}}\n"));
        let yaml = format!("rules:\n{}", rules.collect::<String>());
        let settings: PolicySettings = serde_saphyr::from_str(&yaml).unwrap();
        Policy::compile(&settings, &Surroundings::default())
            .unwrap()
            .0
    }

    #[test]
    fn only_rules_about_this_name_or_any_are_asked() {
        let policy = policy(&[
            "key: a",
            "key: [b, a, a]",
            "key: 'a*'",
            "sensitivity: internal",
            "key: b, tenant: t",
            "key: 'b*', tenant: t",
            "route: r",
        ]);
        let of = |key, tenant| {
            policy.index.candidates(|fact| match fact {
                Fact::Key => key,
                Fact::Tenant => tenant,
                _ => None,
            })
        };
        assert_eq!(of(Some("a"), None), [0, 1, 2, 3]);
        assert_eq!(of(Some("b"), None), [1, 2, 3, 4]);
        assert_eq!(of(Some("b"), Some("t")), [1, 2, 3, 4, 5]);
        assert_eq!(of(None, None), [2, 3]);
    }

    #[test]
    fn a_wider_rule_is_among_those_that_are_compared() {
        let policy = policy(&[
            "key: [a, b]",
            "key: a",
            "key: 'a*'",
            "key: c",
            "tenant: t",
            "key: a, tenant: t",
        ]);
        let wider = |place: usize| policy.index.at_least_as_wide(&policy.rules[place]);
        assert_eq!(wider(1), [0, 1, 2, 5]);
        assert_eq!(wider(2), [2], "no whole name takes in all that begin so");
        assert_eq!(wider(4), [2, 4]);
        assert_eq!(wider(5), [0, 1, 2, 4, 5]);
    }
}
