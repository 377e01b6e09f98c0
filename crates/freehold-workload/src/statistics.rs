//! What traffic is like, in numbers. Same workload, same numbers.

mod reuse;

use std::collections::BTreeMap;

use serde::Serialize;

pub use reuse::{Reuse, reuse};

use crate::{FlowIndex, NO_SESSION, Workload};

/// Microseconds of an hour.
pub(crate) const HOUR_US: u64 = 3_600_000_000;
/// Microseconds of a day.
pub(crate) const DAY_US: u64 = 24 * HOUR_US;
/// Hours of a week.
pub const WEEK_HOURS: usize = 168;
/// A record shorter than this says nothing of days.
const HOURS_MIN: u64 = 2;

/// What traffic is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadStatistics {
    /// Whether requests were made up.
    pub is_generated: bool,
    /// When the record begins, Unix milliseconds.
    pub began_unix_ms: Option<u64>,
    /// How long it looks, days.
    pub days: f64,
    /// All requests together.
    pub all: TrafficStatistics,
    /// Requests an hour in each hour of the week, from Monday 0:00 UTC; `None` in hours that the
    /// record does not cover. Nothing when the record has no dates.
    pub hour_of_week: Option<Vec<Option<f64>>>,
    /// What a cache of prompts could save at best; nothing when the record does not tell blocks.
    pub reuse: Option<Vec<Reuse>>,
    /// Each flow, the one with the most tokens first.
    pub flows: Vec<FlowStatistics>,
    /// Requests of each model, by name.
    pub models: BTreeMap<String, u64>,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowStatistics {
    /// Its name.
    pub flow: String,
    /// Its part of all tokens, 0 to 1.
    pub token_share: f64,
    /// What it is like.
    #[serde(flatten)]
    pub traffic: TrafficStatistics,
}

/// Volumes, peaks and lengths of some requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrafficStatistics {
    /// Requests.
    pub requests: u64,
    /// Requests a day.
    pub requests_per_day: f64,
    /// All input tokens.
    pub input_tokens: u64,
    /// Input tokens a day.
    pub input_tokens_per_day: f64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Output tokens a day.
    pub output_tokens_per_day: f64,
    /// Input tokens that the record says were read from a cache.
    pub cached_tokens: u64,
    /// Such tokens a day.
    pub cached_tokens_per_day: f64,
    /// Requests of the busiest whole hour over the mean of whole hours; nothing below two hours.
    pub peak_hour_to_mean: Option<f64>,
    /// Standard deviation over mean of the gaps between requests: 1 is a Poisson process; nothing
    /// below three requests, or when all come at once.
    pub inter_arrival_cv: Option<f64>,
    /// How long inputs are.
    pub input: Lengths,
    /// How long outputs are.
    pub output: Lengths,
    /// Conversations; 0 when the record does not tell them.
    pub sessions: u64,
    /// Requests of one conversation, on average; nothing when there is none.
    pub requests_per_session: Option<f64>,
    /// What is known of the cost, nano-dollars.
    pub cost_nano_usd: i64,
    /// Requests whose cost the record does not tell.
    pub unknown_cost_requests: u64,
}

/// How long something is, tokens. Percentiles are values that occur: nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// The mean.
    pub mean: f64,
    /// Half are at most so long.
    pub p50: u32,
    /// Nine of ten are.
    pub p90: u32,
    /// 95 of 100 are.
    pub p95: u32,
    /// 99 of 100 are.
    pub p99: u32,
    /// The longest.
    pub max: u32,
}

