//! Words that no committed file may hold: paths of one machine, download hosts, unfinished code.

use std::collections::BTreeMap;

use anyhow::Result;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde::Deserialize;

use crate::tree::Tree;

/// The committed table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// First folder of an absolute path that exists on one machine only.
    machine_folders: Vec<String>,
    /// Text -> why it may not appear.
    forbidden: BTreeMap<String, Forbidden>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbidden {
    why: String,
    /// Beginnings of the paths where it may appear all the same.
    #[serde(default)]
    allowed_in: Vec<String>,
}

/// Macros that mark code as unfinished or left over.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// The table itself has to name what it forbids.
const TABLE: &str = "words.toml";

/// Findings over every text file git would commit.
pub(crate) fn check(tree: &Tree) -> Result<Vec<String>> {
    let table: Table = tree.read_table(TABLE)?;
    let mut findings = Vec::new();
    for path in tree.paths().filter(|path| *path != TABLE) {
        // Binary files hold no words.
        let Ok(text) = String::from_utf8(tree.read(path)?) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", index + 1);
            findings.extend(
                in_line(&table, path, line)
                    .into_iter()
                    .map(|what| format!("{place}: {what}")),
            );
        }
        if path.ends_with(".rs") {
            // A file that does not parse (a compile-fail fixture) cannot hold a macro that runs.
            let tokens: TokenStream = text.parse().unwrap_or_default();
            findings.extend(unfinished(tokens).into_iter().map(|(line, what)| {
                format!("{path}:{line}: {what} is unfinished or left-over code: finish it or take it out")
            }));
        }
    }
    Ok(findings)
}

/// What is wrong with one line of any text file.
fn in_line(table: &Table, path: &str, line: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for folder in &table.machine_folders {
        if names_absolute_path(line, &format!("/{folder}/")) {
            findings.push(format!(
                "names a path below /{folder}, which is one machine's: use a relative path, a temporary directory or a variable"
            ));
        }
    }
    for (word, forbidden) in &table.forbidden {
        let allowed = forbidden
            .allowed_in
            .iter()
            .any(|start| path.starts_with(start.as_str()));
        if !allowed && line.contains(word.as_str()) {
            findings.push(format!("has {word:?}: {}", forbidden.why));
        }
    }
    findings
}

/// Whether `start` begins a path in `line`, rather than standing inside a longer relative path or URL.
fn names_absolute_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| {
            c.is_alphanumeric()
                || matches!(c, '_' | '-' | '.' | '}' | ')' | '*' | '~' | '$' | '+' | '/')
        })
    })
}

/// Line and text of each unfinished macro call and each `#[ignore]`, wherever tokens nest.
fn unfinished(tokens: TokenStream) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        match token {
            TokenTree::Ident(name) if UNFINISHED.iter().any(|word| name == word) => {
                let called = matches!(next, Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
                if called {
                    found.push((name.span().start().line, format!("{name}!")));
                }
            }
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                if let Some(TokenTree::Group(group)) = next
                    && group.delimiter() == Delimiter::Bracket
                    && matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "ignore")
                {
                    found.push((hash.span().start().line, "#[ignore]".to_owned()));
                }
            }
            TokenTree::Group(group) => found.extend(unfinished(group.stream())),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
