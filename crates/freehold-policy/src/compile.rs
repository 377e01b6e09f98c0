//! From settings to a policy: everything that cannot be meant is an error, with the rule and field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use freehold_types::{Deployment, Sensitivity, Tag};

use crate::analyse;
use crate::condition::{Condition, Fact, FindingTest};
use crate::expression::Expression;
use crate::group;
use crate::index::Index;
use crate::mask::{MaskMethod, MaskSettings};
use crate::pattern::{Patterns, is_wild};
use crate::policy::Policy;
use crate::rule::{Mask, Requirement, Rule};
use crate::selector::Selector;
use crate::settings::{
    FindingSettings, OneOrMany, PolicySettings, RequireSettings, RuleSettings, WhenSettings,
};
use crate::storing::StoreSettings;

/// Most rules.
const RULES_MAX: usize = 10_000;
/// Longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest message of a block, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Longest name or pattern that a rule looks for, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// What a policy is read together with. What is not known is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Whether nothing leaves, whatever the settings say.
    pub sealed: bool,
    /// Every deployment.
    pub deployments: Option<&'a [Arc<Deployment>]>,
    /// Every entity type that the guard can report, and its label.
    pub entities: Option<&'a BTreeMap<String, Sensitivity>>,
    /// Every tenant.
    pub tenants: Option<&'a BTreeSet<String>>,
    /// Every key's name.
    pub keys: Option<&'a BTreeSet<String>>,
    /// Every region that requests come from.
    pub regions: Option<&'a BTreeSet<String>>,
    /// Every route's name.
    pub routes: Option<&'a BTreeSet<String>>,
    /// Every flow's name.
    pub flows: Option<&'a BTreeSet<String>>,
}

/// Where in the settings something is: a rule by its place and name, and a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The rule's place in the list, from 0, and its name; `None` when it is no rule's.
    pub rule: Option<(usize, String)>,
    /// The field, with dots, e.g. `when.cel`.
    pub field: String,
}

impl Place {
    /// The steps from the `policy` section to the field, for finding its line.
    pub fn path(&self) -> Vec<String> {
        let rule = self.rule.iter();
        rule.flat_map(|(index, _)| ["rules".to_owned(), index.to_string()])
            .chain(self.field.split('.').map(str::to_owned))
            .collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some((index, name)) if name.is_empty() => {
                write!(f, "rules[{index}], `{}`", self.field)
            }
            Some((_, name)) => write!(f, "rule `{name}`, `{}`", self.field),
            None => write!(f, "`{}`", self.field),
        }
    }
}

/// Something in the settings that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PolicyError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

/// Something in the settings that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What is odd.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Policy {
    /// What the settings mean.
    ///
    /// # Errors
    /// Everything in them that cannot be meant, not only the first.
    pub fn compile(
        settings: &PolicySettings,
        surroundings: &Surroundings<'_>,
    ) -> Result<(Self, Vec<Warning>), Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| {
            let place = Place {
                rule: None,
                field: field.to_owned(),
            };
            errors.push(PolicyError { place, message });
        };
        if settings.outside_up_to == Sensitivity::Restricted {
            let message = "what is restricted never leaves; `confidential` is the most that may";
            wrong("outside_up_to", message.to_owned());
        }
        if settings.rules.len() > RULES_MAX {
            wrong("rules", format!("more than {RULES_MAX} rules"));
        }
        let mut rules = Vec::with_capacity(settings.rules.len());
        let mut names = BTreeSet::new();
        for (index, raw) in settings.rules.iter().enumerate() {
            let mut reader = Reader {
                index,
                name: &raw.name,
                surroundings,
                errors: &mut errors,
            };
            let rule = reader.rule(raw);
            if !names.insert(&raw.name) {
                reader.wrong("name", "another rule has this name");
            }
            rules.push(Arc::new(rule));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let policy = Self {
            outside_up_to: (!surroundings.sealed).then_some(settings.outside_up_to),
            incomplete_scan: settings.incomplete_scan,
            index: Index::new(&rules),
            rules,
        };
        let warnings = analyse::warnings(&policy, settings, surroundings);
        Ok((policy, warnings))
    }
}

