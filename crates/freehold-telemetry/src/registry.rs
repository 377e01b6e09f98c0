//! Metrics for the collector, read from the Prometheus registry's own text: what is counted stands in
//! one place, and a series that is not there is not sent either.
//!
//! Names by the GenAI conventions get their dots back. Ours keep their words: `freehold_requests_total`
//! is the sum `freehold.requests`, which a collector's Prometheus exporter makes
//! `freehold_requests_total` again. Summaries, of which there are none, are left out.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use crate::attributes::Attributes;

/// Names of the conventions: as the registry has them, as they are meant, and their unit.
const NAMES: &[(&str, &str, &str)] = &[
    (
        "gen_ai_client_operation_duration_seconds",
        "gen_ai.client.operation.duration",
        "s",
    ),
    (
        "gen_ai_client_token_usage",
        "gen_ai.client.token.usage",
        "{token}",
    ),
    (
        "gen_ai_server_request_duration_seconds",
        "gen_ai.server.request.duration",
        "s",
    ),
    (
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai.server.time_per_output_token",
        "s",
    ),
    (
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai.server.time_to_first_token",
        "s",
    ),
];

/// Labels of the conventions.
const LABELS: &[(&str, &str)] = &[
    ("error_type", "error.type"),
    ("gen_ai_operation_name", "gen_ai.operation.name"),
    ("gen_ai_provider_name", "gen_ai.provider.name"),
    ("gen_ai_request_model", "gen_ai.request.model"),
    ("gen_ai_token_type", "gen_ai.token.type"),
];

/// The moments that points are about, Unix nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When counting began.
    pub(crate) start: u64,
    /// Now.
    pub(crate) now: u64,
}

/// The metrics of a registry's text.
pub(crate) fn metrics(text: &str, span: Span) -> Vec<Metric> {
    let mut reader = Reader {
        span,
        found: vec![],
        help: String::new(),
        family: None,
    };
    for line in text.lines() {
        reader.read(line);
    }
    reader.close();
    reader.found
}

struct Reader {
    span: Span,
    found: Vec<Metric>,
    /// What the next family means.
    help: String,
    family: Option<Family>,
}

/// The samples under one name.
struct Family {
    name: String,
    help: String,
    points: Points,
}

enum Points {
    Counter(Vec<NumberDataPoint>),
    Gauge(Vec<NumberDataPoint>),
    Histogram(Vec<Buckets>),
}

/// A histogram's series as it is read: how many lie at or below each bound.
struct Buckets {
    labels: Vec<(String, String)>,
    bounds: Vec<f64>,
    at_or_below: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Reader {
    fn read(&mut self, line: &str) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            self.close();
            self.help = help.split_once(' ').map_or("", |(_, text)| text).to_owned();
        } else if let Some(said) = line.strip_prefix("# TYPE ") {
            self.close();
            let help = std::mem::take(&mut self.help);
            self.family = said.split_once(' ').and_then(|(name, kind)| {
                let points = match kind {
                    "counter" => Points::Counter(vec![]),
                    "gauge" => Points::Gauge(vec![]),
                    "histogram" => Points::Histogram(vec![]),
                    _ => return None,
                };
                let name = name.to_owned();
                Some(Family { name, help, points })
            });
        } else if let (Some(family), Some(sample)) = (&mut self.family, Sample::read(line)) {
            family.take(sample, self.span);
        }
    }

    fn close(&mut self) {
        if let Some(family) = self.family.take() {
            self.found.push(family.into_metric(self.span));
        }
    }
}

impl Family {
    fn take(&mut self, sample: Sample<'_>, span: Span) {
        match &mut self.points {
            Points::Counter(points) | Points::Gauge(points) => {
                if sample.name == self.name {
                    points.push(NumberDataPoint {
                        attributes: attributes(&sample.labels),
                        start_time_unix_nano: span.start,
                        time_unix_nano: span.now,
                        value: Some(number(sample.value)),
                        ..NumberDataPoint::default()
                    });
                }
            }
            Points::Histogram(series) => {
                let part = sample.name.strip_prefix(self.name.as_str());
                take_part(series, part.unwrap_or_default(), sample);
            }
        }
    }

