//! Which crate may depend on which: `cargo metadata` against `layers.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::tree::Tree;

/// The committed table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    /// One row per workspace crate.
    pub(crate) crates: BTreeMap<String, Row>,
    /// Outside crate -> workspace crates that may name it as a normal or build dependency.
    restricted: BTreeMap<String, BTreeSet<String>>,
}

/// What one workspace crate may do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Workspace crates it may depend on; both normal and test dependencies.
    may_use: BTreeSet<String>,
    /// More workspace crates that only its tests may depend on.
    #[serde(default)]
    tests_may_use: BTreeSet<String>,
    /// Its sources do no input or output; see `purity`.
    #[serde(default)]
    pub(crate) pure: bool,
    /// Only other `dev_only` crates, and tests, may depend on it.
    #[serde(default)]
    dev_only: bool,
    /// The room is designed but empty: there must be no such crate yet.
    #[serde(default)]
    planned: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency; else `dev` or `build`.
    kind: Option<String>,
}

/// Findings of the table against the manifests.
pub(crate) fn check(tree: &Tree) -> Result<Vec<String>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(tree.root())
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    Ok(compare(&tree.read_table("layers.toml")?, &metadata))
}

fn compare(layers: &Layers, metadata: &Metadata) -> Vec<String> {
    let members: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = stale_rows(layers, &members);
    for package in &metadata.packages {
        match layers.crates.get(&package.name) {
            None => findings.push(format!(
                "crate {0} has no row: add [crates.{0}] to layers.toml with the rooms it may use, and a line to the \
                 table in ARCHITECTURE.md",
                package.name
            )),
            Some(row) => {
                for dependency in &package.dependencies {
                    findings.extend(edge(layers, package, row, dependency, &members));
                }
            }
        }
    }
    findings
}

/// Rows that no longer fit the workspace.
fn stale_rows(layers: &Layers, members: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, row) in &layers.crates {
        match (row.planned, members.contains(name.as_str())) {
            (true, true) => findings.push(format!(
                "crate {name} exists now: drop `planned` from its row in layers.toml"
            )),
            (false, false) => findings.push(format!(
                "layers.toml has a row for {name}, which is no crate: remove the row"
            )),
            _ => {}
        }
        for target in row.may_use.union(&row.tests_may_use) {
            if !layers.crates.contains_key(target) {
                findings.push(format!(
                    "layers.toml lets {name} use {target}, which has no row: fix the name"
                ));
            }
        }
    }
    for user in layers.restricted.values().flatten() {
        if !layers.crates.contains_key(user) {
            findings.push(format!(
                "layers.toml [restricted] names {user}, which has no row: fix the name"
            ));
        }
    }
    findings
}

/// The finding for one dependency, if any.
fn edge(
    layers: &Layers,
    package: &Package,
    row: &Row,
    dependency: &Dependency,
    members: &BTreeSet<&str>,
) -> Option<String> {
    let (from, to) = (&package.name, &dependency.name);
    let for_tests = dependency.kind.as_deref() == Some("dev");
    if !members.contains(to.as_str()) {
        let allowed = layers.restricted.get(to)?;
        return (!for_tests && !allowed.contains(from)).then(|| {
            format!(
                "{from} -> {to}: only {} may depend on {to}; go through their types instead, or extend [restricted] \
                 in layers.toml and say why in ARCHITECTURE.md",
                listed(allowed)
            )
        });
    }
    let target_dev_only = layers.crates.get(to).is_some_and(|target| target.dev_only);
    if target_dev_only && !row.dev_only && !for_tests {
        return Some(format!(
            "{from} -> {to}: {to} is for tests only; move it to [dev-dependencies]"
        ));
    }
    // A crate's integration tests may name the crate itself.
    let allowed = row.may_use.contains(to)
        || (for_tests && (row.tests_may_use.contains(to) || target_dev_only || from == to));
    (!allowed).then(|| {
        let key = if for_tests { "tests_may_use" } else { "may_use" };
        format!(
            "{from} -> {to}: this edge is not in the table; {from} may use {}. Remove the dependency, or, when the \
             boundary really moves, add {to} to {key} of [crates.{from}] in layers.toml and to ARCHITECTURE.md",
            listed(&row.may_use)
        )
    })
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
