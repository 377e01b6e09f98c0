//! Repository checks that no off-the-shelf linter makes.
//!
//! Input: the files git would commit, `cargo metadata`, and the tables `layers.toml`, `ratchet.toml` and
//! `words.toml` at the repository root. Output: findings, one a line, each saying what to do, and exit status 1
//! when there is any. Never changes a file.

mod layers;
mod metrics;
mod purity;
mod ratchet;
mod source;
mod tree;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::tree::Tree;

/// Repository checks; each prints what is wrong and what to do about it.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Copy, Subcommand)]
enum Task {
    /// Workspace edges, restricted outside crates and pure crates against layers.toml.
    #[command(name = "check-layers")]
    Layers,
    /// File and function sizes against the limits and exceptions in ratchet.toml.
    #[command(name = "ratchet")]
    Sizes,
    /// Machine paths, download hosts and unfinished code against words.toml.
    #[command(name = "check-words")]
    Words,
    /// Metrics in the code, in docs/metrics.md, and in the board and alert rules of deploy/.
    #[command(name = "check-metrics")]
    Metrics,
    /// All of the above.
    #[command(name = "check")]
    All,
}

impl Task {
    fn findings(self, tree: &Tree) -> Result<Vec<String>> {
        match self {
            Self::Layers => {
                let mut findings = layers::check(tree)?;
                findings.extend(purity::check(tree)?);
                Ok(findings)
            }
            Self::Sizes => ratchet::check(tree),
            Self::Words => words::check(tree),
            Self::Metrics => metrics::check(tree),
            Self::All => {
                let mut findings = Vec::new();
                for task in [Self::Layers, Self::Sizes, Self::Words, Self::Metrics] {
                    findings.extend(task.findings(tree)?);
                }
                Ok(findings)
            }
        }
    }
}

fn main() -> Result<ExitCode> {
    let findings = Arguments::parse().task.findings(&Tree::open()?)?;
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "error: {finding}")?;
    }
    match findings.len() {
        0 => writeln!(out, "ok: nothing to report")?,
        count => writeln!(out, "{count} finding(s)")?,
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
