//! What counts as test code in a Rust source tree.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use quote::ToTokens as _;
use syn::{Attribute, Item};

use crate::tree::Tree;

/// One parsed source file that holds more than tests.
pub(crate) struct Source {
    /// Path relative to the repository root.
    pub(crate) path: String,
    /// The text as it stands.
    pub(crate) text: String,
    /// The syntax tree, test items included; see [`is_test`].
    pub(crate) file: syn::File,
}

/// Every Rust source below `under` (a folder ending in `/`) that is not test code by its place: `tests/`,
/// `benches/`, `examples/`, `tests.rs`, or a file that is only reached through `#[cfg(test)] mod name;`.
pub(crate) fn sources(tree: &Tree, under: &str) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in tree.paths() {
        if path.starts_with(under) && path.ends_with(".rs") && !is_test_path(path) {
            let text = tree.read_text(path)?;
            let file = syn::parse_file(&text).with_context(|| format!("parsing {path}"))?;
            let path = path.to_owned();
            sources.push(Source { path, text, file });
        }
    }
    let test_modules: BTreeSet<String> =
        sources.iter().flat_map(out_of_line_test_modules).collect();
    sources.retain(|source| {
        let stem = source.path.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        !test_modules
            .iter()
            .any(|module| stem == module || stem.starts_with(&format!("{module}/")))
    });
    Ok(sources)
}

/// Whether a path is test code by convention.
pub(crate) fn is_test_path(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || parts
            .iter()
            .any(|part| matches!(*part, "tests" | "benches" | "examples"))
}

/// Whether attributes make an item test code: `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path
            .segments
            .last()
            .is_some_and(|last| last.ident == "test")
        {
            return true;
        }
        let words = attribute.meta.to_token_stream().to_string();
        let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
        path.is_ident("cfg")
            && words.clone().any(|word| word == "test")
            && !words.any(|word| word == "not")
    })
}

/// Attributes of an item, whatever kind it is.
pub(crate) fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Paths without `.rs` of the modules that a source declares as `#[cfg(test)] mod name;`.
fn out_of_line_test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let base = if matches!(name, "lib" | "main" | "mod") {
        folder
    } else {
        stem
    };
    let modules = source.file.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => {
            Some(&module.ident)
        }
        _ => None,
    });
    modules.map(|name| format!("{base}/{name}")).collect()
}

#[cfg(test)]
mod tests;
