//! Sums over a time, spread into requests.
//!
//! A usage export says how many tokens went in and out between two moments, and at best of how many
//! requests. Given only that, a Poisson process puts the requests at independent uniform moments (the
//! order-statistics property, e.g. Ross, Stochastic Processes, 2nd ed., theorem 2.3.1), and nothing
//! tells one request's length from another's: all get the mean, and the sums stay what they were.

use serde_json::{Map, Value};

use super::cells::Cells;
use super::columns::{Field, Other};
use super::gather::{Gather, Pending, hashed, random, unit};
use super::names::Format;
use super::report::{ImportError, Trouble};
use super::request::Taken;
use super::times::{Clock, Moment};
use crate::{Arrival, FlowIndex, ModelIndex, NO_SESSION, UNKNOWN_COST};

/// A day: what a bucket without an end is.
const DAY_US: i64 = 86_400_000_000;
/// Longer buckets are a mistake.
const BUCKET_US_MAX: i64 = 400 * DAY_US;

/// Sums over a time.
#[derive(Debug)]
pub(super) struct Bucket {
    start_us: i64,
    end_us: i64,
    requests: u64,
    is_assumed: bool,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    flow: Option<String>,
    model: Option<String>,
}

/// A bucket's row: what is said of the bucket, and what is said of one group in it.
pub(super) fn merged(bucket: &Value, result: &Value) -> Value {
    let mut row = Map::new();
    for part in [bucket, result] {
        if let Some(part) = part.as_object() {
            let said = part.iter().filter(|(key, _)| *key != "results");
            row.extend(said.map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    Value::Object(row)
}

pub(super) fn take(
    format: Format,
    cells: &Cells<'_>,
    clock: &mut Clock,
    gather: &mut Gather,
) -> Result<Taken, Trouble> {
    let (start_us, end_us) = window(cells, clock)?;
    gather.looked(start_us, end_us);
    let count = |field: Field| -> Result<u64, Trouble> {
        let count = cells.count(field)?.unwrap_or(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1e15"
        )]
        Ok(count as u64)
    };
    let fresh = count(Field::Input)?;
    let (input_tokens, cached_tokens) = if format == Format::AnthropicUsage {
        let read = count(Field::Other(Other::CacheRead))?;
        let written = created(cells)
            .saturating_add(count(Field::Other(Other::CacheWrite))?)
            .saturating_add(count(Field::Other(Other::CacheWriteHour))?);
        (fresh.saturating_add(read).saturating_add(written), read)
    } else {
        (fresh, count(Field::Cached)?)
    };
    let output_tokens = count(Field::Output)?;
    if cached_tokens > input_tokens {
        let reason = "is more than the whole input";
        return Err(Trouble::at(cells.name(Field::Cached), reason));
    }
    let counted = count(Field::Other(Other::Requests))?;
    if input_tokens == 0 && output_tokens == 0 {
        return Ok(Taken::LeftOut("buckets without tokens"));
    }
    let has_count = cells.get(Field::Other(Other::Requests)).is_some();
    let requests = if has_count && counted > 0 {
        counted
    } else {
        let assumed = u64::from(gather.input_tokens_assumed);
        (input_tokens.saturating_add(assumed / 2) / assumed).max(1)
    };
    if input_tokens.max(output_tokens) / requests > 100_000_000 {
        let reason = "is absurd: more than 100,000,000 tokens in one request";
        return Err(Trouble::at(cells.name(Field::Input), reason));
    }
    let name = |field: Field| {
        cells
            .text(field)
            .map(|name| name.chars().take(128).collect())
    };
    Ok(Taken::Bucket(Box::new(Bucket {
        start_us,
        end_us,
        requests,
        is_assumed: !has_count || counted == 0,
        input_tokens,
        cached_tokens,
        output_tokens,
        flow: name(Field::Flow).or_else(|| name(Field::Other(Other::FlowElse))),
        model: name(Field::Model),
    })))
}

/// What the usage report says was written to caches.
fn created(cells: &Cells<'_>) -> u64 {
    let created = cells.get(Field::Other(Other::CacheCreation));
    let created = created.and_then(super::cells::Cell::json);
    created.map_or(0, |created| {
        let parts = ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"];
        let parts = parts.iter().filter_map(|part| created.get(part)?.as_u64());
        parts.fold(0, u64::saturating_add)
    })
}

fn window(cells: &Cells<'_>, clock: &mut Clock) -> Result<(i64, i64), Trouble> {
    let name = cells.name(Field::Time);
    let Some(start) = cells.get(Field::Time) else {
        return Err(Trouble::at(name, "is missing"));
    };
    let start = clock.read(start, name)?;
    let end = match cells.get(Field::End) {
        Some(end) => clock.read(end, cells.name(Field::End))?,
        None => Moment::Unix(start.microseconds() + DAY_US),
    };
    if !start.is_unix() || !end.is_unix() {
        return Err(Trouble::at(name, "is no date"));
    }
    let (start_us, end_us) = (start.microseconds(), end.microseconds());
    let at_end = |reason: &'static str| Err(Trouble::at(cells.name(Field::End), reason));
    if end_us <= start_us {
        return at_end("lies before the bucket's beginning: times are reversed");
    }
    if end_us - start_us > BUCKET_US_MAX {
        return at_end("is absurd: a bucket of more than 400 days");
    }
    Ok((start_us, end_us))
}

/// Makes requests of sums.
pub(super) fn spread(bucket: &Bucket, file: &str, gather: &mut Gather) -> Result<(), ImportError> {
    gather.report.rows += 1;
    let key = format!(
        "{} {} {:?} {:?} {}",
        bucket.start_us, bucket.end_us, bucket.flow, bucket.model, bucket.input_tokens
    );
    let mut random = random(gather.seed, hashed(key.as_bytes()));
    let start = gather.agree(Moment::Unix(bucket.start_us), file)?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate that is compared")]
    let kept = (bucket.requests as f64 * gather.share).min(1e18);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 1e18"
    )]
    gather.make_room(kept as u64)?;
    let flow = bucket.flow.as_deref().unwrap_or(super::gather::NO_FLOW);
    let flow = FlowIndex(gather.flows.number(flow));
    let model = bucket.model.as_deref();
    let model = model.map_or(ModelIndex::NONE, |name| {
        ModelIndex(gather.models.number(name))
    });
    #[expect(clippy::cast_precision_loss, reason = "at most 400 days")]
    let length_us = (bucket.end_us - bucket.start_us) as f64;
    let mut spread = 0;
    for index in 0..bucket.requests {
        let part = |total: u64| part(total, bucket.requests, index);
        #[expect(clippy::cast_possible_truncation, reason = "within the bucket")]
        let at_us = start + (unit(&mut random) * length_us) as i64;
        if gather.share < 1.0 && unit(&mut random) >= gather.share {
            continue;
        }
        spread += 1;
        gather.make_room(1)?;
        gather.pending.push(Pending {
            at_us,
            arrival: Arrival {
                // By parts, so that no request has more from a cache than in all.
                input_tokens: part(bucket.input_tokens - bucket.cached_tokens)
                    .saturating_add(part(bucket.cached_tokens)),
                output_tokens: part(bucket.output_tokens),
                cached_tokens: part(bucket.cached_tokens),
                flow,
                model,
                session: NO_SESSION,
                ..Arrival::default()
            },
            cost_nano_usd: UNKNOWN_COST,
        });
    }
    gather.is_generated = true;
    gather.spread_requests += spread;
    gather.bucket_us_max = gather.bucket_us_max.max(bucket.end_us - bucket.start_us);
    gather.assumed_buckets += u64::from(bucket.is_assumed);
    Ok(())
}

/// The share of one of `count` in a total, such that all shares together are the total.
fn part(total: u64, count: u64, index: u64) -> u32 {
    let until = |index: u64| u128::from(total) * u128::from(index) / u128::from(count.max(1));
    u32::try_from(until(index + 1) - until(index)).unwrap_or(u32::MAX)
}
