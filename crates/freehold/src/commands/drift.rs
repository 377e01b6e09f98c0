//! `freehold drift`: asks a probe set again and again, and says when a deployment no longer answers as it did.

mod courses;
mod probe;
mod record;
mod simulate;

use anyhow::Result;

use crate::cli::{DriftArgs, DriftCommand};

/// Runs one of the commands. False when something changed.
pub(crate) async fn run(args: DriftArgs) -> Result<bool> {
    match args.command {
        DriftCommand::Probe(args) => probe::run(&args).await,
        DriftCommand::Show(args) => courses::run(&args),
        DriftCommand::Simulate(args) => simulate::run(&args).map(|()| true),
    }
}
