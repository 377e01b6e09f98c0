//! `freehold serve`: starts the gateway, reloads its configuration, drains it.

mod descriptors;
mod reload;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use freehold_config::{Overrides, Settings, Source};
use freehold_cost::PriceBook;
use freehold_http::{Gateway, Server, ServerSettings, Tls};
use freehold_loops::{FeedbackDesk, RolloutLoop, Watch};
use freehold_pipeline::{AuditTrail, Pipeline};
use freehold_ports::{Clock, Ledger as _, SystemClock};
use freehold_store::audit::AuditLog;
use freehold_store::prompts::PromptStore;
use freehold_store::{DurableLedger, Journal, Rollouts};
use freehold_types::audit::AdministrativeAct;
use freehold_types::{Deployment, Error, PriceBasis};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::reload::{Reloader, note_own};
use crate::audit_door::AuditDoor;
use crate::banner::Notice;
use crate::budgets::{Accounts, Past};
use crate::cli::ServeArgs;
use crate::home;
use crate::money::Money;
use crate::operators::Operators;
use crate::reports::Reports;
use crate::wiring::{Engines, wire};

/// How long outcomes may take to reach the database at the end; the rest waits for the next start.
const LEDGER_DRAIN: Duration = Duration::from_secs(10);
/// How long samples may take to be stored at the end; the rest is lost.
const PROMPTS_DRAIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: ServeArgs, config: Option<&Path>) -> miette::Result<()> {
    let mut overrides = Overrides {
        listen: args.listen,
        sealed: args.sealed,
    };
    let source = Source::read(config)?;
    let mut settings = source.settings(&overrides, &home::environment())?;
    settings.connections_max = descriptors::connections_max(settings.connections_max);
    overrides.listen = Some(settings.listen);
    serve(settings, source, overrides)
        .await
        .map_err(|error| miette::miette!("{error:#}"))
}

async fn serve(settings: Settings, source: Source, overrides: Overrides) -> Result<()> {
    let metrics = metrics()?;
    warm_up(&settings);
    let ledger = Arc::new(DurableLedger::open(settings.ledger.clone())?);
    let journal = journal(&settings, &ledger);
    let mut engines = Engines::none();
    let wired = wire(&settings, &mut engines).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let deployments = wired.snapshot.deployments().to_vec();
    let audit = open_audit(&settings)?;
    let accounts = Accounts::open(settings.accounts.as_ref(), journal.clone(), &clock)?;
    let meter = Arc::clone(&accounts.meter);
    let past = Past::new(accounts, ledger.reader(), Arc::clone(&clock));
    past.restore(&settings).await;
    let watching = tokio::spawn(Arc::clone(&past).watch());
    let pipeline = Pipeline::new(wired.snapshot, ledger.clone(), Arc::clone(&clock));
    let prompts = Arc::new(PromptStore::start(settings.prompts.clone())?);
    let pipeline = pipeline.with_meter(meter).with_prompts(prompts.clone());
    let (reports, pipeline) = Reports::start(&settings, &metrics, pipeline)?;
    let (watch, pipeline) = watched(with_journal(pipeline, journal));
    let (pipeline, door) = with_trail(pipeline, audit.as_ref(), &settings);
    let money = Money::start(&pipeline, &clock).await;
    let (rollouts, feedbacks) = loops(&settings, watch, &pipeline, &ledger, &clock);
    note_own(audit.as_ref(), AdministrativeAct::Served, &source);
    let gateway = Arc::new(Gateway {
        pipeline: Arc::clone(&pipeline),
        accounts: ArcSwap::from_pointee(wired.accounts),
        settings: surfaces(&settings, &*clock),
        clock,
        metrics: Some(metrics.clone()),
        feedbacks: Some(Box::new(feedbacks)),
    });

    let tls = settings.tls.as_ref().map(|listener| listener.tls.clone());
    let (clients, admin) = listeners(&settings, tls.as_ref()).await?;
    let operators = Operators::open(&settings, &gateway, ledger.reader(), audit.as_ref())?;
    let surface = freehold_http::admin_router(operators.desk());
    let addresses = (clients.address(), admin.as_ref().map(Server::address));
    announce(&settings, &source, addresses, &deployments, wired.warnings)?;

    let (stop, stopped) = watch::channel(false);
    let cut = Arc::clone(&pipeline);
    let clients = clients.with_cut(move || cut.cut());
    let clients = tokio::spawn(clients.run(
        freehold_http::router(gateway.clone()),
        until(stopped.clone()),
    ));
    let admin = admin.map(|server| tokio::spawn(server.run(surface, until(stopped))));
    let mut reloader = Reloader {
        source,
        overrides,
        gateway,
        engines,
        audit,
        tls,
        files: settings.files,
        past,
        operators,
        reports,
    };
    reloader.until_stopped(&metrics).await?;

    let cut = drained(&pipeline, settings.drain, &stop, clients, admin).await?;
    tokio::join!(rollouts.stop(), money.stop());
    watching.abort();
    finish(cut, &mut reloader, &ledger, &prompts).await;
    drop(door);
    close_audit(&reloader);
    Ok(())
}

