//! `freehold proof`: its arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Judge whether a candidate is not worse than the incumbent.
///
/// The judgement is valid whenever you look: you may ask after every sample and stop at the first
/// answer that suits you, and the chances of error still hold. docs/proof.md has the method.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold proof judge pairs.jsonl --margin 0.03    proven, refuted or not yet
  freehold proof judge - --json < pairs.jsonl       for scripts
  freehold proof judge pairs.jsonl --model gpt-oss-120b --flow support --save proofs.json
                                                    keeps it for freehold advise --proofs
  freehold proof simulate                           how often proofs would end wrongly
  freehold proof simulate --whole --samples-max 20000
                                                    the same of whole rollouts, with guards and canary")]
pub(crate) struct ProofArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ProofCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Judge scores of both models on the same requests
    ///
    /// One JSON object a line: {"incumbent": 0.8, "candidate": 1, "stratum": "de"}. Scores go from 0
    /// to 1, or are true and false. With strata, the whole is proven only when each is.
    /// Exit status: 0 when it is proven, 1 when not.
    Judge(JudgeArgs),
    /// Play rollouts of candidates of known quality, looking after every sample
    Simulate(SimulateArgs),
}

/// When a candidate counts as not worse.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RuleArgs {
    /// How much lower its mean score may be
    #[arg(long, default_value_t = 0.05)]
    pub(crate) margin: f64,
    /// The chance that one worse by the margin is ever called proven
    #[arg(long, default_value_t = 0.05, value_name = "CHANCE")]
    pub(crate) wrong_proof: f64,
    /// The chance that one that keeps the margin is ever called refuted
    #[arg(long, default_value_t = 0.05, value_name = "CHANCE")]
    pub(crate) wrong_refusal: f64,
    /// Nothing is said before so many samples
    #[arg(long, default_value_t = 30, value_name = "COUNT")]
    pub(crate) samples_min: u64,
}

/// What to judge.
#[derive(Debug, Args)]
pub(crate) struct JudgeArgs {
    /// A file of scores, or `-` for standard input
    pub(crate) pairs: PathBuf,
    /// The candidate's model, as `freehold advise --model` calls it
    #[arg(long, requires = "save")]
    pub(crate) model: Option<String>,
    /// The flow that the scores are of [default: all traffic]
    #[arg(long, requires = "save")]
    pub(crate) flow: Option<String>,
    /// Keep what was proven or refuted in this file, for `freehold advise --proofs`; what it said before of the
    /// same flow and model is replaced
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) save: Option<PathBuf>,
    /// By which rule.
    #[command(flatten)]
    pub(crate) rule: RuleArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Rollouts of each candidate
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rollouts: u64,
    /// Samples after which a rollout ends without an answer
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) samples_max: u64,
    /// The share of requests that only one of two equal models answers rightly, for each
    #[arg(long, default_value_t = 0.1)]
    pub(crate) disagreement: f64,
    /// Play whole rollouts: shadow, canary and the errors guard, a fifth of all requests answered by both. Samples are
    /// requests then
    #[arg(long)]
    pub(crate) whole: bool,
    /// The same seed plays the same rollouts
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// By which rule.
    #[command(flatten)]
    pub(crate) rule: RuleArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
