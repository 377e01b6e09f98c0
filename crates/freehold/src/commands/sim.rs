//! `freehold sim` and `freehold fit`: what model servers of one's own can do.

mod data;
mod eval;
mod fit;
mod gguf;
mod run;

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use freehold_sim::{
    CacheType, Gpu, Measurements, ModelShape, Server, Weights, fit as fit_constants,
};
use freehold_store::StoreSettings;

use crate::cli::{FitArgs, ReplicaArgs, SimArgs, SimCommand, SimFitArgs};

pub(crate) async fn run(args: SimArgs, ledger: Option<&StoreSettings>) -> anyhow::Result<()> {
    match args.command {
        SimCommand::Run(args) => run::run(&args, ledger).await,
        SimCommand::Fit(args) => write_constants(&args),
        SimCommand::Eval(args) => eval::run(&args),
    }
}

pub(crate) fn run_fit(args: &FitArgs) -> anyhow::Result<()> {
    fit::run(args)
}

/// A model of the catalogue, or of a GGUF file or a `config.json` when the name is the path of one.
fn shape(model: &str) -> anyhow::Result<ModelShape> {
    if gguf::is_one(Path::new(model)) {
        return gguf::shape(Path::new(model));
    }
    if !model.to_lowercase().ends_with(".json") {
        return Ok(ModelShape::find(model)?);
    }
    let path = Path::new(model);
    let text = data::text(path)?;
    let config: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{model} is no JSON file"))?;
    let folder = path.parent().and_then(Path::file_name);
    let name = config
        .get("_name_or_path")
        .and_then(serde_json::Value::as_str)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or_else(|| folder.map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| model.to_owned());
    Ok(ModelShape::from_hugging_face(&name, &config)?)
}

/// One replica.
fn server(model: &str, args: &ReplicaArgs) -> anyhow::Result<Server> {
    let shape = shape(model)?;
    let weights: Weights = match &args.weights {
        Some(name) => name.parse()?,
        None => shape.native,
    };
    let cache: CacheType = args.cache.parse()?;
    let gpu = args.gpu.as_deref().context("name a GPU with --gpu")?;
    let gpu = Gpu::find(gpu)?;
    let server = Server::new(shape, weights, gpu, args.gpus, args.engine.parse()?);
    Ok(Server { cache, ..server })
}

fn measurements(directory: &Path) -> anyhow::Result<Measurements> {
    let path = directory.join("hardware").join("throughput.csv.gz");
    let text = data::text(&path)?;
    let read =
        Measurements::read(&text).with_context(|| format!("cannot use {}", path.display()))?;
    anyhow::ensure!(
        !read.rows.is_empty(),
        "{} has no measurement that can be used: {} rows were left out, the first because {}",
        path.display(),
        read.skipped.len(),
        read.skipped.first().map_or("there is none", |(_, why)| why)
    );
    Ok(read)
}

fn write_constants(args: &SimFitArgs) -> anyhow::Result<()> {
    let read = measurements(&args.data)?;
    let text = fit_constants(&read.rows).to_json();
    match &args.out {
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            let used = read.rows.len();
            let skipped = read.skipped.len();
            writeln!(
                std::io::stdout(),
                "{}: fitted on {used} measurements, {skipped} left out",
                path.display()
            )?;
        }
        None => write!(std::io::stdout(), "{text}")?,
    }
    Ok(())
}