/// Records what was under way when the last gateway of this directory was killed, and remembers what
/// is under way from now on.
fn journal(settings: &Settings, ledger: &DurableLedger) -> Option<Arc<Journal>> {
    let dir = &settings.ledger.spool.dir;
    match Journal::open(dir, |outcome| ledger.record(outcome)) {
        Ok(journal) => Some(Arc::new(journal)),
        Err(error) => {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "requests under way are not remembered beyond a crash until the next start"
            );
            None
        }
    }
}

/// The pipeline, and who hears of requests of flows on the move.
fn watched(pipeline: Pipeline) -> (Watch, Pipeline) {
    let watch = Watch::default();
    let pipeline = pipeline.with_watcher(Arc::new(watch.clone()));
    (watch, pipeline)
}

/// What runs beside requests.
fn loops(
    settings: &Settings,
    watch: Watch,
    pipeline: &Arc<Pipeline>,
    ledger: &DurableLedger,
    clock: &Arc<dyn Clock>,
) -> (RolloutLoop, FeedbackDesk) {
    let store = Arc::new(Rollouts::new(settings.ledger.database.clone()));
    let status_of = |error: &Error| freehold_http::status_of(error).as_u16();
    let rollouts = RolloutLoop::start(&watch, pipeline, store.clone(), clock, status_of);
    let feedbacks = FeedbackDesk::new(store, ledger.reader(), watch, Arc::clone(pipeline));
    (rollouts, feedbacks)
}

/// The pipeline, remembering what is under way where that is possible.
fn with_journal(pipeline: Pipeline, journal: Option<Arc<Journal>>) -> Pipeline {
    match journal {
        Some(journal) => pipeline.with_journal(journal),
        None => pipeline,
    }
}

/// The first request must not wait for word lists, models and list prices to be unpacked.
fn warm_up(settings: &Settings) {
    let guard = settings.guard.clone();
    tokio::task::spawn_blocking(move || {
        drop(guard.scan_text("Ann Smith, card 4111 1111 1111 1111"))
    });
    let is_listed = |price: &PriceBasis| matches!(price, PriceBasis::Listed { .. });
    let needs_list_prices = settings.hosted.iter().any(|entry| {
        let deployments = entry.deployments.iter();
        let mut prices = deployments.map(|deployment| &deployment.price);
        // Whoever names a model that nobody has listed waits for its price once.
        let finds_listed =
            entry.discover && entry.price.is_none() && entry.settings.row.price_provider.is_some();
        finds_listed || prices.any(is_listed)
    });
    if needs_list_prices {
        tokio::task::spawn_blocking(|| PriceBook::bundled().prepare());
    }
}

/// Lets answers under way go on for a while, then ends everything; returns how many connections were
/// cut.
async fn drained(
    pipeline: &Pipeline,
    drain: Duration,
    stop: &watch::Sender<bool>,
    clients: JoinHandle<usize>,
    admin: Option<JoinHandle<usize>>,
) -> Result<usize> {
    let drain_s = drain.as_secs();
    tracing::info!(drain_s, "stopping: answers under way go on");
    pipeline.drain();
    stop.send_replace(true);
    let cut = clients.await.context("the listener died")?;
    admin.iter().for_each(JoinHandle::abort);
    // Requests whose clients have gone may still be at it.
    pipeline.cut();
    pipeline.idle().await;
    Ok(cut)
}

