//! The name of a model in the store and the catalogue.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

const NAME_LENGTH_MAX: usize = 96;

/// A model's name: 1 to 96 of `a-z 0-9 . _ -`, beginning with a letter or digit.
///
/// The alphabet makes a name safe as a file name everywhere, also where the file
/// system ignores case; capitals are lowered when a name is parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModelName(String);

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made from a file name: the stem, with every other character as `-`.
    pub(crate) fn from_file_name(file_name: &str) -> Result<Self, ModelError> {
        let stem = match file_name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => file_name,
        };
        let cleaned: String = stem
            .chars()
            .map(|character| {
                if is_allowed(character.to_ascii_lowercase()) {
                    character
                } else {
                    '-'
                }
            })
            .take(NAME_LENGTH_MAX)
            .collect();
        cleaned.trim_start_matches(['.', '-', '_']).parse()
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_lowercase()
        || character.is_ascii_digit()
        || matches!(character, '.' | '_' | '-')
}

impl FromStr for ModelName {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let invalid = |reason: &str| ModelError::InvalidReference {
            input: text.chars().take(NAME_LENGTH_MAX + 1).collect(),
            reason: reason.to_owned(),
        };
        let lowered = text.to_ascii_lowercase();
        if lowered.is_empty() || lowered.len() > NAME_LENGTH_MAX {
            return Err(invalid("a model's name has 1 to 96 characters"));
        }
        if !lowered.chars().all(is_allowed) {
            return Err(invalid(
                "a model's name consists of letters, digits, `.`, `_` and `-`",
            ));
        }
        if !lowered.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(invalid("a model's name begins with a letter or a digit"));
        }
        Ok(Self(lowered))
    }
}

impl TryFrom<String> for ModelName {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
