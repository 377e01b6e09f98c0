//! Trains and measures the guard's statistical models from annotated data, reproducibly: the same
//! data, lists and toolchain give the same bytes. Nothing of this is shipped but the models.

mod data;
mod injection;
mod mistakes;
mod names;
mod random;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train the tagger of persons, places and organisations
    Names {
        /// Folder with `guard/` and `router/`
        #[arg(long)]
        data: PathBuf,
        /// The model's file
        #[arg(long)]
        out: PathBuf,
    },
    /// Measure the tagger: a given model, or without one, cross-validated by template
    NamesEvaluate {
        /// Folder with `guard/` and `router/`
        #[arg(long)]
        data: PathBuf,
        /// The model's file
        #[arg(long)]
        model: Option<PathBuf>,
        /// Added to the score of "no name"
        #[arg(long, default_value_t = -1.0, allow_hyphen_values = true)]
        bias: f32,
        /// Print what is missed and found wrongly in the texts that were left out
        #[arg(long)]
        show: bool,
    },
    /// Train the score of prompt injection
    Injection {
        /// Folder with `guard/` and `router/`
        #[arg(long)]
        data: PathBuf,
        /// The model's file
        #[arg(long)]
        out: PathBuf,
    },
    /// Measure the score of prompt injection: a given model, or without one, cross-validated
    InjectionEvaluate {
        /// Folder with `guard/` and `router/`
        #[arg(long)]
        data: PathBuf,
        /// The model's file
        #[arg(long)]
        model: Option<PathBuf>,
    },
    /// Score the lines of standard input
    InjectionScore {
        /// The model's file
        #[arg(long)]
        model: PathBuf,
    },
    /// Show what the whole guard misses and finds wrongly in an annotated set
    Mistakes {
        /// A file of JSON lines, plain or gzip, with `text` and `spans`
        #[arg(long)]
        set: PathBuf,
        /// Only this annotators' type or class
        #[arg(long)]
        kind: Option<String>,
        /// Types that count as not annotated
        #[arg(long)]
        ignore: Vec<String>,
        /// Mistakes of each type
        #[arg(long, default_value_t = 10)]
        most: usize,
    },
    /// Tag the lines of standard input
    NamesTag {
        /// The model's file
        #[arg(long)]
        model: PathBuf,
        /// Added to the score of "no name"
        #[arg(long, default_value_t = -1.0, allow_hyphen_values = true)]
        bias: f32,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Names { data, out } => names::train(&data, &out),
        Task::NamesEvaluate {
            data,
            model,
            bias,
            show,
        } => names::evaluate(&data, model.as_deref(), bias, show),
        Task::Injection { data, out } => injection::train(&data, &out),
        Task::InjectionEvaluate { data, model } => injection::evaluate(&data, model.as_deref()),
        Task::InjectionScore { model } => injection::score(&model),
        Task::Mistakes {
            set,
            kind,
            ignore,
            most,
        } => mistakes::show(
            &set,
            &mistakes::Shown {
                ignored: ignore,
                kind,
                most,
            },
        ),
        Task::NamesTag { model, bias } => names::tag(&model, bias),
    }
}
