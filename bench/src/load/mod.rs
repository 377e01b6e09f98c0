//! The load generator: bounded in time and count, and honest about waiting.

mod client;
mod closed;
mod open;
mod report;
mod stepwise;
mod worker;

use std::time::Duration;

use anyhow::ensure;

pub(crate) use report::{Report, Summary};
pub(crate) use stepwise::Counted;

use crate::{
    answers::{self, Dialect},
    loopback,
    process::Process,
    table,
};

/// Options of `load`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Base URL on loopback, with or without a path prefix, without `/v1`.
    #[arg(long)]
    pub(crate) url: String,
    /// Key to send as `Authorization: Bearer` and `x-api-key`.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Protocol of the requests.
    #[arg(long, value_enum, default_value_t = Dialect::Openai)]
    pub(crate) dialect: Dialect,
    /// Model to ask for.
    #[arg(long, default_value = "mock")]
    pub(crate) model: String,
    /// Ask for streams.
    #[arg(long)]
    pub(crate) stream: bool,
    /// Bytes of the user message.
    #[arg(long, default_value_t = 120)]
    pub(crate) prompt_bytes: usize,
    /// A file with the request body to send instead.
    #[arg(long)]
    pub(crate) body: Option<std::path::PathBuf>,
    /// Connections; in the open loop, the most that are opened.
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Open loop: requests per second, sent on time whether or not earlier ones have been answered. Latency counts
    /// from the intended start. Without it the loop is closed: every connection sends as soon as it has its answer.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) duration: f64,
    /// Seconds of load before measuring.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) warmup: f64,
    /// Stop after so many requests, warm-up included.
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// Seconds after which a request counts as failed.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) timeout: f64,
    /// Closed loop: seconds over which the connections start, so that streams do not run in step.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) stagger: f64,
    /// Open a connection for each request: some servers close them without a word, which counts as broken.
    #[arg(long)]
    pub(crate) no_keep_alive: bool,
    /// Process whose CPU time and memory to report.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Longest run, so that a slip of the keyboard ends by itself.
const SECONDS_MAX: f64 = 3_600.0;
const CONNECTIONS_MAX: usize = 20_000;
const RATE_MAX: f64 = 200_000.0;

/// What is different from one request to the next, in turn.
pub(crate) enum Variants {
    /// The key.
    Keys(Vec<String>),
    /// The model that is asked for.
    Models(Vec<String>),
}

/// A checked load, ready to run.
pub(crate) struct Load {
    target: client::Endpoint,
    connections: usize,
    rate: Option<f64>,
    duration: Duration,
    warmup: Duration,
    stagger: Duration,
    timeout: Duration,
    requests_max: u64,
    dialect: Dialect,
    server: Option<Process>,
}

impl Load {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let seconds = options.duration + options.warmup;
        ensure!(
            options.duration > 0.0 && seconds <= SECONDS_MAX,
            "the load must last 0 to {SECONDS_MAX} s"
        );
        ensure!(
            (1..=CONNECTIONS_MAX).contains(&options.connections),
            "1 to {CONNECTIONS_MAX} connections"
        );
        ensure!(
            options
                .rate
                .is_none_or(|rate| rate > 0.0 && rate <= RATE_MAX),
            "at most {RATE_MAX} requests/s"
        );
        let body = match &options.body {
            Some(path) => std::fs::read(path)?.into(),
            None => answers::request(
                options.dialect,
                &options.model,
                options.stream,
                options.prompt_bytes,
            ),
        };
        let target = loopback::target(&options.url)?;
        Ok(Self {
            target: client::Endpoint::new(
                &target,
                options.dialect,
                options.key.as_deref(),
                body,
                options.stream,
            )?
            .with_fresh_connections(options.no_keep_alive),
            connections: options.connections,
            rate: options.rate,
            duration: Duration::try_from_secs_f64(options.duration)?,
            warmup: Duration::try_from_secs_f64(options.warmup)?,
            stagger: Duration::try_from_secs_f64(options.stagger)?,
            timeout: Duration::try_from_secs_f64(options.timeout)?,
            requests_max: options.requests.unwrap_or(u64::MAX),
            dialect: options.dialect,
            server: options.server_pid.map(Process::new).transpose()?,
        })
    }

    /// Reports this process's CPU time.
    pub(crate) fn with_server(self, server: Option<Process>) -> Self {
        Self { server, ..self }
    }

    /// Sends requests that differ.
    pub(crate) fn with_variants(mut self, variants: Variants) -> anyhow::Result<Self> {
        self.target = match variants {
            Variants::Keys(keys) => self.target.with_keys(&keys)?,
            Variants::Models(models) => {
                let body = |model: &String| answers::request(self.dialect, model, false, 120);
                let bodies = models.iter().map(body).collect();
                self.target.with_bodies(bodies)
            }
        };
        Ok(self)
    }

    /// Runs it.
    pub(crate) async fn run(self) -> anyhow::Result<Report> {
        let local = tokio::task::LocalSet::new();
        match self.rate {
            Some(rate) => local.run_until(open::run(self, rate)).await,
            None => local.run_until(closed::run(self)).await,
        }
    }
}

impl Load {
    /// Sends the requests one after the other over one connection, calling `on_frame` after each frame of an answer.
    pub(crate) async fn run_stepwise(self, on_frame: &mut dyn FnMut()) -> anyhow::Result<Counted> {
        let local = tokio::task::LocalSet::new();
        local.run_until(stepwise::run(self, on_frame)).await
    }
}

/// Runs the load and prints its report.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let report = Load::new(&options)?.run().await?;
    if options.json {
        return crate::render::line(&serde_json::to_string_pretty(&report)?);
    }
    crate::render::line(&table::of_load(&report))
}
