//! Reads data files, compressed or not.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// Larger files are no measurements, and a compressed one could hold anything.
const LARGEST_BYTES: u64 = 256 * 1024 * 1024;

/// A file's text; `.gz` is unpacked.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let source: Box<dyn Read> = if is_packed {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut text = String::new();
    let read = source
        .take(LARGEST_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {} as UTF-8 text", path.display()))?;
    anyhow::ensure!(
        read as u64 <= LARGEST_BYTES,
        "{} is larger than 256 MiB",
        path.display()
    );
    Ok(text)
}
