//! `models.lock`: what is installed, and which bytes each name stands for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::catalogue::Licence;
use crate::digest::Sha256Digest;
use crate::error::ModelError;
use crate::layout::{Layout, write_atomically};
use crate::name::ModelName;
use crate::reference::{Source, check_component};

const FORMAT_VERSION: u32 = 1;
const LOCK_FILE_BYTES_MAX: u64 = 16 << 20;
const HEADING: &str =
    "# Written by `freehold models pull`; pins every installed model to its bytes.\n\n";

/// Why the pinned bytes are believed to be the right ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The digest is part of the catalogue.
    Catalogue,
    /// The caller gave the digest with the reference.
    Reference,
    /// The first pull pinned what the source served then; later changes are refused.
    FirstUse,
}

/// One installed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledModel {
    /// Its name in this store.
    pub name: ModelName,
    /// Where it came from.
    pub source: Source,
    /// The commit that the source's revision stood for, where the source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Why its bytes are believed.
    pub trust: Trust,
    /// When it was pulled.
    #[serde(with = "time::serde::rfc3339")]
    pub pulled_at: OffsetDateTime,
    /// Whether terms that restrict use were accepted at the pull.
    #[serde(default)]
    pub licence_accepted: bool,
    /// Its licence, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
    /// Its files; the first is the one to load.
    pub files: Vec<InstalledFile>,
}

/// One file of an installed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// Its name at the source.
    pub name: String,
    /// Its pinned digest.
    pub sha256: Sha256Digest,
    /// Its size, bytes.
    pub size_bytes: u64,
}

impl InstalledModel {
    /// The size of all files, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    pub(crate) fn digests(&self) -> Vec<Sha256Digest> {
        self.files.iter().map(|file| file.sha256).collect()
    }

    /// Where each file is loaded from: the blob, or for several files links that keep
    /// their names, because the parts of a split GGUF are found by name.
    pub(crate) fn paths(&self, layout: &Layout) -> Vec<std::path::PathBuf> {
        match self.files.as_slice() {
            [only] => vec![layout.blob(only.sha256)],
            files => files
                .iter()
                .map(|file| layout.set_directory(&self.name).join(&file.name))
                .collect(),
        }
    }
}

/// The content of `models.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockFile {
    version: u32,
    #[serde(rename = "model", default)]
    pub(crate) models: Vec<InstalledModel>,
}

impl LockFile {
    /// Reads the file; a missing file is an empty store.
    pub(crate) fn load(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |reason: String| ModelError::LockFile {
            path: path.to_owned(),
            reason,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    version: FORMAT_VERSION,
                    models: Vec::new(),
                });
            }
            Err(error) => return Err(ModelError::io("read", path, error)),
        };
        let mut text = String::new();
        let read = file.take(LOCK_FILE_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| unreadable(error.to_string()))?;
        if text.len() as u64 > LOCK_FILE_BYTES_MAX {
            return Err(unreadable(format!(
                "it is larger than {LOCK_FILE_BYTES_MAX} bytes"
            )));
        }
        let lock: Self = toml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        lock.check().map_err(unreadable)?;
        Ok(lock)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != FORMAT_VERSION {
            return Err(format!(
                "it has format {}, this program knows format {FORMAT_VERSION}",
                self.version
            ));
        }
        for (index, model) in self.models.iter().enumerate() {
            if self.models[..index]
                .iter()
                .any(|earlier| earlier.name == model.name)
            {
                return Err(format!("`{}` appears twice", model.name));
            }
            if model.files.is_empty() {
                return Err(format!("`{}` has no file", model.name));
            }
            for file in &model.files {
                check_component(&file.name)
                    .map_err(|reason| format!("a file of `{}`: {reason}", model.name))?;
            }
        }
        Ok(())
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), ModelError> {
        let text = toml::to_string(self).map_err(|error| ModelError::LockFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        write_atomically(path, format!("{HEADING}{text}").as_bytes())
    }

    pub(crate) fn find(&self, name: &ModelName) -> Option<&InstalledModel> {
        self.models.iter().find(|model| model.name == *name)
    }

    /// Adds or replaces a model; the replaced one.
    pub(crate) fn put(&mut self, model: InstalledModel) -> Option<InstalledModel> {
        let replaced = self.take(&model.name);
        self.models.push(model);
        self.models
            .sort_by(|left, right| left.name.cmp(&right.name));
        replaced
    }

    pub(crate) fn take(&mut self, name: &ModelName) -> Option<InstalledModel> {
        let index = self.models.iter().position(|model| model.name == *name)?;
        Some(self.models.remove(index))
    }

    /// The names that use a blob.
    pub(crate) fn users(&self, digest: Sha256Digest) -> Vec<ModelName> {
        let uses = |model: &&InstalledModel| model.files.iter().any(|file| file.sha256 == digest);
        self.models
            .iter()
            .filter(uses)
            .map(|model| model.name.clone())
            .collect()
    }
}
