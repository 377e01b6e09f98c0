//! `freehold drift`: asks a probe set again and again, and says when a deployment no longer answers as it did.

mod courses;
mod embed;
mod ledger;
mod probe;
mod record;
mod simulate;

use anyhow::{Result, bail};
use freehold_store::StoreSettings;

use crate::cli::{DriftArgs, DriftCommand};

/// Runs one of the commands. False when something changed. `ledger` is where the gateway records, for those that
/// read it.
pub(crate) async fn run(args: DriftArgs, ledger: Option<&StoreSettings>) -> Result<bool> {
    match (args.command, ledger) {
        (DriftCommand::Probe(args), _) => probe::run(&args).await,
        (DriftCommand::Show(args), _) => courses::run(&args),
        (DriftCommand::Simulate(args), _) => simulate::run(&args).map(|()| true),
        (DriftCommand::Ledger(args), Some(settings)) => ledger::run(&args, settings).await,
        (DriftCommand::Ledger(_), None) => bail!("there is no ledger to read"),
    }
}
