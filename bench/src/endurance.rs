//! What stays of a long load: resident memory, throughput and files after many requests, and while the ledger's
//! database is away.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use freehold_testkit::postgres::{self, Settings};
use serde::Serialize;

use crate::{
    answers::Dialect,
    children::{Gateway, Server, get},
    load::{self, Load},
    loopback,
    process::{Cores, mib},
    render::{line, progress},
    table::number,
};

/// Options of `endurance`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How to start the gateway, with placeholders as in `compare`.
    #[arg(
        long,
        default_value = "target/release/freehold serve --config {config}"
    )]
    gateway: String,
    /// The gateway's configuration, to be filled; with --away-s its `ledger` gets a `database_url`.
    #[arg(long, default_value = "bench/freehold.yaml")]
    template: PathBuf,
    /// The path that answers 200 once the gateway is ready.
    #[arg(long, default_value = "/health/readiness")]
    ready: String,
    /// Key to send.
    #[arg(long, default_value = "sk-bench-0123456789abcdef")]
    key: String,
    /// Model to ask for.
    #[arg(long, default_value = "mock/mock")]
    model: String,
    /// Requests in a closed loop, after ten parts of which memory is looked at.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Instead: a ledger in a PostgreSQL server of its own, which goes away for so many seconds of load.
    #[arg(long)]
    away_s: Option<f64>,
    /// Requests a second while it is there, away, and there again.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Connections that load the gateway.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Where the processes run.
    #[command(flatten)]
    cores: Cores,
    /// Also write every look to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Looks at a load of many requests.
const LOOKS: u64 = 10;
/// Looks at each part of a load while the database comes and goes.
const LOOKS_AWAY: u32 = 6;
/// Seconds of load before the database goes, and after it is back.
const BESIDE_S: f64 = 30.0;
/// How long all that is recorded may take into the database.
const DRAINED: Duration = Duration::from_secs(600);
/// How long a gateway may take to get ready.
const READY: Duration = Duration::from_secs(60);

/// What a look saw.
#[derive(Clone, Debug, Serialize)]
struct Look {
    /// What is going on.
    during: &'static str,
    /// Requests so far, and those that failed.
    requests: u64,
    failed: u64,
    requests_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    resident_mib: f64,
    spool_mib: f64,
    ledger_mib: f64,
    audit_mib: f64,
}

/// Runs the load and prints what was seen.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    options.cores.keep_load()?;
    let looks = tokio::select! {
        looks = measure(&options) => looks?,
        // Returning drops the servers, which ends them.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    line(&table(&looks))?;
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(&looks)?)?;
    }
    let failed: u64 = looks.iter().map(|look| look.failed).sum();
    ensure!(failed == 0, "{failed} requests failed");
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Vec<Look>> {
    match options.away_s {
        None => many(options).await,
        Some(seconds) => away(options, seconds).await,
    }
}

/// A gateway under load.
struct Subject<'a> {
    options: &'a Options,
    server: Server,
    folder: PathBuf,
    looks: Vec<Look>,
}

impl<'a> Subject<'a> {
    async fn start(
        options: &'a Options,
        template: &Path,
        mock: &Server,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let gateway = Gateway {
            command: &options.gateway,
            within: &[],
            template: Some(template),
            ready: &options.ready,
            limit: READY,
            core: options.cores.server(),
        };
        let server = gateway.start(&mock.url, folder).await?;
        let mut subject = Self {
            options,
            server,
            folder: folder.to_owned(),
            looks: Vec::new(),
        };
        // What starts in the background has started.
        tokio::time::sleep(Duration::from_secs(1)).await;
        subject.look("rest", None)?;
        Ok(subject)
    }

    /// Loads it, a closed loop unless there is a rate, and looks at it.
    async fn load(
        &mut self,
        during: &'static str,
        rate: Option<f64>,
        seconds: f64,
        requests: Option<u64>,
    ) -> anyhow::Result<()> {
        let options = self.options;
        let load = Load::new(&load::Options {
            url: self.server.url.clone(),
            key: Some(options.key.clone()),
            dialect: Dialect::Openai,
            model: options.model.clone(),
            stream: false,
            prompt_bytes: 120,
            body: None,
            connections: options.connections,
            rate,
            duration: seconds,
            warmup: 0.0,
            requests,
            timeout: 30.0,
            stagger: 0.0,
            no_keep_alive: false,
            server_pid: None,
            json: false,
        })?;
        let report = load.run().await?;
        self.look(during, Some(&report))?;
        if let Some(look) = self.looks.last() {
            progress(&format!(
                "{during}: {} requests, {:.1} MiB",
                look.requests, look.resident_mib
            ));
        }
        Ok(())
    }