/// Computes the statistics. The capacities are those of caches, in tokens, for [`Reuse`].
#[must_use]
pub fn statistics(workload: &Workload, cache_tokens: &[u64]) -> WorkloadStatistics {
    let everything: Vec<usize> = (0..workload.arrivals.len()).collect();
    let mut by_flow: Vec<Vec<usize>> = vec![Vec::new(); workload.flows.len()];
    let mut models = BTreeMap::new();
    for (index, arrival) in workload.arrivals.iter().enumerate() {
        if let Some(flow) = by_flow.get_mut(arrival.flow.0 as usize) {
            flow.push(index);
        }
        if let Some(model) = workload.model_of(arrival) {
            *models.entry(model.to_owned()).or_default() += 1;
        }
    }
    let all = traffic(workload, &everything);
    let tokens = |traffic: &TrafficStatistics| traffic.input_tokens + traffic.output_tokens;
    let all_tokens = real(tokens(&all)).max(1.0);
    let named = by_flow.iter().zip(&workload.flows);
    let mut flows: Vec<FlowStatistics> = named
        .filter(|(indices, _)| !indices.is_empty())
        .map(|(indices, name)| {
            let traffic = traffic(workload, indices);
            FlowStatistics {
                flow: name.clone(),
                token_share: real(tokens(&traffic)) / all_tokens,
                traffic,
            }
        })
        .collect();
    flows.sort_by(|a, b| {
        let order = tokens(&b.traffic).cmp(&tokens(&a.traffic));
        order.then_with(|| a.flow.cmp(&b.flow))
    });
    WorkloadStatistics {
        is_generated: workload.is_generated,
        began_unix_ms: workload.began_unix_ms,
        days: real(workload.duration_us) / real(DAY_US),
        all,
        hour_of_week: hour_of_week(workload),
        reuse: (workload.prefix_block_tokens > 0).then(|| reuse(workload, cache_tokens)),
        flows,
        models,
    }
}

impl Workload {
    /// The number of a flow, by its name.
    #[must_use]
    pub fn flow_named(&self, name: &str) -> Option<FlowIndex> {
        let index = self.flows.iter().position(|flow| flow == name)?;
        u32::try_from(index).ok().map(FlowIndex)
    }
}

fn traffic(workload: &Workload, indices: &[usize]) -> TrafficStatistics {
    let mut told = TrafficStatistics {
        requests: indices.len() as u64,
        ..TrafficStatistics::default()
    };
    let mut inputs = Vec::with_capacity(indices.len());
    let mut outputs = Vec::with_capacity(indices.len());
    let mut sessions = Vec::new();
    for index in indices {
        let arrival = &workload.arrivals[*index];
        inputs.push(arrival.input_tokens);
        outputs.push(arrival.output_tokens);
        told.input_tokens += u64::from(arrival.input_tokens);
        told.output_tokens += u64::from(arrival.output_tokens);
        told.cached_tokens += u64::from(arrival.cached_tokens);
        if arrival.session != NO_SESSION {
            sessions.push(arrival.session);
        }
        match workload.cost_of(*index) {
            Some(cost) => told.cost_nano_usd = told.cost_nano_usd.saturating_add(cost),
            None => told.unknown_cost_requests += 1,
        }
    }
    let days = real(workload.duration_us) / real(DAY_US);
    let per_day = |count: u64| if days > 0.0 { real(count) / days } else { 0.0 };
    told.requests_per_day = per_day(told.requests);
    told.input_tokens_per_day = per_day(told.input_tokens);
    told.output_tokens_per_day = per_day(told.output_tokens);
    told.cached_tokens_per_day = per_day(told.cached_tokens);
    told.peak_hour_to_mean = peak(workload, indices);
    told.inter_arrival_cv = inter_arrival_cv(workload, indices);
    told.input = lengths(inputs);
    told.output = lengths(outputs);
    let in_sessions = sessions.len();
    sessions.sort_unstable();
    sessions.dedup();
    told.sessions = sessions.len() as u64;
    told.requests_per_session =
        (!sessions.is_empty()).then(|| real(in_sessions as u64) / real(sessions.len() as u64));
    told
}

