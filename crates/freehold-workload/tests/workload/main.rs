//! What the crate promises, format by format. The fixtures are made by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod bad_input;
mod formats;
mod roundtrip;
mod scenarios;
mod servegen;

use freehold_workload::{ImportError, ImportOptions, Imported, import};

/// Reads text as the default options do.
fn read(text: &str) -> Result<Imported, ImportError> {
    import(text.as_bytes(), &ImportOptions::default())
}

/// What matters of each request: seconds since the beginning, input, output, cached.
fn told(imported: &Imported) -> Vec<(f64, u32, u32, u32)> {
    let arrivals = imported.workload.arrivals.iter();
    arrivals
        .map(|arrival| {
            #[expect(clippy::cast_precision_loss, reason = "small times")]
            let seconds = arrival.at_us as f64 / 1e6;
            (
                seconds,
                arrival.input_tokens,
                arrival.output_tokens,
                arrival.cached_tokens,
            )
        })
        .collect()
}

/// The flow and the model of each request.
fn named(imported: &Imported) -> Vec<(&str, Option<&str>)> {
    let workload = &imported.workload;
    let arrivals = workload.arrivals.iter();
    arrivals
        .map(|arrival| {
            let flow = workload.flows[arrival.flow.0 as usize].as_str();
            (flow, workload.model_of(arrival))
        })
        .collect()
}