    fn look(&mut self, during: &'static str, report: Option<&load::Report>) -> anyhow::Result<()> {
        let before = self.looks.last().map_or(0, |look| look.requests);
        let ledger = self.folder.join("ledger");
        let spool = bytes_below(&ledger.join("spool"));
        self.looks.push(Look {
            during,
            requests: before + report.map_or(0, |report| report.requests),
            failed: report.map_or(0, load::Report::failed),
            requests_per_s: report.map_or(0.0, |report| report.requests_per_s),
            p50_us: report.map_or(0.0, |report| report.latency.p50_us),
            p99_us: report.map_or(0.0, |report| report.latency.p99_us),
            resident_mib: self.server.process.resident_mib()?,
            spool_mib: mib(spool),
            ledger_mib: mib(bytes_below(&ledger) - spool),
            audit_mib: mib(bytes_below(&self.folder.join("audit"))),
        });
        Ok(())
    }
}

async fn many(options: &Options) -> anyhow::Result<Vec<Look>> {
    let (mock, folder) = (mock(options)?, tempfile::tempdir()?);
    let mut subject = Subject::start(options, &options.template, &mock, folder.path()).await?;
    let part = options.requests.div_ceil(LOOKS).max(1);
    for _ in 0..LOOKS {
        subject.load("load", None, 1_200.0, Some(part)).await?;
    }
    Ok(subject.looks)
}

async fn away(options: &Options, seconds: f64) -> anyhow::Result<Vec<Look>> {
    let database = postgres::Server::start(Settings::default())?;
    let name = database.database()?;
    let (mock, folder) = (mock(options)?, tempfile::tempdir()?);
    let template = folder.path().join("template.yaml");
    let text = fs::read_to_string(&options.template)
        .with_context(|| format!("cannot read {}", options.template.display()))?;
    let with = format!("ledger:\n  database_url: \"{}\"\n", database.tcp_url(&name));
    ensure!(text.contains("ledger:\n"), "the template has no `ledger:`");
    fs::write(&template, text.replacen("ledger:\n", &with, 1))?;
    let mut subject = Subject::start(options, &template, &mock, folder.path()).await?;
    let rate = Some(options.rate);
    subject.load("database there", rate, BESIDE_S, None).await?;
    database.kill();
    let part = seconds / f64::from(LOOKS_AWAY);
    for _ in 0..LOOKS_AWAY {
        subject.load("database away", rate, part, None).await?;
    }
    database.restart()?;
    subject.load("database back", rate, BESIDE_S, None).await?;
    let (status, stats) = get(&loopback::target(&mock.url)?, "/__stats").await?;
    ensure!(status == 200, "the mock tells no counts");
    let stats: serde_json::Value = serde_json::from_slice(&stats)?;
    let answered = stats["requests"].as_u64().context("no count of requests")?;
    let begun = Instant::now();
    loop {
        let rows = database.sql(&name, "SELECT count(*), count(DISTINCT id) FROM outcomes")?;
        if rows.trim() == format!("{answered}|{answered}") {
            break;
        }
        ensure!(
            begun.elapsed() < DRAINED,
            "the upstream was asked {answered} times, and in the database (all, distinct): {}",
            rows.trim()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    progress(&format!(
        "all {answered} are in the database {:.1} s after the load",
        begun.elapsed().as_secs_f64()
    ));
    subject.look("all recorded, each once", None)?;
    Ok(subject.looks)
}

fn mock(options: &Options) -> anyhow::Result<Server> {
    Server::own(&["mock-upstream".to_owned()], options.cores.load())
}

fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |file| file.len());
    };
    let sizes = entries.flatten().map(|entry| bytes_below(&entry.path()));
    sizes.sum()
}

fn table(looks: &[Look]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "during",
        "requests",
        "failed",
        "requests/s",
        "p50 us",
        "p99 us",
        "MiB resident",
        "MiB spool",
        "MiB ledger",
        "MiB audit",
    ]);
    for look in looks {
        let figures = [
            look.requests_per_s,
            look.p50_us,
            look.p99_us,
            look.resident_mib,
            look.spool_mib,
            look.ledger_mib,
            look.audit_mib,
        ];
        let counts = [look.requests.to_string(), look.failed.to_string()];
        let cells = counts.into_iter().chain(figures.map(number));
        table.add_row([look.during.to_owned()].into_iter().chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