/// Reads one rule, and complains of all that is wrong with it.
struct Reader<'a> {
    index: usize,
    name: &'a str,
    surroundings: &'a Surroundings<'a>,
    errors: &'a mut Vec<PolicyError>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(PolicyError {
            place: Place {
                rule: Some((self.index, self.name.to_owned())),
                field: field.to_owned(),
            },
            message: message.into(),
        });
    }

    fn rule(&mut self, raw: &RuleSettings) -> Rule {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if raw.name.is_empty() || !raw.name.bytes().all(plain) {
            self.wrong(
                "name",
                "a name is made of letters, digits, `-`, `_` and `.`",
            );
        } else if raw.name.len() > NAME_BYTES_MAX {
            self.wrong("name", format!("longer than {NAME_BYTES_MAX} bytes"));
        }
        if let Some(message) = &raw.block {
            if message.trim().is_empty() {
                self.wrong("block", "the client must be told something");
            } else if message.len() > MESSAGE_BYTES_MAX {
                self.wrong("block", format!("longer than {MESSAGE_BYTES_MAX} bytes"));
            }
        }
        let does_nothing = raw.require.is_none()
            && raw.mask.is_none()
            && raw.redact_answers.is_none()
            && raw.store.is_none()
            && raw.block.is_none()
            && raw.raise.is_none()
            && !raw.review;
        if does_nothing {
            let effects =
                "`require`, `mask`, `redact_answers`, `store`, `block`, `raise` or `review`";
            self.wrong("name", format!("the rule does nothing: it needs {effects}"));
        }
        if let Some(StoreSettings::Keep(keep)) = &raw.store
            && let Some((field, message)) = keep.wrong()
        {
            self.wrong(field, message);
        }
        Rule {
            name: raw.name.clone(),
            description: raw.description.clone(),
            condition: self.condition(&raw.when),
            requirement: raw.require.as_ref().map(|must| self.requirement(must)),
            mask: raw.mask.as_ref().map(|mask| self.mask(mask)),
            redact_answers: self.redact_answers(raw.redact_answers.as_ref()),
            store: raw.store.clone(),
            block: raw.block.clone(),
            raise: raw.raise,
            review: raw.review,
            effects: effects(raw),
        }
    }

    fn condition(&mut self, when: &WhenSettings) -> Condition {
        let mut facts = Vec::new();
        for (fact, names) in facts_of(when) {
            let field = format!("when.{}", fact.as_str());
            facts.push((fact, self.patterns(&field, names)));
        }
        let mut labels = Vec::new();
        for (name, values) in &when.labels {
            let field = format!("when.labels.{name}");
            labels.push((name.clone(), self.patterns(&field, values)));
        }
        let findings = when.findings.as_ref().map(|findings| {
            if findings.0.is_empty() {
                self.wrong("when.findings", "an empty list matches nothing");
            }
            findings.iter().map(|one| self.finding(one)).collect()
        });
        let expression = when.cel.as_ref().and_then(|text| {
            Expression::new(text)
                .map_err(|message| self.wrong("when.cel", message))
                .ok()
        });
        Condition {
            sensitivity: when.sensitivity,
            findings,
            facts,
            labels,
            expression,
        }
    }

    fn finding(&mut self, raw: &FindingSettings) -> FindingTest {
        const FIELD: &str = "when.findings";
        if raw.entity.0.is_empty() {
            self.wrong(FIELD, "an empty list of entities matches nothing");
        }
        if raw.count == 0 {
            self.wrong(FIELD, "`count` is at least 1");
        }
        if !(0.0..=1.0).contains(&raw.confidence) {
            self.wrong(FIELD, "`confidence` is between 0 and 1");
        }
        FindingTest {
            entities: raw
                .entity
                .iter()
                .map(|name| self.selector(FIELD, name))
                .collect(),
            count: raw.count,
            confidence: raw.confidence,
        }
    }

    fn mask(&mut self, raw: &MaskSettings) -> Mask {
        if raw.entities.is_empty() {
            self.wrong("mask", "names no entity");
        }
        let entities = raw.entities.iter();
        Mask {
            at: raw.at,
            entities: entities
                .map(|(name, method)| (self.selector("mask", name), *method))
                .collect(),
        }
    }

    fn redact_answers(&mut self, raw: Option<&OneOrMany<String>>) -> Vec<(String, Selector)> {
        const FIELD: &str = "redact_answers";
        if raw.is_some_and(|names| names.0.is_empty()) {
            self.wrong(FIELD, "names no entity");
        }
        raw.into_iter()
            .flatten()
            .map(|name| (name.clone(), self.selector(FIELD, name)))
            .collect()
    }

    /// A name that nothing can report would leave a hole where the operator sees a rule.
    fn selector(&mut self, field: &str, name: &str) -> Selector {
        self.check_name(field, name);
        let selector = Selector::new(name);
        if !name.trim().is_empty()
            && let Some(entities) = self.surroundings.entities
            && !entities.keys().any(|entity| selector.selects_name(entity))
        {
            let mut known: Vec<&str> = entities.keys().map(String::as_str).collect();
            for group in group::group_names() {
                known.push(group);
            }
            let near = nearest(name, known.into_iter());
            self.wrong(field, format!("the guard reports no `{name}`{near}"));
        }
        selector
    }

    fn requirement(&mut self, raw: &RequireSettings) -> Requirement {
        let tags = raw.tags.iter().flat_map(OneOrMany::iter);
        let tags: Vec<_> = tags.map(Tag::new).collect();
        if raw.tags.is_some() && tags.is_empty() {
            self.wrong("require.tags", "an empty list demands nothing");
        }
        if tags.iter().any(|tag| tag.as_str().trim().is_empty()) {
            self.wrong("require.tags", "a tag has a name");
        }
        let requirement = Requirement {
            perimeter: raw.perimeter,
            regions: raw
                .regions
                .as_ref()
                .map(|names| self.patterns("require.regions", names)),
            tags,
            deployments: raw
                .deployments
                .as_ref()
                .map(|names| self.patterns("require.deployments", names)),
        };
        if requirement == Requirement::default() {
            self.wrong("require", "demands nothing");
        }
        requirement
    }

    fn patterns(&mut self, field: &str, names: &OneOrMany<String>) -> Patterns {
        if names.0.is_empty() {
            self.wrong(field, "an empty list fits nothing");
        }
        for name in names {
            self.check_name(field, name);
        }
        Patterns::new(names.iter().map(String::as_str))
    }

    fn check_name(&mut self, field: &str, name: &str) {
        if name.trim().is_empty() {
            self.wrong(field, "an empty name fits nothing");
        } else if name.len() > PATTERN_BYTES_MAX {
            self.wrong(field, format!("longer than {PATTERN_BYTES_MAX} bytes"));
        }
    }
}

