//! The command line of keys.

use clap::{Args, Subcommand};

/// Make and list the gateway's own API keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold keys create shop                 a new key, and what to write into freehold.yaml
  freehold keys create shop --expires 2027-06-30 --json
  freehold keys list                        every key: team, limits, budgets, until when

To replace a key without a gap, put the new one in its place and the old one, for as long as its
holders need, under `previous: [{key: sha256:..., until: 2027-01-31}]`; the file is reloaded.")]
pub(crate) struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; it is shown once, and only its hash goes into the configuration
    Create(KeysCreateArgs),
    /// List the keys of the configuration
    List(KeysListArgs),
}

/// Make a key.
#[derive(Debug, Args)]
pub(crate) struct KeysCreateArgs {
    /// Its name, as the ledger shows it
    pub(crate) name: String,
    /// The team that its requests are billed to
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// From when on it is not taken any more: 2027-06-30 or 2027-06-30T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the keys.
#[derive(Debug, Args)]
pub(crate) struct KeysListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
