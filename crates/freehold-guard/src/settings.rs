//! What the operator may say about the guard: the `guard:` section of the configuration.

use std::collections::BTreeMap;

use freehold_types::Sensitivity;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the guard looks, what it looks for beyond its own detectors, and what it makes of it.
///
/// Everything has a default; [`crate::Guard::new`] checks what the shape alone cannot.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far one scan goes.
    pub limits: Limits,
    /// What is made of content that nothing here can read: pictures, sounds, documents, token lists,
    /// encrypted or encoded blobs.
    pub opaque: Opaque,
    /// Sensitivity by entity type, where it differs from the built-in table, e.g.
    /// `email_address: confidential`.
    #[schemars(with = "BTreeMap<String, LabelName>")]
    pub labels: BTreeMap<String, Sensitivity>,
    /// Entity types that are not reported at all.
    pub off: Vec<String>,
    /// Findings less certain than this are dropped. Between 0 and 1.
    pub min_confidence: f32,
    /// Your own entity types.
    pub recognisers: Vec<Recogniser>,
    /// Words and topics that you want to know about.
    pub topics: Vec<Topic>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            opaque: Opaque::default(),
            labels: BTreeMap::new(),
            off: Vec::new(),
            min_confidence: 0.5,
            recognisers: Vec::new(),
            topics: Vec::new(),
        }
    }
}

/// How far a scan goes, and what it makes of what it cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of text in one request; beyond, the scan is incomplete.
    pub max_bytes: usize,
    /// Nesting of JSON values and of tool results; beyond, the scan is incomplete.
    pub max_depth: usize,
    /// Findings in one request; beyond, the scan is incomplete.
    pub max_findings: usize,
    /// Whether pictures, sounds and documents, which nothing here can read, make a scan incomplete.
    /// In the configuration this is `opaque`, beside the limits; only [`crate::scan`] reads it here.
    #[serde(skip)]
    pub opaque_is_restricted: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 32 * 1024 * 1024,
            max_depth: 128,
            max_findings: 1_024,
            opaque_is_restricted: false,
        }
    }
}

/// What is made of content that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Opaque {
    /// The request is `restricted`: what nobody can read may hold anything.
    #[default]
    Restricted,
    /// The request is judged by what could be read.
    Allowed,
}

/// The labels as the configuration writes them, for its schema.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum LabelName {
    Public,
    Internal,
    Confidential,
    Restricted,
}

/// An entity type of the operator's own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recogniser {
    /// The entity type it reports, in snake_case, e.g. `employee_id`.
    pub name: String,
    /// Regular expressions (Rust's `regex` syntax, no look-around). The group named `value`, when
    /// there is one, is what is reported; else the whole match.
    pub patterns: Vec<String>,
    /// What a match must satisfy beside the pattern. Only its letters and digits are looked at.
    #[serde(default)]
    pub validator: Validator,
    /// Words that stand near a true match, compared without regard to case.
    #[serde(default)]
    pub context: Vec<String>,
    /// How far from a match its context may stand, in bytes.
    #[serde(default = "default_context_within_bytes")]
    pub context_within_bytes: usize,
    /// Whether a match without context is dropped.
    #[serde(default)]
    pub context_required: bool,
    /// How certain a match is. Between 0 and 1; a match in context gets half of what is missing on
    /// top. From 0.85 on it is also looked for where it is cut over several strings.
    #[serde(default = "default_confidence")]
    pub confidence: f32,
    /// The label it deserves. Default: `confidential`.
    #[serde(default)]
    #[schemars(with = "Option<LabelName>")]
    pub label: Option<Sensitivity>,
}

/// What a recogniser's match must satisfy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// Nothing.
    #[default]
    None,
    /// The check digit of payment cards (ISO/IEC 7812-1).
    Luhn,
    /// The check digit of Aadhaar numbers (Verhoeff, 1969).
    Verhoeff,
    /// The check digit of Damm (2004).
    Damm,
    /// ISO/IEC 7064 MOD 97-10: letters count 10 to 35, the whole leaves 1.
    Mod97,
    /// The same with the first four characters moved to the end (ISO 13616, IBAN).
    Iban,
    /// Weights from the length down to 1, the sum divisible by 11; a last `X` counts 10 (ISBN-10, NHS
    /// numbers).
    Mod11,
    /// ISO/IEC 7064 MOD 11,10 (German tax ids).
    Mod11_10,
    /// Looks random, as keys do: at least 3 bits per character.
    Entropy,
}

