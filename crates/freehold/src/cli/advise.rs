//! `freehold advise` as it is typed.

use std::path::PathBuf;

use clap::Args;

use crate::workload_source::ReadArgs;

/// Rent or own: what each costs for your traffic, and how sure that is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold advise --trace usage.csv --api openai/gpt-4o-mini       on an exported usage, before anything is installed
  freehold advise --ledger --since 7d --html report.html           on what the gateway recorded
  freehold advise --trace hour.csv --scenario week=office          an hour as an office's week
  freehold advise --trace hour.csv --model Llama-3.3-70B --gpu H100 --gpu L40S --weights fp8
  freehold advise --trace hour.csv --gpu A100 --gpu-usd-per-hour 1.10
  freehold advise --trace hour.csv --interview --save-answers answers.yaml
  freehold advise --trace hour.csv --answers answers.yaml --assumptions own.yaml --json

Nothing is asked of the network. docs/advisor.md describes the method, the rules and the limits.")]
pub(crate) struct AdviseArgs {
    /// Exports or traces, plain, gzip or Parquet; `-` is standard input. Several are one workload
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) trace: Vec<PathBuf>,
    /// Read the gateway's own ledger
    #[arg(long, conflicts_with = "trace")]
    pub(crate) ledger: bool,
    /// How to read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What is rented.
    #[command(flatten)]
    pub(crate) rent: RentArgs,
    /// What could be owned.
    #[command(flatten)]
    pub(crate) own: OwnArgs,
    /// What is known besides.
    #[command(flatten)]
    pub(crate) known: KnownArgs,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is rented.
#[derive(Debug, Args)]
#[command(next_help_heading = "Renting")]
pub(crate) struct RentArgs {
    /// The API used today, `vendor/model` [default: the record's most frequent model with a list price]
    #[arg(long, value_name = "MODEL")]
    pub(crate) api: Option<String>,
    /// Its own price: USD per million tokens, INPUT,OUTPUT or INPUT,CACHED,OUTPUT [default: list price]
    #[arg(long, value_name = "PRICES")]
    pub(crate) api_price: Option<String>,
    /// Prices of that day [default: today]
    #[arg(long, value_name = "DATE")]
    pub(crate) prices_at: Option<String>,
}

/// What could be owned.
#[derive(Debug, Args)]
#[command(next_help_heading = "Owning")]
pub(crate) struct OwnArgs {
    /// An open model; several are compared [default: gpt-oss-120b]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    /// A GPU; several are compared [default: data-centre GPUs with a known price]
    #[arg(long, value_name = "GPU")]
    pub(crate) gpu: Vec<String>,
    /// How weights are stored, such as fp8 or int4 [default: fp8 where the GPU has it, else as published]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) weights: Option<String>,
    /// The serving engine: vllm, sglang, tensorrt-llm or llama-cpp
    #[arg(long, value_name = "ENGINE", default_value = "vllm")]
    pub(crate) engine: String,
    /// What an hour of the one GPU costs on demand, USD [default: list prices]
    #[arg(long, value_name = "USD")]
    pub(crate) gpu_usd_per_hour: Option<f64>,
    /// What the one GPU costs to buy with its share of the server, USD [default: assumed]
    #[arg(long, value_name = "USD")]
    pub(crate) gpu_usd: Option<f64>,
    /// Time to the first token that is asked for, milliseconds [default: 2000]
    #[arg(long, value_name = "MS")]
    pub(crate) slo_ttft_ms: Option<f64>,
    /// Time per later token that is asked for, milliseconds [default: 50]
    #[arg(long, value_name = "MS")]
    pub(crate) slo_tpot_ms: Option<f64>,
    /// Share of requests that must be served so [default: 0.95]
    #[arg(long, value_name = "SHARE")]
    pub(crate) slo_share: Option<f64>,
    /// Replicas beside those that the load needs [default: 0; 1 when nothing may fall back]
    #[arg(long, value_name = "COUNT")]
    pub(crate) spares: Option<u32>,
    /// About how many requests one simulation has: more is slower and surer
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub(crate) simulated_requests: usize,
}

/// What is known besides.
#[derive(Debug, Args)]
#[command(next_help_heading = "Assumptions and answers")]
pub(crate) struct KnownArgs {
    /// Your own figures, YAML; what it leaves out stays as assumed
    #[arg(long, value_name = "FILE")]
    pub(crate) assumptions: Option<PathBuf>,
    /// Growth of traffic, percent per month: one figure, or LOW,BASE,HIGH
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    pub(crate) growth: Option<String>,
    /// Ask what data cannot tell
    #[arg(long, conflicts_with = "answers")]
    pub(crate) interview: bool,
    /// Answers to those questions, YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// Keep the answers in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_answers: Option<PathBuf>,
    /// A flow that must stay inside, whatever it costs
    #[arg(long, value_name = "FLOW")]
    pub(crate) inside: Vec<String>,
    /// What is known of quality: JSON, as `freehold proof judge --save` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) proofs: Option<PathBuf>,
    /// Horizon, months
    #[arg(long, value_name = "COUNT", default_value_t = 24)]
    pub(crate) months: u32,
    /// Draws of the Monte Carlo
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub(crate) draws: usize,
}
