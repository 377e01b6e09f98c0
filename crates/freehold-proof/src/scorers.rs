//! How good an answer is: scorers that compare it with what a case expects.
//!
//! A score goes from 0 to 1. What cannot be scored is never a silent zero: a scorer that does not apply to a case
//! skips it, and one that breaks on it fails, each with a reason.

mod agreement;
pub mod judge;
mod labels;
mod number;
mod structure;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::{Assertion, Case};
use crate::differences::Score;

pub use agreement::Agreement;
use judge::Verdicts;
pub use labels::{Confusion, LabelFigures};
pub use text::{chrf, normalised, rouge_l};

/// Which scorer, and what it goes by. Two runs can be compared when theirs are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScorerSpec {
    /// The answer is an expected text, white space around it left out.
    Exact,
    /// The same after Unicode's NFKC, in lower case, without punctuation, with single spaces.
    Normalised,
    /// An expected text is in the answer.
    Contains,
    /// A pattern is found in the answer.
    Regex {
        /// The pattern; without it, the case's expected texts are patterns.
        pattern: Option<String>,
    },
    /// The share of the case's own assertions that hold.
    Assert,
    /// The answer is JSON.
    Json,
    /// The answer is JSON that is valid by a schema.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
    /// The share of the expected object's fields that the answer's JSON has, with equal values.
    Fields,
    /// The last number in the answer is close to the expected one.
    Number {
        /// So far away is close.
        absolute: f64,
        /// So large a share of the expected number away is close.
        relative: f64,
    },
    /// The answer names the expected label and no other.
    Label {
        /// All labels there are.
        labels: Vec<String>,
    },
    /// chrF2 by the best of the expected texts.
    Chrf,
    /// The F-measure of ROUGE-L by the best of the expected texts.
    RougeL,
    /// A model grades the answer.
    Judge {
        /// The model.
        model: String,
        /// What it goes by.
        rubric: String,
    },
    /// A model says whose answer is better; the score is the candidate's.
    Pairwise {
        /// The model.
        model: String,
        /// What it goes by.
        criteria: String,
        /// Whose answers were in use: a name, and the SHA-256 of the answers.
        incumbent: String,
        /// Whose may take their place.
        candidate: String,
    },
    /// How near the answer's embedding is to that of the nearest expected text.
    Embedding {
        /// The model that embeds.
        model: String,
    },
    /// A program says how good the answer is.
    Command {
        /// Its file's name.
        program: String,
        /// SHA-256 of the file.
        sha256: String,
    },
    /// People say how good the answer is.
    Review,
}

impl ScorerSpec {
    /// The name by which it is asked for.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalised => "normalised",
            Self::Contains => "contains",
            Self::Regex { .. } => "regex",
            Self::Assert => "assert",
            Self::Json => "json",
            Self::JsonSchema { .. } => "json-schema",
            Self::Fields => "fields",
            Self::Number { .. } => "number",
            Self::Label { .. } => "label",
            Self::Chrf => "chrf",
            Self::RougeL => "rouge-l",
            Self::Judge { .. } => "judge",
            Self::Pairwise { .. } => "pairwise",
            Self::Embedding { .. } => "embedding",
            Self::Command { .. } => "command",
            Self::Review => "review",
        }
    }

    /// Whether somebody must be asked: a model, a program or a person. [`Scorer::score`] cannot score by these.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        matches!(
            self,
            Self::Judge { .. }
                | Self::Pairwise { .. }
                | Self::Embedding { .. }
                | Self::Command { .. }
                | Self::Review
        )
    }
}

/// A scorer that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scorer `{name}` cannot be used: {reason}")]
pub struct BadScorer {
    /// Its name.
    pub name: &'static str,
    /// Why not.
    pub reason: String,
}

/// What a scorer says of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// How good it is, and why.
    Scored {
        /// From 0 to 1.
        score: Score,
        /// In a few words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Of classification: which label was expected and given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        labels: Option<Labelled>,
        /// Of a judge of pairs: what it said in both orders.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdicts: Option<Verdicts>,
    },
    /// The scorer does not apply to this case, or there is no answer.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// The scorer broke on it.
    Failed {
        /// How.
        reason: String,
    },
}

/// A label that was expected, and the one that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// What is right.
    pub expected: String,
    /// What the answer names; none when it names no label, or several.
    pub given: Option<String>,
}

impl Outcome {
    /// The score, if there is one.
    #[must_use]
    pub fn score(&self) -> Option<Score> {
        match self {
            Self::Scored { score, .. } => Some(*score),
            _ => None,
        }
    }