/// Words that the operator wants to know about.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What it is called, in messages about the configuration.
    pub name: String,
    /// The entity type it reports. Default: `blocked_topic`.
    #[serde(default = "default_topic_entity")]
    pub entity: String,
    /// Words and phrases, found as whole words without regard to case.
    #[serde(default)]
    pub words: Vec<String>,
    /// Regular expressions.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// The label it deserves. Default: `internal`.
    #[serde(default)]
    #[schemars(with = "Option<LabelName>")]
    pub label: Option<Sensitivity>,
}

impl Settings {
    /// Checks names and numbers; patterns are checked where they are compiled.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        probability("guard.min_confidence", self.min_confidence)?;
        for name in self.labels.keys() {
            entity_name("guard.labels", name)?;
        }
        for name in &self.off {
            entity_name("guard.off", name)?;
        }
        for recogniser in &self.recognisers {
            let entry = format!("guard.recognisers `{}`", recogniser.name);
            entity_name(&entry, &recogniser.name)?;
            probability(&format!("{entry}: confidence"), recogniser.confidence)?;
        }
        for topic in &self.topics {
            entity_name(&format!("guard.topics `{}`", topic.name), &topic.entity)?;
        }
        Ok(())
    }

    /// The labels of the operator's own entity types.
    pub(crate) fn own_labels(&self) -> Result<BTreeMap<String, Sensitivity>, SettingsError> {
        let recognisers = self.recognisers.iter().map(|recogniser| {
            let entry = format!("guard.recognisers `{}`", recogniser.name);
            (entry, &recogniser.name, recogniser.label)
        });
        let topics = self.topics.iter().map(|topic| {
            let entry = format!("guard.topics `{}`", topic.name);
            (entry, &topic.entity, topic.label)
        });
        let mut labels = BTreeMap::new();
        for (entry, name, label) in recognisers.chain(topics) {
            let Some(label) = label else { continue };
            if labels
                .insert(name.clone(), label)
                .is_some_and(|known| known != label)
            {
                let name = name.clone();
                return Err(SettingsError::Label { entry, name });
            }
        }
        Ok(labels)
    }
}

fn probability(entry: &str, value: f32) -> Result<(), SettingsError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::NotBetweenZeroAndOne {
        entry: entry.to_owned(),
    })
}

fn entity_name(entry: &str, name: &str) -> Result<(), SettingsError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= 64 && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(SettingsError::Name {
        entry: entry.to_owned(),
        name: name.to_owned(),
    })
}

fn default_context_within_bytes() -> usize {
    60
}

fn default_confidence() -> f32 {
    0.7
}

fn default_topic_entity() -> String {
    "blocked_topic".to_owned()
}

/// Why the settings cannot be used. Each names the entry and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A name that rules and audit could not write.
    #[error(
        "{entry}: `{name}` is no entity name: use 1 to 64 small letters, digits and underscores, a letter first"
    )]
    Name {
        /// Which entry.
        entry: String,
        /// The name as written.
        name: String,
    },
    /// A number that is no probability.
    #[error("{entry} must lie between 0 and 1")]
    NotBetweenZeroAndOne {
        /// Which entry.
        entry: String,
    },
    /// An entry that cannot find anything.
    #[error("{entry} can never match: give it {needs}")]
    Empty {
        /// Which entry.
        entry: String,
        /// What it lacks.
        needs: &'static str,
    },
    /// A pattern that does not compile, or is too large once compiled.
    #[error(
        "{entry}: the pattern number {number} cannot be used ({why}): simplify it; look-around and back-references do not exist here"
    )]
    Pattern {
        /// Which entry.
        entry: String,
        /// Which of its patterns, from 1.
        number: usize,
        /// What the compiler said.
        why: String,
    },
    /// A pattern that matches the empty text, and so everywhere.
    #[error(
        "{entry}: the pattern number {number} matches the empty text: let it require at least one character"
    )]
    MatchesNothing {
        /// Which entry.
        entry: String,
        /// Which of its patterns, from 1.
        number: usize,
    },
    /// Required context without any context word.
    #[error("{entry} requires context and names none: add words to `context`")]
    NoContext {
        /// Which entry.
        entry: String,
    },
    /// More than the guard can run on each request.
    #[error("{entry}: at most {max} {what}: merge some of them")]
    TooMany {
        /// Which entry.
        entry: &'static str,
        /// How many there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// Two entries of one name ask for different labels.
    #[error("{entry}: another entry gives `{name}` a different label: use one of them for both")]
    Label {
        /// Which entry.
        entry: String,
        /// The entity type.
        name: String,
    },
}
