//! Counts the instructions that a gateway executes in user mode, under valgrind's callgrind: unlike times, they hardly
//! differ from run to run and machine to machine, so that a limit can be put on them.
//!
//! Requests go one after the other, and each token of a stream leaves the mock only when the client has the one before,
//! so that no token shares a read with another because the machine is busy.

mod callgrind;
mod limits;

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use serde::Serialize;
use tokio::{net::TcpListener, sync::mpsc};

use self::{callgrind::Callgrind, limits::Limits};
use crate::{
    answers::Dialect,
    children::Gateway,
    load::{self, Counted, Load},
    mock::{self, Mock},
    render::{line, progress},
    serve,
};

/// Options of `instructions`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's command; placeholders as in `compare`.
    #[arg(long)]
    gateway: String,
    /// A file to fill for the gateway, for instance its configuration.
    #[arg(long)]
    template: Option<PathBuf>,
    /// Path that answers 200 once the gateway is ready.
    #[arg(long, default_value = "/health/readiness")]
    ready: String,
    /// Seconds that it may take to get ready.
    #[arg(long, default_value_t = 120)]
    startup_s: u64,
    /// Key to send.
    #[arg(long)]
    key: Option<String>,
    /// Protocol of the requests.
    #[arg(long, value_enum, default_value_t = Dialect::Openai)]
    dialect: Dialect,
    /// Model to ask for.
    #[arg(long, default_value = "mock")]
    model: String,
    /// Requests to count.
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Streams to count.
    #[arg(long, default_value_t = 30)]
    streams: u64,
    /// Tokens per answer.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Core of the gateway.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Leave the gateway on all cores: it counts more, and less steadily.
    #[arg(long)]
    no_pin: bool,
    /// A file with the figures that are allowed; a figure beyond its tolerance is an error.
    #[arg(long)]
    limits: Option<PathBuf>,
    /// Keep valgrind's profiles in this folder, for `callgrind_annotate`.
    #[arg(long)]
    profiles: Option<PathBuf>,
}

/// What was counted: instructions in user mode, of all threads of the gateway.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    /// From the start of the process until it is ready and has nothing more to do.
    start: u64,
    /// One small request, answered whole, its record in the ledger's database included.
    request: u64,
    /// One event of a stream: those of whole streams, divided by their events.
    stream_event: u64,
}

/// Requests before those that count: connections are made, caches filled.
const WARM_UP: u64 = 50;

/// Counts, prints and compares.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let limits = options.limits.as_deref().map(Limits::read).transpose()?;
    let folder = tempfile::tempdir()?;
    let figures = tokio::select! {
        figures = count(&options, folder.path()) => figures?,
        // Returning drops the gateway, which ends it.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    line(&serde_json::to_string_pretty(&figures)?)?;
    limits.map_or(Ok(()), |limits| limits.hold(&figures))
}

async fn count(options: &Options, folder: &std::path::Path) -> anyhow::Result<Figures> {
    ensure!(
        options.requests > 0 && options.streams > 0,
        "at least one request and one stream"
    );
    let (step, steps) = mpsc::unbounded_channel();
    let upstream = upstream(options.tokens, steps).await?;
    let profiles = options.profiles.as_deref().unwrap_or(folder);
    let gateway = Gateway {
        command: &options.gateway,
        within: &callgrind::command(profiles),
        template: options.template.as_deref(),
        ready: &options.ready,
        limit: Duration::from_secs(options.startup_s),
        core: (!options.no_pin).then_some(options.server_core),
    };
    progress("starting the gateway under valgrind");
    let server = gateway.start(&upstream, folder).await?;
    let mut callgrind = Callgrind::of(server.process, profiles);
    let start = callgrind.take().await?;
    let send = async |stream, requests| -> anyhow::Result<Counted> {
        let load = Load::new(&load_of(options, &server.url, stream, requests))?;
        // The receiver is the mock's, which lives as long as this process.
        load.run_stepwise(&mut || {
            let _ = step.send(());
        })
        .await
    };
    send(false, WARM_UP).await?;
    send(true, 1).await?;
    callgrind.take().await?;
    progress("counting requests");
    let whole = send(false, options.requests).await?;
    let request = callgrind.take().await? / whole.requests;
    progress("counting stream events");
    let streamed = send(true, options.streams).await?;
    let stream_event = callgrind.take().await? / streamed.events.max(1);
    Ok(Figures {
        start,
        request,
        stream_event,
    })
}

/// Starts the mock in this process; its URL.
async fn upstream(tokens: usize, steps: mpsc::UnboundedReceiver<()>) -> anyhow::Result<String> {
    let mock = Mock::stepwise(tokens, steps);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve::accept(
        listener,
        move |request, reset: &mock::Reset| {
            let (mock, reset) = (std::sync::Arc::clone(&mock), std::sync::Arc::clone(reset));
            mock::respond(mock, request, reset)
        },
    ));
    Ok(url)
}

fn load_of(options: &Options, url: &str, stream: bool, requests: u64) -> load::Options {
    load::Options {
        url: url.to_owned(),
        key: options.key.clone(),
        dialect: options.dialect,
        model: options.model.clone(),
        stream,
        prompt_bytes: 120,
        body: None,
        connections: 1,
        rate: None,
        duration: 600.0,
        warmup: 0.0,
        requests: Some(requests),
        timeout: 60.0,
        stagger: 0.0,
        no_keep_alive: false,
        server_pid: None,
        json: false,
    }
}
