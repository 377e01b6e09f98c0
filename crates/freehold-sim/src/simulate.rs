//! Simulates a fleet of replicas serving a workload, event by event.
//!
//! Deterministic: the same workload, fleet and seed give the same report, byte by byte. Time is spent per
//! request and per prompt, not per token (see [`Replica`](replica)).

mod drive;
mod prefix_cache;
mod replica;
mod report;
mod served;
mod settings;
mod tables;

use freehold_workload::Workload;

use crate::calibrate::CalibratedServer;
use crate::constants::Constants;
use crate::error::SimError;
use crate::server::Server;
use crate::service::Slo;
use crate::step::StepModel;

pub use report::{Hour, Report};
pub(crate) use served::serve;
pub use settings::{Autoscaler, Failures, Fleet, Routing, Scaling};

use drive::Drive;
use replica::Shared;
use tables::StepTables;

/// One replica: reckoned from its model and hardware, or as it was measured.
#[derive(Clone, Copy, Debug)]
pub enum Machine<'a> {
    /// Reckoned, with the constants that hold for it.
    Reckoned(&'a Server, &'a Constants),
    /// Measured.
    Calibrated(&'a CalibratedServer),
}

impl Machine<'_> {
    /// GPUs of one replica.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        match self {
            Self::Reckoned(server, _) => server.gpus,
            Self::Calibrated(server) => server.limits.gpus,
        }
    }

    fn check(&self) -> Result<(), SimError> {
        match self {
            Self::Reckoned(server, _) => server.check(1.0),
            Self::Calibrated(server) => server.check(),
        }
    }
}

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
    let machine = Machine::Reckoned(server, constants);
    simulate_on(workload, machine, fleet, slo, seed)
}

/// The same with either kind of replica.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_on(
    workload: &Workload,
    machine: Machine,
    fleet: &Fleet,
    slo: &Slo,
    seed: u64,
) -> Result<Report, SimError> {
    workload.check()?;
    fleet.check()?;
    slo.check()?;
    machine.check()?;
    let caches_prefixes = fleet.caches_prefixes && workload.prefix_block_tokens > 0;
    let shared = match machine {
        Machine::Reckoned(server, constants) => {
            shared(workload, server, constants, caches_prefixes)
        }
        Machine::Calibrated(server) => shared_calibrated(workload, server, caches_prefixes),
    };
    let shared = Shared {
        keeps_preempted: fleet.caches_prefixes,
        ..shared
    };
    Ok(Drive::new(&shared, machine.gpus(), fleet, *slo, seed).run())
}

/// What a cache holds whose size nobody told: more than anything asks for.
const CACHE_TOKENS_UNKNOWN: u64 = 1 << 40;

fn shared_calibrated<'a>(
    workload: &'a Workload,
    server: &CalibratedServer,
    caches_prefixes: bool,
) -> Shared<'a> {
    let limits = &server.limits;
    let capacity = limits.cache_tokens.unwrap_or(CACHE_TOKENS_UNKNOWN);
    Shared {
        workload,
        tables: StepTables::calibrated(&server.constants, limits.slots),
        capacity,
        sequence_tokens: 0,
        sequences_max: limits.slots as usize,
        step_tokens: limits.step_tokens,
        reserves_output: false,
        caches_prefixes,
        keeps_preempted: false,
        request_us: server.constants.request_us,
    }
}

fn shared<'a>(
    workload: &'a Workload,
    server: &Server,
    constants: &Constants,
    caches_prefixes: bool,
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
        caches_prefixes,
        keeps_preempted: false,
        request_us: 0.0,
    }
}

#[cfg(test)]
#[path = "simulate/simulate_tests.rs"]
mod tests;
