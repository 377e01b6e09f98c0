//! Whether the text of a request may be stored: never, unless a rule says so.
//!
//! A [`Storing`] is what a permit says of it for one request, and from it alone comes a [`StorePass`],
//! without which nothing can be handed to a store: see `freehold-ports`. Where the text must be masked
//! first, a pass is given only for the receipt ([`Masked`]) that it was.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use freehold_guard::Scan;
use freehold_types::{RequestId, Sensitivity};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::mask::{Masked, Masks};
use crate::permit::Denial;
use crate::rule::Rule;
use crate::settings::schema;

/// Longest time that a rule may keep text, in days: ten years.
const KEEP_DAYS_MAX: u32 = 3_650;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// The word for a rule that forbids it.
const NEVER: &str = "never";

/// Which text is stored. Ordered: the later tells less.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StoredText {
    /// What the client wrote and read.
    Original,
    /// The same with everything replaced that rules want masked before outside backends, whoever
    /// served the request.
    #[default]
    Masked,
}

impl StoredText {
    /// Its name in configuration, records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Masked => "masked",
        }
    }
}

impl fmt::Display for StoredText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule's `store`: `never`, or what is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSettings {
    /// Nothing, whatever other rules say.
    Never,
    /// A share of the requests.
    Keep(KeepSettings),
}

/// What a rule stores.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepSettings {
    /// The share of requests, above 0 and up to 1. Which ones depends on their ids alone.
    #[serde(default = "every")]
    pub sample: f64,
    /// Nothing is kept longer, in days.
    pub keep_days: u32,
    /// `masked` (the default): with everything replaced that rules want masked before outside
    /// backends. `original`: what the client wrote and read.
    #[serde(default)]
    pub what: StoredText,
    /// The most sensitive label that is stored. What is restricted is stored only where
    /// `restricted` stands here.
    #[serde(default = "up_to")]
    #[schemars(schema_with = "schema::sensitivity")]
    pub up_to: Sensitivity,
}

fn every() -> f64 {
    1.0
}

fn up_to() -> Sensitivity {
    Sensitivity::Confidential
}

impl KeepSettings {
    /// What in it cannot be meant, with its field.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        if !(self.sample > 0.0 && self.sample <= 1.0) {
            let message = "a share is above 0 and up to 1; `store: never` stores nothing";
            return Some(("store.sample", message.to_owned()));
        }
        if !(1..=KEEP_DAYS_MAX).contains(&self.keep_days) {
            let message = format!("from 1 to {KEEP_DAYS_MAX} days");
            return Some(("store.keep_days", message));
        }
        None
    }

    fn within(&self, other: &Self) -> bool {
        self.sample <= other.sample
            && self.keep_days <= other.keep_days
            && self.what >= other.what
            && self.up_to <= other.up_to
    }
}

impl StoreSettings {
    /// Whether this stores nothing that the other would not store.
    pub(crate) fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Never, _) => true,
            (Self::Keep(_), Self::Never) => false,
            (Self::Keep(one), Self::Keep(other)) => one.within(other),
        }
    }
}

impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("store nothing"),
            Self::Keep(keep) => write!(f, "store {}", Terms::of(keep)),
        }
    }
}

impl<'de> Deserialize<'de> for StoreSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StoreVisitor)
    }
}

struct StoreVisitor;

impl<'de> Visitor<'de> for StoreVisitor {
    type Value = StoreSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`never`, or a map with `keep_days`, `sample`, `what` and `up_to`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        match word {
            NEVER => Ok(StoreSettings::Never),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        KeepSettings::deserialize(MapAccessDeserializer::new(map)).map(StoreSettings::Keep)
    }
}

impl JsonSchema for StoreSettings {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keep = KeepSettings::json_schema(generator);
        json_schema!({
            "description": "Whether requests and answers are stored: `never`, or which and how long.",
            "anyOf": [{ "const": NEVER }, keep],
        })
    }
}

/// What several rules leave of each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Terms {
    pub(crate) sample: f64,
    pub(crate) keep_days: u32,
    pub(crate) what: StoredText,
    #[serde(skip)]
    up_to: Sensitivity,
}

impl Terms {
    pub(crate) fn of(keep: &KeepSettings) -> Self {
        Self {
            sample: keep.sample,
            keep_days: keep.keep_days,
            what: keep.what,
            up_to: keep.up_to,
        }
    }

    /// What can be told of it when it applies.
    pub(crate) fn shown(self) -> (f64, u32, StoredText) {
        (self.sample, self.keep_days, self.what)
    }

    fn and(self, other: Self) -> Self {
        Self {
            sample: self.sample.min(other.sample),
            keep_days: self.keep_days.min(other.keep_days),
            what: self.what.max(other.what),
            up_to: self.up_to.min(other.up_to),
        }
    }

    /// Masked, if what is stored already is.
    pub(crate) fn beside(self, stored: StoredText) -> Self {
        Self {
            what: self.what.max(stored),
            ..self
        }
    }

