//! Anthropic's token counts, both ways. Anthropic's `input_tokens` leave out the cached ones; the
//! canonical ones contain them.

use freehold_types::{Usage, UsageBasis};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai_chat::usage::Count;

/// Anthropic's `usage`; in a stream, later ones repeat or replace only some of the counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireUsage {
    input_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
    cache_creation: Option<CacheCreation>,
    output_tokens: Option<Count>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

impl WireUsage {
    /// Takes over what the later report says.
    pub(crate) fn merge(&mut self, later: Self) {
        let take = |now: &mut Option<Count>, later: Option<Count>| *now = later.or(*now);
        take(&mut self.input_tokens, later.input_tokens);
        take(
            &mut self.cache_read_input_tokens,
            later.cache_read_input_tokens,
        );
        take(
            &mut self.cache_creation_input_tokens,
            later.cache_creation_input_tokens,
        );
        take(&mut self.output_tokens, later.output_tokens);
        if later.cache_creation.is_some() {
            self.cache_creation = later.cache_creation;
        }
        if later.output_tokens_details.is_some() {
            self.output_tokens_details = later.output_tokens_details;
        }
    }

    pub(crate) fn to_usage(&self) -> Usage {
        let count = |count: Option<Count>| count.unwrap_or_default().0;
        let cached = count(self.cache_read_input_tokens);
        let (five_minutes, one_hour) = self.cache_creation.as_ref().map_or((0, 0), |creation| {
            let five_minutes = creation.ephemeral_5m_input_tokens.0;
            (five_minutes, creation.ephemeral_1h_input_tokens.0)
        });
        let details = five_minutes.saturating_add(one_hour);
        let written = count(self.cache_creation_input_tokens).max(details);
        let fresh = count(self.input_tokens);
        Usage {
            input_tokens: fresh.saturating_add(cached).saturating_add(written),
            cached_input_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: one_hour,
            output_tokens: count(self.output_tokens),
            reasoning_tokens: self
                .output_tokens_details
                .as_ref()
                .map_or(0, |details| details.thinking_tokens.0),
            basis: UsageBasis::Reported,
            ..Usage::default()
        }
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
    encoded
}
