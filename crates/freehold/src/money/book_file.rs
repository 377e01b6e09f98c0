//! The price book's file in Freehold's directory. Without one, or when it is damaged, the bundled
//! book is used.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use freehold_cost::{BOOK_BYTES_MAX, PriceBook};
use freehold_types::audit::HexBytes;
use freehold_types::price::BookId;
use sha2::{Digest, Sha256};

/// The book's file in Freehold's directory.
pub(crate) fn file_in(home: &Path) -> PathBuf {
    home.join("prices.json")
}

/// A book, and where it is from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) book: PriceBook,
    pub(crate) origin: Origin,
}

/// Where a book is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is compiled in.
    Bundled,
    /// A file, or an address.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => write!(f, "bundled with this version"),
            Self::File(name) => f.write_str(name),
        }
    }
}

/// The stored book; the bundled one when there is none, or, with a loud line, when it is damaged.
pub(crate) fn load(path: &Path) -> Loaded {
    let bundled = || Loaded {
        book: PriceBook::bundled(),
        origin: Origin::Bundled,
    };
    if !path.exists() {
        return bundled();
    }
    match read(path) {
        Ok(book) => Loaded {
            book,
            origin: Origin::File(path.display().to_string()),
        },
        Err(error) => {
            tracing::error!(
                file = %path.display(),
                "the stored price book cannot be used, the bundled one is: {error:#}; fetch it again \
                 with `freehold prices update`"
            );
            bundled()
        }
    }
}

/// Reads a book from a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<PriceBook> {
    let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
    let mut data = Vec::new();
    // One byte more than is allowed, so that a larger file is seen to be one.
    let limit = u64::try_from(BOOK_BYTES_MAX)? + 1;
    file.take(limit)
        .read_to_end(&mut data)
        .with_context(|| format!("{}", path.display()))?;
    book_of(&data)
}

/// The book that this text is, marked with the beginning of its hash.
pub(crate) fn book_of(data: &[u8]) -> anyhow::Result<PriceBook> {
    let digest: [u8; 32] = Sha256::digest(data).into();
    let id = HexBytes(digest).to_string();
    Ok(PriceBook::from_json(data, BookId::new(&id[..12]))?)
}

/// Puts a book's text into the place of the stored one, whole or not at all.
pub(crate) fn store(path: &Path, data: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    file.write_all(data)?;
    file.as_file().sync_all()?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(|| format!("cannot replace {}", path.display()))?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
