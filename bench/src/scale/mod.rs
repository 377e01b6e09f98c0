//! What a request costs, and what memory and starts cost, against the size of everything that can be large.
//!
//! Of each axis all sizes run at the same time, and each round loads them one after another: what is compared was
//! measured within the same seconds.

mod config;
mod report;
mod still;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use self::{
    config::{NEW_KEY, Shape},
    report::{Round, Step},
    still::Still,
};
use crate::{
    answers::Dialect,
    children::{Server, free_port},
    load::{self, Load, Report, Variants},
    process::{Cores, mib},
    render::{line, progress},
};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Axis {
    /// Cores of the server.
    Cores,
    /// Connections, each sending its next request when it has its answer.
    Connections,
    /// Connections that are open and idle, beside 16 that are not.
    Idle,
    /// Streams that are open and silent, beside 16 connections that are not.
    Streams,
    /// Outcomes that are in the ledger already.
    Ledger,
    /// Keys.
    Keys,
    /// Keys, each with a budget a day.
    Budgets,
    /// Routes with a plain name.
    Routes,
    /// Routes with a wildcard.
    Wildcards,
    /// Rules of the policy, each about another key.
    Rules,
}

impl Axis {
    fn sizes(self) -> &'static [usize] {
        match self {
            Self::Cores => &[1, 2],
            // The gateway takes half as many connections as it may have descriptors, which is often 20,000.
            Self::Connections => &[1, 10, 100, 1_000, 9_000],
            Self::Idle => &[0, 10, 100, 1_000, 9_000],
            // A backend has at most 4,096 requests in flight.
            Self::Streams => &[0, 10, 100, 1_000, 4_000],
            Self::Ledger => &[0, 1_000_000],
            Self::Keys => &[1, 1_000, 100_000, 1_000_000],
            Self::Budgets => &[1, 1_000, 100_000],
            Self::Routes | Self::Wildcards => &[1, 100, 10_000],
            Self::Rules => &[1, 100, 1_000, 10_000],
        }
    }
}

/// Options of `scale`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's program.
    #[arg(long, default_value = "target/release/freehold")]
    freehold: PathBuf,
    /// Fills a ledger: called with its folder and a number of outcomes (`cargo build --release --package
    /// freehold-store --example fill`).
    #[arg(long, default_value = "target/release/examples/fill")]
    fill: PathBuf,
    /// What to measure; everything without it.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Axis>,
    /// Sizes other than the usual; with one axis only.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// How often each size is loaded, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections that load the gateway.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds that a gateway may take to get ready, or to reload.
    #[arg(long, default_value_t = 300)]
    startup_s: u64,
    /// Where the processes run.
    #[command(flatten)]
    cores: Cores,
    /// Also write everything, every round included, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// So many of the keys or routes take part in the load, in turn.
const VARIANTS_MAX: usize = 10_000;
/// A silent stream's next event is so far away.
const SILENCE_MS: &str = "600000";

/// Runs the measurements.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0, "at least one round");
    ensure!(
        options.sizes.is_empty() || options.only.len() == 1,
        "--sizes needs --only with one axis"
    );
    // Children inherit it.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let work = tokio::task::LocalSet::new();
    tokio::select! {
        result = work.run_until(measure(&options)) => result,
        // Returning drops the servers, which ends them.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    options.cores.keep_load()?;
    let axes = match &options.only[..] {
        [] => <Axis as clap::ValueEnum>::value_variants(),
        some => some,
    };
    let mut steps = Vec::new();
    for &axis in axes {
        let found = along(options, axis).await;
        // What has been measured is worth having whatever comes after it.
        match found {
            Ok(found) => {
                line(&report::table(axis, &found))?;
                steps.extend(found);
            }
            Err(error) => line(&format!("{axis:?}: not measured: {error:#}"))?,
        }
        if let Some(path) = &options.json {
            std::fs::write(path, serde_json::to_vec_pretty(&steps)?)?;
        }
    }
    ensure!(!steps.is_empty(), "nothing could be measured");
    Ok(())
}

