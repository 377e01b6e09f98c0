//! What a workload uses in a month, flow by flow, and when.

use freehold_workload::Workload;
use serde::Serialize;

use crate::error::PlanError;

/// Hours of a month: a twelfth of a mean year.
pub const HOURS_PER_MONTH: f64 = freehold_cost::HOURS_PER_YEAR / 12.0;
/// Microseconds of an hour.
const HOUR_US: f64 = 3.6e9;
/// Bars of the profile of a record that is too short for a week.
const BARS: usize = 48;
/// Hours of a week.
const WEEK_HOURS: usize = 168;
/// A record shorter than this is no traffic.
const SHORTEST_US: u64 = 60_000_000;

/// One flow's use of a month, at the recorded rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FlowTraffic {
    /// Its name.
    pub flow: String,
    /// Requests a month.
    pub requests: f64,
    /// Input tokens a month, those read from a cache included.
    pub input_tokens: f64,
    /// Input tokens a month that the record says were read from a cache.
    pub cached_tokens: f64,
    /// Output tokens a month.
    pub output_tokens: f64,
}

impl FlowTraffic {
    /// Input and output.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        self.input_tokens + self.output_tokens
    }
}

/// When the traffic comes: equal spans of time and the share of the mean that each has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Whether a span is an hour of the week, from Monday 0:00 UTC where the record has dates.
    pub is_week: bool,
    /// Hours of a span.
    pub span_hours: f64,
    /// Whether the first span is Monday 0:00 UTC.
    pub is_dated: bool,
    /// Tokens of each span over the mean of all.
    pub to_mean: Vec<f64>,
}

/// A workload, as money sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Requests of the record.
    pub recorded_requests: u64,
    /// How long was looked, hours.
    pub recorded_hours: f64,
    /// Whether requests were made up from parameters.
    pub is_generated: bool,
    /// Each flow of the workload, in its order.
    pub flows: Vec<FlowTraffic>,
    /// When it comes.
    pub profile: Profile,
    /// Share of input tokens that were in an earlier request's beginning; `None` when the record does not
    /// tell what prompts begin with.
    pub reusable_share: Option<f64>,
}

impl Traffic {
    /// Looks at a workload. `reusable_share` is what an unbounded prompt cache would find of its input
    /// (see [`freehold_workload::Workload::prefix_blocks`]); `None` when the record does not tell.
    ///
    /// # Errors
    /// When the workload is broken, has a single request, or is shorter than a minute: a month cannot
    /// be told from that.
    pub fn of(workload: &Workload, reusable_share: Option<f64>) -> Result<Self, PlanError> {
        workload.check()?;
        let requests = workload.arrivals.len();
        if requests < 2 {
            return Err(PlanError::TooLittle(
                "the traffic has one request: a month cannot be told from that; \
                 take a longer record, or a scenario of your own"
                    .to_owned(),
            ));
        }
        if workload.duration_us < SHORTEST_US {
            return Err(PlanError::TooLittle(format!(
                "the traffic spans {:.1} s: a month cannot be told from less than a minute; \
                 take a longer record, or say what times count with --time-unit",
                workload.duration_us as f64 / 1e6
            )));
        }
        let recorded_hours = workload.duration_us as f64 / HOUR_US;
        let to_month = HOURS_PER_MONTH / recorded_hours;
        let mut flows: Vec<FlowTraffic> = workload
            .flows
            .iter()
            .map(|flow| FlowTraffic {
                flow: flow.clone(),
                ..FlowTraffic::default()
            })
            .collect();
        for arrival in &workload.arrivals {
            let flow = &mut flows[arrival.flow.0 as usize];
            flow.requests += to_month;
            flow.input_tokens += f64::from(arrival.input_tokens) * to_month;
            let cached = arrival.cached_tokens.min(arrival.input_tokens);
            flow.cached_tokens += f64::from(cached) * to_month;
            flow.output_tokens += f64::from(arrival.output_tokens) * to_month;
        }
        if flows.iter().all(|flow| flow.tokens() <= 0.0) {
            return Err(PlanError::TooLittle(
                "no request of the traffic has a token; map the columns of tokens with --map"
                    .to_owned(),
            ));
        }
        Ok(Self {
            recorded_requests: requests as u64,
            recorded_hours,
            is_generated: workload.is_generated,
            flows,
            profile: profile(workload),
            reusable_share,
        })
    }

    /// All flows together.
    #[must_use]
    pub fn total(&self) -> FlowTraffic {
        let mut total = FlowTraffic {
            flow: "all".to_owned(),
            ..FlowTraffic::default()
        };
        for flow in &self.flows {
            total.requests += flow.requests;
            total.input_tokens += flow.input_tokens;
            total.cached_tokens += flow.cached_tokens;
            total.output_tokens += flow.output_tokens;
        }
        total
    }

