//! `freehold drift`: its arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use freehold_proof::drift::{Measure, Watch};

/// Find out when a deployment no longer answers as it did.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold drift probe --probes probes.jsonl --models openai/gpt-4o-mini --record drift.jsonl --times 9
  freehold drift probe --probes probes.jsonl --models openai/gpt-4o-mini --record drift.jsonl --every 1h --times 24
  freehold drift show drift.jsonl
  freehold drift simulate

docs/drift.md says what is watched and how sure an alert is.")]
pub(crate) struct DriftArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DriftCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum DriftCommand {
    /// Ask models a pinned probe set, and append what was measured to a record
    ///
    /// The first run's answers are kept in the record: later ones are held against them, and only measured.
    /// Exit status: 0 when nothing changed, 1 when something did.
    Probe(Box<DriftProbeArgs>),
    /// Show what a record says: what changed, when, and by how much
    ///
    /// Exit status: 0 when nothing changed, 1 when something did.
    Show(DriftShowArgs),
    /// Look at live traffic, as the ledger has it: answers' length, errors and latency by flow and deployment
    ///
    /// Exit status: 0 when nothing changed, 1 when something did.
    Ledger(DriftLedgerArgs),
    /// Play many records to see how soon changes are found, and how often one is where there is none
    Simulate(DriftSimulateArgs),
}

impl DriftArgs {
    /// Whether the gateway's ledger is read.
    pub(crate) fn reads_ledger(&self) -> bool {
        matches!(self.command, DriftCommand::Ledger(_))
    }
}

/// Which traffic.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold drift ledger                        all flows of the last 30 days
  freehold drift ledger --flow support --since 7d --batch 100")]
pub(crate) struct DriftLedgerArgs {
    /// Of this flow only
    #[arg(long)]
    pub(crate) flow: Option<String>,
    /// So many requests, one after another, are looked at together
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = batch)]
    pub(crate) batch: usize,
    /// What counts as a change.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn batch(text: &str) -> Result<usize, String> {
    let count: Option<usize> = text.parse().ok();
    let sound = count.filter(|count| (10..=10_000).contains(count));
    sound.ok_or_else(|| "a batch has 10 to 10000 requests".to_owned())
}

/// What to ask whom.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold drift probe --probes probes.jsonl --models a,b --record drift.jsonl
                                                     one run, as cron and systemd timers start it
  freehold drift probe --probes probes.jsonl --models a --scorer exact --record drift.jsonl --every 1h --times 24")]
pub(crate) struct DriftProbeArgs {
    /// The questions: a data set as docs/eval.md describes
    #[arg(long, value_name = "FILE")]
    pub(crate) probes: PathBuf,
    /// The models as the server names them
    #[arg(long, value_name = "MODEL", required = true, value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// What was measured so far; a run is appended
    #[arg(long, value_name = "FILE")]
    pub(crate) record: PathBuf,
    /// The server that has them, with or without /v1
    #[arg(long, env = "FREEHOLD_URL", default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// The environment variable that holds the server's API key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// A scorer that also watches how good answers are; one that asks nobody
    #[arg(long, value_name = "SCORER")]
    pub(crate) scorer: Option<String>,
    /// A model that embeds: how near answers are in meaning to the first run's is watched, too
    #[arg(long, value_name = "MODEL")]
    pub(crate) embedding: Option<String>,
    /// The server that has it [default: --url]
    #[arg(long, value_name = "URL", requires = "embedding")]
    pub(crate) embedding_url: Option<String>,
    /// The environment variable that holds that server's API key
    #[arg(long, value_name = "VARIABLE", requires = "embedding")]
    pub(crate) embedding_key_env: Option<String>,
    /// Begin a run every so often: `30m`, `1h`, `1d` [default: one after another]
    #[arg(long, value_name = "TIME")]
    pub(crate) every: Option<String>,
    /// So many runs
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) times: u64,
    /// Requests at once; latencies are steadiest with 1
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) concurrency: u16,
    /// Tokens of the longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// The seed that is sent, with temperature 0
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Send neither temperature nor seed, for models that refuse them
    #[arg(long)]
    pub(crate) plain: bool,
    /// Ask again so often when the server is busy or out of reach
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) retries: u32,
    /// Give a request up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// What counts as a change.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Print what the record says as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct DriftShowArgs {
    /// What `freehold drift probe` wrote
    pub(crate) record: PathBuf,
    /// What counts as a change.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct DriftSimulateArgs {
    /// Records of each change
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) records: u64,
    /// Probes in a run
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) probes: u16,
    /// Runs after the baseline
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) runs: u16,
    /// The mean before the change, of answers that are right or wrong
    #[arg(long, default_value_t = 0.8)]
    pub(crate) before: f64,
    /// The same seed plays the same records
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What counts as a change.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What counts as a change.
#[derive(Clone, Debug, Args)]
pub(crate) struct WatchArgs {
    /// Learn what is usual from so many runs
    #[arg(long, value_name = "COUNT", default_value_t = Watch::default().baseline_runs)]
    pub(crate) baseline_runs: usize,
    /// A mean that moved by no more has not changed
    #[arg(long, default_value_t = Watch::default().tolerance)]
    pub(crate) tolerance: f64,
    /// While nothing changes, at least so many runs until a false alarm, in the mean
    #[arg(long, value_name = "RUNS", default_value_t = Watch::default().false_alarm_runs)]
    pub(crate) false_alarm_runs: f64,
    /// Do not watch this: score, similarity, identical, length, refusals, slow or meaning
    #[arg(long, value_name = "MEASURE", value_delimiter = ',')]
    pub(crate) ignore: Vec<Measure>,
    /// Leave out runs before this time, as after a change that is accepted: `24h`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}
