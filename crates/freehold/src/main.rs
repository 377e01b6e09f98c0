//! The `freehold` binary: command line, wiring. Everything else is in the rooms.

mod administration;
mod audit_door;
mod banner;
mod budgets;
mod cli;
mod commands;
mod home;
mod login;
mod money;
mod operators;
mod reports;
mod wiring;
mod workload_source;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use freehold_config::{Overrides, Settings, Source};
use freehold_store::StoreSettings;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

/// A request makes hundreds of small allocations. This one hands out first what was freed last, which the processor
/// still has in its cache.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli.command);
    std::panic::set_hook(Box::new(tell_panic));
    // The one TLS implementation of the process; an error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(report) if is_broken_pipe(&report) => ExitCode::SUCCESS,
        Err(report) => {
            use std::io::Write;
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "{report:?}");
            ExitCode::FAILURE
        }
    }
}

/// False when the command ran, and what it looked at is not as it should be.
async fn run(cli: Cli) -> miette::Result<bool> {
    let config = cli.config.as_deref();
    let settings = || -> miette::Result<_> {
        Ok(Source::read(config)?.settings(&Overrides::default(), &home::environment())?)
    };
    let ledger = || -> miette::Result<_> { Ok(settings()?.ledger) };
    let done = match cli.command {
        Command::Serve(args) => commands::serve::run(args, config).await,
        Command::Chat(args) => commands::chat::run(args).await.map_err(told),
        Command::Explain(args) => commands::explain::run(args, &ledger()?).await.map_err(told),
        Command::Models(args) => commands::models::run(args).await.map_err(told),
        Command::Export(args) => commands::export::run(args, &settings()?)
            .await
            .map_err(told),
        Command::Flows(args) => commands::flows::run(args, &ledger()?).await.map_err(told),
        Command::Keys(args) => commands::keys::run(args, settings).map_err(told),
        Command::Prices(args) => commands::prices::run(args, &settings()?)
            .await
            .map_err(told),
        Command::Usage(args) => commands::usage::run(args, &ledger()?).await.map_err(told),
        Command::Workload(args) => {
            let ledger = args.reads_ledger().then(&ledger).transpose()?;
            commands::workload::run(args, ledger.as_ref())
                .await
                .map_err(told)
        }
        Command::Advise(args) => {
            // An export is judged without any configuration, unless one is named.
            let reads = args.ledger || config.is_some();
            let settings = reads.then(settings).transpose()?;
            commands::advise::run(*args, settings.as_ref())
                .await
                .map_err(told)
        }
        Command::Guard(args) => commands::guard::run(args, &settings()?.guard).map_err(told),
        Command::Policy(args) => {
            return commands::policy::run(args, &settings()?).map_err(told);
        }
        Command::Audit(args) => return audit(args, settings),
        Command::Prompts(args) => commands::prompts::run(args, settings()?)
            .await
            .map_err(told),
        Command::Erase(args) => commands::erase::run(args, settings()?).await.map_err(told),
        Command::Eval(args) => return eval(*args, settings).await,
        Command::Drift(args) => {
            let ledger = args.reads_ledger().then(&ledger).transpose()?;
            let found = commands::drift::run(*args, ledger.as_ref()).await;
            return found.map_err(told);
        }
        Command::Proof(args) => return commands::proof::run(args).map_err(told),
        Command::Feedback(args) => commands::feedback::run(args, &ledger()?)
            .await
            .map_err(told),
        Command::Quality(args) => commands::quality::run(args, &ledger()?).await.map_err(told),
        Command::Demo(args) => return commands::demo::run(args).await.map_err(told),
        Command::Rollout(args) => commands::rollout::run(args, &ledger()?).await.map_err(told),
        Command::Fit(args) => commands::sim::run_fit(&args).map_err(told),
        Command::Sim(args) => return sim(args, ledger).await,
        Command::Calibrate(args) => commands::calibrate::run(*args).await.map_err(told),
        Command::Config(args) => commands::config_command::run(args, config),
        Command::Doctor(args) => commands::doctor::run(args, config).await.map_err(told),
    };
    done.map(|()| true)
}

/// Only a simulation of recorded traffic needs the ledger.
async fn sim(
    args: cli::SimArgs,
    ledger: impl Fn() -> miette::Result<StoreSettings>,
) -> miette::Result<bool> {
    let ledger = args.reads_ledger().then(ledger).transpose()?;
    let done = commands::sim::run(args, ledger.as_ref()).await;
    done.map(|()| true).map_err(told)
}

/// A trail whose directory is named needs no configuration.
fn audit(
    args: cli::AuditArgs,
    settings: impl Fn() -> miette::Result<Settings>,
) -> miette::Result<bool> {
    let settings = match args.dir.as_deref() {
        Some(dir) => commands::audit::settings_of(dir),
        None => settings()?.audit.settings,
    };
    commands::audit::run(args, &settings).map_err(told)
}

/// Only data sets of stored prompts need a configuration.
async fn eval(
    args: cli::EvalArgs,
    settings: impl Fn() -> miette::Result<Settings>,
) -> miette::Result<bool> {
    let settings = args.reads_prompts().then(settings).transpose()?;
    commands::eval::run(args, settings).await.map_err(told)
}

/// Tells where a defect is. Its message may quote a request, and goes nowhere.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, "a defect in the gateway: please report it");
}

/// An error as people see it. Only a closed pipe is told apart later.
fn told(error: anyhow::Error) -> miette::Report {
    let kinds = error.chain().filter_map(|cause| {
        let io = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        // What writes JSON wraps the error of what it writes to.
        let json = cause.downcast_ref::<serde_json::Error>();
        io.or_else(|| json?.io_error_kind())
    });
    let broken = std::io::ErrorKind::BrokenPipe;
    if kinds.into_iter().any(|kind| kind == broken) {
        return miette::Report::new(Unread);
    }
    miette::miette!("{error:#}")
}

/// Whoever read our output has seen enough: `freehold usage | head`.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nobody reads the output any more")]
struct Unread;

fn is_broken_pipe(report: &miette::Report) -> bool {
    report.downcast_ref::<Unread>().is_some()
}

/// Logs go to standard error; only `serve` has something to tell by itself.
fn start_logging(command: &Command) {
    let (default, json) = match command {
        Command::Serve(args) => ("info,llama-cpp-2=warn", args.log_json),
        _ => ("warn", false),
    };
    let filter =
        EnvFilter::try_from_env("FREEHOLD_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
}
