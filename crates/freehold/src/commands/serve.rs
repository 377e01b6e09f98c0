//! `freehold serve`: starts the gateway, reloads its configuration, drains it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use freehold_http::{Desk, Door, Gateway, Server, ServerSettings, SessionKey, Tls};
use freehold_pipeline::{AuditTrail, Pipeline};
use freehold_ports::{Audit as _, Clock, Ledger as _, SystemClock};
use freehold_store::audit::AuditLog;
use freehold_store::prompts::PromptStore;
use freehold_store::{DurableLedger, Journal, KeySettings, Reader};
use freehold_types::Deployment;
use freehold_types::audit::{Administration, AdministrativeAct, AuditEvent, AuditName};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::administration::{Office, ReloadWish};
use crate::audit_door::AuditDoor;
use crate::banner::Notice;
use crate::budgets::{Accounts, Past};
use crate::cli::ServeArgs;
use crate::config::settings::Settings;
use crate::config::{ConfigError, Overrides, Source};
use crate::login::OidcLogin;
use crate::money::Money;
use crate::wiring::{Engines, wire};

/// Who did what nobody wished.
const GATEWAY: &str = "gateway";
/// How often the configuration file is looked at.
const FILE_LOOK: Duration = Duration::from_secs(2);
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
    let settings = source.settings(&overrides)?;
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
    let accounts = Accounts::open(settings.accounts.as_ref(), &clock)?;
    let meter = Arc::clone(&accounts.meter);
    let past = Past::new(accounts, ledger.reader(), Arc::clone(&clock));
    past.restore(&settings).await;
    let watching = tokio::spawn(Arc::clone(&past).watch());
    let pipeline = Pipeline::new(wired.snapshot, ledger.clone(), Arc::clone(&clock));
    let prompts = Arc::new(PromptStore::start(settings.prompts.clone())?);
    let pipeline = pipeline.with_meter(meter).with_prompts(prompts.clone());
    let pipeline = match journal {
        Some(journal) => pipeline.with_journal(Arc::new(journal)),
        None => pipeline,
    };
    let (pipeline, door) = with_trail(pipeline, audit.as_ref(), &settings);
    let money = Money::start(&pipeline, &clock).await;
    let own = AuditName::new(GATEWAY);
    note(audit.as_ref(), AdministrativeAct::Served, own, &source);
    let gateway = Arc::new(Gateway {
        pipeline: Arc::clone(&pipeline),
        accounts: ArcSwap::from_pointee(wired.accounts),
        settings: surfaces(&settings, &*clock),
        clock,
        metrics: Some(metrics.clone()),
    });

    let tls = settings.tls.as_ref().map(|listener| listener.tls.clone());
    let (clients, admin) = listeners(&settings, tls.as_ref()).await?;
    let (desk, wishes) = desk(&settings, &gateway, ledger.reader(), audit.as_ref())?;
    let keys = Arc::clone(&desk.keys);
    let desk = desk.desk;
    let admin_address = admin.as_ref().map(Server::address);
    let addresses = (clients.address(), admin_address);
    announce(&settings, &source, addresses, &deployments, wired.warnings)?;

    let (stop, stopped) = watch::channel(false);
    let cut = Arc::clone(&pipeline);
    let clients = clients.with_cut(move || cut.cut());
    let clients = tokio::spawn(clients.run(
        freehold_http::router(gateway.clone()),
        until(stopped.clone()),
    ));
    let admin = admin.map(|server| {
        tokio::spawn(server.run(freehold_http::admin_router(desk.clone()), until(stopped)))
    });
    let mut reloader = Reloader {
        source,
        overrides,
        gateway,
        engines,
        audit,
        tls,
        files: settings.files,
        past,
        desk,
        keys,
        wishes,
    };
    reloader.until_stopped(&metrics).await?;

    let cut = drained(&pipeline, settings.drain, &stop, clients, admin).await?;
    money.stop().await;
    watching.abort();
    finish(cut, &mut reloader.engines, &ledger, &prompts).await;
    drop(door);
    close_audit(&reloader);
    Ok(())
}