/// One gateway under measurement. It ends with this value.
struct Subject {
    size: usize,
    server: Server,
    still: Still,
    /// Memory before connections rest in it, in bytes.
    bare_bytes: u64,
    step: Step,
    /// What a reload needs to write.
    port: u16,
    folder: tempfile::TempDir,
}

async fn along(options: &Options, axis: Axis) -> anyhow::Result<Vec<Step>> {
    let own = ["mock-upstream", "--inter-token-ms", SILENCE_MS].map(str::to_owned);
    let mock = Server::own(&own, options.cores.load())?;
    let sizes = if options.sizes.is_empty() {
        axis.sizes()
    } else {
        &options.sizes
    };
    let mut subjects = Vec::new();
    for &size in sizes {
        progress(&format!("{axis:?}: {size}"));
        let subject = start(options, axis, size, &mock.url).await;
        subjects.push(subject.with_context(|| format!("{axis:?} {size}"))?);
    }
    for round in 0..options.rounds {
        for subject in &mut subjects {
            progress(&format!(
                "{axis:?}: {}, round {} of {}",
                subject.size,
                round + 1,
                options.rounds
            ));
            let report = load_of(options, axis, subject)?.run().await?;
            subject.step.rounds.push(Round::of(report));
        }
    }
    for subject in &mut subjects {
        let process = subject.server.process;
        subject.step.after_mib = mib(process.resident_bytes()?);
        subject.step.peak_mib = mib(process.peak_bytes()?);
        if has_reload(axis) {
            progress(&format!("{axis:?}: {}, reload", subject.size));
            reload(options, axis, &mock.url, subject).await?;
        }
    }
    Ok(subjects.into_iter().map(|subject| subject.step).collect())
}

/// Whether the size is one of the configuration's.
fn has_reload(axis: Axis) -> bool {
    use Axis::{Budgets, Keys, Routes, Rules, Wildcards};
    matches!(axis, Keys | Budgets | Routes | Wildcards | Rules)
}

async fn start(
    options: &Options,
    axis: Axis,
    size: usize,
    upstream: &str,
) -> anyhow::Result<Subject> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let shape = Shape {
        axis,
        size,
        upstream,
        port,
        folder: folder.path(),
    };
    let config = shape.write(false)?;
    if axis == Axis::Ledger {
        fill(&options.fill, &folder.path().join("ledger"), size)?;
    }
    let home = format!("FREEHOLD_HOME={}", folder.path().join("home").display());
    let words = [
        "env",
        &home,
        &options.freehold.display().to_string(),
        "--config",
        &config.display().to_string(),
        "serve",
    ]
    .map(str::to_owned);
    let url = format!("http://127.0.0.1:{port}");
    let all_cores = axis == Axis::Cores && size > 1;
    let server = Server::gateway(
        &words,
        options.cores.server().filter(|_| !all_cores),
        url,
        "/health/readiness",
        &folder.path().join("output.log"),
        Duration::from_secs(options.startup_s),
    )
    .await?;
    let mut subject = Subject {
        size,
        step: Step::new(axis, size, server.cold_start),
        bare_bytes: 0,
        server,
        still: Still::default(),
        port,
        folder,
    };
    rest(axis, &mut subject).await?;
    Ok(subject)
}

/// Opens what is to rest, in a gateway that has served already, and takes the memory for it.
async fn rest(axis: Axis, subject: &mut Subject) -> anyhow::Result<()> {
    let (url, key) = (subject.server.url.clone(), config::key(0));
    let model = config::model(axis, 0);
    let stream = axis == Axis::Streams;
    // The first answers make what every answer needs.
    drop(Still::open(16, &url, &key, &model, false).await?);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let process = subject.server.process;
    subject.bare_bytes = process.resident_bytes()?;
    subject.step.start_mib = mib(subject.bare_bytes);
    if !matches!(axis, Axis::Idle | Axis::Streams) || subject.size == 0 {
        return Ok(());
    }
    subject.still = Still::open(subject.size, &url, &key, &model, stream).await?;
    let grown = process.resident_bytes()?.saturating_sub(subject.bare_bytes);
    subject.step.bytes_each = Some(ratio(grown, subject.still.count() as u64));
    Ok(())
}

