//! `freehold sim run`: made-up traffic on a fleet.

use std::io::Write;

use freehold_sim::{
    Autoscaler, FittedConstants, Fleet, Percentiles, Report, Scaling, Slo, poisson, simulate,
};

use crate::cli::SimRunArgs;
use crate::commands::usage::{align_right, table};

pub(super) fn run(args: &SimRunArgs) -> anyhow::Result<()> {
    let server = super::server(&args.model, &args.replica)?;
    let workload = poisson(
        args.rate,
        args.daily_swing,
        args.hours,
        args.replica.input,
        args.replica.output,
        args.seed,
    )?;
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
    let constants = FittedConstants::bundled();
    let report = simulate(
        &workload,
        &server,
        &constants.of(&server),
        &fleet,
        &slo,
        args.seed,
    )?;
    let out = &mut std::io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?);
    }
    writeln!(
        out,
        "{} in {} on {} x {} per replica, {}: {} generated requests in {:.1} h\n",
        server.shape.name,
        server.weights,
        server.gpus,
        server.gpu.name,
        server.engine.name(),
        report.requests,
        report.seconds / 3600.0
    )?;
    writeln!(out, "{}\n", latencies(&report))?;
    writeln!(out, "{}", summary(&report))?;
    let unseen = constants.unseen(&server);
    if !unseen.is_empty() {
        writeln!(
            out,
            "Speeds are guesses: nothing was measured for {}.",
            unseen.join("; ")
        )?;
    }
    Ok(())
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
