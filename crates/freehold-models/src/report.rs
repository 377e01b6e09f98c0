//! What the store answers: plain data, serialisable for `--json`. Sizes are bytes.

use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use crate::catalogue::{Licence, ModelUse};
use crate::digest::Sha256Digest;
use crate::lockfile::{InstalledFile, InstalledModel, Trust};
use crate::name::ModelName;

/// What a pull may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// The name in the store; by default the catalogue's, or one made from the file's name.
    pub name: Option<ModelName>,
    /// The caller has shown the licence and its terms were accepted.
    pub accept_licence: bool,
    /// Accept what the source serves now in the place of what an earlier pull pinned.
    pub update: bool,
}

/// Whether a model is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Every file is there with its size; the digest is checked by `verify` and before a load.
    Installed,
    /// Installed, but a file is missing or has another size.
    Damaged,
    /// Known by the catalogue or by its reference, not installed.
    Available,
}

/// One model as `list` and `describe` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelCard {
    /// The name to use it by.
    pub name: ModelName,
    /// The publisher's name, for catalogue models.
    pub title: Option<String>,
    /// Whether it is on this machine.
    pub state: ModelState,
    /// Whether it is the model used when none is named.
    pub is_default: bool,
    /// The number of parameters, as published.
    pub parameters: Option<String>,
    /// The quantisation.
    pub quantization: Option<String>,
    /// Chat or base.
    #[serde(rename = "use")]
    pub model_use: Option<ModelUse>,
    /// The context it was trained for, tokens.
    pub context_tokens: Option<u32>,
    /// The size of all files.
    pub size_bytes: Option<u64>,
    /// Whether that size is exact.
    pub size_is_exact: bool,
    /// The licence; `None` means that it is unknown and must be looked up at the source.
    pub licence: Option<Licence>,
    /// Whether the licence's terms were accepted at a pull.
    pub licence_accepted: bool,
    /// Where it comes from.
    pub source: String,
    /// Why its bytes are believed, or would be after a pull.
    pub trust: Trust,
    /// The pinned digests, file by file; empty before a first pull pins them.
    pub sha256: Vec<Sha256Digest>,
    /// When it was pulled.
    #[serde(with = "time::serde::rfc3339::option")]
    pub pulled_at: Option<OffsetDateTime>,
}

/// What `list` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// The store's root.
    pub root: PathBuf,
    /// Installed models first, then the rest of the catalogue in its order.
    pub models: Vec<ModelCard>,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PullStatus {
    /// Nothing was to be done: the pinned files are there and intact.
    AlreadyPresent,
    /// The model was installed.
    Pulled,
    /// The model was installed before, and files were missing, damaged or updated.
    Replaced,
}

/// What `pull` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PullReport {
    /// How it ended.
    pub status: PullStatus,
    /// The installed model.
    pub model: InstalledModel,
    /// The file to load.
    pub path: PathBuf,
    /// Bytes that came over the network.
    pub transferred_bytes: u64,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
    /// What the user should know, as sentences.
    pub notices: Vec<String>,
}

/// The state of one file at a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The bytes are the pinned bytes.
    Intact,
    /// The bytes are others.
    Tampered,
    /// There is no such file.
    Missing,
}

/// One file at a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// The file's name at the source.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What was found.
    pub state: FileState,
    /// The pinned digest.
    pub expected: Sha256Digest,
    /// The digest on disk.
    pub found: Option<Sha256Digest>,
}

/// One model at a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelCheck {
    /// The model.
    pub name: ModelName,
    /// Whether every file is intact.
    pub is_intact: bool,
    /// Its files.
    pub files: Vec<FileCheck>,
}

/// What `verify` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether every file of every checked model is intact.
    pub is_intact: bool,
    /// The checked models.
    pub models: Vec<ModelCheck>,
}

/// A model whose files were hashed just now and are the pinned ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedModel {
    /// The model.
    pub name: ModelName,
    /// The file to load; further parts of a split GGUF lie beside it under their names.
    pub path: PathBuf,
    /// Its files.
    pub files: Vec<InstalledFile>,
}

/// What `remove` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemoveReport {
    /// The removed model.
    pub name: ModelName,
    /// Bytes that are free again.
    pub freed_bytes: u64,
    /// Files that stay because other models use them.
    pub kept: Vec<KeptFile>,
}

/// A file that `remove` kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptFile {
    /// The file's name at the source.
    pub name: String,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The models that use it.
    pub used_by: Vec<ModelName>,
}

/// What `discard_partials` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DiscardReport {
    /// Bytes that are free again.
    pub freed_bytes: u64,
    /// True when nothing was removed because a pull is running.
    pub is_busy: bool,
}
