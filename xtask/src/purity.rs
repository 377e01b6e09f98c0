//! Pure crates do no input or output: no path into the operating system or a runtime appears in their sources.
//!
//! Code is read as syntax, so comments and strings do not count and `use std::{fs, io}` does.

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, Macro, Path, UseTree};

use crate::layers::Layers;
use crate::source::{self, attributes_of, is_test};
use crate::tree::Tree;

/// Beginnings of paths that a pure crate may not name outside its tests.
const IMPURE: [&str; 12] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "hyper",
    "reqwest",
    "sqlx",
    "tokio",
];

/// Findings over the sources of all pure crates.
pub(crate) fn check(tree: &Tree) -> Result<Vec<String>> {
    let layers: Layers = tree.read_table("layers.toml")?;
    let mut findings = Vec::new();
    for (name, _) in layers.crates.iter().filter(|(_, row)| row.pure) {
        for source in source::sources(tree, &format!("crates/{name}/src/"))? {
            for (line, path) in impure_paths(&source.file) {
                findings.push(format!(
                    "{}:{line}: {path} in {name}, which is pure: take the value as an argument, or put the effect \
                     behind a trait in freehold-ports",
                    source.path
                ));
            }
        }
    }
    Ok(findings)
}

/// Line and path of each impure path outside tests.
fn impure_paths(file: &syn::File) -> Vec<(usize, String)> {
    let mut scan = Scan::default();
    scan.visit_file(file);
    scan.found
}

#[derive(Default)]
struct Scan {
    found: Vec<(usize, String)>,
}

impl Scan {
    /// Records `path` when it leads into something impure. A bare crate name may as well be a variable, so it needs
    /// at least one segment more.
    fn judge(&mut self, line: usize, path: &str) {
        let impure = IMPURE.iter().any(|impure| match path.strip_prefix(impure) {
            Some("") => impure.contains("::"),
            Some(rest) => rest.starts_with("::"),
            None => false,
        });
        if impure {
            self.found.push((line, path.to_owned()));
        }
    }

    fn judge_use(&mut self, prefix: &str, tree: &UseTree) {
        let join = |name: String| {
            if prefix.is_empty() {
                name
            } else {
                format!("{prefix}::{name}")
            }
        };
        match tree {
            UseTree::Path(path) => self.judge_use(&join(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.judge(
                name.ident.span().start().line,
                &join(name.ident.to_string()),
            ),
            UseTree::Rename(name) => self.judge(
                name.ident.span().start().line,
                &join(name.ident.to_string()),
            ),
            UseTree::Glob(glob) => self.judge(glob.star_token.spans[0].start().line, prefix),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.judge_use(prefix, tree)),
        }
    }

    /// Macro bodies are bare tokens: joins `a :: b :: c` and judges each such chain.
    fn judge_tokens(&mut self, tokens: TokenStream) {
        let mut chain = String::new();
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if chain.ends_with("::") => {
                    chain.push_str(&ident.to_string())
                }
                TokenTree::Ident(ident) => {
                    self.judge(line, chain.trim_end_matches(':'));
                    line = ident.span().start().line;
                    chain = ident.to_string();
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !chain.is_empty() => {
                    chain.push(':')
                }
                TokenTree::Group(group) => {
                    self.judge(line, chain.trim_end_matches(':'));
                    chain.clear();
                    self.judge_tokens(group.stream());
                }
                _ => {
                    self.judge(line, chain.trim_end_matches(':'));
                    chain.clear();
                }
            }
        }
        self.judge(line, chain.trim_end_matches(':'));
    }
}

impl<'ast> Visit<'ast> for Scan {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.judge_use("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let Some(first) = path.segments.first() {
            self.judge(first.ident.span().start().line, &names.join("::"));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        visit::visit_macro(self, call);
        self.judge_tokens(call.tokens.clone());
    }
}

#[cfg(test)]
mod tests;
