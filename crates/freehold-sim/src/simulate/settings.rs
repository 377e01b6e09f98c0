//! How a fleet of replicas is run.

use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// How a fleet of replicas is run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How many replicas there are, and when.
    pub scaling: Scaling,
    /// Which replica gets a request.
    pub routing: Routing,
    /// Whether and how replicas break.
    pub failures: Option<Failures>,
    /// Whether replicas keep the beginnings of prompts in free cache.
    pub caches_prefixes: bool,
}

/// How many replicas there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Always so many.
    Fixed(u32),
    /// As many as the load asks for.
    Auto(Autoscaler),
}

/// Starts and stops replicas by how many requests each has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoscaler {
    /// Never fewer.
    pub replicas_min: u32,
    /// Replicas that are up when the workload begins, if more: a record that begins in the middle of operation.
    #[serde(default)]
    pub replicas_begin: u32,
    /// Never more, warm ones left out.
    pub replicas_max: u32,
    /// Requests per replica, running and waiting, that it aims for.
    pub target_outstanding: f64,
    /// How often it looks, seconds.
    pub interval_s: f64,
    /// How long a new replica takes to start and load its model, seconds.
    pub load_s: f64,
    /// How long the load must have been lower before a replica is stopped, seconds.
    pub cool_down_s: f64,
    /// Replicas that are paid for and wait with the model loaded.
    pub warm: u32,
    /// How long a warm one takes to join, seconds.
    pub warm_start_s: f64,
}

impl Default for Autoscaler {
    fn default() -> Self {
        Self {
            replicas_min: 1,
            replicas_begin: 0,
            replicas_max: 64,
            target_outstanding: 32.0,
            interval_s: 15.0,
            load_s: 180.0,
            cool_down_s: 600.0,
            warm: 0,
            warm_start_s: 5.0,
        }
    }
}

/// Which replica gets a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests.
    #[default]
    LeastLoaded,
    /// The one that conversations or prompts with the same beginning went to, unless it has over twice the
    /// mean number of requests.
    PrefixAffine,
}

/// How replicas break.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// Mean time between failures of one replica, hours.
    pub every_hours: f64,
    /// How long until it serves again, seconds, loading included.
    pub repair_s: f64,
}

impl Fleet {
    /// So many replicas, the least loaded first, which keep prefixes and never break.
    #[must_use]
    pub fn fixed(replicas: u32) -> Self {
        Self {
            scaling: Scaling::Fixed(replicas),
            routing: Routing::default(),
            failures: None,
            caches_prefixes: true,
        }
    }

    /// The same with another number of replicas that does not change.
    #[must_use]
    pub fn with_replicas(&self, replicas: u32) -> Self {
        Self {
            scaling: Scaling::Fixed(replicas),
            ..*self
        }
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`SimError::BadSetting`].
    pub fn check(&self) -> Result<(), SimError> {
        const MOST: u32 = 100_000;
        match self.scaling {
            Scaling::Fixed(count) if count == 0 || count > MOST => {
                let must_be = "1 to 100000";
                return Err(SimError::setting("replicas", f64::from(count), must_be));
            }
            Scaling::Fixed(_) => {}
            Scaling::Auto(auto) => auto.check(MOST)?,
        }
        let Some(failures) = self.failures else {
            return Ok(());
        };
        positive("failures.every_hours", failures.every_hours)?;
        positive("failures.repair_s", failures.repair_s)?;
        if failures.every_hours * 3600.0 < failures.repair_s {
            return Err(SimError::setting(
                "failures.every_hours",
                failures.every_hours,
                "longer than a repair: these replicas are broken most of the time",
            ));
        }
        Ok(())
    }
}

impl Autoscaler {
    fn check(&self, most: u32) -> Result<(), SimError> {
        if self.replicas_max == 0 || self.replicas_max > most {
            let value = f64::from(self.replicas_max);
            return Err(SimError::setting("replicas_max", value, "1 to 100000"));
        }
        if self.replicas_min > self.replicas_max {
            let value = f64::from(self.replicas_min);
            return Err(SimError::setting(
                "replicas_min",
                value,
                "at most replicas_max",
            ));
        }
        if self.warm > most {
            return Err(SimError::setting(
                "warm",
                f64::from(self.warm),
                "at most 100000",
            ));
        }
        positive("target_outstanding", self.target_outstanding)?;
        positive("interval_s", self.interval_s)?;
        for (name, value) in [
            ("load_s", self.load_s),
            ("cool_down_s", self.cool_down_s),
            ("warm_start_s", self.warm_start_s),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(SimError::setting(name, value, "a time of 0 or more"));
            }
        }
        Ok(())
    }
}

fn positive(name: &'static str, value: f64) -> Result<(), SimError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(SimError::setting(name, value, "above 0"))
}
