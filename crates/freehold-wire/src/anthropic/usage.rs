//! Anthropic's token counts, both ways. Anthropic's `input_tokens` leave out the cached ones; the
//! canonical ones contain them.

use freehold_types::usage::{ServiceTier, UsageDoubt};
use freehold_types::{Usage, UsageBasis};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::openai_chat::usage::{ServerTools, inside};
use crate::told::{Reader, Told};

/// Anthropic's `usage`; in a stream, later ones repeat or replace only some of the counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireUsage<'a> {
    input_tokens: Told,
    cache_read_input_tokens: Told,
    cache_creation_input_tokens: Told,
    #[serde(borrow)]
    cache_creation: Option<&'a RawValue>,
    output_tokens: Told,
    #[serde(borrow)]
    output_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    server_tool_use: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    /// `fast` for answers of its fast mode.
    #[serde(borrow)]
    speed: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Told,
    ephemeral_1h_input_tokens: Told,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Told,
}

impl<'a> WireUsage<'a> {
    fn read(text: &'a str) -> Option<Self> {
        // An array would be read as the fields in their order.
        let object = text.starts_with('{').then_some(text)?;
        serde_json::from_str(object).ok()
    }
}

/// The counts that an answer has told so far.
#[derive(Debug, Default)]
pub(crate) struct UsageSoFar {
    fresh: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    executions: Option<u64>,
    tier: Option<ServiceTier>,
    told_anything: bool,
    reader: Reader,
}

impl UsageSoFar {
    /// Takes over what a report says. What it says nothing of, or something wrong, stays as it was.
    pub(crate) fn take(&mut self, text: &str) {
        let Some(wire) = WireUsage::read(text) else {
            self.reader.doubt.get_or_insert(UsageDoubt::NotANumber);
            return;
        };
        let creation: CacheCreation = inside(wire.cache_creation);
        let details: OutputDetails = inside(wire.output_tokens_details);
        let tools: ServerTools = inside(wire.server_tool_use);
        for (known, told) in [
            (&mut self.fresh, wire.input_tokens),
            (&mut self.cached, wire.cache_read_input_tokens),
            (&mut self.written, wire.cache_creation_input_tokens),
            (&mut self.written_5m, creation.ephemeral_5m_input_tokens),
            (&mut self.written_1h, creation.ephemeral_1h_input_tokens),
            (&mut self.output, wire.output_tokens),
            (&mut self.thinking, details.thinking_tokens),
            (&mut self.searches, tools.web_search_requests),
            (&mut self.executions, tools.code_execution_requests),
        ] {
            *known = self.reader.whole(told).or(*known);
            self.told_anything |= known.is_some();
        }
        let word = |raw: Option<&RawValue>| inside::<Option<String>>(raw);
        if word(wire.speed).is_some_and(|speed| speed == "fast") {
            self.tier = Some(ServiceTier::Fast);
        } else if let (None, Some(word)) = (self.tier, word(wire.service_tier)) {
            self.tier = Some(ServiceTier::of_word(&word));
        }
    }

    /// The usage; `None` when nothing has been told. Reported when both wholes were; of an answer
    /// that only opens, the output is not yet known.
    pub(crate) fn usage(&self, is_whole: bool) -> Option<Usage> {
        if !self.told_anything && self.reader.doubt.is_none() {
            return None;
        }
        let count = |count: Option<u64>| count.unwrap_or(0);
        let (cached, one_hour) = (count(self.cached), count(self.written_1h));
        let details = count(self.written_5m).saturating_add(one_hour);
        let written = count(self.written).max(details);
        let input = count(self.fresh)
            .saturating_add(cached)
            .saturating_add(written);
        let both_known = self.fresh.is_some() && self.output.is_some();
        Some(Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: one_hour,
            output_tokens: count(self.output),
            reasoning_tokens: count(self.thinking),
            web_searches: count(self.searches),
            code_executions: count(self.executions),
            service_tier: self.tier.unwrap_or_default(),
            basis: if is_whole && both_known {
                UsageBasis::Reported
            } else {
                UsageBasis::Estimated
            },
            doubt: self.reader.doubt,
            ..Usage::default()
        })
    }

    /// Whether this report says how long the answer is.
    pub(crate) fn tells_output(text: &str) -> bool {
        WireUsage::read(text).is_some_and(|wire| matches!(wire.output_tokens, Told::Count(_)))
    }
}

/// Writes Anthropic's `usage`.
pub(crate) fn encode_usage(usage: &Usage) -> Value {
    let elsewhere = usage
        .cached_input_tokens
        .saturating_add(usage.cache_write_tokens);
    let five_minutes = usage
        .cache_write_tokens
        .saturating_sub(usage.cache_write_1h_tokens);
    let mut encoded = json!({
        "input_tokens": usage.input_tokens.saturating_sub(elsewhere),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": five_minutes,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
    });
    if usage.reasoning_tokens > 0 {
        encoded["output_tokens_details"] = json!({"thinking_tokens": usage.reasoning_tokens});
    }
    let tools = [
        ("web_search_requests", usage.web_searches),
        ("code_execution_requests", usage.code_executions),
    ];
    for (name, calls) in tools.into_iter().filter(|(_, calls)| *calls > 0) {
        encoded["server_tool_use"][name] = calls.into();
    }
    encoded
}
