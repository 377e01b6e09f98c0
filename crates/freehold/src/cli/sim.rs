//! `freehold sim` and `freehold fit` as they are typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::workload_source::ReadArgs;

/// Simulate model servers of your own.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SimCommand,
}

impl SimArgs {
    /// Whether it asks for the gateway's own ledger.
    pub(crate) fn reads_ledger(&self) -> bool {
        matches!(&self.command, SimCommand::Run(args) if args.ledger)
    }
}

/// What to do with the simulator.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Serve a trace, or made-up traffic, with a fleet: latencies, utilisation, GPU-hours
    Run(Box<SimRunArgs>),
    /// Fit the constants of hardware and engines on published measurements
    Fit(SimFitArgs),
    /// Measure how far predictions are off, on pairs of model and GPU that no fit has seen
    Eval(SimEvalArgs),
}

/// One replica.
#[derive(Debug, Args)]
pub(crate) struct ReplicaArgs {
    /// The GPU, such as H100, A100 or L40S
    #[arg(long, value_name = "GPU", required_unless_present = "server")]
    pub(crate) gpu: Option<String>,
    /// GPUs that share one copy of the model
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) gpus: u32,
    /// How weights are stored: bf16, fp8, int4, q4_k_m, ... [default: as published]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) weights: Option<String>,
    /// vllm, sglang, tensorrt-llm or llama-cpp
    #[arg(long, default_value = "vllm")]
    pub(crate) engine: String,
    /// How keys and values are stored: fp16 or fp8
    #[arg(long, value_name = "FORMAT", default_value = "fp16")]
    pub(crate) cache: String,
    /// Tokens of a prompt
    #[arg(long, value_name = "TOKENS", default_value_t = 1000)]
    pub(crate) input: u32,
    /// Tokens of an answer
    #[arg(long, value_name = "TOKENS", default_value_t = 300)]
    pub(crate) output: u32,
}

/// Serve a trace, or made-up traffic, with a fleet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold sim run llama-3.1-8b --gpu L40S --rate 4
  freehold sim run qwen3-32b --gpu H100 --gpus 2 --replicas 3 --rate 12 --hours 24
  freehold sim run gpt-oss-20b --gpu A100 --autoscale 8 --rate 20 --daily-swing 0.8 --hours 48 --json
  freehold sim run llama-3.1-8b --gpu L40S --trace hour.csv --share 0.1 --scenario week=office
  freehold sim run --server server.json --trace usage.csv --replicas 2     a server that was measured
  freehold sim run gpt-oss-120b --gpu H100 --ledger --since 7d             what the gateway recorded

Without --trace or --ledger, requests come at random (Poisson) with exponentially distributed lengths; they are
made up, not recorded. --server takes what `freehold calibrate --out` wrote.")]
pub(crate) struct SimRunArgs {
    /// A known model, or the path of a GGUF file or of its config.json
    #[arg(required_unless_present = "server")]
    pub(crate) model: Option<String>,
    /// A server that was measured, in the place of model and GPU
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "gpu", "gpus", "weights", "engine", "cache"])]
    pub(crate) server: Option<PathBuf>,
    /// Exports or traces, plain, gzip or Parquet; `-` is standard input. Several are one workload
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = MADE_UP)]
    pub(crate) trace: Vec<PathBuf>,
    /// Serve what the gateway recorded
    #[arg(long, conflicts_with = "trace", conflicts_with_all = MADE_UP)]
    pub(crate) ledger: bool,
    /// One replica.
    #[command(flatten)]
    pub(crate) replica: ReplicaArgs,
    /// Replicas
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        conflicts_with = "autoscale"
    )]
    pub(crate) replicas: u32,
    /// Scale between 1 and so many replicas instead
    #[arg(long, value_name = "MOST")]
    pub(crate) autoscale: Option<u32>,
    /// Requests per second, on average
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1.0)]
    pub(crate) rate: f64,
    /// How much the rate swings over a day: 0 not at all, 1 down to nothing
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) daily_swing: f64,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    pub(crate) hours: f64,
    /// Limit for the time to the first token, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2000.0)]
    pub(crate) ttft: f64,
    /// Limit for the time per later token, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    pub(crate) tpot: f64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How to read a trace.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What describes made-up traffic, which a trace does not need.
const MADE_UP: [&str; 5] = ["rate", "daily_swing", "hours", "input", "output"];

/// Fit the constants.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold sim fit --data DIR                                           print the constants
  freehold sim fit --data DIR --out crates/freehold-sim/data/constants.json

DIR/hardware/throughput.csv.gz holds the measurements; docs/sim.md says what its columns mean.")]
pub(crate) struct SimFitArgs {
    /// The directory with hardware/throughput.csv.gz
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where to write them [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Measure how far predictions are off.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold sim eval --data DIR             every pair of model and GPU by constants that never saw it
  freehold sim eval --data DIR --bundled   by the constants of this version, for data they never saw
  freehold sim eval --data DIR --rows --json

Recorded runs of vLLM in DIR/hardware (vllm_run_GPU_MODEL_meta.json.gz, ..._requests.jsonl.gz) are compared too.")]
pub(crate) struct SimEvalArgs {
    /// The directory with hardware/throughput.csv.gz
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Predict with the bundled constants instead of fitting for each pair
    #[arg(long)]
    pub(crate) bundled: bool,
    /// Show every pair
    #[arg(long)]
    pub(crate) rows: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether a model fits into GPUs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold fit llama-3.1-8b --gpu L40S                 in which quantisation, context and concurrency
  freehold fit gpt-oss-120b --gpu H100 --input 8000
  freehold fit ./config.json --gpu 'RTX 4090' --json   a model by its Hugging Face config.json
  freehold fit --list                                  models and GPUs that are known")]
pub(crate) struct FitArgs {
    /// A known model, or the path of a GGUF file or of its config.json
    #[arg(required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// The GPU, such as H100, A100 or L40S
    #[arg(long, value_name = "GPU", required_unless_present = "list")]
    pub(crate) gpu: Option<String>,
    /// GPUs of one server: looked at from 1 up to so many
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) gpus: u32,
    /// Only this format of weights
    #[arg(long, value_name = "FORMAT")]
    pub(crate) weights: Option<String>,
    /// vllm, sglang, tensorrt-llm or llama-cpp
    #[arg(long, default_value = "vllm")]
    pub(crate) engine: String,
    /// Tokens of a prompt
    #[arg(long, value_name = "TOKENS", default_value_t = 1000)]
    pub(crate) input: u32,
    /// Tokens of an answer
    #[arg(long, value_name = "TOKENS", default_value_t = 300)]
    pub(crate) output: u32,
    /// List known models and GPUs
    #[arg(long)]
    pub(crate) list: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
