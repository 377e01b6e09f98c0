//! From settings to running parts: backends, snapshot, accounts.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use freehold_config::{EmbeddedEntry, HostedEntry, Settings};
use freehold_hosted::{Catalogue, HostedBackend, Row};
use freehold_pipeline::Snapshot;
use freehold_ports::{Accounts, Backend};
use freehold_route::{BackendTemplate, ModelPricing, RouteSettings, RouteTable};
use freehold_store::StaticAccounts;
use freehold_types::{BackendId, Deployment};

/// What settings lead to, and what had to be left out.
pub(crate) struct Wired {
    pub(crate) snapshot: Snapshot,
    pub(crate) accounts: Box<dyn Accounts>,
    /// In words, for the start-up notice.
    pub(crate) warnings: Vec<String>,
}

/// Builds everything that requests need. Models that are loaded already are kept.
pub(crate) async fn wire(settings: &Settings, engines: &mut Engines) -> Result<Wired> {
    let mut warnings = settings.hints.clone();
    let mut backends: HashMap<BackendId, Arc<dyn Backend>> = HashMap::new();
    let mut deployments: Vec<Deployment> = Vec::new();
    let mut templates = Vec::new();
    for entry in &settings.hosted {
        match hosted(entry, &settings.catalogue, &mut warnings).await {
            Ok((backend, found)) => {
                if entry.any_model {
                    templates.push(template(entry));
                }
                backends.insert(entry.settings.id.clone(), Arc::new(backend));
                deployments.extend(found);
            }
            Err(error) => warnings.push(format!("{} is left out: {error:#}", entry.settings.id)),
        }
    }
    for (backend, found) in engines.backends(&settings.embedded, &mut warnings).await? {
        backends.insert(backend.id().clone(), backend);
        deployments.extend(found);
    }
    let deployments: Vec<_> = deployments.into_iter().map(Arc::new).collect();
    if let Ok((_, odd)) = settings.policy_source.compile(Some(&deployments)) {
        warnings.extend(odd.iter().map(|warning| format!("policy: {warning}")));
    }
    let routes = RouteTable::new(
        deployments,
        templates,
        settings.routes.clone(),
        RouteSettings::default(),
    )
    .context("routes")?;
    Ok(Wired {
        snapshot: Snapshot {
            policy: settings.policy.clone(),
            default_sensitivity: settings.default_sensitivity,
            flow_limits: settings.flow_limits.clone(),
            guard: settings.guard.clone(),
            routes,
            backends,
        },
        accounts: Box::new(StaticAccounts::new(settings.keys.clone())?),
        warnings,
    })
}

/// A backend over HTTP and the models it has.
async fn hosted(
    entry: &HostedEntry,
    catalogue: &Catalogue,
    warnings: &mut Vec<String>,
) -> Result<(HostedBackend, Vec<Deployment>)> {
    let backend = HostedBackend::new(entry.settings.clone())?;
    let mut deployments = entry.deployments.clone();
    if entry.discover {
        match backend.discover(catalogue).await {
            Ok(found) => deployments = found,
            Err(error) => warnings.push(format!(
                "{} did not list its models ({error}); name them under `models`, or reload when it is up",
                entry.settings.id
            )),
        }
        if let Some(price) = &entry.price {
            for deployment in &mut deployments {
                deployment.price = price.clone();
            }
        }
    }
    Ok((backend, deployments))
}

/// How models are served that nobody listed.
fn template(entry: &HostedEntry) -> BackendTemplate {
    let row: &Row = &entry.settings.row;
    let pricing = match (&entry.price, &row.price_provider) {
        (Some(price), _) => ModelPricing::Same(price.clone()),
        (None, Some(provider)) => ModelPricing::Listed {
            provider: provider.clone(),
        },
        (None, None) => ModelPricing::Same(freehold_types::PriceBasis::Unknown),
    };
    BackendTemplate {
        backend: entry.settings.id.clone(),
        site: entry.settings.site.clone(),
        dialects: row
            .dialects
            .iter()
            .map(|endpoint| endpoint.dialect)
            .collect(),
        capabilities: None,
        context_window_tokens: None,
        pricing,
        quality: row.defaults.quality,
        tokens_per_second: row.defaults.tokens_per_second,
        first_token_ms: row.defaults.first_token_ms,
        model_patterns: vec![],
    }
}

/// The backends of the embedded engine, with the deployments of each.
type EngineBackends = Vec<(Arc<dyn Backend>, Vec<Deployment>)>;

#[cfg(feature = "embedded")]
pub(crate) use embedded::Engines;

#[cfg(not(feature = "embedded"))]
pub(crate) use absent::Engines;

#[cfg(feature = "embedded")]
mod embedded {
    //! Models in this process.

    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use freehold_llama::{EmbeddedBackend, EmbeddedModel, EngineSettings, ShutDown};
    use freehold_models::{NoProgress, Store};

    use super::{
        Arc, Backend, BackendId, Context, Deployment, EmbeddedEntry, EngineBackends, Result,
    };
    use freehold_types::Site;

