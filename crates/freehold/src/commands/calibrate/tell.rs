//! What was measured and fitted, as a person or a script reads it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use freehold_sim::{CalibratedServer, Compared, LoadFigures};
use serde::Serialize;

use crate::commands::usage::{align_right, printable, table};

/// What is told.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) server: CalibratedServer,
    /// Runs that it was fitted on.
    pub(super) fitted: Vec<Compared>,
    /// Runs that it has not seen.
    pub(super) checked: Vec<Compared>,
    pub(super) notes: Vec<String>,
    /// Whether it was fitted now.
    #[serde(skip)]
    pub(super) is_own: bool,
}

impl Told {
    pub(super) fn print(&self, json: bool, out: Option<&Path>) -> Result<()> {
        let mut to = std::io::stdout().lock();
        if json {
            writeln!(to, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        writeln!(to, "{}", self.constants())?;
        if !self.fitted.is_empty() || !self.checked.is_empty() {
            writeln!(to, "\n{}", self.compared())?;
        }
        for note in &self.notes {
            writeln!(to, "\n{}", printable(note))?;
        }
        if let Some(path) = out {
            let path = path.display();
            writeln!(
                to,
                "\nThe measured server: {path}; use it with `freehold sim run --server {path}`"
            )?;
        }
        Ok(())
    }

    fn constants(&self) -> String {
        let constants = &self.server.constants;
        let mut rows = table(["milliseconds", ""]);
        for (name, value_us, digits) in [
            ("a request, outside of the engine", constants.request_us, 1),
            ("a step", constants.step_us, 2),
            ("a step's sequence", constants.sequence_us, 2),
            (
                "a step's 1,000 cached tokens",
                1e3 * constants.context_us,
                2,
            ),
            ("1,000 tokens of prompts", 1e3 * constants.prompt_us, 0),
            (
                "a million pairs of tokens of a prompt",
                1e6 * constants.pair_us,
                0,
            ),
        ] {
            rows.add_row([name.to_owned(), format!("{:.digits$}", value_us / 1e3)]);
        }
        align_right(&mut rows, [1]);
        let how = if self.is_own { "fitted" } else { "were fitted" };
        format!(
            "{}: constants {how} on {} requests; half of the times are explained to {:.1} %\n\n{rows}",
            printable(&self.server.model),
            self.server.requests,
            100.0 * self.server.median_error
        )
    }

    fn compared(&self) -> String {
        let mut rows = table([
            "clients",
            "requests",
            "",
            "tokens/s",
            "first token P50, ms",
            "latency P50, ms",
            "latency P95, ms",
        ]);
        let fitted = self.fitted.iter().map(|run| (run, "fitted"));
        let checked = self.checked.iter().map(|run| (run, "not seen"));
        for (run, how) in fitted.chain(checked) {
            let name = run
                .clients
                .map_or_else(|| "trace".to_owned(), |clients| clients.to_string());
            let number = |value: f64| format!("{value:.1}");
            let percent = |value: f64| format!("{:+.1} %", 100.0 * value);
            let [measured, predicted] = [run.measured, run.predicted].map(columns);
            for (first, second, third, cells) in [
                (
                    name,
                    run.requests.to_string(),
                    "measured",
                    measured.map(number),
                ),
                (
                    how.to_owned(),
                    String::new(),
                    "predicted",
                    predicted.map(number),
                ),
                (
                    String::new(),
                    String::new(),
                    "error",
                    columns(run.errors).map(percent),
                ),
            ] {
                rows.add_row([first, second, third.to_owned()].into_iter().chain(cells));
            }
        }
        align_right(&mut rows, 3..7);
        rows.to_string()
    }
}

fn columns(figures: LoadFigures) -> [f64; 4] {
    [
        figures.output_tokens_per_s,
        figures.ttft_p50_ms,
        figures.latency_p50_ms,
        figures.latency_p95_ms,
    ]
}
