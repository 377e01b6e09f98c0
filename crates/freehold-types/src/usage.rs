//! Token counts of one request, in the shape every vendor's count can be brought to.

use serde::{Deserialize, Serialize};

/// Where a count comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageBasis {
    /// The upstream reported it.
    Reported,
    /// Our own engine counted it.
    Counted,
    /// Nobody reported it (the stream was cut, or the upstream never says): counted locally with
    /// a tokenizer that may differ from the upstream's.
    #[default]
    Estimated,
}

/// Tokens of one request. A part is never added to its whole: `cached_input_tokens` and
/// `cache_write_tokens` are contained in `input_tokens`, `reasoning_tokens` in `output_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All prompt tokens.
    pub input_tokens: u64,
    /// Prompt tokens read from a cache.
    pub cached_input_tokens: u64,
    /// Prompt tokens written to a cache (any lifetime).
    pub cache_write_tokens: u64,
    /// Those of `cache_write_tokens` that were written to a one-hour cache.
    pub cache_write_1h_tokens: u64,
    /// Prompt tokens that encode audio.
    pub input_audio_tokens: u64,
    /// All generated tokens.
    pub output_tokens: u64,
    /// Generated tokens spent on reasoning.
    pub reasoning_tokens: u64,
    /// Generated tokens that encode audio.
    pub output_audio_tokens: u64,
    /// Where the counts come from.
    pub basis: UsageBasis,
}

impl Usage {
    /// Prompt and generated tokens together, saturating.
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
