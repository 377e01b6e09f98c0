//! The gateway's reports to an OpenTelemetry collector: started with it, flushed at its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use freehold_config::Settings;
use freehold_pipeline::Pipeline;
use freehold_telemetry::{Place, Telemetry};
use freehold_types::BackendId;
use metrics_exporter_prometheus::PrometheusHandle;

/// How long reports may take to be sent at the end; the rest is lost and counted.
const DRAIN: Duration = Duration::from_secs(5);

/// Reports, if there are to be any.
pub(crate) struct Reports {
    telemetry: Option<Arc<Telemetry>>,
    /// Where they go.
    urls: Vec<String>,
}

impl Reports {
    /// Starts to send what the settings ask for. The pipeline makes spans then.
    pub(crate) fn start(
        settings: &Settings,
        metrics: &PrometheusHandle,
        pipeline: Pipeline,
    ) -> Result<(Self, Pipeline)> {
        let Some(mut wanted) = settings.telemetry.clone() else {
            let (telemetry, urls) = (None, vec![]);
            return Ok((Self { telemetry, urls }, pipeline));
        };
        freehold_telemetry::describe_metrics();
        let instance = ("service.instance.id".to_owned(), instance()?);
        if wanted.resource.iter().all(|(name, _)| *name != instance.0) {
            wanted.resource.push(instance);
        }
        let urls = urls(&wanted);
        let metrics = metrics.clone();
        let started = Telemetry::start(wanted, move || metrics.render());
        let telemetry = started.context("telemetry")?;
        telemetry.know(places(settings));
        let pipeline = pipeline.with_tracer(telemetry.clone());
        let telemetry = Some(telemetry);
        Ok((Self { telemetry, urls }, pipeline))
    }

    /// Takes note of a configuration: where backends are now. Other reports need a new start.
    pub(crate) fn know(&self, settings: &Settings) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.know(places(settings));
        }
        let wanted = settings.telemetry.as_ref().map(urls).unwrap_or_default();
        if wanted != self.urls {
            tracing::warn!("telemetry begins, ends or goes elsewhere with the next start");
        }
    }

    /// Sends what waits, and ends.
    pub(crate) async fn stop(&self) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.shut_down(DRAIN).await;
        }
    }
}

/// Where reports go.
pub(crate) fn urls(telemetry: &freehold_telemetry::Settings) -> Vec<String> {
    let traces = telemetry.traces.iter().map(|traces| &traces.post.url);
    let metrics = telemetry.metrics.iter().map(|metrics| &metrics.post.url);
    traces.chain(metrics).cloned().collect()
}

fn places(settings: &Settings) -> Vec<(BackendId, Place)> {
    let hosted = settings.hosted.iter().map(|entry| &entry.settings);
    hosted
        .filter_map(|backend| {
            let url = url::Url::parse(&backend.base_url).ok()?;
            let place = Place {
                address: url.host_str()?.to_owned(),
                port: url.port_or_known_default()?,
            };
            Some((backend.id.clone(), place))
        })
        .collect()
}

/// A random name for this run of the gateway.
fn instance() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("randomness of the system")?;
    Ok(hex::encode(bytes))
}
