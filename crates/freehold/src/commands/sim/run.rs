//! `freehold sim run`: a trace, or made-up traffic, on a fleet.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use freehold_sim::{
    Autoscaler, CalibratedServer, FittedConstants, Fleet, Machine, Percentiles, Report, Scaling,
    Server, Slo, poisson, simulate_on,
};
use freehold_store::StoreSettings;
use freehold_workload::Workload;

use crate::cli::SimRunArgs;
use crate::commands::calibrate::read_server;
use crate::commands::usage::{align_right, printable, table};
use crate::workload_source;

/// What serves.
enum Kind {
    Reckoned(Box<Server>),
    Calibrated(Box<CalibratedServer>),
}

impl Kind {
    fn of(args: &SimRunArgs) -> anyhow::Result<Self> {
        if let Some(path) = &args.server {
            return Ok(Self::Calibrated(Box::new(read_server(path)?)));
        }
        let model = args.model.as_deref().context("name a model")?;
        let server = super::server(model, &args.replica)?;
        Ok(Self::Reckoned(Box::new(server)))
    }

    fn name(&self) -> String {
        match self {
            Self::Reckoned(server) => format!(
                "{} in {} on {} x {} per replica, {}",
                server.shape.name,
                server.weights,
                server.gpus,
                server.gpu.name,
                server.engine.name()
            ),
            Self::Calibrated(server) => format!(
                "{} as it was measured, {} slots per replica",
                printable(&server.model),
                server.limits.slots
            ),
        }
    }
}

pub(super) async fn run(args: &SimRunArgs, ledger: Option<&StoreSettings>) -> anyhow::Result<()> {
    let kind = Kind::of(args)?;
    let (workload, notes) = traffic(args, ledger).await?;
    let constants = FittedConstants::bundled();
    let report = simulated(args, &kind, &workload, &constants)?;
    let out = &mut std::io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?);
    }
    let made_up = if workload.is_generated {
        "generated "
    } else {
        ""
    };
    writeln!(
        out,
        "{}: {} {made_up}requests in {:.1} h\n",
        kind.name(),
        report.requests,
        report.seconds / 3600.0
    )?;
    writeln!(out, "{}\n", latencies(&report))?;
    writeln!(out, "{}", summary(&report))?;
    for note in &notes {
        writeln!(out, "{}", printable(note))?;
    }
    let unseen = match &kind {
        Kind::Reckoned(server) => constants.unseen(server),
        Kind::Calibrated(_) => Vec::new(),
    };
    if !unseen.is_empty() {
        writeln!(
            out,
            "Speeds are guesses: nothing was measured for {}.",
            unseen.join("; ")
        )?;
    }
    Ok(())
}

/// A trace's requests, the gateway's own, or made-up ones; and what is to be said about them.
async fn traffic(
    args: &SimRunArgs,
    ledger: Option<&StoreSettings>,
) -> anyhow::Result<(Workload, Vec<String>)> {
    if args.trace.is_empty() && ledger.is_none() {
        let replica = &args.replica;
        let (rate, swing, hours) = (args.rate, args.daily_swing, args.hours);
        let seed = args.read.seed();
        let made_up = poisson(rate, swing, hours, replica.input, replica.output, seed)?;
        return Ok((made_up, Vec::new()));
    }
    let imported = workload_source::read(&args.trace, ledger, &args.read).await?;
    let report = imported.report;
    let mut notes = report.notes;
    if report.bad_rows > 0 {
        notes.push(format!(
            "{} of {} rows could not be read and are not in it; `freehold workload show` lists them",
            report.bad_rows, report.rows
        ));
    }
    Ok((imported.workload, notes))
}

fn simulated(
    args: &SimRunArgs,
    kind: &Kind,
    workload: &Workload,
    constants: &FittedConstants,
) -> anyhow::Result<Report> {
    let fleet = match args.autoscale {
        Some(most) => Fleet {
            scaling: Scaling::Auto(Autoscaler {
                replicas_max: most,
                ..Autoscaler::default()
            }),
            ..Fleet::fixed(1)
        },
        None => Fleet::fixed(args.replicas),
    };
    let slo = Slo {
        ttft_ms: Some(args.ttft),
        tpot_ms: Some(args.tpot),
        ..Slo::default()
    };
    let of_server;
    let machine = match kind {
        Kind::Reckoned(server) => {
            of_server = constants.of(server);
            Machine::Reckoned(server, &of_server)
        }
        Kind::Calibrated(server) => Machine::Calibrated(server),
    };
    let bar = workload_source::bar(None, "{spinner} simulating {msg}, {elapsed}");
    bar.set_message(format!("{} requests", workload.arrivals.len()));
    bar.enable_steady_tick(Duration::from_millis(100));
    let seed = args.read.seed();
    let report = simulate_on(workload, machine, &fleet, &slo, seed)?;
    bar.finish_and_clear();
    Ok(report)
}

fn latencies(report: &Report) -> String {
    let mut table = table(["milliseconds", "mean", "P50", "P90", "P95", "P99"]);
    for (name, times) in [
        ("to the first token", &report.ttft_ms),
        ("per later token", &report.tpot_ms),
        ("to the last token", &report.e2e_ms),
    ] {
        let Percentiles {
            mean,
            p50,
            p90,
            p95,
            p99,
        } = *times;
        let cells = [mean, p50, p90, p95, p99].map(|value| format!("{value:.1}"));
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    align_right(&mut table, [1, 2, 3, 4, 5]);
    table.to_string()
}

fn summary(report: &Report) -> String {
    let per_s = report.output_tokens as f64 / report.seconds.max(1e-9);
    let mut text = format!(
        "{:.1} % served within the service level; {:.0} tokens/s written\n\
         {:.2} GPU-hours paid for, {:.1} % of them busy; {} replicas at most\n\
         {} preemptions; {} of {} prompt tokens from the prefix cache",
        report.slo_share * 100.0,
        per_s,
        report.gpu_hours,
        report.utilisation * 100.0,
        report.replicas_peak,
        report.preemptions,
        report.cached_tokens,
        report.admitted_tokens
    );
    if report.rejected > 0 {
        let line = format!(
            "\n{} requests are longer than the cache of a replica and were not served: take more or larger GPUs",
            report.rejected
        );
        text.push_str(&line);
    }
    text
}
