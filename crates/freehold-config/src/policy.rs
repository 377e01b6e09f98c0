//! The policy of a configuration, and what it is checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_guard::Guard;
use freehold_policy::{Policy, PolicySettings, Surroundings, Warning};
use freehold_types::{Deployment, Sensitivity};

use super::{Complaint, raw};

/// The settings of a policy and the names that it may use.
pub struct PolicySource {
    settings: PolicySettings,
    sealed: bool,
    /// What the guard can report.
    entities: BTreeMap<String, Sensitivity>,
    keys: BTreeSet<String>,
    regions: BTreeSet<String>,
    tenants: BTreeSet<String>,
}

impl PolicySource {
    pub(super) fn new(raw: &raw::Config, sealed: bool, guard: &Guard) -> Self {
        Self {
            settings: raw.policy.clone(),
            sealed,
            entities: guard.entities(),
            keys: raw.keys.iter().map(|key| key.name.clone()).collect(),
            regions: raw
                .keys
                .iter()
                .filter_map(|key| key.region.clone())
                .collect(),
            tenants: raw
                .keys
                .iter()
                .filter_map(|key| key.tenant.clone())
                .collect(),
        }
    }

    /// The policy, and what in it is probably not meant. Without deployments, it is not known whether
    /// any of them fulfils its demands.
    ///
    /// # Errors
    /// The first thing that cannot be meant, with the path of the value.
    pub fn compile(
        &self,
        deployments: Option<&[Arc<Deployment>]>,
    ) -> Result<(Policy, Vec<Warning>), Complaint> {
        let surroundings = Surroundings {
            sealed: self.sealed,
            deployments,
            entities: Some(&self.entities),
            tenants: Some(&self.tenants),
            keys: Some(&self.keys),
            regions: Some(&self.regions),
            routes: None,
            flows: None,
        };
        Policy::compile(&self.settings, &surroundings).map_err(|errors| {
            let Some(first) = errors.into_iter().next() else {
                return Complaint::new(["policy"], "it cannot be used");
            };
            let mut complaint = Complaint::new(["policy"], first.to_string());
            complaint.path.extend(first.place.path());
            complaint
        })
    }
}