    pub(crate) fn right(is_right: bool, reason: impl Into<String>) -> Self {
        Self::of(f64::from(u8::from(is_right)), reason)
    }

    /// What a judge said of a pair in both orders.
    #[must_use]
    pub fn preferred(verdicts: Verdicts, reason: impl Into<String>) -> Self {
        Self::Scored {
            score: verdicts.score(),
            reason: reason.into(),
            labels: None,
            verdicts: Some(verdicts),
        }
    }

    /// A number that is no score is the scorer's error.
    pub fn of(score: f64, reason: impl Into<String>) -> Self {
        match Score::new(score) {
            Ok(score) => Self::Scored {
                score,
                reason: reason.into(),
                labels: None,
                verdicts: None,
            },
            Err(error) => Self::failed(error.to_string()),
        }
    }

    /// It does not apply.
    #[must_use]
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped {
            reason: reason.into(),
        }
    }

    /// The scorer broke.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
        }
    }
}

/// A scorer, ready to score.
#[derive(Clone, Debug)]
pub struct Scorer {
    spec: ScorerSpec,
    prepared: Prepared,
}

#[derive(Clone, Debug)]
enum Prepared {
    Nothing,
    Pattern(regex::Regex),
    Schema(structure::Schema),
    Labels(labels::Labels),
}

impl Scorer {
    /// Prepares a scorer: compiles what it goes by.
    ///
    /// # Errors
    /// When a pattern, a schema or a tolerance says nothing.
    pub fn new(spec: ScorerSpec) -> Result<Self, BadScorer> {
        let name = spec.name();
        let bad = |reason: String| BadScorer { name, reason };
        let prepared = match &spec {
            ScorerSpec::Regex {
                pattern: Some(pattern),
            } => Prepared::Pattern(pattern_of(pattern).map_err(bad)?),
            ScorerSpec::JsonSchema { schema } => {
                Prepared::Schema(structure::Schema::new(schema).map_err(bad)?)
            }
            ScorerSpec::Label { labels } => {
                Prepared::Labels(labels::Labels::new(labels).map_err(bad)?)
            }
            ScorerSpec::Number { absolute, relative } => {
                let is_sound = |value: &f64| value.is_finite() && *value >= 0.0;
                if !(is_sound(absolute) && is_sound(relative)) {
                    return Err(bad("a tolerance is a number of at least 0".to_owned()));
                }
                Prepared::Nothing
            }
            _ => Prepared::Nothing,
        };
        Ok(Self { spec, prepared })
    }

    /// What it goes by.
    #[must_use]
    pub fn spec(&self) -> &ScorerSpec {
        &self.spec
    }

    /// Why it does not apply to a case; `None` when it does.
    #[must_use]
    pub fn skips(&self, case: &Case) -> Option<String> {
        let texts = || case.expected.iter().any(is_text);
        let (applies, wanted) = match &self.spec {
            ScorerSpec::Regex { pattern: Some(_) }
            | ScorerSpec::Json
            | ScorerSpec::JsonSchema { .. }
            | ScorerSpec::Judge { .. }
            | ScorerSpec::Pairwise { .. }
            | ScorerSpec::Command { .. }
            | ScorerSpec::Review => (true, ""),
            ScorerSpec::Assert => (!case.assertions.is_empty(), "the case asserts nothing"),
            ScorerSpec::Fields => (
                case.expected
                    .iter()
                    .any(|value| structure::fields(value) > 0),
                "no object or list is expected",
            ),
            ScorerSpec::Number { .. } => (
                case.expected
                    .iter()
                    .any(|value| number::expected(value).is_some()),
                "no number is expected",
            ),
            _ => (texts(), "no text is expected"),
        };
        (!applies).then(|| wanted.to_owned())
    }

