//! `freehold export` as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OnlyArgs;

/// Write the ledger to a file, for other programs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold export --out november.parquet --since 2026-11-01 --until 2026-12-01
  freehold export --format focus --out cost.csv --since 30d     for finance tools (FOCUS 1.2)
  freehold export --format jsonl --out - --since 1h | jq .      to standard output
  freehold export --format csv --out support.csv --flow support --force

docs/export.md describes every column.")]
pub(crate) struct ExportArgs {
    /// What to write [default: by the file's name]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
    /// The file; `-` is standard output (not for Parquet)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (exclusive)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What counts.
    #[command(flatten)]
    pub(crate) only: OnlyArgs,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Attempts, one a row, in Apache Parquet
    Parquet,
    /// Attempts, one a row, as CSV
    Csv,
    /// Attempts, one a line, as JSON
    Jsonl,
    /// Cost by day, as CSV by the FinOps Open Cost and Usage Specification (FOCUS) 1.2
    Focus,
}
