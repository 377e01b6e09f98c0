//! The command line of stored prompts.

use clap::{ArgGroup, Args, Subcommand};
use freehold_types::RequestId;

/// Stored requests and answers.
#[derive(Debug, Args)]
pub(crate) struct PromptsArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PromptsCommand,
}

/// What to do with stored prompts.
#[derive(Debug, Subcommand)]
pub(crate) enum PromptsCommand {
    /// List what is stored, without any text
    #[command(after_help = "\
Examples:
  freehold prompts list --since 24h
  freehold prompts list --tenant acme --flow support --json")]
    List {
        /// Which.
        #[command(flatten)]
        only: StoredArgs,
        /// So many, the newest
        #[arg(long, default_value_t = 50)]
        last: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a request and its answer; that goes into the audit trail
    #[command(after_help = "\
Examples:
  freehold prompts show req_0197f2c5e5a97d0c9c5a1d6f2f7c1a2b
  freehold prompts show req_0197f2c5e5a97d0c9c5a1d6f2f7c1a2b --json | jq .request > request.json")]
    Show {
        /// The request's id
        request: RequestId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write requests and answers as JSON lines to standard output; that goes into the audit trail
    #[command(after_help = "\
Examples:
  freehold prompts export --flow support --since 7d > support.jsonl
  freehold prompts export --tenant acme --subject user-17 > everything-of-user-17.jsonl")]
    Export {
        /// Which.
        #[command(flatten)]
        only: StoredArgs,
    },
    /// Wrap all keys by the configuration's master key; the old one must be named under
    /// `prompts.previous_master_keys`
    #[command(after_help = "\
The order of things:
  1. make a new key, make it `prompts.master_key`, name the old one under
     `prompts.previous_master_keys`, and start the gateway again
  2. freehold prompts rotate-key
  3. take the old one out of the configuration, and destroy it")]
    RotateKey {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which stored prompts: all that is named must hold.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Only what is stored")]
pub(crate) struct StoredArgs {
    /// of this tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// of this end user, as requests name them (`user`, `metadata.user_id`)
    #[arg(long, value_name = "ID")]
    pub(crate) subject: Option<String>,
    /// of this conversation, as requests name it (`x-freehold-conversation`)
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// of this workload
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (exclusive)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Erase stored prompts for good.
///
/// The keys of what is erased are overwritten, its records deleted, and the raw files searched for
/// the keys: then a receipt is written. A running gateway need not be stopped.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true))]
#[command(after_help = "\
Examples:
  freehold erase --subject user-17                  everything of an end user, whatever the tenant
  freehold erase --tenant acme --conversation c-1   a conversation of one tenant
  freehold erase --tenant acme                      everything of a tenant
  freehold erase --receipts                         check the chain of receipts, and print it")]
pub(crate) struct EraseArgs {
    /// Everything of this tenant; with --subject or --conversation, only of this tenant
    #[arg(long, value_name = "NAME", group = "scope")]
    pub(crate) tenant: Option<String>,
    /// Everything of this end user, as requests name them (`user`, `metadata.user_id`)
    #[arg(
        long,
        value_name = "ID",
        group = "scope",
        conflicts_with = "conversation"
    )]
    pub(crate) subject: Option<String>,
    /// Everything of this conversation, as requests name it (`x-freehold-conversation`)
    #[arg(long, value_name = "ID", group = "scope")]
    pub(crate) conversation: Option<String>,
    /// Check the receipts of what was erased until now, and print them
    #[arg(long, group = "scope", conflicts_with_all = ["tenant", "subject", "conversation"])]
    pub(crate) receipts: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