/// Records what was under way when the last gateway of this directory was killed, and remembers what
/// is under way from now on.
fn journal(settings: &Settings, ledger: &DurableLedger) -> Option<Journal> {
    let dir = &settings.ledger.spool.dir;
    match Journal::open(dir, |outcome| ledger.record(outcome)) {
        Ok(journal) => Some(journal),
        Err(error) => {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "requests under way are not remembered beyond a crash until the next start"
            );
            None
        }
    }
}

/// The first request must not wait for word lists and models to be unpacked.
fn warm_up(settings: &Settings) {
    let guard = settings.guard.clone();
    tokio::task::spawn_blocking(move || {
        drop(guard.scan_text("Ann Smith, card 4111 1111 1111 1111"))
    });
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

/// The operator's surface, and what it shares with whoever reloads the configuration.
struct Operators {
    desk: Arc<Desk>,
    keys: Arc<ArcSwap<Vec<KeySettings>>>,
}

fn desk(
    settings: &Settings,
    gateway: &Arc<Gateway>,
    reader: Reader,
    trail: Option<&Arc<AuditLog>>,
) -> Result<(Operators, mpsc::Receiver<ReloadWish>)> {
    let keys = Arc::new(ArcSwap::from_pointee(settings.keys.clone()));
    let (reload, wishes) = mpsc::channel(1);
    let office = Office {
        reader,
        keys: Arc::clone(&keys),
        audit: settings.audit.clone(),
        trail: trail.cloned(),
        prompts: settings.prompts.clone(),
        reload,
    };
    let desk = Desk {
        gateway: Arc::clone(gateway),
        administration: Arc::new(office),
        door: ArcSwap::from_pointee(door(settings, None)?),
        open_metrics: settings.admin.is_some_and(|admin| admin.ip().is_loopback()),
    };
    let desk = Arc::new(desk);
    Ok((Operators { desk, keys }, wishes))
}

/// How people sign in. Sessions outlive a reload of the configuration.
fn door(settings: &Settings, before: Option<&Door>) -> Result<Option<Door>> {
    let Some(login) = &settings.login else {
        return Ok(None);
    };
    let key = login.session_key.clone();
    let key = key.or_else(|| before.map(|door| door.key.clone()));
    let key = key.or_else(SessionKey::random);
    Ok(Some(Door {
        login: Arc::new(OidcLogin::new(login.clone())?),
        origin: login.origin.clone(),
        session: login.session,
        key: key.context("the operating system gives no random bytes")?,
    }))
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
    engines: &mut Engines,
    ledger: &DurableLedger,
    prompts: &PromptStore,
) {
    if connections_cut > 0 {
        tracing::warn!(
            connections_cut,
            "the drain was too short for some connections"
        );
    }
    engines.shut_down().await;
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
    let own = AuditName::new(GATEWAY);
    note(
        Some(audit),
        AdministrativeAct::Stopped,
        own,
        &reloader.source,
    );
    if let Err(error) = audit.shutdown() {
        tracing::error!(%error, "the audit trail was not closed as it should be");
    }
}

/// Keeps an act in the audit trail.
fn note(audit: Option<&Arc<AuditLog>>, act: AdministrativeAct, actor: AuditName, source: &Source) {
    let Some(audit) = audit else {
        return;
    };
    let event = AuditEvent::Administration(Administration {
        act,
        actor,
        after: Some(source.digest()),
        before: None,
        object: AuditName::new(source.name()),
    });
    if let Err(error) = audit.record(&event) {
        tracing::error!(%error, "an act could not be audited");
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
    Ok(handle)
}

/// Waits for signals and for changes of the configuration file.
struct Reloader {
    source: Source,
    overrides: Overrides,
    gateway: Arc<Gateway>,
    engines: Engines,
    audit: Option<Arc<AuditLog>>,
    tls: Option<Tls>,
    /// Files of certificates.
    files: Vec<PathBuf>,
    past: Arc<Past>,
    desk: Arc<Desk>,
    keys: Arc<ArcSwap<Vec<KeySettings>>>,
    wishes: mpsc::Receiver<ReloadWish>,
}

impl Reloader {
    async fn until_stopped(&mut self, metrics: &PrometheusHandle) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut look = tokio::time::interval(FILE_LOOK);
        let mut seen = self.modified();
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hang_up.recv() => {
                    seen = self.modified();
                    // The log says what came of it.
                    let _ = self.reload(AuditName::new(GATEWAY)).await;
                }
                Some(wish) = self.wishes.recv() => {
                    seen = self.modified();
                    let reloaded = self.reload(wish.actor).await;
                    // Whoever wished it may have gone.
                    let _ = wish.answer.send(reloaded.map_err(|error| brief(&error)));
                }
                _ = look.tick() => {
                    metrics.run_upkeep();
                    let now = self.modified();
                    if changed(&seen, &now) {
                        let _ = self.reload(AuditName::new(GATEWAY)).await;
                        // Files that the reload named are new; the others may change meanwhile.
                        seen = self.modified();
                        seen.extend(now);
                    }
                }
            }
        }
    }

    /// When the configuration's files were changed last.
    fn modified(&self) -> Times {
        let path = self.source.path.iter();
        let time = |path: &PathBuf| Some((path.clone(), modified(path)?));
        path.chain(&self.files).filter_map(time).collect()
    }

    /// Replaces the configuration, or says why not and keeps the old one. Returns the number of
    /// deployments.
    async fn reload(&mut self, actor: AuditName) -> miette::Result<usize> {
        let reloaded = self.try_reload().await;
        let act = match &reloaded {
            Ok(deployments) => {
                tracing::info!(deployments, "configuration reloaded");
                AdministrativeAct::ConfigReloaded
            }
            Err(error) => {
                metrics::counter!("freehold_failed_reloads_total").increment(1);
                tracing::error!("the configuration was NOT reloaded, the old one stays: {error:?}");
                AdministrativeAct::ConfigRejected
            }
        };
        note(self.audit.as_ref(), act, actor, &self.source);
        reloaded
    }

    async fn try_reload(&mut self) -> miette::Result<usize> {
        let told = |error: anyhow::Error| miette::miette!("{error:#}");
        let source = Source::read(self.source.path.as_deref())?;
        let settings = source.settings(&self.overrides)?;
        let wired = wire(&settings, &mut self.engines).await.map_err(told)?;
        match (&self.tls, &settings.tls) {
            (Some(tls), Some(new)) => tls
                .replace(&new.settings)
                .map_err(|error| told(error.into()))?,
            (None, None) => {}
            _ => tracing::warn!("server.tls begins or ends with the next start"),
        }
        for warning in &wired.warnings {
            tracing::warn!("{warning}");
        }
        let door = door(&settings, self.desk.door.load().as_ref().as_ref()).map_err(told)?;
        let deployments = wired.snapshot.deployments().len();
        self.past.restore(&settings).await;
        self.files = settings.files;
        self.desk.door.store(Arc::new(door));
        self.keys.store(Arc::new(settings.keys));
        self.gateway.accounts.store(Arc::new(wired.accounts));
        self.gateway.pipeline.reload(wired.snapshot);
        self.source = source;
        Ok(deployments)
    }
}

/// What is wrong, without the lines of the file: they may hold secrets.
fn brief(error: &miette::Report) -> String {
    match error.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}

/// When files were changed last. One that is away for the moment, as when an editor replaces it, is
/// not in it.
type Times = BTreeMap<PathBuf, SystemTime>;

/// Whether a file has another time than when it was seen last. Files that a reload named for the
/// first time were read by it.
fn changed(seen: &Times, now: &Times) -> bool {
    let other = |(path, time): (_, _)| seen.get(path).is_some_and(|seen| seen != time);
    now.iter().any(other)
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
