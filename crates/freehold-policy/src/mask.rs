//! What must be replaced before a request is sent, and the receipt that it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use freehold_guard::{Entity, MaskRules, MaskStyle};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a finding is replaced. Ordered: a later way tells less.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MaskMethod {
    /// By something invented of the same kind, put back in the answer.
    Surrogate,
    /// By a numbered placeholder such as `<PERSON_1>`, put back in the answer.
    Pseudonym,
    /// By its type alone, for good.
    Redact,
}

impl MaskMethod {
    /// The method's name in configuration, audit and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Surrogate => "surrogate",
            Self::Pseudonym => "pseudonym",
            Self::Redact => "redact",
        }
    }
}

impl fmt::Display for MaskMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<MaskMethod> for MaskStyle {
    fn from(method: MaskMethod) -> Self {
        match method {
            MaskMethod::Surrogate => Self::Surrogate,
            MaskMethod::Pseudonym => Self::Pseudonym,
            MaskMethod::Redact => Self::Redact,
        }
    }
}

/// Before which backends a finding is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskWhere {
    /// Before outside ones only.
    #[default]
    Outside,
    /// Before all.
    Always,
}

/// A rule's `mask`: a name, a list of names, or a map of names to methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskSettings {
    /// Before which backends.
    pub at: MaskWhere,
    /// Entities, groups or patterns, and what becomes of them.
    pub entities: BTreeMap<String, MaskMethod>,
}

/// The key of the map form that is no entity.
const WHERE: &str = "where";

impl<'de> Deserialize<'de> for MaskSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaskVisitor)
    }
}

struct MaskVisitor;

impl<'de> Visitor<'de> for MaskVisitor {
    type Value = MaskSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity or group, a list of them, or a map of them to a method")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(MaskSettings {
            at: MaskWhere::default(),
            entities: BTreeMap::from([(name.to_owned(), MaskMethod::Pseudonym)]),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
        let mut mask = MaskSettings::default();
        while let Some(name) = names.next_element()? {
            mask.entities.insert(name, MaskMethod::Pseudonym);
        }
        Ok(mask)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut mask = MaskSettings::default();
        while let Some(name) = fields.next_key::<String>()? {
            if name == WHERE {
                mask.at = fields.next_value()?;
            } else if mask
                .entities
                .insert(name.clone(), fields.next_value()?)
                .is_some()
            {
                return Err(A::Error::custom(format!("`{name}` is named twice")));
            }
        }
        Ok(mask)
    }
}

impl JsonSchema for MaskSettings {
    fn schema_name() -> Cow<'static, str> {
        "Mask".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let method = generator.subschema_for::<MaskMethod>();
        let at = generator.subschema_for::<MaskWhere>();
        json_schema!({
            "description": "Entities or groups to replace: one, a list (by pseudonyms), or a map to a method.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "properties": { WHERE: at }, "additionalProperties": method },
            ],
        })
    }
}

/// What must be replaced before a request goes to a backend: for each entity that was seen, how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks(BTreeMap<Entity, MaskMethod>);

impl Masks {
    /// How findings of this entity are replaced; `None` when they may stand.
    pub fn method(&self, entity: &Entity) -> Option<MaskMethod> {
        self.0.get(entity).copied()
    }

    /// True when nothing need be replaced.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every entity that must be replaced, and how.
    pub fn iter(&self) -> impl Iterator<Item = (&Entity, MaskMethod)> {
        self.0.iter().map(|(entity, method)| (entity, *method))
    }

    /// The same for the guard, which does the masking.
    pub fn to_rules(&self) -> MaskRules {
        self.iter()
            .fold(MaskRules::new(), |rules, (entity, method)| {
                rules.with(entity.as_str(), method.into())
            })
    }

    /// Asks for this much at least.
    pub(crate) fn demand(&mut self, entity: &Entity, method: MaskMethod) {
        match self.0.get_mut(entity) {
            Some(strictest) => *strictest = method.max(*strictest),
            None => {
                self.0.insert(entity.clone(), method);
            }
        }
    }
}

impl fmt::Display for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (entity, method)) in self.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{entity} ({method})")?;
        }
        Ok(())
    }
}

/// The receipt of whoever masked a request: which entities it replaced, every finding of them, and
/// how. [`crate::Permit::passage`] wants one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked(BTreeMap<Entity, MaskMethod>);

impl Masked {
    /// The request is as it came.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Every finding that these masks name was replaced as they ask.
    pub fn as_asked(masks: &Masks) -> Self {
        Self(masks.0.clone())
    }

    /// Every finding of these entities was replaced, in this way at least.
    pub fn of(entities: impl IntoIterator<Item = (Entity, MaskMethod)>) -> Self {
        Self(entities.into_iter().collect())
    }

    /// The first entity that these masks ask for and that was left, or not replaced well enough.
    pub(crate) fn lacks<'a>(&self, masks: &'a Masks) -> Option<(&'a Entity, MaskMethod)> {
        masks
            .iter()
            .find(|(entity, method)| self.0.get(*entity).is_none_or(|done| done < method))
    }

    /// True when something was replaced.
    pub(crate) fn is_some(&self) -> bool {
        !self.0.is_empty()
    }
}
