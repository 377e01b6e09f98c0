//! The `policy` section of the configuration, as it is written.

mod many;
pub(crate) mod schema;

use std::collections::BTreeMap;

use freehold_types::{Perimeter, Sensitivity};
use schemars::JsonSchema;
use serde::Deserialize;

pub use many::OneOrMany;

use crate::mask::MaskSettings;
use crate::storing::StoreSettings;

/// What policy does with labels, findings and facts.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySettings {
    /// The label of a request about which nobody says more.
    #[schemars(schema_with = "schema::sensitivity")]
    pub default_sensitivity: Sensitivity,
    /// The most sensitive label that outside backends may see. `restricted` is refused here: what
    /// is restricted never leaves.
    #[schemars(schema_with = "schema::sensitivity")]
    pub outside_up_to: Sensitivity,
    /// What becomes of a request that could not be scanned to its end.
    pub incomplete_scan: IncompleteScan,
    /// Rules. All that match apply, and the most restrictive wins, whatever their order: a rule can
    /// only take away.
    pub rules: Vec<RuleSettings>,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            default_sensitivity: Sensitivity::Internal,
            outside_up_to: Sensitivity::Internal,
            incomplete_scan: IncompleteScan::default(),
            rules: vec![],
        }
    }
}

/// What becomes of a request that could not be scanned to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncompleteScan {
    /// It is `restricted`, and so stays inside. Rules see what was found until then.
    #[default]
    Restrict,
    /// It is refused with the code `scan_incomplete`.
    Refuse,
}

/// One rule: when it matches, what it takes away.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its name in answers, audit and metrics: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// When it matches. Left out: always.
    #[serde(default)]
    pub when: WhenSettings,
    /// What backends must fulfil.
    #[serde(default)]
    pub require: Option<RequireSettings>,
    /// What is replaced before the request is sent: an entity or group, a list of them, or a map of
    /// them to `pseudonym`, `surrogate` or `redact`. Names may hold `*`. In the map, `where` says
    /// `outside` (the default: only for outside backends) or `always`.
    #[serde(default)]
    pub mask: Option<MaskSettings>,
    /// What is removed from the answer, unless the caller sent it: an entity or group, or a list of
    /// them. Names may hold `*`.
    #[serde(default)]
    pub redact_answers: Option<OneOrMany<String>>,
    /// Whether request and answer are stored, encrypted: `never`, or `{keep_days, sample, what, up_to}`.
    /// Nothing is stored where no rule says so; of several, the strictest holds in each field, and one
    /// `never` is enough.
    #[serde(default)]
    pub store: Option<StoreSettings>,
    /// Refuses the request; this is what the client is told.
    #[serde(default)]
    pub block: Option<String>,
    /// The least label of the request.
    #[serde(default)]
    #[schemars(schema_with = "schema::optional_sensitivity")]
    pub raise: Option<Sensitivity>,
    /// Marks the request for review by a person.
    #[serde(default)]
    pub review: bool,
}

/// When a rule matches: every field that is given must hold; of a list, one item.
///
/// Names may hold `*` (anything) and `?` (one letter). What is not known of a request (no tenant, no
/// flow) fits no pattern, not even `*`. Flow and labels are what the caller says: a rule that
/// matches on them is for callers who mean well.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhenSettings {
    /// The request's label is at least this, raises by other rules included.
    #[schemars(schema_with = "schema::optional_sensitivity")]
    pub sensitivity: Option<Sensitivity>,
    /// The guard saw one of these: an entity (`payment_card`), a group (`secrets`, `identifiers`,
    /// `health`, `names`, `contact`, `financial`), or `{entity, count, confidence}`.
    pub findings: Option<OneOrMany<FindingSettings>>,
    /// The tenant.
    pub tenant: Option<OneOrMany<String>>,
    /// The name of the API key.
    pub key: Option<OneOrMany<String>>,
    /// The workload.
    pub flow: Option<OneOrMany<String>>,
    /// The route: what the client names in `model`.
    pub route: Option<OneOrMany<String>>,
    /// The region that the request comes from, as far as the gateway knows it.
    pub region: Option<OneOrMany<String>>,
    /// Labels in the request's metadata: each name must have one of its values.
    pub labels: BTreeMap<String, OneOrMany<String>>,
    /// An expression in CEL, the Common Expression Language, for what the fields above cannot say.
    /// Variables: `tenant`, `key`, `flow`, `route`, `region` (strings, empty when unknown), `labels`
    /// (map of strings), `findings` (map of entity to count), `incomplete` (bool). One that fails to
    /// evaluate, or is no bool, refuses the request.
    pub cel: Option<String>,
}

/// Something that the guard must have seen.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingSettings {
    /// Entities or groups; together they make up the count.
    pub entity: OneOrMany<String>,
    /// At least so many findings.
    pub count: u32,
    /// Findings that are less certain do not count; 0 to 1.
    pub confidence: f32,
}

impl FindingSettings {
    /// One finding of this entity or group, however certain.
    pub fn any(entity: impl Into<String>) -> Self {
        Self {
            entity: OneOrMany(vec![entity.into()]),
            count: 1,
            confidence: 0.0,
        }
    }
}

/// What backends must fulfil; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequireSettings {
    /// Only this perimeter.
    #[schemars(schema_with = "schema::optional_perimeter")]
    pub perimeter: Option<Perimeter>,
    /// One of these regions; names may hold `*` and `?`.
    pub regions: Option<OneOrMany<String>>,
    /// All of these compliance tags.
    pub tags: Option<OneOrMany<String>>,
    /// One of these deployments (`backend/model`); names may hold `*` and `?`.
    pub deployments: Option<OneOrMany<String>>,
}
