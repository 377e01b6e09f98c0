//! The standard set: which loads are run, and which figures are read from them.

use serde::Serialize;

use crate::load::Report;

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub(crate) enum Case {
    /// As fast as so many connections go.
    Closed { connections: usize },
    /// So many requests per second, on schedule.
    Open { rate: f64 },
    /// So many streams at a time.
    Stream { streams: usize },
}

/// A load on a target in a round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) case: Case,
    /// Index of the target.
    pub(crate) target: usize,
    pub(crate) report: Report,
}

/// One figure for every target: medians over the rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) values: Vec<Option<f64>>,
    /// Median of the rounds' ratios to the bare proxy.
    pub(crate) ratios: Vec<Option<f64>>,
}

type Figure = fn(&Report) -> Option<f64>;

impl Case {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Closed { connections } => format!("closed loop, {connections} connections"),
            Self::Open { rate } => format!("open loop, {rate} requests/s"),
            Self::Stream { streams } => format!("{streams} streams"),
        }
    }

    /// The figures of this case: name, value, and whether the table also shows what a target adds to going direct.
    fn figures(self) -> Vec<(&'static str, Figure, bool)> {
        match self {
            Self::Closed { .. } => vec![
                ("requests/s", |report| Some(report.requests_per_s), false),
                (
                    "server CPU us/request",
                    |report| report.cpu_us_per_request,
                    false,
                ),
                ("p50 us", |report| Some(report.latency.p50_us), false),
                ("p99 us", |report| Some(report.latency.p99_us), false),
            ],
            Self::Open { .. } => vec![
                ("p50 us", |report| Some(report.latency.p50_us), true),
                ("p99 us", |report| Some(report.latency.p99_us), true),
                ("requests/s", |report| Some(report.requests_per_s), false),
                (
                    "server CPU us/request",
                    |report| report.cpu_us_per_request,
                    false,
                ),
            ],
            Self::Stream { .. } => vec![
                (
                    "server CPU us/event",
                    |report| report.cpu_us_per_event,
                    false,
                ),
                (
                    "first event p50 us",
                    |report| Some(report.first_byte.p50_us),
                    true,
                ),
                (
                    "first event p99 us",
                    |report| Some(report.first_byte.p99_us),
                    true,
                ),
                (
                    "between events p99 us",
                    |report| report.inter_token.map(|gap| gap.p99_us),
                    false,
                ),
                ("events/s", |report| Some(per_second(report)), false),
            ],
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "event counts stay far below 2^52"
)]
fn per_second(report: &Report) -> f64 {
    report.events as f64 / report.seconds
}

/// The rows of all cases. Target 0 is the direct way, target `bare` the bare proxy.
pub(crate) fn rows(cases: &[Case], targets: usize, bare: usize, samples: &[Sample]) -> Vec<Row> {
    let mut rows = Vec::new();
    for case in cases {
        for (name, figure, adds) in case.figures() {
            let what = format!("{}: {name}", case.name());
            let value = |round: usize, target: usize| {
                let fits = |sample: &&Sample| {
                    sample.round == round && sample.target == target && sample.case == *case
                };
                samples
                    .iter()
                    .find(fits)
                    .and_then(|sample| figure(&sample.report))
            };
            let rounds = samples
                .iter()
                .map(|sample| sample.round + 1)
                .max()
                .unwrap_or(0);
            let over_rounds = |combine: &dyn Fn(usize, usize) -> Option<f64>| -> Vec<Option<f64>> {
                let of_target = |target| {
                    median(
                        (0..rounds)
                            .filter_map(|round| combine(round, target))
                            .collect(),
                    )
                };
                (0..targets).map(of_target).collect()
            };
            let values = over_rounds(&value);
            let ratios = over_rounds(&|round, target| {
                let base = value(round, bare).filter(|base| *base > 0.0)?;
                Some(value(round, target)? / base)
            });
            rows.push(Row {
                what: what.clone(),
                values,
                ratios,
            });
            if adds {
                let values = over_rounds(&|round, target| {
                    (target > 0).then_some(())?;
                    Some(value(round, target)? - value(round, 0)?)
                });
                rows.push(Row {
                    what: format!("{what} added"),
                    ratios: vec![None; values.len()],
                    values,
                });
            }
        }
    }
    rows
}

/// The median; the mean of the middle two of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Case, Sample, median, rows};
    use crate::load::{Report, Summary};

    fn sample(round: usize, target: usize, p50_us: f64) -> Sample {
        let latency = Summary {
            p50_us,
            ..Summary::default()
        };
        let report = Report {
            seconds: 1.0,
            requests: 1,
            requests_per_s: 1.0,
            events: 0,
            failures: BTreeMap::new(),
            latency,
            first_byte: latency,
            inter_token: None,
            cpu_us_per_request: None,
            cpu_us_per_event: None,
            server_cores_used: None,
            server_resident_mib: None,
        };
        Sample {
            round,
            case: Case::Open { rate: 1.0 },
            target,
            report,
        }
    }

    #[test]
    fn ratios_and_additions_pair_within_rounds() {
        // The machine is ten times slower in round 1; the gateway is always 2 x the bare proxy.
        let base = [(0, 10.0), (1, 100.0), (2, 11.0)];
        let samples: Vec<_> = base
            .into_iter()
            .flat_map(|(round, us)| {
                [
                    sample(round, 0, us),
                    sample(round, 1, us * 2.0),
                    sample(round, 2, us * 4.0),
                ]
            })
            .collect();
        let rows = rows(&[Case::Open { rate: 1.0 }], 3, 1, &samples);
        assert_eq!(rows[0].values, [Some(11.0), Some(22.0), Some(44.0)]);
        assert_eq!(rows[0].ratios, [Some(0.5), Some(1.0), Some(2.0)]);
        assert_eq!(
            (rows[1].what.as_str(), rows[1].values[2]),
            ("open loop, 1 requests/s: p50 us added", Some(33.0))
        );
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