    /// How good an answer to a case is.
    #[must_use]
    pub fn score(&self, case: &Case, answer: &str) -> Outcome {
        if let Some(reason) = self.skips(case) {
            return Outcome::skipped(reason);
        }
        let texts = texts(case);
        match (&self.spec, &self.prepared) {
            (ScorerSpec::Exact, _) => {
                let is_right = texts.iter().any(|text| text.trim() == answer.trim());
                Outcome::right(is_right, "")
            }
            (ScorerSpec::Normalised, _) => {
                let answer = normalised(answer);
                Outcome::right(texts.iter().any(|text| normalised(text) == answer), "")
            }
            (ScorerSpec::Contains, _) => {
                Outcome::right(texts.iter().any(|text| answer.contains(text)), "")
            }
            (_, Prepared::Pattern(pattern)) => Outcome::right(pattern.is_match(answer), ""),
            (ScorerSpec::Regex { .. }, _) => any_pattern(&texts, answer),
            (ScorerSpec::Assert, _) => asserted(&case.assertions, answer),
            (ScorerSpec::Json, _) => structure::is_json(answer),
            (_, Prepared::Schema(schema)) => schema.score(answer),
            (ScorerSpec::Fields, _) => structure::share(&case.expected, answer),
            (ScorerSpec::Number { absolute, relative }, _) => {
                number::score(&case.expected, answer, *absolute, *relative)
            }
            (_, Prepared::Labels(labels)) => labels.score(&texts, answer),
            (ScorerSpec::Chrf, _) => best(&texts, |text| chrf(answer, text)),
            (ScorerSpec::RougeL, _) => best(&texts, |text| rouge_l(answer, text)),
            (ScorerSpec::JsonSchema { .. } | ScorerSpec::Label { .. }, _) => {
                Outcome::failed("the scorer was not prepared")
            }
            _ => Outcome::failed("this scorer has to be asked"),
        }
    }
}

/// The texts that a case expects.
#[must_use]
pub fn texts(case: &Case) -> Vec<String> {
    case.expected.iter().filter_map(text_of).collect()
}

/// The cosine of two embeddings, from -1 to 1; none when they differ in length, or one has no direction.
#[must_use]
pub fn cosine(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.len() != second.len() {
        return None;
    }
    let dot =
        |one: &[f64], other: &[f64]| -> f64 { one.iter().zip(other).map(|(x, y)| x * y).sum() };
    let lengths = (dot(first, first) * dot(second, second)).sqrt();
    let cosine = dot(first, second) / lengths;
    cosine.is_finite().then(|| cosine.clamp(-1.0, 1.0))
}

/// Texts, numbers and truth values are compared as texts; objects and lists are not.
fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        value if is_text(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The regex crate matches in time linear in the text, so no pattern can hang a run.
fn pattern_of(pattern: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(pattern).map_err(|error| {
        let lines = error.to_string();
        let last = lines.lines().last().unwrap_or_default().trim();
        format!("`{pattern}` is no pattern ({last})")
    })
}

fn any_pattern(patterns: &[String], answer: &str) -> Outcome {
    let mut is_found = false;
    for pattern in patterns {
        match pattern_of(pattern) {
            Ok(pattern) => is_found |= pattern.is_match(answer),
            Err(reason) => return Outcome::failed(reason),
        }
    }
    Outcome::right(is_found, "")
}

fn best(texts: &[String], measure: impl Fn(&str) -> f64) -> Outcome {
    let scores = texts.iter().map(|text| measure(text));
    // Sums of shares can end a rounding error above 1.
    Outcome::of(scores.fold(0.0, f64::max).clamp(0.0, 1.0), "")
}

fn asserted(assertions: &[Assertion], answer: &str) -> Outcome {
    let mut broken = Vec::new();
    for assertion in assertions {
        match holds(assertion, answer) {
            Ok(true) => {}
            Ok(false) => broken.push(assertion_name(assertion)),
            Err(reason) => return Outcome::failed(reason),
        }
    }
    let met = assertions.len() - broken.len();
    let reason = if broken.is_empty() {
        String::new()
    } else {
        format!("not met: {}", broken.join(", "))
    };
    Outcome::of(met as f64 / assertions.len() as f64, reason)
}

const fn assertion_name(assertion: &Assertion) -> &'static str {
    match assertion {
        Assertion::Equals { .. } => "equals",
        Assertion::Contains { .. } => "contains",
        Assertion::Icontains { .. } => "icontains",
        Assertion::Regex { .. } => "regex",
        Assertion::IsJson { .. } => "is-json",
    }
}

fn holds(assertion: &Assertion, answer: &str) -> Result<bool, String> {
    Ok(match assertion {
        Assertion::Equals { value } => match text_of(value) {
            Some(text) => text.trim() == answer.trim(),
            None => serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer == *value),
        },
        Assertion::Contains { value } => answer.contains(value),
        Assertion::Icontains { value } => answer.to_lowercase().contains(&value.to_lowercase()),
        Assertion::Regex { value } => pattern_of(value)?.is_match(answer),
        Assertion::IsJson { value } => match (serde_json::from_str::<Value>(answer), value) {
            (Ok(answer), Some(schema)) => structure::Schema::new(schema)?.accepts(&answer),
            (parsed, _) => parsed.is_ok(),
        },
    })
}

#[cfg(test)]
#[path = "scorers_tests.rs"]
mod tests;