fn lengths(mut values: Vec<u32>) -> Lengths {
    values.sort_unstable();
    let Some(max) = values.last().copied() else {
        return Lengths::default();
    };
    let sum: u64 = values.iter().map(|value| u64::from(*value)).sum();
    // Nearest rank: the smallest value that at least so many per cent do not exceed.
    let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    Lengths {
        mean: real(sum) / real(values.len() as u64),
        p50: rank(50),
        p90: rank(90),
        p95: rank(95),
        p99: rank(99),
        max,
    }
}

/// Where the first whole hour begins: on the clock's hours where the record has dates.
fn hours_begin_us(workload: &Workload) -> u64 {
    let began_us = workload
        .began_unix_ms
        .map_or(0, |began| began.saturating_mul(1_000));
    began_us.next_multiple_of(HOUR_US) - began_us
}

/// How many whole hours there are.
fn whole_hours(workload: &Workload) -> u64 {
    workload
        .duration_us
        .saturating_sub(hours_begin_us(workload))
        / HOUR_US
}

/// Requests of each whole hour that has any, in order.
fn by_hour(workload: &Workload, indices: &[usize]) -> Vec<(u64, u64)> {
    let from = hours_begin_us(workload);
    let count = whole_hours(workload);
    let mut hours: Vec<(u64, u64)> = Vec::new();
    for index in indices {
        let at_us = workload.arrivals[*index].at_us;
        let Some(since) = at_us.checked_sub(from) else {
            continue;
        };
        let hour = since / HOUR_US;
        match hours.last_mut() {
            Some((last, requests)) if *last == hour => *requests += 1,
            _ if hour < count => hours.push((hour, 1)),
            _ => {}
        }
    }
    hours
}

fn peak(workload: &Workload, indices: &[usize]) -> Option<f64> {
    let count = whole_hours(workload);
    if count < HOURS_MIN {
        return None;
    }
    let hours = by_hour(workload, indices);
    let sum: u64 = hours.iter().map(|(_, requests)| requests).sum();
    let most = hours.iter().map(|(_, requests)| *requests).max()?;
    Some(real(most) * real(count) / real(sum))
}

fn inter_arrival_cv(workload: &Workload, indices: &[usize]) -> Option<f64> {
    if indices.len() < 3 {
        return None;
    }
    let times = indices.iter().map(|index| workload.arrivals[*index].at_us);
    let gaps: Vec<f64> = times
        .clone()
        .zip(times.skip(1))
        .map(|(before, after)| real(after - before))
        .collect();
    let count = real(gaps.len() as u64);
    let mean = gaps.iter().sum::<f64>() / count;
    if mean <= 0.0 {
        return None;
    }
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    Some(variance.sqrt() / mean)
}

fn hour_of_week(workload: &Workload) -> Option<Vec<Option<f64>>> {
    let began_ms = workload.began_unix_ms?;
    let everything: Vec<usize> = (0..workload.arrivals.len()).collect();
    let began_us = began_ms.saturating_mul(1_000);
    let first = (began_us + hours_begin_us(workload)) / HOUR_US;
    let place = |hour: u64| hour_of_week_at((first + hour) * HOUR_US);
    let mut sums = vec![0_u64; WEEK_HOURS];
    for (hour, requests) in by_hour(workload, &everything) {
        sums[place(hour)] += requests;
    }
    let count = whole_hours(workload);
    let week = WEEK_HOURS as u64;
    let mut covered = vec![count / week; WEEK_HOURS];
    for hour in 0..count % week {
        covered[place(hour)] += 1;
    }
    let means = sums.into_iter().zip(covered);
    let means = means.map(|(requests, hours)| (hours > 0).then(|| real(requests) / real(hours)));
    Some(means.collect())
}

/// Which hour of the week a moment is in, from Monday 0:00 UTC.
pub(crate) fn hour_of_week_at(unix_us: u64) -> usize {
    // 1970-01-01 was a Thursday.
    let hours = unix_us / HOUR_US + 3 * 24;
    usize::try_from(hours % WEEK_HOURS as u64).unwrap_or(0)
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "statistics need no more than 53 bits"
)]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[path = "statistics/tests.rs"]
mod tests;
