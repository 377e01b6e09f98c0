//! The built-in catalogue: models by name, with their licence and where to fetch them.
//!
//! The catalogue is data (`catalogue.toml`), embedded at build time and checked by a test.

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::error::ModelError;
use crate::name::ModelName;
use crate::reference::Source;

/// The model that Freehold pulls when the user names none.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

const CATALOGUE_TOML: &str = include_str!("catalogue.toml");

/// A licence, shown before a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// The SPDX identifier, or the licence's own name.
    pub name: String,
    /// Where its text can be read.
    pub url: String,
    /// Whether the terms restrict use and must be accepted before the pull.
    pub must_accept: bool,
}

impl fmt::Display for Licence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.url)
    }
}

/// How a model expects to be prompted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelUse {
    /// Tuned for conversations; the file carries a chat template.
    Chat,
    /// A base model: continues text, has no chat template.
    Base,
}

/// One model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueModel {
    /// The name to pull it by.
    pub name: ModelName,
    /// The publisher's name for it.
    pub title: String,
    /// The number of parameters, as published ("135M", "20.9B (3.6B active)").
    pub parameters: String,
    /// The quantisation of the file.
    pub quantization: String,
    /// Chat or base.
    #[serde(rename = "use")]
    pub model_use: ModelUse,
    /// The context the model was trained for, tokens.
    pub context_tokens: u32,
    /// The size of all files, bytes; exact only when `sha256` is pinned.
    pub size_bytes: u64,
    /// The licence.
    pub licence: Licence,
    /// Where the files come from.
    pub source: Source,
    /// The digest of each file; empty where the first pull pins what the server announces.
    #[serde(default)]
    pub sha256: Vec<Sha256Digest>,
}

impl CatalogueModel {
    /// Whether the bytes are pinned here, rather than trusted at the first pull.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        !self.sha256.is_empty()
    }
}

/// The models known by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The models, in the order they are listed.
    #[serde(rename = "model", default)]
    pub models: Vec<CatalogueModel>,
}

impl Catalogue {
    /// The catalogue that is part of this build.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Catalogue> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            Self::parse(CATALOGUE_TOML).unwrap_or_else(|error| {
                // A test parses the embedded text, so only a broken build gets here.
                tracing::error!(%error, "the built-in catalogue cannot be read");
                Self::default()
            })
        })
    }

    /// Reads a catalogue from TOML.
    ///
    /// # Errors
    /// `InvalidSettings` when the text is not a catalogue, when a name appears twice, or when
    /// a model has not as many digests as files.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let invalid = |reason: String| ModelError::InvalidSettings {
            setting: "catalogue".to_owned(),
            reason,
        };
        let catalogue: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        for (index, model) in catalogue.models.iter().enumerate() {
            if catalogue.models[..index]
                .iter()
                .any(|earlier| earlier.name == model.name)
            {
                return Err(invalid(format!("`{}` appears twice", model.name)));
            }
            if model.is_pinned() && model.sha256.len() != model.source.file_names().len() {
                return Err(invalid(format!(
                    "`{}` has not one digest per file",
                    model.name
                )));
            }
        }
        Ok(catalogue)
    }

    /// The model of that name.
    #[must_use]
    pub fn find(&self, name: &ModelName) -> Option<&CatalogueModel> {
        self.models.iter().find(|model| model.name == *name)
    }

    /// The model with that source, whatever the caller calls it: its terms hold under every name.
    /// Revisions of the same repository file count as the same source.
    #[must_use]
    pub fn find_by_source(&self, source: &Source) -> Option<&CatalogueModel> {
        self.models
            .iter()
            .find(|model| match (&model.source, source) {
                (Source::HuggingFace(known), Source::HuggingFace(asked)) => {
                    known.repository.eq_ignore_ascii_case(&asked.repository)
                        && known.path == asked.path
                }
                (known, asked) => known == asked,
            })
    }

    /// Names that resemble `text`, best first, at most three.
    #[must_use]
    pub fn similar(&self, text: &str) -> Vec<String> {
        let wanted = text.to_ascii_lowercase();
        let words: Vec<&str> = wanted
            .split(|character: char| !character.is_ascii_alphanumeric())
            .filter(|word| word.len() > 1)
            .collect();
        let mut scored: Vec<(usize, &str)> = self
            .models
            .iter()
            .map(|model| {
                (
                    words
                        .iter()
                        .filter(|word| model.name.as_str().contains(**word))
                        .count(),
                    model.name.as_str(),
                )
            })
            .filter(|(score, _)| *score > 0)
            .collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored
            .into_iter()
            .take(3)
            .map(|(_, name)| name.to_owned())
            .collect()
    }
}
