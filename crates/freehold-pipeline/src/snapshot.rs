//! The configuration as a request sees it: read once, at admission, and never changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_guard::Guard;
use freehold_policy::Policy;
use freehold_ports::{Account, Backend, Timeouts};
use freehold_route::{Resolved, RouteSettings, RouteTable, matches_pattern};
use freehold_types::{BackendId, Deployment, DeploymentId, Error, ErrorKind, Sensitivity};

use crate::attempts::Persistence;
use crate::reserve::FlowLimits;

/// The configuration as a request sees it.
pub struct Snapshot {
    /// The operator's policy.
    pub policy: Policy,
    /// The label of a request about which nobody says more.
    pub default_sensitivity: Sensitivity,
    /// Looks for what is sensitive.
    pub guard: Guard,
    /// Every name that leads somewhere.
    pub routes: RouteTable,
    /// The limits of workloads.
    pub flow_limits: FlowLimits,
    /// Every backend, by id.
    pub backends: HashMap<BackendId, Arc<dyn Backend>>,
}

/// A model as the models' list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// What a client writes in `model`.
    pub name: String,
    /// The backend, or `freehold` for routes.
    pub owner: String,
    /// Tokens of prompt and answer together, where known.
    pub context_window_tokens: Option<u32>,
}

impl Snapshot {
    /// Every listed deployment.
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        self.routes.deployments()
    }

    /// A deployment by its id.
    pub(crate) fn deployment(&self, id: &DeploymentId) -> Option<Arc<Deployment>> {
        self.routes.deployment(id)
    }

    /// The backend of a deployment.
    pub(crate) fn backend(&self, id: &BackendId) -> Result<&Arc<dyn Backend>, Error> {
        self.backends.get(id).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("the backend {id} is not set up"),
            )
        })
    }

    /// Where the name in a request's `model` leads, if the account may name it.
    pub(crate) fn route(&self, model: &str, account: &Account) -> Result<Arc<Resolved>, Error> {
        let may_name = |name: &str| {
            account.routes.is_empty()
                || account
                    .routes
                    .iter()
                    .any(|pattern| matches_pattern(pattern, name))
        };
        let resolved = self.routes.resolve(model, &may_name)?;
        if may_name(model) {
            return Ok(resolved);
        }
        let message = format!(
            "this key may not use that model; it may use: {}",
            account.routes.join(", ")
        );
        Err(Error::new(ErrorKind::PermissionDenied, message).with_param("model"))
    }

    /// The models that an account may name.
    pub(crate) fn models(&self, account: &Account) -> Vec<ListedModel> {
        self.routes
            .names()
            .into_iter()
            .filter(|name| {
                account.routes.is_empty()
                    || account
                        .routes
                        .iter()
                        .any(|pattern| matches_pattern(pattern, name))
            })
            .map(|name| {
                let deployment = self
                    .deployments()
                    .iter()
                    .find(|deployment| deployment.id.as_str() == name);
                ListedModel {
                    owner: deployment
                        .map_or("freehold", |d| d.backend.as_str())
                        .to_owned(),
                    context_window_tokens: deployment.and_then(|d| d.context_window_tokens),
                    name,
                }
            })
            .collect()
    }

    /// The name of a deployment in metrics: models that clients invent share one.
    pub(crate) fn metric_name<'a>(&self, id: &'a DeploymentId) -> &'a str {
        if self
            .deployments()
            .iter()
            .any(|deployment| deployment.id == *id)
        {
            id.as_str()
        } else {
            "unlisted"
        }
    }
}

/// How hard a route tries.
pub(crate) fn persistence(settings: &RouteSettings) -> Persistence {
    let default = Persistence::default();
    let or = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
    Persistence {
        retries: settings.retries,
        hedge_after: settings.hedge_after_ms.map(Duration::from_millis),
        timeouts: Timeouts {
            connect: or(settings.timeouts.connect_ms, default.timeouts.connect),
            first_byte: or(settings.timeouts.first_byte_ms, default.timeouts.first_byte),
            idle: or(settings.timeouts.idle_ms, default.timeouts.idle),
        },
        ..default
    }
}
