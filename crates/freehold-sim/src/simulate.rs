//! Simulates a fleet of replicas serving a workload, event by event.
//!
//! Deterministic: the same workload, fleet and seed give the same report, byte by byte. Time is spent per
//! request and per prompt, not per token (see [`Replica`](replica)).

mod drive;
mod prefix_cache;
mod replica;
mod report;
mod settings;
mod tables;

use freehold_workload::Workload;

use crate::constants::Constants;
use crate::error::SimError;
use crate::server::Server;
use crate::service::Slo;
use crate::step::StepModel;

pub use report::{Hour, Report};
pub use settings::{Autoscaler, Failures, Fleet, Routing, Scaling};

use drive::Drive;
use replica::Shared;
use tables::StepTables;

/// Serves a workload with replicas of one kind.
///
/// # Errors
/// When the workload or a setting makes no sense, or the model does not fit into the GPUs with even
/// one token. Single requests that are too long are no error: they are counted as rejected.
pub fn simulate(
    workload: &Workload,
    server: &Server,
    constants: &Constants,
    fleet: &Fleet,
    slo: &Slo,
    seed: u64,
) -> Result<Report, SimError> {
    workload.check()?;
    fleet.check()?;
    slo.check()?;
    server.check(1.0)?;
    let shared = shared(workload, server, constants, fleet);
    Ok(Drive::new(&shared, server.gpus, fleet, *slo, seed).run())
}

fn shared<'a>(
    workload: &'a Workload,
    server: &Server,
    constants: &Constants,
    fleet: &Fleet,
) -> Shared<'a> {
    let room = server.room();
    let model = StepModel::new(server, constants);
    let token_bytes = server.token_bytes().max(1.0);
    // Windows are taken as full from the beginning.
    let window = server.shape.window.map_or(0.0, |window| {
        let layers = f64::from(server.shape.layers - server.shape.full_layers());
        layers
            * f64::from(window.tokens)
            * server.shape.cache_bytes_per_layer(server.cache)
            * server.cache_copies()
    });
    let half_block = u64::from(server.limits.block_tokens / 2);
    Shared {
        workload,
        tables: StepTables::new(server, &model),
        capacity: room.cache_tokens,
        sequence_tokens: (window / token_bytes) as u64 + half_block,
        sequences_max: server.limits.sequences as usize,
        step_tokens: server.limits.step_tokens,
        reserves_output: server.limits.reserves_output,
        caches_prefixes: fleet.caches_prefixes && workload.prefix_block_tokens > 0,
    }
}

#[cfg(test)]
#[path = "simulate/simulate_tests.rs"]
mod tests;