/// The facts that a condition compares with names.
pub(crate) fn facts_of(when: &WhenSettings) -> impl Iterator<Item = (Fact, &OneOrMany<String>)> {
    Fact::ALL.into_iter().filter_map(|fact| {
        let names = match fact {
            Fact::Tenant => &when.tenant,
            Fact::Key => &when.key,
            Fact::Flow => &when.flow,
            Fact::Route => &when.route,
            Fact::Region => &when.region,
        };
        names.as_ref().map(|names| (fact, names))
    })
}

/// `; do you mean ...?` when one of the names is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    if is_wild(name) {
        return String::new();
    }
    known
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, other)| format!("; do you mean `{other}`?"))
        .unwrap_or_default()
}

/// What a rule does, in words.
fn effects(raw: &RuleSettings) -> String {
    let mut effects = Vec::new();
    if let Some(message) = &raw.block {
        effects.push(format!("block ({message})"));
    }
    if let Some(label) = raw.raise {
        effects.push(format!("raise to {label}"));
    }
    if let Some(must) = &raw.require {
        if let Some(perimeter) = must.perimeter {
            effects.push(format!("{perimeter} backends only"));
        }
        let lists = [
            ("regions", &must.regions),
            ("tags", &must.tags),
            ("deployments", &must.deployments),
        ];
        for (what, names) in lists {
            if let Some(names) = names {
                effects.push(format!("{what}: {}", names.0.join(", ")));
            }
        }
    }
    if let Some(mask) = &raw.mask {
        let entities: Vec<_> = mask.entities.iter().map(mask_words).collect();
        let at = match mask.at {
            crate::MaskWhere::Outside => "outside",
            crate::MaskWhere::Always => "always",
        };
        effects.push(format!("mask {at}: {}", entities.join(", ")));
    }
    if let Some(names) = &raw.redact_answers {
        effects.push(format!("redact in answers: {}", names.0.join(", ")));
    }
    if let Some(store) = &raw.store {
        effects.push(store.to_string());
    }
    if raw.review {
        effects.push("review".to_owned());
    }
    effects.join("; ")
}

fn mask_words((name, method): (&String, &MaskMethod)) -> String {
    format!("{name} ({method})")
}