/// Runs the program that fills a ledger.
fn fill(program: &Path, folder: &Path, outcomes: usize) -> anyhow::Result<()> {
    if outcomes == 0 {
        return Ok(());
    }
    let mut command = Command::new(program);
    command.arg(folder).arg(outcomes.to_string());
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "{} failed: {status}", program.display());
    Ok(())
}

fn load_of(options: &Options, axis: Axis, subject: &Subject) -> anyhow::Result<Load> {
    let connections = match axis {
        Axis::Connections => subject.size,
        _ => options.connections,
    };
    // Thousands that begin at once would wait for each other's connections.
    let stagger = if connections > 1_000 { 1.0 } else { 0.0 };
    let load = Load::new(&load::Options {
        url: subject.server.url.clone(),
        key: Some(config::key(0)),
        dialect: Dialect::Openai,
        model: config::model(axis, 0),
        stream: false,
        prompt_bytes: 120,
        body: None,
        connections,
        rate: None,
        duration: options.seconds,
        warmup: 0.5 + 2.0 * stagger,
        requests: None,
        timeout: 30.0,
        stagger,
        no_keep_alive: false,
        server_pid: None,
        json: false,
    })?;
    let load = load.with_server(Some(subject.server.process));
    let many = subject.size.min(VARIANTS_MAX);
    let spread = |index: usize| index * (subject.size / many.max(1));
    Ok(match axis {
        Axis::Keys | Axis::Budgets => {
            let keys: Vec<_> = (0..many).map(|index| config::key(spread(index))).collect();
            load.with_variants(Variants::Keys(keys))?
        }
        Axis::Routes | Axis::Wildcards => {
            let models: Vec<_> = (0..many)
                .map(|index| config::model(axis, spread(index)))
                .collect();
            load.with_variants(Variants::Models(models))?
        }
        _ => load,
    })
}

/// Adds a key to the file, tells the gateway, and waits until it takes the key, while others ask on.
async fn reload(
    options: &Options,
    axis: Axis,
    upstream: &str,
    subject: &mut Subject,
) -> anyhow::Result<()> {
    let shape = Shape {
        axis,
        size: subject.size,
        upstream,
        port: subject.port,
        folder: subject.folder.path(),
    };
    let process = subject.server.process;
    shape.write(true)?;
    let before = process.cpu_time()?;
    let begin = Instant::now();
    kill(Pid::from_raw(process.pid()), Signal::SIGHUP)?;
    let limit = Duration::from_secs(options.startup_s);
    let model = config::model(axis, 0);
    let mut longest = Duration::ZERO;
    loop {
        ensure!(begin.elapsed() < limit, "no reload in {limit:?}");
        let asked = Instant::now();
        let taken = Still::open(1, &subject.server.url, NEW_KEY, &model, false).await;
        longest = longest.max(asked.elapsed());
        if taken.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    subject.step.reload_ms = Some(begin.elapsed().as_secs_f64() * 1e3);
    subject.step.reload_cpu_ms = Some((process.cpu_time()? - before).as_secs_f64() * 1e3);
    subject.step.reload_longest_ms = Some(longest.as_secs_f64() * 1e3);
    subject.step.reloaded_peak_mib = Some(mib(process.peak_bytes()?));
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory sizes stay below 2^52 bytes"
)]
fn ratio(bytes: u64, count: u64) -> f64 {
    bytes as f64 / count.max(1) as f64
}

impl Round {
    fn of(report: Report) -> Self {
        Self {
            failed: report.failed(),
            requests: report.requests,
            requests_per_s: report.requests_per_s,
            cpu_us_per_request: report.cpu_us_per_request,
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
            cores_used: report.server_cores_used,
        }
    }
}
