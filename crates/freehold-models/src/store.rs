//! The store on disk: list, resolve, check, open and remove. Pulling is in `pull`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocking::{self, Cancelled};
use crate::catalogue::{CatalogueModel, DEFAULT_MODEL};
use crate::digest::{Sha256Digest, hash_file};
use crate::error::ModelError;
use crate::http::{Scope, Transport};
use crate::layout::{Layout, remove_if_present};
use crate::lockfile::{InstalledModel, LockFile, Trust};
use crate::name::ModelName;
use crate::progress::{Progress, ProgressEvent};
use crate::reference::{ModelReference, SourceReference};
use crate::report::{
    DiscardReport, FileCheck, FileState, KeptFile, ListReport, ModelCard, ModelCheck, ModelState,
    RemoveReport, VerifiedModel, VerifyReport,
};
use crate::settings::{Credentials, StoreSettings};

/// A store of model files under one directory. Cheap to clone; safe to share between
/// tasks, and the directory between processes.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: StoreSettings,
    pub(crate) layout: Layout,
    pub(crate) transport: Arc<Transport>,
    pub(crate) hub_scope: Option<Scope>,
    pub(crate) index_scope: Option<Scope>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Store")
            .field(&self.inner.settings)
            .finish()
    }
}

impl Store {
    /// A store with these settings. Touches neither disk nor network.
    ///
    /// # Errors
    /// `Io` when the root is relative and the current directory cannot be found.
    pub fn new(settings: StoreSettings) -> Result<Self, ModelError> {
        let token = settings.hub_token.clone();
        let index = &settings.index;
        let inner = Inner {
            layout: Layout::new(&settings.root)?,
            transport: Arc::new(Transport::new(settings.transport.clone())),
            hub_scope: token
                .map(|token| Scope::new(&settings.hub_endpoint, Credentials::Bearer(token))),
            index_scope: index
                .credentials
                .clone()
                .map(|credentials| Scope::new(&index.base, credentials)),
            settings,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A store as the process's environment describes it.
    ///
    /// # Errors
    /// `InvalidSettings` names the variable that cannot be used.
    pub fn from_environment() -> Result<Self, ModelError> {
        Self::new(StoreSettings::from_environment()?)
    }

    /// The store's root, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    pub(crate) fn load_lock(&self) -> Result<LockFile, ModelError> {
        LockFile::load(&self.inner.layout.lock_file())
    }

    /// Every installed model, then the rest of the catalogue. Looks at sizes, not at digests.
    ///
    /// # Errors
    /// `LockFile` or `Io` when `models.lock` cannot be read.
    pub fn list(&self) -> Result<ListReport, ModelError> {
        let lock = self.load_lock()?;
        let catalogue = &self.inner.settings.catalogue;
        let installed = lock.models.iter().map(|model| self.installed_card(model));
        let available = catalogue
            .models
            .iter()
            .filter(|model| lock.find(&model.name).is_none())
            .map(catalogue_card);
        Ok(ListReport {
            root: self.root().to_owned(),
            models: installed.chain(available).collect(),
        })
    }

    /// What a reference stands for, with its licence: to be shown before a pull.
    ///
    /// # Errors
    /// `UnknownModel` for an unknown name; `LockFile` or `Io` when `models.lock` cannot be read.
    pub fn describe(&self, reference: &ModelReference) -> Result<ModelCard, ModelError> {
        let catalogue = &self.inner.settings.catalogue;
        let lock = self.load_lock()?;
        match reference {
            ModelReference::Name(name) => match (lock.find(name), catalogue.find(name)) {
                (Some(model), _) => Ok(self.installed_card(model)),
                (None, Some(model)) => Ok(catalogue_card(model)),
                (None, None) => Err(self.unknown(name)),
            },
            ModelReference::Source(reference) => {
                if let Some(model) = lock
                    .models
                    .iter()
                    .find(|model| model.source == reference.source)
                {
                    return Ok(self.installed_card(model));
                }
                match catalogue.find_by_source(&reference.source) {
                    Some(model) if model.source == reference.source => Ok(catalogue_card(model)),
                    similar => source_card(reference, similar),
                }
            }
        }
    }

    /// The installed model of that name, as pinned; its bytes are not looked at.
    ///
    /// # Errors
    /// `NotInstalled` or `UnknownModel`; `LockFile` or `Io` when `models.lock` cannot be read.
    pub fn resolve(&self, name: &ModelName) -> Result<InstalledModel, ModelError> {
        let lock = self.load_lock()?;
        lock.find(name)
            .cloned()
            .ok_or_else(|| match self.inner.settings.catalogue.find(name) {
                Some(_) => ModelError::NotInstalled { name: name.clone() },
                None => self.unknown(name),
            })
    }

    pub(crate) fn unknown(&self, name: &ModelName) -> ModelError {
        let similar = self.inner.settings.catalogue.similar(name.as_str());
        ModelError::UnknownModel {
            name: name.to_string(),
            similar,
        }
    }

    /// The path to load, after hashing every file of the model.
    ///
    /// The hash is computed at every call. A stamp of size and times could be forged by
    /// whoever can write the file, and the file has to be read from disk for loading anyway.
    ///
    /// # Errors
    /// `Tampered` when a file is missing or has other bytes; else as [`Store::resolve`].
    pub async fn open_verified(
        &self,
        name: &ModelName,
        progress: Arc<dyn Progress>,
    ) -> Result<VerifiedModel, ModelError> {
        let model = self.resolve(name)?;
        let check = self.check(model.clone(), progress).await?;
        if let Some(file) = check
            .files
            .iter()
            .find(|file| file.state != FileState::Intact)
        {
            return Err(ModelError::Tampered {
                name: name.clone(),
                path: file.path.clone(),
                expected: file.expected,
                found: file.found,
            });
        }
        let path = check
            .files
            .into_iter()
            .map(|file| file.path)
            .next()
            .unwrap_or_default();
        Ok(VerifiedModel {
            name: name.clone(),
            path,
            files: model.files,
        })
    }

    /// Hashes the files of one model, or of all, and compares them with their pins.
    ///
    /// # Errors
    /// As [`Store::resolve`]; `Io` when a file cannot be read. Damage is not an error but
    /// part of the report.
    pub async fn verify(
        &self,
        name: Option<&ModelName>,
        progress: Arc<dyn Progress>,
    ) -> Result<VerifyReport, ModelError> {
        let models = match name {
            Some(name) => vec![self.resolve(name)?],
            None => self.load_lock()?.models,
        };
        let mut checks = Vec::with_capacity(models.len());
        for model in models {
            checks.push(self.check(model, Arc::clone(&progress)).await?);
        }
        Ok(VerifyReport {
            is_intact: checks.iter().all(|check| check.is_intact),
            models: checks,
        })
    }

    pub(crate) async fn check(
        &self,
        model: InstalledModel,
        progress: Arc<dyn Progress>,
    ) -> Result<ModelCheck, ModelError> {
        let layout = self.inner.layout.clone();
        blocking::run(move |cancelled| {
            let files = model
                .paths(&layout)
                .into_iter()
                .zip(&model.files)
                .map(|(path, file)| {
                    let found = hash_with_progress(&path, cancelled, |done_bytes| {
                        progress.event(&ProgressEvent::Verifying {
                            name: model.name.clone(),
                            file_name: file.name.clone(),
                            done_bytes,
                            size_bytes: file.size_bytes,
                        });
                    })?;
                    let state = match found {
                        Some(found) if found == file.sha256 => FileState::Intact,
                        Some(_) => FileState::Tampered,
                        None => FileState::Missing,
                    };
                    Ok(FileCheck {
                        name: file.name.clone(),
                        path,
                        state,
                        expected: file.sha256,
                        found,
                    })
                })
                .collect::<Result<Vec<_>, ModelError>>()?;
            let is_intact = files.iter().all(|file| file.state == FileState::Intact);
            Ok(ModelCheck {
                name: model.name,
                is_intact,
                files,
            })
        })
        .await
    }

    /// Removes a model; files that other names share stay.
    ///
    /// # Errors
    /// `NotInstalled` or `UnknownModel`; `LockFile` or `Io` when the disk refuses.
    pub async fn remove(&self, name: &ModelName) -> Result<RemoveReport, ModelError> {
        self.resolve(name)?;
        let (layout, name) = (self.inner.layout.clone(), name.clone());
        blocking::run(move |_| {
            layout.create()?;
            let _index = layout.lock_index()?;
            let mut lock = LockFile::load(&layout.lock_file())?;
            let model = lock
                .take(&name)
                .ok_or_else(|| ModelError::NotInstalled { name: name.clone() })?;
            // The pin goes first: a crash then leaves unused bytes, never a pin without bytes.
            lock.save(&layout.lock_file())?;
            let (freed_bytes, kept) = drop_files(&layout, &lock, &model)?;
            Ok(RemoveReport {
                name,
                freed_bytes,
                kept,
            })
        })
        .await
    }

    /// Removes what interrupted pulls left behind, unless a pull is running.
    ///
    /// # Errors
    /// `Io` when the disk refuses.
    pub async fn discard_partials(&self) -> Result<DiscardReport, ModelError> {
        let layout = self.inner.layout.clone();
        blocking::run(move |_| {
            layout.create()?;
            let Some(_pulls) = layout.try_lock_out_pulls()? else {
                return Ok(DiscardReport {
                    freed_bytes: 0,
                    is_busy: true,
                });
            };
            let directory = layout.partial_directory();
            let entries = std::fs::read_dir(&directory)
                .map_err(|error| ModelError::io("read", &directory, error))?;
            let mut freed_bytes = 0;
            for entry in entries.flatten() {
                let size = entry.metadata().map(|metadata| metadata.len()).unwrap_or(0);
                if remove_if_present(&entry.path())? {
                    freed_bytes += size;
                }
            }
            Ok(DiscardReport {
                freed_bytes,
                is_busy: false,
            })
        })
        .await
    }

    fn installed_card(&self, model: &InstalledModel) -> ModelCard {
        let has_sizes = model
            .paths(&self.inner.layout)
            .iter()
            .zip(&model.files)
            .all(|(path, file)| {
                std::fs::metadata(path)
                    .is_ok_and(|metadata| metadata.is_file() && metadata.len() == file.size_bytes)
            });
        let known = self.inner.settings.catalogue.find_by_source(&model.source);
        ModelCard {
            name: model.name.clone(),
            title: known.map(|known| known.title.clone()),
            state: if has_sizes {
                ModelState::Installed
            } else {
                ModelState::Damaged
            },
            is_default: model.name.as_str() == DEFAULT_MODEL,
            parameters: known.map(|known| known.parameters.clone()),
            quantization: known.map(|known| known.quantization.clone()),
            model_use: known.map(|known| known.model_use),
            context_tokens: known.map(|known| known.context_tokens),
            size_bytes: Some(model.size_bytes()),
            size_is_exact: true,
            licence: model.licence.clone(),
            licence_accepted: model.licence_accepted,
            source: model.source.to_string(),
            trust: model.trust,
            sha256: model.digests(),
            pulled_at: Some(model.pulled_at),
        }
    }
}

fn catalogue_card(model: &CatalogueModel) -> ModelCard {
    ModelCard {
        name: model.name.clone(),
        title: Some(model.title.clone()),
        state: ModelState::Available,
        is_default: model.name.as_str() == DEFAULT_MODEL,
        parameters: Some(model.parameters.clone()),
        quantization: Some(model.quantization.clone()),
        model_use: Some(model.model_use),
        context_tokens: Some(model.context_tokens),
        size_bytes: Some(model.size_bytes),
        size_is_exact: model.is_pinned(),
        licence: Some(model.licence.clone()),
        licence_accepted: false,
        source: model.source.to_string(),
        trust: if model.is_pinned() {
            Trust::Catalogue
        } else {
            Trust::FirstUse
        },
        sha256: model.sha256.clone(),
        pulled_at: None,
    }
}

/// A source outside the catalogue, or another revision of a catalogue model's file.
fn source_card(
    reference: &SourceReference,
    similar: Option<&CatalogueModel>,
) -> Result<ModelCard, ModelError> {
    let file_names = reference.source.file_names();
    Ok(ModelCard {
        name: ModelName::from_file_name(file_names.first().map_or("", String::as_str))?,
        title: similar.map(|model| model.title.clone()),
        state: ModelState::Available,
        is_default: false,
        parameters: similar.map(|model| model.parameters.clone()),
        quantization: similar.map(|model| model.quantization.clone()),
        model_use: similar.map(|model| model.model_use),
        context_tokens: similar.map(|model| model.context_tokens),
        size_bytes: None,
        size_is_exact: false,
        licence: similar.map(|model| model.licence.clone()),
        licence_accepted: false,
        source: reference.source.to_string(),
        trust: if reference.pins.is_empty() {
            Trust::FirstUse
        } else {
            Trust::Reference
        },
        sha256: reference.pins.clone(),
        pulled_at: None,
    })
}

/// The digest of a file, or `None` when there is no such file.
pub(crate) fn hash_with_progress(
    path: &Path,
    cancelled: &Cancelled,
    on_bytes: impl FnMut(u64),
) -> Result<Option<Sha256Digest>, ModelError> {
    match hash_file(path, cancelled, on_bytes) {
        Ok(Some((digest, _))) => Ok(Some(digest)),
        // Nobody waits for the answer any more.
        Ok(None) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ModelError::io("read", path, error)),
    }
}

/// Removes the files of a model that is no longer in `lock`; the index lock must be held.
pub(crate) fn drop_files(
    layout: &Layout,
    lock: &LockFile,
    model: &InstalledModel,
) -> Result<(u64, Vec<KeptFile>), ModelError> {
    if lock.find(&model.name).is_none() {
        remove_directory(&layout.set_directory(&model.name))?;
    }
    let (mut freed_bytes, mut kept) = (0, Vec::new());
    for file in &model.files {
        let used_by = lock.users(file.sha256);
        if !used_by.is_empty() {
            kept.push(KeptFile {
                name: file.name.clone(),
                sha256: file.sha256,
                used_by,
            });
        } else if remove_if_present(&layout.blob(file.sha256))? {
            freed_bytes += file.size_bytes;
        }
    }
    Ok((freed_bytes, kept))
}

pub(crate) fn remove_directory(path: &PathBuf) -> Result<(), ModelError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ModelError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
