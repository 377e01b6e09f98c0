//! Runs the standard set through several targets in turn and prints what each adds.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::{
    answers::Dialect,
    cases::{self, Case, Row, Sample},
    children::{Gateway, Server},
    load::{self, Load},
    process::{Cores, Process},
    render::{line, progress},
    table,
};

/// Options of `compare`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A gateway to start, as `NAME=COMMAND` or `COMMAND` (repeatable, e.g. for two builds). In it, and in the template,
    /// `{upstream}` is the mock's URL, `{upstream_port}` its port, `{port}` the port to listen on, `{config}` the file
    /// made from `--template`, `{folder}` an empty folder of its own.
    #[arg(long = "gateway")]
    gateways: Vec<String>,
    /// A gateway that runs already, as `NAME=URL` or `NAME=URL@PID` (repeatable); without PID no CPU time is reported.
    #[arg(long = "external")]
    externals: Vec<String>,
    /// A file to fill for the gateways, for instance their configuration.
    #[arg(long)]
    template: Option<PathBuf>,
    /// Path that answers 200 once a gateway is ready.
    #[arg(long, default_value = "/health/readiness")]
    ready: String,
    /// Seconds that a gateway may take to get ready.
    #[arg(long, default_value_t = 60)]
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
    /// Bytes of the user message.
    #[arg(long, default_value_t = 120)]
    prompt_bytes: usize,
    /// Connections of the closed loops; empty for none.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Requests per second of the open loops; empty for none.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000.0])]
    rate: Vec<f64>,
    /// Streams at a time; empty for none.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64])]
    streams: Vec<usize>,
    /// Tokens per answer.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Milliseconds between the tokens of a stream.
    #[arg(long, default_value_t = 10)]
    inter_token_ms: u64,
    /// How often each target gets each load, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where the processes run.
    #[command(flatten)]
    cores: Cores,
    /// Also write everything, every sample included, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Index of the bare proxy among the targets; 0 is the direct way.
const BARE: usize = 1;

struct Target {
    name: String,
    url: String,
    process: Option<Process>,
    cold_start: Option<Duration>,
    idle_mib: Option<f64>,
    /// Ends with it.
    _server: Option<Server>,
}

/// Everything, for `--json`.
#[derive(Serialize)]
struct Findings<'a> {
    targets: &'a [String],
    cores: usize,
    pinned: bool,
    seconds: f64,
    rounds: usize,
    rows: &'a [Row],
    samples: &'a [Sample],
}

/// Runs the comparison.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0, "at least one round");
    let folder = tempfile::tempdir()?;
    tokio::select! {
        result = compare(&options, folder.path()) => result,
        // Returning drops the servers, which ends them.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn compare(options: &Options, folder: &std::path::Path) -> anyhow::Result<()> {
    options.cores.keep_load()?;
    let mock = Server::own(&mock_arguments(options), options.cores.load())?;
    let targets = start_targets(options, &mock, options.cores.server(), folder).await?;
    let cases = standard_set(options);
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for case in &cases {
            progress(&format!(
                "round {} of {}: {}",
                round + 1,
                options.rounds,
                case.name()
            ));
            for (index, target) in targets.iter().enumerate() {
                let report = load_of(options, *case, target)?.run().await?;
                samples.push(Sample {
                    round,
                    case: *case,
                    target: index,
                    report,
                });
            }
        }
    }
    let mut rows = cases::rows(&cases, targets.len(), BARE, &samples);
    rows.extend(of_processes(&targets)?);
    let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    line(&table::of_rows(&names, BARE, &rows))?;
    print_failures(&names, &samples)?;
    if let Some(path) = &options.json {
        let findings = Findings {
            targets: &names,
            cores: std::thread::available_parallelism()?.get(),
            pinned: options.cores.server().is_some(),
            seconds: options.seconds,
            rounds: options.rounds,
            rows: &rows,
            samples: &samples,
        };
        std::fs::write(path, serde_json::to_vec_pretty(&findings)?)?;
    }
    Ok(())
}

