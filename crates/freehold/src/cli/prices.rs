//! `freehold prices` as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Show, update and compare prices, and see what owned machines cost.
#[derive(Debug, Args)]
pub(crate) struct PricesArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PricesCommand,
}

/// What to do with prices.
#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// Show prices: of the configuration's models, or of the price book's
    List(PricesListArgs),
    /// Fetch a newer price book; what was priced before stays as it is
    Update(PricesUpdateArgs),
    /// Show what a newer price book would change
    Diff(PricesDiffArgs),
    /// Show what owned machines have cost, and what of it requests carry
    Owned {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Show prices.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold prices list                            what the configuration's models cost
  freehold prices list --model gpt-5              what the price book knows by that name
  freehold prices list --all --json               the whole book
  freehold prices list --model o3 --at 2025-06-01 at the prices of a day")]
pub(crate) struct PricesListArgs {
    /// Models of the price book whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) model: Option<String>,
    /// Every model of the price book
    #[arg(long, conflicts_with = "model")]
    pub(crate) all: bool,
    /// Prices of this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a newer book is.
#[derive(Debug, Args)]
pub(crate) struct BookSource {
    /// Where to fetch it [default: where genai-prices publishes its data]
    #[arg(long, env = "FREEHOLD_PRICES_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file instead, for machines that reach nothing
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) file: Option<PathBuf>,
}

/// Fetch a newer price book.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold prices update                     fetch, check and store the newest prices
  freehold prices update --file prices.json  from a file, for machines that reach nothing
  freehold prices update --bundled           back to the prices of this version

A running gateway takes the new prices over within 10 seconds.")]
pub(crate) struct PricesUpdateArgs {
    /// Where it is.
    #[command(flatten)]
    pub(crate) source: BookSource,
    /// Go back to the prices that come with this version
    #[arg(long, conflicts_with_all = ["url", "file"])]
    pub(crate) bundled: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what a newer price book would change.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold prices diff                     for the configuration's models
  freehold prices diff --all --json        for every model
  freehold prices diff --file prices.json  with a file")]
pub(crate) struct PricesDiffArgs {
    /// Where it is.
    #[command(flatten)]
    pub(crate) source: BookSource,
    /// Every model of either book
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
