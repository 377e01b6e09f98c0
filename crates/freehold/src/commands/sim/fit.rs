//! `freehold fit`: whether a model fits, how, and why not.

use std::io::Write;

use freehold_sim::{Fit, FittedConstants, Gpu, ModelShape, Server, Weights, fit_in};
use serde_json::json;

use crate::cli::FitArgs;
use crate::commands::usage::{align_right, table};

pub(super) fn run(args: &FitArgs) -> anyhow::Result<()> {
    if args.list {
        return list(args.json);
    }
    let (Some(model), Some(gpu)) = (&args.model, &args.gpu) else {
        anyhow::bail!("name a model and a GPU, as in `freehold fit llama-3.1-8b --gpu L40S`");
    };
    let shape = super::shape(model)?;
    let gpu = Gpu::find(gpu)?;
    let engine = args.engine.parse()?;
    let constants = FittedConstants::bundled();
    let mut fits = Vec::new();
    for weights in formats(args, &shape)? {
        for gpus in counts(args.gpus) {
            let server = Server::new(shape.clone(), weights, gpu.clone(), gpus, engine);
            let (input, output) = (f64::from(args.input), f64::from(args.output));
            let fit = fit_in(&server, &constants, input, output);
            let is_enough = fit.fits;
            fits.push(fit);
            if is_enough {
                break;
            }
        }
    }
    let out = &mut std::io::stdout().lock();
    if args.json {
        let told = json!({"model": shape, "gpu": gpu, "input": args.input, "output": args.output, "fits": fits});
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
    }
    writeln!(
        out,
        "{} ({:.1} billion parameters) on {}, requests of {} + {} tokens, {}\n",
        shape.name,
        shape.parameters() / 1e9,
        gpu.name,
        args.input,
        args.output,
        args.engine
    )?;
    writeln!(out, "{}", rendered(&fits))?;
    let unseen: std::collections::BTreeSet<&String> =
        fits.iter().flat_map(|fit| &fit.unseen).collect();
    if !unseen.is_empty() {
        let names: Vec<&str> = unseen.into_iter().map(String::as_str).collect();
        writeln!(
            out,
            "\nSpeeds are guesses: nothing was measured for {}.",
            names.join("; ")
        )?;
    }
    Ok(())
}

/// The format that was asked for, or the published one and those that people convert it to.
fn formats(args: &FitArgs, shape: &ModelShape) -> anyhow::Result<Vec<Weights>> {
    if let Some(name) = &args.weights {
        return Ok(vec![name.parse()?]);
    }
    let usual: &[Weights] = if args.engine.contains("llama") || args.engine == "ollama" {
        &[Weights::Q8_0, Weights::Q4KM]
    } else {
        &[Weights::Fp8, Weights::Int4]
    };
    let mut formats = vec![shape.native];
    formats.extend(
        usual
            .iter()
            .filter(|weights| weights.bits() < shape.native.bits()),
    );
    Ok(formats)
}

/// 1, 2, 4, ... up to what was asked.
fn counts(most: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(1u32), |count| count.checked_mul(2))
        .take_while(move |count| *count <= most)
}

fn rendered(fits: &[Fit]) -> String {
    let mut table = table([
        "weights",
        "GPUs",
        "fits",
        "longest context",
        "at once",
        "ms/token alone",
        "tokens/s full",
    ]);
    for fit in fits {
        if fit.fits {
            table.add_row([
                fit.weights.to_string(),
                fit.gpus.to_string(),
                "yes".to_owned(),
                fit.context_tokens.to_string(),
                fit.concurrency.to_string(),
                format!("{:.1}", fit.tpot_ms),
                format!("{:.0}", fit.output_tokens_per_s),
            ]);
        } else {
            let mut row = vec![
                fit.weights.to_string(),
                fit.gpus.to_string(),
                "no".to_owned(),
            ];
            row.resize(7, "-".to_owned());
            table.add_row(row);
        }
    }
    align_right(&mut table, [1, 3, 4, 5, 6]);
    let mut text = table.to_string();
    for fit in fits.iter().filter(|fit| !fit.fits) {
        text.push_str("\n\n");
        text.push_str(&fit.why_not);
    }
    text
}

fn list(is_json: bool) -> anyhow::Result<()> {
    let out = &mut std::io::stdout().lock();
    let models = ModelShape::catalogue();
    let gpus = Gpu::catalogue();
    if is_json {
        let told = json!({
            "models": models.iter().map(|(shape, source)| json!({"shape": shape, "source": source})).collect::<Vec<_>>(),
            "gpus": gpus,
        });
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
    }
    let names: Vec<&str> = models
        .iter()
        .map(|(shape, _)| shape.name.as_str())
        .collect();
    writeln!(out, "Models: {}\n", names.join(", "))?;
    let names: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
    Ok(writeln!(out, "GPUs: {}", names.join(", "))?)
}
