//! What one row of a record says.

use std::borrow::Cow;

use serde_json::Value;

use super::buckets::{self, Bucket};
use super::cells::{Cell, Cells, nano_usd};
use super::columns::{Field, Other};
use super::gather::{Gather, Request, hashed};
use super::names::Format;
use super::report::Trouble;
use super::times::{Clock, Moment};

/// More blocks than this in one input are a mistake.
const BLOCKS_MAX: usize = 1_000_000;

/// What a row is.
#[derive(Debug)]
pub(super) enum Taken {
    /// One request.
    Request(Box<Owned>),
    /// Sums of many.
    Bucket(Box<Bucket>),
    /// Parameters to make requests from.
    Parameters,
    /// Nothing that counts, and why.
    LeftOut(&'static str),
}

/// One request, with what it owns.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) at: Option<Moment>,
    pub(super) input_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) cached_tokens: u32,
    pub(super) flow: Option<String>,
    pub(super) model: Option<String>,
    pub(super) session: Option<String>,
    pub(super) cost_nano_usd: Option<i64>,
    pub(super) blocks: Vec<u64>,
}

impl Owned {
    pub(super) fn borrowed(&self) -> Request<'_> {
        Request {
            at: self.at,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_tokens: self.cached_tokens,
            flow: self.flow.as_deref(),
            model: self.model.as_deref(),
            session: self.session.as_deref(),
            cost_nano_usd: self.cost_nano_usd,
            blocks: &self.blocks,
        }
    }
}

/// Reads one row.
pub(super) fn take(
    format: Format,
    cells: &Cells<'_>,
    clock: &mut Clock,
    gather: &mut Gather,
) -> Result<Taken, Trouble> {
    if format.is_aggregated() {
        return buckets::take(format, cells, clock, gather);
    }
    if let Some(why) = left_out(format, cells) {
        return Ok(Taken::LeftOut(why));
    }
    let at = moment(cells, clock, gather)?;
    let (input_tokens, output_tokens, cached_tokens) = tokens(format, cells)?;
    let mut request = Owned {
        at: Some(at),
        input_tokens,
        output_tokens,
        cached_tokens,
        flow: name(cells, Field::Flow)
            .map(|name| exported(format, name))
            .or_else(|| flow_else(format, cells)),
        model: model(format, cells),
        session: name(cells, Field::Session).or_else(|| session_else(format, cells)),
        cost_nano_usd: cost(cells)?,
        blocks: blocks(cells)?,
    };
    if !request.blocks.is_empty() && gather.block_tokens == 0 {
        gather.block_tokens = 512;
        if format != Format::Mooncake {
            gather.note("Prefix blocks were taken to be 512 tokens long each.".to_owned());
        }
    }
    if format == Format::FreeholdExport
        && let Some(taken) = of_attempts(cells, &mut request, gather)
    {
        return Ok(taken);
    }
    if input_tokens == 0 && output_tokens == 0 {
        return Ok(Taken::LeftOut("used no tokens"));
    }
    Ok(Taken::Request(Box::new(request)))
}

/// When it came. A row that ends before it begins is wrong somewhere.
fn moment(cells: &Cells<'_>, clock: &mut Clock, gather: &mut Gather) -> Result<Moment, Trouble> {
    let Some(cell) = cells.get(Field::Time) else {
        return Err(Trouble::at(cells.name(Field::Time), "is missing"));
    };
    let at = clock.read(cell, cells.name(Field::Time))?;
    if let Some(note) = clock.assumed.take() {
        gather.note(note);
    }
    if let Some(end) = cells.get(Field::End)
        && let Ok(end) = clock.read(end, cells.name(Field::End))
        && end.microseconds() < at.microseconds()
    {
        let reason = "lies before the request's beginning: times are reversed";
        return Err(Trouble::at(cells.name(Field::End), reason));
    }
    Ok(at)
}

/// Input, output and cached tokens.
fn tokens(format: Format, cells: &Cells<'_>) -> Result<(u32, u32, u32), Trouble> {
    if format == Format::Langfuse
        && let Some(usage) = cells.get(Field::Other(Other::Usage))
        && let Some(counts) = langfuse_usage(cells, usage)?
    {
        return Ok(counts);
    }
    let input = cells.tokens(Field::Input)?;
    let output = cells.tokens(Field::Output)?;
    if input.is_none() && output.is_none() {
        // Failed requests have none; a record of requests without any is told as a whole.
        return match format {
            Format::Litellm | Format::Langfuse | Format::Helicone | Format::FreeholdExport => {
                Ok((0, 0, 0))
            }
            _ => Err(Trouble::at(cells.name(Field::Input), "is missing")),
        };
    }
    let mut input = input.unwrap_or(0);
    let output = output.unwrap_or(0);
    if input == 0 && output == 0 {
        return Ok((0, 0, 0));
    }
    let mut cached = cells.tokens(Field::Cached)?.unwrap_or(0);
    let read = cells.tokens(Field::Other(Other::CacheRead))?.unwrap_or(0);
    let written = cells.tokens(Field::Other(Other::CacheWrite))?.unwrap_or(0);
    match format {
        // By Anthropic's names, the input does not count what a cache has.
        Format::Generic if read > 0 || written > 0 => {
            if cells.name(Field::Input).ends_with("input_tokens") {
                input = sum([input, read, written], cells)?;
            }
            cached = read;
        }
        Format::Litellm => cached = litellm_cached(cells),
        // Helicone counts as the vendor does: Anthropic leaves out what a cache has.
        Format::Helicone if cached > input => input = sum([input, cached, 0], cells)?,
        _ => {}
    }
    if cached > input {
        let reason = "is more than the whole input";
        return Err(Trouble::at(cells.name(Field::Cached), reason));
    }
    Ok((input, output, cached))
}

