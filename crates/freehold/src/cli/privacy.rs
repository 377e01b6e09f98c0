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

/// The policy.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Run a file of cases: requests, and what policy must make of them
    #[command(after_help = "\
A file of cases:
  cases:
    - name: cards stay inside
      given: {text: 'charge 4111 1111 1111 1111'}
      expect: {deny: 'openai/*', perimeter: inside}

Examples:
  freehold policy test policy-cases.yaml
  freehold policy test policy-cases.yaml --json")]
    Test {
        /// The file of cases
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say which rules match a request, and which of them decide
    Explain(PolicyExplainArgs),
}

/// A request for policy to decide.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo 'my card is 4111 1111 1111 1111' | freehold policy explain
  freehold policy explain letter.txt --key web-app --route support
  freehold policy explain --text hello --sensitivity confidential --json")]
pub(crate) struct PolicyExplainArgs {
    /// The request's text, in a file [default: standard input]
    pub(crate) file: Option<PathBuf>,
    /// The request's text
    #[arg(long, conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// What the caller says of it: public, internal, confidential, restricted
    #[arg(long)]
    pub(crate) sensitivity: Option<freehold_types::Sensitivity>,
    /// The name of the API key
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The tenant [default: the key's]
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// What the client names in `model`
    #[arg(long, default_value = "auto")]
    pub(crate) route: String,
    /// The workload
    #[arg(long)]
    pub(crate) flow: Option<String>,
    /// A label of the request's metadata
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The audit trail.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The trail's directory; then no configuration is read [default: the configuration's]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every hash and signature, and say where something was changed
    #[command(after_help = "\
Without --public-key the trail is checked against the keys that it names itself, which proves
nothing against somebody who can write its directory: keep the key, and now and then an anchor,
elsewhere.

Examples:
  freehold audit verify --public-key audit.key.pub
  freehold audit verify --public-key audit.key.pub --anchor 2026-10-31.anchor.json
  freehold audit verify --export october.jsonl --public-key audit.key.pub")]
    Verify {
        /// The public key, PEM; may be given more than once
        #[arg(long, value_name = "FILE")]
        public_key: Vec<PathBuf>,
        /// A checkpoint that was kept elsewhere (`freehold audit anchor`)
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
        /// An export in the place of this machine's trail
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write records, with what proves them, as JSON lines to standard output
    #[command(after_help = "\
Examples:
  freehold audit export --since 2026-10-01 --until 2026-11-01 > october.jsonl
  freehold audit export > everything.jsonl")]
    Export {
        /// From when: `24h`, `7d`, a date, or an RFC 3339 time
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Until when
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Print records
    #[command(after_help = "\
Examples:
  freehold audit show --last 20
  freehold audit show --request req_0197f2c5e5a97d0c9c5a1d6f2f7c1a2b
  freehold audit show --since 24h --kind decision --json")]
    Show(AuditShowArgs),
    /// Print the last checkpoint, to be kept elsewhere
    Anchor,
    /// Print the public key of this machine's trail, PEM
    PublicKey,
}

/// Which records to print.
#[derive(Debug, Args)]
pub(crate) struct AuditShowArgs {
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Of this request
    #[arg(long)]
    pub(crate) request: Option<String>,
    /// Of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this key
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// decision, administration or checkpoint
    #[arg(long)]
    pub(crate) kind: Option<freehold_types::audit::AuditKind>,
    /// So many, the newest
    #[arg(long, default_value_t = 50)]
    pub(crate) last: usize,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}
