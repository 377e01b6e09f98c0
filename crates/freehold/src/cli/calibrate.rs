//! `freehold calibrate` as it is typed.

use std::path::PathBuf;

use clap::Args;

use crate::workload_source::ReadArgs;

/// Measure a running model server, so that the simulator can stand in for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold calibrate http://127.0.0.1:8000 --model llama-3.1-8b --out server.json
  freehold calibrate http://127.0.0.1:4000 --model local/smollm2-135m-instruct --clients 1,4 --check 2,8
  freehold calibrate https://gpu.example/v1 --model m --key-env GPU_KEY --dry-run     say what would be sent
  freehold calibrate http://127.0.0.1:8000 --model m --replay hour.csv --share 0.01 --keep runs.json
  freehold calibrate --from runs.json --server-slots 16 --json                        fit again, send nothing
  freehold sim run --server server.json --trace hour.csv --replicas 2                 use what was measured

It sends a bounded load of made-up prompts, each different from its first word on, to any server that speaks
OpenAI's chat completions with usage in the stream. What it will send is said first. docs/calibrate.md describes
method and limits.")]
pub(crate) struct CalibrateArgs {
    /// The server, with or without /v1
    #[arg(required_unless_present = "from")]
    pub(crate) url: Option<String>,
    /// The model as the server names it
    #[arg(long, value_name = "MODEL", required_unless_present = "from")]
    pub(crate) model: Option<String>,
    /// The environment variable that holds the server's API key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// What is sent.
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// What the server is.
    #[command(flatten)]
    pub(crate) told: ToldArgs,
    /// Write the measured server there
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write the measured times and token counts there (no text)
    #[arg(long, value_name = "FILE")]
    pub(crate) keep: Option<PathBuf>,
    /// Send nothing: fit again what --keep wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "model", "keep", "dry_run"])]
    pub(crate) from: Option<PathBuf>,
    /// Fit nothing: compare with this measured server
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    pub(crate) server: Option<PathBuf>,
    /// Say what would be sent, and end
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How to read the trace that is replayed.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Clients at once, each of which asks again when it has its answer: fitted on these
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "1,4",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) clients: Vec<u32>,
    /// The same, not fitted on: predictions are compared with these
    #[arg(long, value_name = "COUNTS", value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) check: Vec<u32>,
    /// Requests of each number of clients and round
    #[arg(long, value_name = "COUNT", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) requests: u32,
    /// Rounds, in which all numbers of clients take turns
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Tokens of the longest prompt
    #[arg(long, value_name = "TOKENS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    pub(crate) input_max: u32,
    /// Tokens of the longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub(crate) output_max: u32,
    /// Then send a trace's requests when they came, and compare
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) replay: Vec<PathBuf>,
    /// Of the trace, so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) replay_seconds: u64,
    /// Of the trace, only requests with at most so many tokens, prompt and answer together
    #[arg(long, value_name = "TOKENS", default_value_t = 4096)]
    pub(crate) replay_tokens_max: u32,
    /// Send nothing new after so many seconds, the replay left out
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) time_max: u64,
    /// Give up when one request takes so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
}

/// What the server is, which no client can see.
#[derive(Debug, Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct ToldArgs {
    /// Sequences that it runs together; more wait [default: the most clients]
    #[arg(long, value_name = "COUNT")]
    pub(crate) server_slots: Option<u32>,
    /// Tokens of prompts that it works on in one step: vLLM 2048 or 8192, llama.cpp 512, embedded 128
    /// [default: 512]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) step_tokens: Option<u32>,
    /// Tokens that its cache holds [default: more than is ever needed]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) cache_tokens: Option<u64>,
    /// GPUs, or machines, that it takes [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub(crate) gpus: Option<u32>,
}