/// The start-up notice.
fn announce(
    settings: &Settings,
    source: &Source,
    (address, admin): (SocketAddr, Option<SocketAddr>),
    deployments: &[Arc<Deployment>],
    hints: Vec<String>,
) -> Result<()> {
    let notice = Notice {
        address,
        tls: settings.tls.is_some(),
        admin,
        config: source.name(),
        deployments,
        sealed: settings.policy.outside_up_to().is_none(),
        outside_up_to: settings.policy.outside_up_to(),
        default_sensitivity: settings.default_sensitivity,
        needs_key: !settings.keys.is_empty(),
        hints,
    };
    writeln!(std::io::stdout().lock(), "{}", notice.render())?;
    Ok(())
}

fn surfaces(settings: &Settings, clock: &dyn Clock) -> freehold_http::Settings {
    freehold_http::Settings {
        decode: settings.decode,
        body_timeout: settings.body_timeout,
        started_unix_s: clock.unix_ms() / 1_000,
    }
}

/// What is left to do when the last answer is out.
async fn finish(
    connections_cut: usize,
    reloader: &mut Reloader,
    ledger: &DurableLedger,
    prompts: &PromptStore,
) {
    if connections_cut > 0 {
        tracing::warn!(
            connections_cut,
            "the drain was too short for some connections"
        );
    }
    reloader.reports.stop().await;
    reloader.engines.shut_down().await;
    store_rest(prompts).await;
    let end = match ledger.shutdown(LEDGER_DRAIN).await {
        Ok(()) => "stopped".to_owned(),
        Err(error) => format!("stopped; some outcomes wait for the next start: {error}"),
    };
    tracing::info!("{end}");
}

/// Stores the samples that wait.
async fn store_rest(prompts: &PromptStore) {
    if let Err(error) = prompts.shutdown(PROMPTS_DRAIN).await {
        tracing::warn!(%error, "some samples are lost");
    }
}

/// The pipeline with its audit trail, if there is one, and the door to that for other commands.
fn with_trail(
    pipeline: Pipeline,
    audit: Option<&Arc<AuditLog>>,
    settings: &Settings,
) -> (Arc<Pipeline>, Option<AuditDoor>) {
    let Some(log) = audit else {
        return (Arc::new(pipeline), None);
    };
    let pipeline = pipeline.with_audit(AuditTrail {
        trail: log.clone(),
        required: settings.audit.required,
    });
    (Arc::new(pipeline), AuditDoor::open(log, &settings.audit))
}

/// Opens the audit trail, if there is to be one.
fn open_audit(settings: &Settings) -> Result<Option<Arc<AuditLog>>> {
    let choice = &settings.audit;
    if !choice.enabled {
        return Ok(None);
    }
    let opened = AuditLog::open(choice.settings.clone());
    Ok(Some(Arc::new(opened.context("the audit trail")?)))
}

fn close_audit(reloader: &Reloader) {
    let Some(audit) = &reloader.audit else {
        return;
    };
    note_own(Some(audit), AdministrativeAct::Stopped, &reloader.source);
    if let Err(error) = audit.shutdown() {
        tracing::error!(%error, "the audit trail was not closed as it should be");
    }
}

/// Clients' listener and the operator's.
async fn listeners(settings: &Settings, tls: Option<&Tls>) -> Result<(Server, Option<Server>)> {
    let clients = Server::bind(listener(settings, settings.listen)).await?;
    let clients = match tls {
        Some(tls) => clients.with_tls(tls.clone()),
        None => clients,
    };
    let admin = match settings.admin {
        Some(address) => {
            let admin = Server::bind(listener(settings, address)).await?;
            Some(match tls {
                // What stays on this machine needs none, and probes and scrapers have none.
                Some(tls) if !address.ip().is_loopback() => admin.with_tls(tls.clone()),
                _ => admin,
            })
        }
        None => None,
    };
    Ok((clients, admin))
}

fn listener(settings: &Settings, address: SocketAddr) -> ServerSettings {
    ServerSettings {
        address,
        connections_max: settings.connections_max,
        header_timeout: settings.header_timeout,
        keep_alive: settings.keep_alive,
        drain: settings.drain,
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn metrics() -> Result<PrometheusHandle> {
    let seconds = [
        0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0,
    ];
    let tokens = [
        1.0,
        4.0,
        16.0,
        64.0,
        256.0,
        1_024.0,
        4_096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
    ];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_token_usage".to_owned()), &tokens)?
        .install_recorder()
        .context("metrics")?;
    freehold_pipeline::describe_metrics();
    freehold_loops::describe_metrics();
    crate::budgets::describe_metrics();
    Ok(handle)
}
