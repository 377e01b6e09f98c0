//! Reading the tables that come with this crate, and finding rows by name.

use serde::de::DeserializeOwned;

use crate::error::SimError;

/// The rows of a bundled CSV table. A row that does not parse is a defect of this crate, which its
/// tests find; it is left out.
pub(crate) fn rows<T: DeserializeOwned>(table: &str) -> Vec<T> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(table.as_bytes())
        .into_deserialize()
        .filter_map(Result::ok)
        .collect()
}

/// A name without what does not tell models or GPUs apart: owner, letter case, separators.
pub(crate) fn plain(name: &str) -> String {
    let own = name.rsplit('/').next().unwrap_or(name);
    own.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// Whether `name` is `own` or one of `aliases` (separated by `|`).
pub(crate) fn is_called(wanted: &str, own: &str, aliases: &str) -> bool {
    plain(own) == wanted
        || aliases
            .split('|')
            .any(|alias| !alias.is_empty() && plain(alias) == wanted)
}

/// An error that tells which names are nearest.
pub(crate) fn unknown<'a>(
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
    otherwise: &str,
) -> SimError {
    let wanted = plain(name);
    let mut near: Vec<(usize, &str)> = known
        .map(|known| (strsim::levenshtein(&wanted, &plain(known)), known))
        .collect();
    near.sort_unstable();
    let names: Vec<&str> = near.into_iter().take(4).map(|(_, known)| known).collect();
    SimError::Unknown {
        what,
        name: name.to_owned(),
        hint: format!("near it are {}; {otherwise}", names.join(", ")),
    }
}
