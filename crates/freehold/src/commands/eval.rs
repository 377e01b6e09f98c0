//! `freehold eval`: asks a model what a data set asks, scores the answers, and compares two models.

mod ask;
mod ci;
mod compare;
mod plan;
mod record;
mod send;
mod show;

use anyhow::Result;

pub(crate) use self::plan::traffic_scorer;

use crate::cli::{EvalArgs, EvalCommand};

/// Runs one of the commands. False when answers are missing, or nothing is proven.
pub(crate) async fn run(args: EvalArgs) -> Result<bool> {
    match args.command {
        EvalCommand::Run(args) => send::run(&args).await,
        EvalCommand::Show(args) => show::run(&args).map(|()| true),
        EvalCommand::Compare(args) => compare::run(&args),
        EvalCommand::Ci(args) => ci::run(&args).await,
    }
}