fn sum(parts: [u32; 3], cells: &Cells<'_>) -> Result<u32, Trouble> {
    let sum = parts
        .iter()
        .try_fold(0_u32, |sum, part| sum.checked_add(*part));
    sum.ok_or_else(|| Trouble::at(cells.name(Field::Input), "is absurd with what a cache has"))
}

/// Langfuse sums up every kind of usage whose name holds `input`, and likewise `output`.
fn langfuse_usage(cells: &Cells<'_>, usage: Cell<'_>) -> Result<Option<(u32, u32, u32)>, Trouble> {
    let name = cells.name(Field::Other(Other::Usage));
    let Some(usage) = usage.json() else {
        return Err(Trouble::at(name, "is no JSON object"));
    };
    let Some(usage) = usage.as_object() else {
        return Ok(None);
    };
    let mut counts = [0.0_f64; 3];
    let mut is_any = false;
    for (kind, value) in usage {
        let Some(count) = value.as_f64() else {
            continue;
        };
        if count < 0.0 {
            return Err(Trouble::at(name, "holds a negative count"));
        }
        let kind = super::columns::normalised(kind);
        let is_cost = kind.contains("cost");
        let is_input = !is_cost && (kind.contains("input") || kind.contains("prompt"));
        let is_output = !is_cost && (kind.contains("output") || kind.contains("completion"));
        is_any |= is_input || is_output;
        if is_input {
            counts[0] += count;
            let is_written = kind.contains("creation") || kind.contains("write");
            if kind.contains("cache") && !is_written {
                counts[2] += count;
            }
        } else if is_output {
            counts[1] += count;
        }
    }
    if counts.iter().any(|count| *count > 1e8) {
        return Err(Trouble::at(name, "is absurd: more than 100,000,000 tokens"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and 1e8"
    )]
    let [input, output, cached] = counts.map(|count| count.round() as u32);
    Ok(is_any.then_some((input, output, cached)))
}

/// What LiteLLM keeps of the vendor's own counts, in the row's metadata.
fn litellm_cached(cells: &Cells<'_>) -> u32 {
    let Some(metadata) = cells
        .get(Field::Other(Other::Metadata))
        .and_then(Cell::json)
    else {
        return 0;
    };
    let pointers = [
        "/additional_usage_values/prompt_tokens_details/cached_tokens",
        "/additional_usage_values/cache_read_input_tokens",
        "/usage_object/prompt_tokens_details/cached_tokens",
        "/usage_object/cache_read_input_tokens",
    ];
    let mut counts = pointers
        .iter()
        .filter_map(|path| metadata.pointer(path)?.as_u64());
    let cached = counts.find(|count| *count > 0).unwrap_or(0);
    u32::try_from(cached).unwrap_or(u32::MAX)
}

fn cost(cells: &Cells<'_>) -> Result<Option<i64>, Trouble> {
    if let Some(cost) = cells.cost_nano_usd(Field::Cost)? {
        return Ok(Some(cost));
    }
    let details = cells
        .get(Field::Other(Other::CostDetails))
        .and_then(Cell::json);
    let total = details.and_then(|details| details.get("total")?.as_f64());
    let name = cells.name(Field::Other(Other::CostDetails));
    total
        .map(|usd| nano_usd(usd).map_err(|reason| Trouble::at(name, reason)))
        .transpose()
}

/// Ids of the blocks that the input begins with: a list, or text with spaces between.
fn blocks(cells: &Cells<'_>) -> Result<Vec<u64>, Trouble> {
    let Some(cell) = cells.get(Field::Blocks) else {
        return Ok(Vec::new());
    };
    let at = |reason: &'static str| Trouble::at(cells.name(Field::Blocks), reason);
    let list = match cell {
        Cell::Value(Value::Array(list)) => Cow::Borrowed(list),
        other => match other.json() {
            Some(value) => match value.into_owned() {
                Value::Array(list) => Cow::Owned(list),
                one => Cow::Owned(vec![one]),
            },
            None => {
                let text = other.text().unwrap_or_default();
                let ids = text.split_ascii_whitespace();
                let ids = ids.map(|id| {
                    id.parse::<u64>()
                        .map_or_else(|_| Value::from(id), Value::from)
                });
                Cow::Owned(ids.collect())
            }
        },
    };
    if list.len() > BLOCKS_MAX {
        return Err(at("is absurd: more than a million blocks"));
    }
    let ids = list.iter().map(|id| match id {
        Value::Number(number) => number
            .as_u64()
            .ok_or_else(|| at("holds an id that is no number from 0")),
        Value::String(text) => Ok(hashed(text.as_bytes())),
        _ => Err(at("holds something that is no id")),
    });
    ids.collect()
}

fn name(cells: &Cells<'_>, field: Field) -> Option<String> {
    let text = cells.text(field)?;
    let cut: String = text.chars().take(128).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Our own export puts a `'` in front of names that a spreadsheet would take for a formula.
fn exported(format: Format, name: String) -> String {
    match name.strip_prefix('\'') {
        Some(rest)
            if format == Format::FreeholdExport
                && rest.starts_with(['=', '+', '-', '@', '\t', '\r']) =>
        {
            rest.to_owned()
        }
        _ => name,
    }
}

/// The model; of our own deployments without the backend's name.
fn model(format: Format, cells: &Cells<'_>) -> Option<String> {
    let model = name(cells, Field::Model)?;
    if format == Format::FreeholdExport
        && let Some(backend) = cells.text(Field::Other(Other::Backend))
        && let Some(rest) = model.strip_prefix(backend.as_ref())
        && let Some(rest) = rest.strip_prefix('/')
    {
        return Some(rest.to_owned());
    }
    Some(model)
}

fn flow_else(format: Format, cells: &Cells<'_>) -> Option<String> {
    let metadata = || {
        cells
            .get(Field::Other(Other::Metadata))
            .and_then(Cell::json)
    };
    match format {
        Format::Litellm => {
            let alias = metadata().and_then(|metadata| {
                metadata
                    .get("user_api_key_alias")?
                    .as_str()
                    .map(str::to_owned)
            });
            alias.or_else(|| name(cells, Field::Other(Other::FlowElse)))
        }
        Format::Helicone => property(metadata()?.as_ref(), &["helicone-session-name", "app"]),
        Format::Langfuse => name(cells, Field::Other(Other::FlowElse)),
        _ => None,
    }
}

fn session_else(format: Format, cells: &Cells<'_>) -> Option<String> {
    match format {
        Format::Langfuse => name(cells, Field::Other(Other::SessionElse)),
        Format::Helicone => {
            let metadata = cells
                .get(Field::Other(Other::Metadata))
                .and_then(Cell::json)?;
            property(metadata.as_ref(), &["helicone-session-id"])
        }
        _ => None,
    }
}

/// A property, however its name is written.
fn property(properties: &Value, names: &[&str]) -> Option<String> {
    let properties = properties.as_object()?;
    let found = properties.iter().find(|(key, _)| {
        let key = key.to_lowercase();
        names.contains(&key.as_str())
    });
    let text = found?.1.as_str()?.chars().take(128).collect::<String>();
    (!text.is_empty()).then_some(text)
}

/// Rows that are no request to a language model.
fn left_out(format: Format, cells: &Cells<'_>) -> Option<&'static str> {
    let kind = cells.text(Field::Other(Other::Kind));
    match format {
        Format::Langfuse => {
            let kind = kind?;
            (!kind.eq_ignore_ascii_case("generation")).then_some("observed something else")
        }
        Format::Litellm => {
            let is_hit = cells
                .text(Field::Other(Other::CacheHit))
                .is_some_and(|hit| hit.eq_ignore_ascii_case("true"));
            if is_hit {
                return Some("answered from a cache of answers");
            }
            let kind = kind?.to_lowercase();
            let others = [
                "embedding",
                "image",
                "speech",
                "transcription",
                "rerank",
                "moderation",
            ];
            let is_other = others.iter().any(|other| kind.contains(other));
            is_other.then_some("asked for something else than text")
        }
        _ => None,
    }
}

/// Our own export has a row for each attempt: the last is the request, and all cost.
fn of_attempts(cells: &Cells<'_>, request: &mut Owned, gather: &mut Gather) -> Option<Taken> {
    let id = cells.text(Field::Other(Other::RequestId))?.into_owned();
    let is_final = cells
        .text(Field::Other(Other::Final))
        .is_none_or(|is_final| is_final.eq_ignore_ascii_case("true"));
    if !is_final {
        let spent = request.cost_nano_usd.unwrap_or(0);
        *gather.export_costs.entry(id).or_default() += spent;
        return Some(Taken::LeftOut("attempts before the last"));
    }
    let before = gather.export_costs.remove(&id).unwrap_or(0);
    if let Some(cost) = &mut request.cost_nano_usd {
        *cost = cost.saturating_add(before);
    }
    None
}