    /// What the rules that match leave: nothing when none stores, when one says never, and when the
    /// label is above what one of them stores. What could not be scanned to its end cannot be masked.
    pub(crate) fn left_by<'r>(
        rules: impl Iterator<Item = &'r StoreSettings>,
        label: Sensitivity,
        scanned: bool,
    ) -> Option<Self> {
        let mut left: Option<Self> = None;
        for rule in rules {
            let StoreSettings::Keep(keep) = rule else {
                return None;
            };
            let terms = Self::of(keep);
            left = Some(left.map_or(terms, |left| left.and(terms)));
        }
        left.filter(|left| label <= left.up_to)
            .filter(|left| scanned || left.what == StoredText::Original)
    }

    /// Whether a request is in the sample. Its id alone decides, so that the answer is the same
    /// wherever and however often it is asked.
    fn samples(&self, id: RequestId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *id.as_bytes();
        let drawn = mix(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits are exact, and more than a share needs"
        )]
        let drawn = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < self.sample
    }
}

/// The finaliser of SplitMix64: the id's random bits, independent of others that use them.
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sample,
            keep_days,
            what,
            ..
        } = self;
        let share = (sample * 1e6).round() / 1e4;
        let days = if *keep_days == 1 { "day" } else { "days" };
        write!(f, "{share} % of requests, {what}, {keep_days} {days}")
    }
}

/// That one request is to be stored, and how. Comes only from [`crate::Permit::storing`].
#[derive(Debug, PartialEq)]
pub struct Storing {
    id: RequestId,
    terms: Terms,
    /// What of the request must be masked.
    masks: Masks,
    /// Rules that want something masked.
    rules: Vec<Arc<Rule>>,
    /// The names of all rules that matched.
    matched: Vec<String>,
}

impl Storing {
    /// `None` when the request is not in the sample.
    pub(crate) fn of(
        terms: Terms,
        id: RequestId,
        masks: &Masks,
        rules: &[Arc<Rule>],
    ) -> Option<Self> {
        if !terms.samples(id) {
            return None;
        }
        let mut storing = Self {
            id,
            terms,
            masks: Masks::default(),
            rules: vec![],
            matched: rules.iter().map(|rule| rule.name.clone()).collect(),
        };
        if terms.what == StoredText::Masked {
            storing.masks = masks.clone();
            let masking = rules.iter().filter(|rule| rule.mask.is_some());
            storing.rules = masking.cloned().collect();
        }
        Some(storing)
    }

    /// Which text is stored.
    pub fn what(&self) -> StoredText {
        self.terms.what
    }

    /// What must be replaced first in a text of which this is the scan: request and answer together.
    /// An answer may hold what the request did not.
    pub fn masks(&self, scan: &Scan) -> Masks {
        let mut masks = self.masks.clone();
        let rules = self.rules.iter().filter_map(|rule| rule.mask.as_ref());
        for (selector, method) in rules.flat_map(|mask| &mask.entities) {
            for finding in &scan.findings {
                if selector.selects_name(finding.entity.as_str()) {
                    masks.demand(&finding.entity, *method);
                }
            }
        }
        masks
    }

    /// The right to hand over the text that `scan` is the guard's scan of, before it was masked, and
    /// `masked` the receipt for.
    ///
    /// # Errors
    /// A [`Denial`] when the text is more sensitive than any that is stored, which the answer may make
    /// it, and when something was left unmasked.
    pub fn pass(self, scan: &Scan, masked: &Masked) -> Result<StorePass, Denial> {
        let label = match scan.incomplete {
            Some(_) => Sensitivity::Restricted,
            None => scan.sensitivity().unwrap_or(Sensitivity::Public),
        };
        if label > self.terms.up_to {
            return Err(Denial::new(format!(
                "the text is {label}, and up to {} is stored",
                self.terms.up_to
            )));
        }
        if scan.incomplete.is_some() && self.terms.what == StoredText::Masked {
            let message = "what could not be scanned to its end cannot be masked";
            return Err(Denial::new(message.to_owned()));
        }
        let masks = self.masks(scan);
        if let Some((entity, method)) = masked.lacks(&masks) {
            return Err(Denial::new(format!(
                "{entity} must be masked before it is stored ({method})"
            )));
        }
        Ok(StorePass {
            id: self.id,
            keep: DAY * self.terms.keep_days,
            what: self.terms.what,
            masked: !masks.is_empty(),
            rules: self.matched,
        })
    }
}

/// The right to store the text of one request once. Comes only from [`Storing::pass`].
#[derive(Debug, PartialEq)]
pub struct StorePass {
    id: RequestId,
    keep: Duration,
    what: StoredText,
    masked: bool,
    rules: Vec<String>,
}

impl StorePass {
    /// The request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// How long it may be kept.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// Which text it is for.
    pub fn what(&self) -> StoredText {
        self.what
    }

    /// True when something had to be replaced: the request as it came may not be stored.
    pub fn masked(&self) -> bool {
        self.masked
    }

    /// The names of the rules that matched the request.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }
}
