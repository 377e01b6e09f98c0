//! What was found at each size, and its table.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::Axis;
use crate::{cases::median, table::number};

/// One size of one axis.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) axis: Axis,
    pub(super) size: usize,
    /// From starting the process to the first 200.
    pub(super) start_ms: f64,
    /// Resident memory after the first answers, after all rounds, and the most so far.
    pub(super) start_mib: f64,
    pub(super) after_mib: f64,
    pub(super) peak_mib: f64,
    /// Memory of each connection or stream that rests.
    pub(super) bytes_each: Option<f64>,
    /// Until a key that the new configuration has is taken.
    pub(super) reload_ms: Option<f64>,
    /// The process's CPU time meanwhile.
    pub(super) reload_cpu_ms: Option<f64>,
    /// The longest that a request waited meanwhile.
    pub(super) reload_longest_ms: Option<f64>,
    pub(super) reloaded_peak_mib: Option<f64>,
    pub(super) rounds: Vec<Round>,
}

/// One load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Round {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) requests_per_s: f64,
    pub(super) cpu_us_per_request: Option<f64>,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) cores_used: Option<f64>,
}

impl Step {
    pub(super) fn new(axis: Axis, size: usize, start: Duration) -> Self {
        Self {
            axis,
            size,
            start_ms: start.as_secs_f64() * 1e3,
            start_mib: 0.0,
            after_mib: 0.0,
            peak_mib: 0.0,
            bytes_each: None,
            reload_ms: None,
            reload_cpu_ms: None,
            reload_longest_ms: None,
            reloaded_peak_mib: None,
            rounds: Vec::new(),
        }
    }

    fn of_rounds(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(figure).collect())
    }

    fn cpu(&self) -> Option<f64> {
        self.of_rounds(|round| round.cpu_us_per_request)
    }

    /// CPU per request against the first size's, within each round.
    fn against(&self, first: &Self) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&first.rounds);
        let ratios = pairs.filter_map(|(this, base)| {
            Some(this.cpu_us_per_request? / base.cpu_us_per_request.filter(|us| *us > 0.0)?)
        });
        median(ratios.collect())
    }

    fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.failed).sum()
    }
}

/// A column: its name and its value at a step, given the first step.
type Column = (&'static str, fn(&Step, &Step) -> Option<f64>);

const COLUMNS: [Column; 14] = [
    ("CPU us/request", |step, _| step.cpu()),
    (": first size", |step, first| step.against(first)),
    ("requests/s", |step, _| {
        step.of_rounds(|round| Some(round.requests_per_s))
    }),
    ("p50 us", |step, _| {
        step.of_rounds(|round| Some(round.p50_us))
    }),
    ("p99 us", |step, _| {
        step.of_rounds(|round| Some(round.p99_us))
    }),
    ("start ms", |step, _| Some(step.start_ms)),
    ("MiB, started", |step, _| Some(step.start_mib)),
    ("MiB, after", |step, _| Some(step.after_mib)),
    ("MiB, peak", |step, _| Some(step.peak_mib)),
    ("bytes each", |step, _| step.bytes_each),
    ("reload ms", |step, _| step.reload_ms),
    ("reload CPU ms", |step, _| step.reload_cpu_ms),
    ("longest wait ms", |step, _| step.reload_longest_ms),
    ("MiB, peak of reload", |step, _| step.reloaded_peak_mib),
];

/// The steps of one axis: one row for each size; columns that none of them has are left out.
pub(super) fn table(axis: Axis, steps: &[Step]) -> String {
    let Some(first) = steps.first() else {
        return String::new();
    };
    let has = |(_, value): &&Column| steps.iter().any(|step| value(step, first).is_some());
    let columns: Vec<_> = COLUMNS.iter().filter(has).collect();
    let mut table = Table::new();
    let name = format!("{axis:?}").to_lowercase();
    let names = columns.iter().map(|(name, _)| (*name).to_owned());
    table
        .load_style(ASCII_MARKDOWN)
        .set_header([name].into_iter().chain(names));
    for step in steps {
        let cells = columns
            .iter()
            .map(|(_, value)| value(step, first).map_or_else(|| "-".to_owned(), number));
        table.add_row([step.size.to_string()].into_iter().chain(cells));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let failed = steps.iter().filter(|step| step.failed() > 0);
    let failed = failed.map(|step| {
        let (size, count) = (step.size, step.failed());
        format!("\nFAILED at {size}: {count} requests; the figures beside them do not count")
    });
    format!("{table}{}\n", failed.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(size: usize, cpu: [f64; 3], failed: u64) -> Step {
        let round = |cpu| Round {
            requests: 10,
            failed,
            requests_per_s: 5.0,
            cpu_us_per_request: Some(cpu),
            p50_us: 1.0,
            p99_us: 2.0,
            cores_used: None,
        };
        Step {
            rounds: cpu.map(round).to_vec(),
            ..Step::new(Axis::Keys, size, Duration::from_millis(7))
        }
    }

    #[test]
    fn sizes_are_compared_within_rounds_and_failures_are_named() {
        // The machine is ten times slower in the second round; the larger one always takes twice as much.
        let one = step(1, [10.0, 100.0, 11.0], 0);
        let many = step(1_000, [20.0, 200.0, 22.0], 3);
        assert_eq!(many.against(&one), Some(2.0));
        let table = table(Axis::Keys, &[one, many]);
        assert!(
            table.contains("| 1000 |") && table.contains(" 22.0 |"),
            "{table}"
        );
        assert!(table.contains("FAILED at 1000: 9 requests"), "{table}");
        assert!(
            !table.contains("bytes each") && !table.contains("FAILED at 1:"),
            "{table}"
        );
    }
}
