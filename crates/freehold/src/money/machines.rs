//! What the time of owned machines has cost, kept over restarts.
//!
//! The gateway's meters count from its start, and the ledger has what requests carry. What no request
//! ever carries — the idle time at the end of a run, the time in which the gateway was down, requests
//! that a crash cut — is in neither. So the time itself is written down here: what requests carry
//! (from the ledger) and what is idle (the rest) together are what the wall clock cost.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use freehold_pipeline::OwnedStanding;
use freehold_types::{BackendId, NanoUsd};
use serde::{Deserialize, Serialize};

use super::book_file;

const FORMAT: u32 = 1;

/// The file in Freehold's directory.
pub(crate) fn file_in(home: &Path) -> PathBuf {
    home.join("machines.json")
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    pub(crate) machines: BTreeMap<String, Machine>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            format: FORMAT,
            machines: BTreeMap::new(),
        }
    }
}

/// What the time of one machine has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// Since when it is counted, Unix milliseconds.
    pub(crate) since_unix_ms: u64,
    /// Until when it was counted last.
    pub(crate) until_unix_ms: u64,
    /// What an hour costs.
    pub(crate) per_hour_nano_usd: NanoUsd,
    /// What the time cost in which the gateway ran.
    pub(crate) running_nano_usd: NanoUsd,
    /// What the time cost in which it did not.
    pub(crate) away_nano_usd: NanoUsd,
}

impl Machine {
    /// What all of its time has cost.
    pub(crate) fn wall(&self) -> NanoUsd {
        self.running_nano_usd + self.away_nano_usd
    }

    /// What the time would have cost since it was counted last. A clock that has gone back counts
    /// nothing, and is caught up with before anything counts twice.
    fn cost_until(&self, now_unix_ms: u64) -> NanoUsd {
        let away_ms = now_unix_ms.saturating_sub(self.until_unix_ms);
        freehold_cost::PriceBook::busy_cost(self.per_hour_nano_usd, away_ms.saturating_mul(1_000))
    }
}

/// Counts the machines' time while a gateway runs.
pub(crate) struct Machines {
    path: PathBuf,
    record: Record,
    /// What the meters had counted when they were looked at last.
    seen: HashMap<BackendId, NanoUsd>,
    looked_unix_ms: u64,
    /// Says once that the file cannot be written.
    complained: bool,
}

impl Machines {
    /// Goes on where the last gateway stopped.
    pub(crate) fn open(path: PathBuf, now_unix_ms: u64) -> Self {
        let record = read(&path).unwrap_or_else(|error| {
            let kept = path.with_extension("json.damaged");
            tracing::error!(
                file = %path.display(),
                "what owned machines have cost cannot be read, and is counted from now on: {error}; \
                 the file is kept as {}",
                kept.display()
            );
            // When even that fails, the next write replaces it.
            let _ = std::fs::rename(&path, kept);
            Record::default()
        });
        Self {
            path,
            record,
            seen: HashMap::new(),
            looked_unix_ms: now_unix_ms,
            complained: false,
        }
    }

    /// Takes over what the meters have counted since the last look.
    pub(crate) fn take(&mut self, standings: &[OwnedStanding], now_unix_ms: u64) {
        for standing in standings {
            let name = standing.backend.as_str().to_owned();
            let before = self.seen.insert(standing.backend.clone(), standing.wall);
            let is_new = !self.record.machines.contains_key(&name);
            let machine = self.record.machines.entry(name).or_default();
            if is_new {
                machine.since_unix_ms = self.looked_unix_ms;
            } else if before.is_none() {
                // Its meter began with this gateway, or was configured just now.
                machine.away_nano_usd += machine.cost_until(self.looked_unix_ms);
            }
            let before = before.unwrap_or_default().nanos();
            machine.running_nano_usd += NanoUsd::from_nanos(standing.wall.nanos() - before);
            machine.per_hour_nano_usd = standing.per_hour;
            machine.until_unix_ms = machine.until_unix_ms.max(now_unix_ms);
        }
        self.looked_unix_ms = now_unix_ms;
    }

    /// Writes it down, whole or not at all. What cannot be written is tried again with the next write.
    pub(crate) fn write(&mut self) {
        if self.record.machines.is_empty() {
            return;
        }
        let written = serde_json::to_vec_pretty(&self.record)
            .map_err(anyhow::Error::from)
            .and_then(|text| book_file::store(&self.path, &text));
        match written {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::error!("what owned machines have cost is not written: {error:#}");
            }
            Err(_) => {}
        }
    }
}

/// What is written; nothing when there is no file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Record> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(error) => return Err(error.into()),
    };
    let record: Record = serde_json::from_slice(&text)?;
    anyhow::ensure!(
        record.format == FORMAT,
        "its format is {}, and this version knows {FORMAT}",
        record.format
    );
    Ok(record)
}

/// Shows the meters as metrics.
pub(crate) fn show(standings: &[OwnedStanding]) {
    for standing in standings {
        let backend = || standing.backend.as_str().to_owned();
        let amount = |nanos: NanoUsd| u64::try_from(nanos.nanos()).unwrap_or(0);
        metrics::counter!("freehold_owned_wall_nano_usd_total", "backend" => backend())
            .absolute(amount(standing.wall));
        metrics::counter!("freehold_owned_charged_nano_usd_total", "backend" => backend())
            .absolute(amount(standing.charged));
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
        metrics::gauge!("freehold_owned_idle_nano_usd", "backend" => backend())
            .set(standing.idle.nanos() as f64);
    }
}

#[cfg(test)]
#[path = "machines_tests.rs"]
mod tests;
