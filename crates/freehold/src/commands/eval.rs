//! `freehold eval`: asks a model what a data set asks, scores the answers, and compares two models.

pub(super) mod ask;
pub(super) mod asked;
mod bounded;
mod cases;
mod ci;
mod compare;
mod pairwise;
pub(super) mod plan;
mod program;
pub(super) mod record;
mod replay;
mod review;
mod sandbox;
mod send;
mod show;
mod stored;

use anyhow::Result;
use freehold_config::Settings;

pub(crate) use self::asked::rubric;
pub(crate) use self::pairwise::CRITERIA;
pub(crate) use self::plan::traffic_scorer;

use crate::cli::{EvalArgs, EvalCommand};

/// Runs one of the commands. False when answers are missing, or nothing is proven.
pub(crate) async fn run(args: EvalArgs, settings: Option<Settings>) -> Result<bool> {
    match args.command {
        EvalCommand::Run(args) => send::run(&args).await,
        EvalCommand::Show(args) => show::run(&args).map(|()| true),
        EvalCommand::Compare(args) => compare::run(&args),
        EvalCommand::Ci(args) => ci::run(&args).await,
        EvalCommand::Judge(args) => pairwise::run(&args).await,
        EvalCommand::Review(args) => review::run(&args).map(|()| true),
        EvalCommand::Replay(args) => replay::run(*args, settings).await,
        EvalCommand::Dataset(args) => stored::run(&args, settings).await.map(|()| true),
    }
}