    /// Models that are loaded, by the settings they were loaded with: a reload keeps those that
    /// have not changed.
    #[derive(Default)]
    pub(crate) struct Engines {
        loaded: Vec<(EngineSettings, Arc<EmbeddedModel>)>,
    }

    impl Engines {
        /// Nothing is loaded yet.
        pub(crate) fn none() -> Self {
            Self::default()
        }

        pub(super) async fn backends(
            &mut self,
            entries: &[EmbeddedEntry],
            warnings: &mut Vec<String>,
        ) -> Result<EngineBackends> {
            let mut kept = Vec::new();
            let mut found: BTreeMap<BackendId, (EmbeddedBackend, Vec<Deployment>)> =
                BTreeMap::new();
            for entry in entries {
                let name = &entry.deployment.model;
                let model = match self.model(entry).await {
                    Ok((settings, model)) => {
                        kept.push((settings, Arc::clone(&model)));
                        model
                    }
                    Err(error) => {
                        warnings.push(format!("{} is left out: {error:#}", entry.deployment.id));
                        continue;
                    }
                };
                let deployment = Deployment {
                    context_window_tokens: Some(model.engine().context_tokens()),
                    ..entry.deployment.clone()
                };
                let id = deployment.backend.clone();
                let site: Site = deployment.site.clone();
                let (backend, deployments) = found
                    .remove(&id)
                    .unwrap_or_else(|| (EmbeddedBackend::new(id.clone(), site), Vec::new()));
                let mut deployments = deployments;
                deployments.push(deployment);
                found.insert(id, (backend.with_model(name, model), deployments));
            }
            self.loaded = kept;
            Ok(found
                .into_values()
                .map(|(backend, deployments)| {
                    let backend: Arc<dyn Backend> = Arc::new(backend);
                    (backend, deployments)
                })
                .collect())
        }

        /// The model of an entry: loaded before, or verified and loaded now.
        async fn model(
            &self,
            entry: &EmbeddedEntry,
        ) -> Result<(EngineSettings, Arc<EmbeddedModel>)> {
            let path = match &entry.file {
                Some(file) => file.clone(),
                None => verified(&entry.deployment.model).await?,
            };
            let mut settings = EngineSettings::new(path);
            settings.context_tokens = entry.context_tokens;
            settings.slots = entry.slots.unwrap_or(settings.slots);
            settings.queue_length = entry.queue.map_or(settings.queue_length, |n| n as usize);
            settings.gpu_layers = entry.gpu_layers.unwrap_or(settings.gpu_layers);
            settings.threads = entry
                .threads
                .and_then(|n| NonZeroUsize::new(n as usize))
                .or(settings.threads);
            if let Some((_, model)) = self.loaded.iter().find(|(known, _)| *known == settings) {
                return Ok((settings, Arc::clone(model)));
            }
            tracing::info!(model = %entry.deployment.id, "loading the model");
            let for_load = settings.clone();
            let model = tokio::task::spawn_blocking(move || EmbeddedModel::load(&for_load))
                .await
                .context("the loader died")?
                .map_err(anyhow::Error::new)?;
            Ok((settings, Arc::new(model)))
        }

        /// Lets the engines finish what they are at, and ends their threads.
        pub(crate) async fn shut_down(&mut self) {
            for (_, model) in std::mem::take(&mut self.loaded) {
                let stopped =
                    tokio::task::spawn_blocking(move || model.shut_down(ShutDown::AtOnce)).await;
                if let Err(error) = stopped {
                    tracing::warn!(%error, "an engine did not stop cleanly");
                }
            }
        }
    }

    async fn verified(name: &str) -> Result<std::path::PathBuf> {
        let store = Store::from_environment().map_err(advised)?;
        let name = name.parse().map_err(advised)?;
        let verified = store
            .open_verified(&name, Arc::new(NoProgress))
            .await
            .map_err(advised)?;
        Ok(verified.path)
    }

    fn advised(error: freehold_models::ModelError) -> anyhow::Error {
        let advice = error.advice();
        anyhow::Error::new(error).context(advice)
    }
}

#[cfg(not(feature = "embedded"))]
mod absent {
    //! A build without the engine.

    use super::{EmbeddedEntry, EngineBackends, Result};

    /// No engine in this build.
    pub(crate) struct Engines;

    impl Engines {
        /// There never are any.
        pub(crate) fn none() -> Self {
            Self
        }

        #[expect(clippy::unused_async, reason = "the same signature as with the engine")]
        pub(super) async fn backends(
            &mut self,
            entries: &[EmbeddedEntry],
            warnings: &mut Vec<String>,
        ) -> Result<EngineBackends> {
            warnings.extend(entries.iter().map(|entry| {
                format!(
                    "{} is left out: this build has no embedded engine (feature `embedded`)",
                    entry.deployment.id
                )
            }));
            Ok(Vec::new())
        }

        /// Nothing to stop.
        #[expect(clippy::unused_async, reason = "the same signature as with the engine")]
        pub(crate) async fn shut_down(&mut self) {}
    }
}