    fn into_metric(self, span: Span) -> Metric {
        let is_sum = matches!(self.points, Points::Counter(_));
        let (name, unit) = renamed(&self.name, is_sum);
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match self.points {
            Points::Counter(data_points) => Data::Sum(Sum {
                data_points,
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Points::Gauge(data_points) => Data::Gauge(Gauge { data_points }),
            Points::Histogram(series) => Data::Histogram(Histogram {
                data_points: series.into_iter().map(|one| one.into_point(span)).collect(),
                aggregation_temporality: cumulative,
            }),
        };
        Metric {
            name,
            description: self.help,
            unit,
            data: Some(data),
            ..Metric::default()
        }
    }
}

/// Takes one line of a histogram. Lines of one series follow one another.
fn take_part(series: &mut Vec<Buckets>, part: &str, mut sample: Sample<'_>) {
    let bound = match part {
        "_bucket" => {
            let at = sample.labels.iter().position(|(name, _)| name == "le");
            at.and_then(|at| sample.labels.remove(at).1.parse::<f64>().ok())
        }
        _ => None,
    };
    if series
        .last()
        .is_none_or(|last| last.labels != sample.labels)
    {
        series.push(Buckets {
            labels: std::mem::take(&mut sample.labels),
            bounds: vec![],
            at_or_below: vec![],
            sum: 0.0,
            count: 0,
        });
    }
    let Some(last) = series.last_mut() else {
        return;
    };
    match (part, bound) {
        ("_bucket", Some(bound)) if bound.is_finite() => {
            last.bounds.push(bound);
            last.at_or_below.push(whole(sample.value));
        }
        ("_sum", _) => last.sum = sample.value.parse().unwrap_or(0.0),
        ("_count", _) => last.count = whole(sample.value),
        _ => {}
    }
}

impl Buckets {
    fn into_point(self, span: Span) -> HistogramDataPoint {
        let mut below = 0;
        let mut bucket_counts: Vec<u64> = Vec::with_capacity(self.bounds.len() + 1);
        for at_or_below in self.at_or_below.into_iter().chain([self.count]) {
            bucket_counts.push(at_or_below.saturating_sub(below));
            below = at_or_below;
        }
        HistogramDataPoint {
            attributes: attributes(&self.labels),
            start_time_unix_nano: span.start,
            time_unix_nano: span.now,
            count: self.count,
            sum: Some(self.sum),
            bucket_counts,
            explicit_bounds: self.bounds,
            ..HistogramDataPoint::default()
        }
    }
}

/// A name as the collector gets it, and its unit.
fn renamed(name: &str, is_sum: bool) -> (String, String) {
    if let Some((_, meant, unit)) = NAMES.iter().find(|(known, _, _)| *known == name) {
        return ((*meant).to_owned(), (*unit).to_owned());
    }
    let name = if is_sum {
        name.strip_suffix("_total").unwrap_or(name)
    } else {
        name
    };
    let (name, unit) = match name.strip_suffix("_seconds") {
        Some(name) => (name, "s"),
        None => (name, ""),
    };
    let name = match name.strip_prefix("freehold_") {
        Some(rest) => format!("freehold.{rest}"),
        None => name.to_owned(),
    };
    (name, unit.to_owned())
}

fn attributes(labels: &[(String, String)]) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    // An empty label is none.
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let known = LABELS.iter().find(|(known, _)| known == name);
        attributes.text(known.map_or(name.as_str(), |(_, meant)| meant), value);
    }
    attributes.into_list()
}

/// A sample's value: whole where it is written so.
fn number(text: &str) -> Value {
    match text.parse() {
        Ok(whole) => Value::AsInt(whole),
        Err(_) => Value::AsDouble(text.parse().unwrap_or(f64::NAN)),
    }
}

fn whole(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// One line with a value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(String, String)>,
    value: &'a str,
}

impl<'a> Sample<'a> {
    /// Reads `name{label="value",...} value`; `None` for anything else.
    fn read(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let Some((name, rest)) = line.split_once('{') else {
            let (name, value) = line.split_once(' ')?;
            let labels = vec![];
            return Some(Self {
                name,
                labels,
                value,
            });
        };
        let mut labels = vec![];
        let mut rest = rest;
        while let Some((label, after)) = rest.split_once("=\"") {
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
            if rest.starts_with('}') {
                break;
            }
        }
        let value = rest.strip_prefix("} ")?;
        Some(Self {
            name,
            labels,
            value,
        })
    }
}

/// Text up to the quote that ends it, and what stands behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