fn mock_arguments(options: &Options) -> Vec<String> {
    let tokens = options.tokens.to_string();
    let gap = options.inter_token_ms.to_string();
    [
        "mock-upstream",
        "--tokens",
        &tokens,
        "--inter-token-ms",
        &gap,
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn start_targets(
    options: &Options,
    mock: &Server,
    core: Option<usize>,
    folder: &std::path::Path,
) -> anyhow::Result<Vec<Target>> {
    let mut targets = vec![Target {
        name: "direct".to_owned(),
        url: mock.url.clone(),
        process: Some(mock.process),
        cold_start: None,
        idle_mib: None,
        _server: None,
    }];
    let arguments = ["bare-proxy", "--upstream", &mock.url].map(str::to_owned);
    targets.push(of_server(
        "bare proxy".to_owned(),
        Server::own(&arguments, core)?,
    )?);
    for (index, gateway) in options.gateways.iter().enumerate() {
        let (name, command) = named(gateway, "gateway", index);
        targets.push(of_server(
            name.clone(),
            start_gateway(options, mock, core, folder, (&name, command)).await?,
        )?);
    }
    for (index, external) in options.externals.iter().enumerate() {
        let (name, place) = named(external, "external", index);
        let (url, pid) = match place.rsplit_once('@') {
            Some((url, pid)) => (url, Some(pid.parse()?)),
            None => (place, None),
        };
        let process = pid.map(Process::new).transpose()?;
        let idle_mib = process.map(Process::resident_mib).transpose()?;
        targets.push(Target {
            name,
            url: url.to_owned(),
            process,
            cold_start: None,
            idle_mib,
            _server: None,
        });
    }
    Ok(targets)
}

async fn start_gateway(
    options: &Options,
    mock: &Server,
    core: Option<usize>,
    folder: &std::path::Path,
    (name, command): (&str, &str),
) -> anyhow::Result<Server> {
    let own_folder = folder.join(name);
    std::fs::create_dir(&own_folder)?;
    let gateway = Gateway {
        command,
        within: &[],
        template: options.template.as_deref(),
        ready: &options.ready,
        limit: Duration::from_secs(options.startup_s),
        core,
    };
    gateway.start(&mock.url, &own_folder).await
}

fn of_server(name: String, server: Server) -> anyhow::Result<Target> {
    let process = server.process;
    Ok(Target {
        name,
        url: server.url.clone(),
        process: Some(process),
        cold_start: Some(server.cold_start),
        idle_mib: Some(process.resident_mib()?),
        _server: Some(server),
    })
}

/// Splits `NAME=REST`; a name holds no space, slash or further punctuation, so commands and URLs are none.
fn named<'a>(text: &'a str, default: &str, index: usize) -> (String, &'a str) {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "-_.".contains(c))
    };
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, rest)) => (name.to_owned(), rest),
        None if index == 0 => (default.to_owned(), text),
        None => (format!("{default}-{}", index + 1), text),
    }
}

fn standard_set(options: &Options) -> Vec<Case> {
    let closed = options
        .connections
        .iter()
        .map(|&connections| Case::Closed { connections });
    let open = options.rate.iter().map(|&rate| Case::Open { rate });
    let streams = options
        .streams
        .iter()
        .map(|&streams| Case::Stream { streams });
    closed.chain(open).chain(streams).collect()
}

fn load_of(options: &Options, case: Case, target: &Target) -> anyhow::Result<Load> {
    let (connections, rate, stream) = match case {
        Case::Closed { connections } => (connections, None, false),
        Case::Open { rate } => (64, Some(rate), false),
        Case::Stream { streams } => (streams, None, true),
    };
    // One stream's length: spread over it, the streams do not run in step.
    let tokens = u32::try_from(options.tokens)?;
    let stream_s = f64::from(tokens) * Duration::from_millis(options.inter_token_ms).as_secs_f64();
    let stagger = if stream { stream_s } else { 0.0 };
    let load = load::Options {
        url: target.url.clone(),
        key: options.key.clone(),
        dialect: options.dialect,
        model: options.model.clone(),
        stream,
        prompt_bytes: options.prompt_bytes,
        body: None,
        connections,
        rate,
        duration: options.seconds,
        warmup: 0.3 + 2.0 * stagger,
        requests: None,
        timeout: 30.0,
        stagger,
        no_keep_alive: false,
        server_pid: None,
        json: false,
    };
    let load = Load::new(&load).with_context(|| format!("{} at {}", case.name(), target.url))?;
    Ok(load.with_server(target.process))
}

/// Memory and cold start.
fn of_processes(targets: &[Target]) -> anyhow::Result<Vec<Row>> {
    let idle: Vec<_> = targets.iter().map(|target| target.idle_mib).collect();
    let after = targets
        .iter()
        .map(|target| target.process.map(Process::resident_mib).transpose());
    let after = after.collect::<anyhow::Result<Vec<_>>>()?;
    let start = targets
        .iter()
        .map(|target| target.cold_start.map(|time| time.as_secs_f64() * 1e3));
    let rows = [
        ("memory MiB, idle", idle),
        ("memory MiB, after", after),
        ("cold start ms", start.collect()),
    ];
    Ok(rows
        .into_iter()
        .map(|(what, values)| Row {
            what: what.to_owned(),
            ratios: ratios(&values),
            values,
        })
        .collect())
}

fn ratios(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let base = values[BARE].filter(|base| *base > 0.0);
    values.iter().map(|value| Some((*value)? / base?)).collect()
}

fn print_failures(names: &[String], samples: &[Sample]) -> anyhow::Result<()> {
    for sample in samples.iter().filter(|sample| sample.report.failed() > 0) {
        let (case, name) = (sample.case.name(), &names[sample.target]);
        let (failures, good) = (&sample.report.failures, sample.report.requests);
        line(&format!(
            "FAILED in round {}, {case}, {name}: {failures:?}, {good} good",
            sample.round + 1
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn names_are_told_from_commands() {
        assert_eq!(
            named("old=./a serve", "gateway", 0),
            ("old".to_owned(), "./a serve")
        );
        assert_eq!(
            named("./a --x=1", "gateway", 0),
            ("gateway".to_owned(), "./a --x=1")
        );
        assert_eq!(named("./b", "gateway", 1), ("gateway-2".to_owned(), "./b"));
    }
}
