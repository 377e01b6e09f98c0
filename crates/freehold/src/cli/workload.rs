//! `freehold workload` as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::workload_source::ReadArgs;

/// Traffic: what it is like, from exports, traces or the ledger.
#[derive(Debug, Args)]
pub(crate) struct WorkloadArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: WorkloadCommand,
}

impl WorkloadArgs {
    /// Whether it asks for the gateway's own ledger.
    pub(crate) fn reads_ledger(&self) -> bool {
        match &self.command {
            WorkloadCommand::Show(args) => args.from.ledger,
            WorkloadCommand::Convert(args) => args.from.ledger,
        }
    }
}

/// What to do with traffic.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkloadCommand {
    /// Show volumes, peaks, lengths, reuse and cost, by flow, and what could not be read
    Show(WorkloadShowArgs),
    /// Write it in freehold's own form, after scenarios if you like
    Convert(WorkloadConvertArgs),
}

/// Where traffic is read from.
#[derive(Debug, Args)]
pub(crate) struct FromArgs {
    /// Exports or traces, plain, gzip or Parquet; `-` is standard input. Several are one workload
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the gateway's own ledger
    #[arg(long, conflicts_with = "files")]
    pub(crate) ledger: bool,
    /// How to read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Show what traffic is like.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold workload show completions_usage.csv                 a vendor's usage export
  freehold workload show spend_logs.jsonl.gz --flow support    LiteLLM's log, one flow of it
  freehold workload show --ledger --since 7d                   the gateway's own ledger
  freehold workload show log.csv --map time=ts --map input=in --map output=out
  freehold workload show m_rates.csv.gz m_lengths.jsonl.gz --share 0.01
  freehold workload show trace.jsonl --scenario x10 --json     what ten times as much is like

docs/workload.md describes the formats, the scenarios and every figure.")]
pub(crate) struct WorkloadShowArgs {
    /// Where traffic is read from.
    #[command(flatten)]
    pub(crate) from: FromArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write traffic in freehold's own form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold workload convert spend_logs.csv --out traffic.jsonl
  freehold workload convert --ledger --since 30d --out traffic.csv
  freehold workload convert hour.csv --scenario week=office --out week.jsonl")]
pub(crate) struct WorkloadConvertArgs {
    /// Where traffic is read from.
    #[command(flatten)]
    pub(crate) from: FromArgs,
    /// The file, .jsonl or .csv; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The form [default: by the file's name]
    #[arg(long, value_enum)]
    pub(crate) to: Option<WorkloadForm>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Freehold's own forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadForm {
    /// A head and a request a line, as JSON
    Jsonl,
    /// The same as CSV
    Csv,
}