    /// Tokens of the busiest span over the mean.
    #[must_use]
    pub fn peak_to_mean(&self) -> f64 {
        self.profile.to_mean.iter().copied().fold(1.0, f64::max)
    }
}

/// By hour of the week when a week was recorded, else in equal spans of the record.
fn profile(workload: &Workload) -> Profile {
    let week_us = WEEK_HOURS as f64 * HOUR_US;
    let duration_us = workload.duration_us as f64;
    let is_week = duration_us >= week_us;
    let spans = if is_week { WEEK_HOURS } else { BARS };
    let span_us = if is_week {
        HOUR_US
    } else {
        duration_us / BARS as f64
    };
    // 1 January 1970 was a Thursday: three days after a Monday.
    let began_us = workload
        .began_unix_ms
        .map_or(0.0, |began| began as f64 * 1e3 + 72.0 * HOUR_US);
    let offset_us = if is_week { began_us % week_us } else { 0.0 };
    let mut tokens = vec![0.0; spans];
    for arrival in &workload.arrivals {
        let span = ((arrival.at_us as f64 + offset_us) / span_us) as usize % spans;
        tokens[span] += f64::from(arrival.input_tokens) + f64::from(arrival.output_tokens);
    }
    if is_week {
        // Some hours of the week were recorded more often than others.
        for (hour, tokens) in tokens.iter_mut().enumerate() {
            let seen = times_seen(hour as f64 * HOUR_US, offset_us, duration_us, week_us);
            *tokens /= seen.max(1e-9);
        }
    }
    let mean = tokens.iter().sum::<f64>() / spans as f64;
    Profile {
        is_week,
        span_hours: span_us / HOUR_US,
        is_dated: is_week && workload.began_unix_ms.is_some(),
        to_mean: tokens.iter().map(|tokens| tokens / mean).collect(),
    }
}

/// How often (in part) the hour that begins at `hour_us` of the week lies within the record.
fn times_seen(hour_us: f64, offset_us: f64, duration_us: f64, week_us: f64) -> f64 {
    let end_us = offset_us + duration_us;
    let weeks = (end_us / week_us).ceil() as u32;
    (0..weeks)
        .map(|week| {
            let begin = f64::from(week) * week_us + hour_us;
            let inside = (begin + HOUR_US).min(end_us) - begin.max(offset_us);
            inside.max(0.0) / HOUR_US
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_workload::{Arrival, FlowIndex};

    fn workload(duration_us: u64, at_us: &[u64]) -> Workload {
        let arrivals = at_us.iter().map(|at_us| Arrival {
            at_us: *at_us,
            input_tokens: 100,
            output_tokens: 50,
            cached_tokens: 20,
            flow: FlowIndex(0),
            ..Arrival::default()
        });
        Workload {
            duration_us,
            arrivals: arrivals.collect(),
            flows: vec!["all".to_owned()],
            ..Workload::default()
        }
    }

    #[test]
    fn an_hour_becomes_a_month() {
        let traffic = Traffic::of(&workload(3_600_000_000, &[0, 1_000, 2_000]), None).unwrap();
        let flow = &traffic.flows[0];
        assert!((flow.requests - 3.0 * 730.5).abs() < 1e-6);
        assert!((flow.input_tokens - 300.0 * 730.5).abs() < 1e-6);
        assert!((flow.cached_tokens - 60.0 * 730.5).abs() < 1e-6);
        assert!((flow.tokens() - 450.0 * 730.5).abs() < 1e-6);
    }

    #[test]
    fn a_week_is_told_by_its_hours() {
        let hour = 3_600_000_000_u64;
        // A week and an hour: the first hour was seen twice, with one request each time.
        let mut week = workload(169 * hour, &[0, 5 * hour, 168 * hour]);
        let told = Traffic::of(&week, None).unwrap().profile;
        assert!(told.is_week && !told.is_dated);
        assert!((told.to_mean[0] - 84.0).abs() < 1e-9, "{}", told.to_mean[0]);
        assert!((told.to_mean[5] - 84.0).abs() < 1e-9);
        // Dated: the epoch began on a Thursday, hour 72 of the week.
        week.began_unix_ms = Some(0);
        let told = Traffic::of(&week, None).unwrap().profile;
        assert!(told.is_dated && (told.to_mean[72] - 84.0).abs() < 1e-9);
    }

    #[test]
    fn what_tells_nothing_of_a_month_is_refused() {
        let told = |workload: &Workload| Traffic::of(workload, None).unwrap_err().to_string();
        assert!(told(&workload(3_600_000_000, &[0])).contains("one request"));
        assert!(told(&workload(1_000_000, &[0, 1])).contains("--time-unit"));
        assert!(told(&workload(3_600_000_000, &[])).contains("cannot be priced"));
        let mut empty = workload(3_600_000_000, &[0, 1]);
        for arrival in &mut empty.arrivals {
            (arrival.input_tokens, arrival.output_tokens) = (0, 0);
        }
        assert!(told(&empty).contains("--map"));
    }
}
