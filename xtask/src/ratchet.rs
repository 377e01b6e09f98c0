//! Sizes only shrink: files and functions against the limits and written exceptions in `ratchet.toml`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Block, ImplItemFn, Item, ItemFn, ItemImpl, ItemMod, ItemTrait, Signature, TraitItemFn, Type,
};

use crate::source::{self, Source, attributes_of, is_test};
use crate::tree::Tree;

/// The committed limits and exceptions; all sizes in lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    file_lines_max: usize,
    function_lines_max: usize,
    /// Path -> its size, for files above the limit.
    #[serde(default)]
    files: BTreeMap<String, usize>,
    /// `path#name` -> its size, for functions above the limit.
    #[serde(default)]
    functions: BTreeMap<String, usize>,
}

/// Findings over every crate's sources.
pub(crate) fn check(tree: &Tree) -> Result<Vec<String>> {
    let table: Table = tree.read_table("ratchet.toml")?;
    let mut files = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for source in source::sources(tree, "")? {
        if !source.path.contains("src/") {
            continue;
        }
        let measured = measure(&source);
        for (name, lines) in measured.functions {
            // Two functions of one name (trait impls for different types) share an entry: the larger counts.
            let entry = functions
                .entry(format!("{}#{name}", source.path))
                .or_insert(0);
            *entry = lines.max(*entry);
        }
        files.insert(source.path, measured.lines);
    }
    let mut findings = judge("files", table.file_lines_max, &table.files, &files);
    findings.extend(judge(
        "functions",
        table.function_lines_max,
        &table.functions,
        &functions,
    ));
    Ok(findings)
}

/// Findings of real sizes against a limit and its exceptions.
fn judge(
    kind: &str,
    limit: usize,
    exceptions: &BTreeMap<String, usize>,
    real: &BTreeMap<String, usize>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, &lines) in real {
        match exceptions.get(name) {
            None if lines > limit => findings.push(format!(
                "{name} has {lines} lines, the limit is {limit}: split it (tests go to a sibling tests.rs, which does not count)"
            )),
            Some(&allowed) if lines > allowed => findings.push(format!(
                "{name} grew from {allowed} to {lines} lines: an exception only shrinks; split it"
            )),
            Some(_) if lines <= limit => findings.push(format!(
                "{name} has {lines} lines, within the limit of {limit}: remove it from [{kind}] in ratchet.toml"
            )),
            Some(&allowed) if lines < allowed => findings.push(format!(
                "{name} shrank to {lines} lines: lower {allowed} to {lines} in [{kind}] of ratchet.toml"
            )),
            _ => {}
        }
    }
    for name in exceptions.keys().filter(|name| !real.contains_key(*name)) {
        findings.push(format!(
            "{name} is gone: remove it from [{kind}] in ratchet.toml"
        ));
    }
    findings
}

/// Sizes in one file, tests excluded.
struct Measured {
    lines: usize,
    functions: Vec<(String, usize)>,
}

fn measure(source: &Source) -> Measured {
    let mut meter = Meter::default();
    meter.visit_file(&source.file);
    Measured {
        lines: source.text.lines().count().saturating_sub(meter.test_lines),
        functions: meter.functions,
    }
}

#[derive(Default)]
struct Meter {
    /// Names of the enclosing modules, types and functions.
    scope: Vec<String>,
    functions: Vec<(String, usize)>,
    test_lines: usize,
}

impl Meter {
    fn within(&mut self, name: String, walk: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        walk(self);
        self.scope.pop();
    }

    /// From the line of `fn` to the closing brace; attributes and doc comments do not count.
    fn function(&mut self, signature: &Signature, block: &Block, walk: impl FnOnce(&mut Self)) {
        let lines = block.brace_token.span.close().end().line - signature.span().start().line + 1;
        self.within(signature.ident.to_string(), |meter| {
            meter.functions.push((meter.scope.join("::"), lines));
            walk(meter);
        });
    }
}

impl<'ast> Visit<'ast> for Meter {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes_of(item)) {
            let span = item.span();
            self.test_lines += span.end().line - span.start().line + 1;
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.within(item.ident.to_string(), |meter| {
            visit::visit_item_mod(meter, item)
        });
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.within(item.ident.to_string(), |meter| {
            visit::visit_item_trait(meter, item)
        });
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = match item.self_ty.as_ref() {
            Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.within(name.unwrap_or_else(|| "impl".to_owned()), |meter| {
            visit::visit_item_impl(meter, item)
        });
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.block, |meter| {
            visit::visit_item_fn(meter, item)
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block, |meter| {
                visit::visit_impl_item_fn(meter, item)
            });
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block, |meter| {
                visit::visit_trait_item_fn(meter, item)
            });
        }
    }
}

#[cfg(test)]
mod tests;
