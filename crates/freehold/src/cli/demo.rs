//! `freehold demo`: its arguments.

use std::path::PathBuf;

use clap::Args;

/// See a flow move between two real models on this machine, and a damaged one being called back.
///
/// A demo: its traffic is made up. The models are real: the default model (which must be pulled) and a copy of it with
/// 8-bit weights, which the demo makes. It opens a gateway on a free port of 127.0.0.1, with a directory of its own, asks it
/// some hundred questions, and ends with the trail of decisions. No network, a few minutes, two processor cores.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  freehold models pull smollm2-135m-instruct   once, before
  freehold demo                                a few minutes
  freehold demo --keep demo                    leaves plans, configuration and ledger in ./demo
  freehold demo --json                         the trail of decisions, for scripts")]
pub(crate) struct DemoArgs {
    /// Keep everything in this directory, which must be new or empty [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Give up after so many questions
    #[arg(long, default_value_t = 600, value_name = "COUNT")]
    pub(crate) questions_max: usize,
    /// Print the trail as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
