//! The command line of guard, policy and audit.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What the guard finds.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: GuardCommand,
}

/// What to do with the guard.
#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Print what is found in a text: types and places, never the text
    Scan(GuardScanArgs),
    /// Measure precision, recall and residual on annotated texts
    Eval(GuardEvalArgs),
}

/// Print what is found in a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold guard scan letter.txt
  echo 'mail ann@example.org' | freehold guard scan --json")]
pub(crate) struct GuardScanArgs {
    /// The text [default: standard input]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON; offsets are in bytes
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure the guard on annotated texts.
#[derive(Debug, Args)]
#[command(after_help = "\
DIR holds .jsonl or .jsonl.gz files. A line has `text` and either `spans` (a list of start, end in
Unicode code points, type; an empty list says that the text is clean), or `label` (injection, benign).

Examples:
  freehold guard eval --data annotated/
  freehold guard eval --data annotated/ --set pii --ignore TITLE --json
  scripts/presidio.sh annotated/ presidio.jsonl
  freehold guard eval --data annotated/ --beside presidio=presidio.jsonl")]
pub(crate) struct GuardEvalArgs {
    /// Folder, or one file, of annotated texts
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Only sets whose name contains this
    #[arg(long, value_name = "NAME")]
    pub(crate) set: Vec<String>,
    /// Annotated types that do not count
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Another product's findings on the same texts: lines with `set`, `id` and `spans`
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) beside: Vec<String>,
    /// From which probability on a text is called an injection
    #[arg(long, default_value_t = 0.5, value_name = "PROBABILITY")]
    pub(crate) threshold: f32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
