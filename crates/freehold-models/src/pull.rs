//! Pulling a model: plan, licence, fetch, check, and one atomic step that installs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

use crate::blocking;
use crate::catalogue::Licence;
use crate::digest::Sha256Digest;
use crate::download::Context;
use crate::error::ModelError;
use crate::fetch::{FetchedFile, Place, Wanted, discard_all};
use crate::layout::{Layout, move_into_place, temporary_builder};
use crate::lockfile::{InstalledFile, InstalledModel, LockFile, Trust};
use crate::name::ModelName;
use crate::progress::Progress;
use crate::reference::{ModelReference, Source, SourceReference};
use crate::report::{PullOptions, PullReport, PullStatus};
use crate::store::{Store, drop_files, remove_directory};

/// What a pull is going to do, before anything is touched.
struct Plan {
    name: ModelName,
    source: Source,
    /// The digests from the catalogue or the reference; empty on trust at first use.
    pins: Vec<Sha256Digest>,
    trust: Trust,
    licence: Option<Licence>,
}

impl Store {
    /// Fetches a model and installs it under its name.
    ///
    /// Dropping the future stops the pull; what has arrived stays and the next pull continues.
    /// Two pulls of one source, also from two processes, wait for each other.
    ///
    /// # Errors
    /// `LicenceNotAccepted` before anything is fetched; afterwards every network, digest and
    /// disk error of [`ModelError`]. Nothing is installed or replaced on an error.
    pub async fn pull(
        &self,
        reference: &ModelReference,
        options: PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<PullReport, ModelError> {
        let started = Instant::now();
        let lock = self.load_lock()?;
        let mut plan = self.plan(reference, &options, &lock)?;
        check_licence(&plan, &options, lock.find(&plan.name))?;
        let context = self.context(&plan, progress).await?;
        // Read again: another pull may have installed it while this one waited.
        let existing = self.load_lock()?.find(&plan.name).cloned();
        if let Some(other) = existing
            .as_ref()
            .filter(|model| model.source != plan.source && !options.update)
        {
            return Err(ModelError::NameTaken {
                name: plan.name,
                existing: other.source.to_string(),
            });
        }
        let kept = existing
            .as_ref()
            .filter(|model| !options.update && model.source == plan.source);
        if let Some(model) =
            kept.filter(|model| plan.pins.is_empty() || plan.pins == model.digests())
        {
            let check = self
                .check(model.clone(), Arc::clone(&context.progress))
                .await?;
            if check.is_intact {
                return Ok(self.report(PullStatus::AlreadyPresent, model.clone(), 0, started));
            }
        }
        if let Some(model) = kept.filter(|_| plan.pins.is_empty()) {
            plan.trust = model.trust;
        }
        let files = self.fetch_all(&context, &plan, kept).await?;
        let transferred_bytes = files.iter().map(|file| file.transferred_bytes).sum();
        let accepted = options.accept_licence
            || existing
                .as_ref()
                .is_some_and(|model| model.licence_accepted);
        let model = installed(&plan, &files, accepted);
        install(&context.layout, model.clone(), files, options.update).await?;
        let status = if existing.is_some() {
            PullStatus::Replaced
        } else {
            PullStatus::Pulled
        };
        Ok(self.report(status, model, transferred_bytes, started))
    }

    async fn context(
        &self,
        plan: &Plan,
        progress: Arc<dyn Progress>,
    ) -> Result<Context, ModelError> {
        let layout = self.inner.layout.clone();
        let created = layout.clone();
        blocking::run(move |_| created.create()).await?;
        let lock = layout
            .lock_source(&plan.source.to_string(), progress.as_ref())
            .await?;
        Ok(Context {
            transport: Arc::clone(&self.inner.transport),
            layout,
            limits: self.inner.settings.limits,
            lock: Arc::new(lock),
            progress,
        })
    }

    fn plan(
        &self,
        reference: &ModelReference,
        options: &PullOptions,
        lock: &LockFile,
    ) -> Result<Plan, ModelError> {
        let catalogue = &self.inner.settings.catalogue;
        let (default_name, source) = match reference {
            ModelReference::Name(name) => match (catalogue.find(name), lock.find(name)) {
                (Some(known), _) => (
                    Some(name.clone()),
                    SourceReference {
                        source: known.source.clone(),
                        pins: Vec::new(),
                    },
                ),
                (None, Some(model)) => (
                    Some(name.clone()),
                    SourceReference {
                        source: model.source.clone(),
                        pins: Vec::new(),
                    },
                ),
                (None, None) => return Err(self.unknown(name)),
            },
            ModelReference::Source(source) => (None, source.clone()),
        };
        let SourceReference { source, pins } = source;
        let related = catalogue.find_by_source(&source);
        let known = related.filter(|model| model.source == source);
        let name = match options
            .name
            .clone()
            .or(default_name)
            .or_else(|| known.map(|model| model.name.clone()))
        {
            Some(name) => name,
            None => {
                ModelName::from_file_name(source.file_names().first().map_or("", String::as_str))?
            }
        };
        if let Some(owner) = catalogue.find(&name).filter(|model| model.source != source) {
            return Err(ModelError::NameTaken {
                name,
                existing: owner.source.to_string(),
            });
        }
        let (pins, trust) = match known {
            _ if !pins.is_empty() => (pins, Trust::Reference),
            Some(model) if model.is_pinned() => (model.sha256.clone(), Trust::Catalogue),
            _ => (Vec::new(), Trust::FirstUse),
        };
        Ok(Plan {
            name,
            source,
            pins,
            trust,
            licence: related.map(|model| model.licence.clone()),
        })
    }

    async fn fetch_all(
        &self,
        context: &Context,
        plan: &Plan,
        kept: Option<&InstalledModel>,
    ) -> Result<Vec<FetchedFile>, ModelError> {
        let names = plan.source.file_names();
        let parts_total = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let mut files: Vec<FetchedFile> = Vec::with_capacity(names.len());
        for (number, file_name) in (1..).zip(&names) {
            let index = files.len();
            let first_pin = kept
                .and_then(|model| model.files.get(index))
                .map(|file| file.sha256);
            let source = plan.source.sibling(file_name);
            // Every part comes from the commit of the first, also while the branch moves.
            let revision = files.first().and_then(|file| file.revision.as_deref());
            let wanted = Wanted {
                source: if names.len() > 1 {
                    &source
                } else {
                    &plan.source
                },
                file_name,
                part: (number, parts_total),
                pin: plan.pins.get(index).copied().or(first_pin),
                revision: revision.or_else(|| kept.and_then(|model| model.revision.as_deref())),
            };
            let fetched = self.inner.fetch(context, &wanted).await;
            files.push(fetched.map_err(|error| as_changed_pin(error, plan, kept.is_some()))?);
        }
        Ok(files)
    }

    fn report(
        &self,
        status: PullStatus,
        model: InstalledModel,
        transferred_bytes: u64,
        started: Instant,
    ) -> PullReport {
        let mut notices = Vec::new();
        if model.trust == Trust::FirstUse && status != PullStatus::AlreadyPresent {
            notices.push(
                "The digest was not known beforehand: it is pinned now to what the source serves (trust on first use); \
                 later changes are refused."
                    .to_owned(),
            );
        }
        if model.licence.is_none() {
            notices.push(
                "The licence of this model is not known here; read it at the source before use."
                    .to_owned(),
            );
        }
        let path = model
            .paths(&self.inner.layout)
            .into_iter()
            .next()
            .unwrap_or_default();
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        PullReport {
            status,
            model,
            path,
            transferred_bytes,
            elapsed_ms,
            notices,
        }
    }
}

fn check_licence(
    plan: &Plan,
    options: &PullOptions,
    existing: Option<&InstalledModel>,
) -> Result<(), ModelError> {
    let accepted = options.accept_licence
        || existing.is_some_and(|model| model.licence_accepted && model.source == plan.source);
    match &plan.licence {
        Some(licence) if licence.must_accept && !accepted => Err(ModelError::LicenceNotAccepted {
            name: plan.name.clone(),
            licence: Box::new(licence.clone()),
        }),
        _ => Ok(()),
    }
}

/// A mismatch with what an earlier pull pinned means that the source has changed.
fn as_changed_pin(error: ModelError, plan: &Plan, was_pulled: bool) -> ModelError {
    match error {
        ModelError::HashMismatch {
            expected, found, ..
        } if was_pulled && plan.pins.is_empty() => ModelError::PinChanged {
            name: plan.name.clone(),
            expected,
            found,
        },
        other => other,
    }
}

fn installed(plan: &Plan, files: &[FetchedFile], licence_accepted: bool) -> InstalledModel {
    InstalledModel {
        name: plan.name.clone(),
        source: plan.source.clone(),
        revision: files.first().and_then(|file| file.revision.clone()),
        trust: plan.trust,
        pulled_at: OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .unwrap_or_else(|_| OffsetDateTime::now_utc()),
        licence_accepted: licence_accepted
            && plan
                .licence
                .as_ref()
                .is_some_and(|licence| licence.must_accept),
        licence: plan.licence.clone(),
        files: files
            .iter()
            .map(|file| InstalledFile {
                name: file.name.clone(),
                sha256: file.sha256,
                size_bytes: file.size_bytes,
            })
            .collect(),
    }
}

/// Moves the files to their places and pins them, in one step for every other process.
async fn install(
    layout: &Layout,
    model: InstalledModel,
    files: Vec<FetchedFile>,
    update: bool,
) -> Result<(), ModelError> {
    let owned = layout.clone();
    let leftovers = blocking::run(move |_| {
        let layout = owned;
        let _index = layout.lock_index()?;
        let mut lock = LockFile::load(&layout.lock_file())?;
        if let Some(other) = lock
            .find(&model.name)
            .filter(|other| other.source != model.source && !update)
        {
            return Err(ModelError::NameTaken {
                name: model.name.clone(),
                existing: other.source.to_string(),
            });
        }
        for file in &files {
            let blob = layout.blob(file.sha256);
            match &file.place {
                Place::Temporary(path) => move_into_place(path, &blob)?,
                // A `remove` may have dropped it since it was hashed.
                Place::Stored => {
                    std::fs::metadata(&blob)
                        .map_err(|error| ModelError::io("keep", &blob, error))?;
                }
            }
        }
        link_set(&layout, &model)?;
        let replaced = lock.put(model);
        lock.save(&layout.lock_file())?;
        if let Some(replaced) = replaced {
            drop_files(&layout, &lock, &replaced)?;
        }
        Ok(files
            .into_iter()
            .flat_map(|file| file.leftovers)
            .collect::<Vec<_>>())
    })
    .await?;
    discard_all(leftovers, None).await
}

/// Links the files of a model with several files under their names into one directory.
fn link_set(layout: &Layout, model: &InstalledModel) -> Result<(), ModelError> {
    let directory = layout.set_directory(&model.name);
    if model.files.len() < 2 {
        return remove_directory(&directory);
    }
    let parent = directory
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf);
    let linked = (|| {
        let fresh = temporary_builder(0o777).tempdir_in(&parent)?;
        for file in &model.files {
            link(&layout.blob(file.sha256), &fresh.path().join(&file.name))?;
        }
        Ok(fresh)
    })();
    let fresh = linked.map_err(|error| ModelError::io("link", &directory, error))?;
    remove_directory(&directory)?;
    std::fs::rename(fresh.keep(), &directory)
        .map_err(|error| ModelError::io("link", &directory, error))
}

fn link(blob: &Path, link: &Path) -> std::io::Result<()> {
    std::fs::hard_link(blob, link).or_else(|error| symlink(blob, link, error))
}

#[cfg(unix)]
fn symlink(blob: &Path, link: &Path, _error: std::io::Error) -> std::io::Result<()> {
    std::os::unix::fs::symlink(blob, link)
}

#[cfg(not(unix))]
fn symlink(_blob: &Path, _link: &Path, error: std::io::Error) -> std::io::Result<()> {
    Err(error)
}
