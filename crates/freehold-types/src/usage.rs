//! Token counts of one request, in the shape every vendor's count can be brought to, and what else of
//! an answer decides its price.

use serde::{Deserialize, Serialize};

use crate::NanoUsd;

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

impl UsageBasis {
    /// The less certain of two.
    #[must_use]
    pub const fn less_certain(self, other: Self) -> Self {
        match (self, other) {
            (Self::Estimated, _) | (_, Self::Estimated) => Self::Estimated,
            (Self::Reported, _) | (_, Self::Reported) => Self::Reported,
            (Self::Counted, Self::Counted) => Self::Counted,
        }
    }
}

/// How the upstream says it has served a request: prices differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// As anybody's; also every tier without a price of its own per token.
    #[default]
    Standard,
    /// In a batch, within a day.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
    /// With fewer others on the same machine.
    Fast,
}

impl ServiceTier {
    /// Reads an upstream's word. Words that nobody knows are the standard.
    pub fn of_word(word: &str) -> Self {
        match word {
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            "fast" => Self::Fast,
            _ => Self::Standard,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
        }
    }

    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

/// What was wrong with the usage that an upstream reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageDoubt {
    /// A count below zero.
    Negative,
    /// A count above [`Usage::COUNT_MAX`].
    TooLarge,
    /// A count that is no number.
    NotANumber,
    /// A part that is larger than its whole: it was cut to it.
    PartsExceedWhole,
    /// A cost that nobody can have charged; the price book's counts instead.
    AbsurdCost,
}

impl UsageDoubt {
    /// In words, for a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "a count below zero",
            Self::TooLarge => "a count beyond 10^12",
            Self::NotANumber => "a count that is no number",
            Self::PartsExceedWhole => "a part larger than its whole",
            Self::AbsurdCost => "a cost that nobody can have charged",
        }
    }
}

/// Tokens of one request. A part is never added to its whole: `cached_input_tokens` and
/// `cache_write_tokens` are contained in `input_tokens`, `reasoning_tokens` in `output_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All prompt tokens.
    pub input_tokens: u64,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_input_tokens: u64,
    /// Prompt tokens written to a cache (any lifetime).
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Those of `cache_write_tokens` that were written to a one-hour cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h_tokens: u64,
    /// Prompt tokens that encode audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_audio_tokens: u64,
    /// Prompt tokens that encode pictures.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_image_tokens: u64,
    /// All generated tokens.
    pub output_tokens: u64,
    /// Generated tokens spent on reasoning.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Generated tokens that encode audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_audio_tokens: u64,
    /// Generated tokens that encode pictures.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_image_tokens: u64,
    /// Searches of the web that the upstream made.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Programs that the upstream ran.
    #[serde(skip_serializing_if = "is_zero")]
    pub code_executions: u64,
    /// How the upstream says it has served the request.
    #[serde(skip_serializing_if = "ServiceTier::is_standard")]
    pub service_tier: ServiceTier,
    /// What the upstream says it has charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost: Option<NanoUsd>,
    /// Where the counts come from.
    pub basis: UsageBasis,
    /// What was wrong with what the upstream reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<UsageDoubt>,
}

impl Usage {
    /// No request has more tokens than this: an upstream that says so is wrong.
    pub const COUNT_MAX: u64 = 1_000_000_000_000;

    /// Prompt and generated tokens together, saturating.
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// The same with parts cut to their whole, so that no token can be charged twice; the doubt is
    /// noted when anything had to be cut.
    ///
    /// Overlaps that nobody reports are settled here: what is cached counts as text before it counts
    /// as audio, audio before pictures, reasoning before audio.
    #[must_use]
    pub fn consistent(self) -> Self {
        let mut cut = self;
        cut.cached_input_tokens = self.cached_input_tokens.min(self.input_tokens);
        let fresh = self.input_tokens - cut.cached_input_tokens;
        cut.cache_write_tokens = self.cache_write_tokens.min(fresh);
        cut.cache_write_1h_tokens = self.cache_write_1h_tokens.min(cut.cache_write_tokens);
        cut.reasoning_tokens = self.reasoning_tokens.min(self.output_tokens);
        let wholes_hold = self.input_audio_tokens <= self.input_tokens
            && self.input_image_tokens <= self.input_tokens
            && self.output_audio_tokens <= self.output_tokens
            && self.output_image_tokens <= self.output_tokens;
        if cut != self || !wholes_hold {
            cut.doubt = self.doubt.or(Some(UsageDoubt::PartsExceedWhole));
        }
        let plain_input = fresh - cut.cache_write_tokens;
        cut.input_audio_tokens = self.input_audio_tokens.min(plain_input);
        cut.input_image_tokens = self
            .input_image_tokens
            .min(plain_input - cut.input_audio_tokens);
        let plain_output = self.output_tokens - cut.reasoning_tokens;
        cut.output_audio_tokens = self.output_audio_tokens.min(plain_output);
        cut.output_image_tokens = self
            .output_image_tokens
            .min(plain_output - cut.output_audio_tokens);
        cut
    }

    /// Two requests' or attempts' usage together, saturating; as certain as the less certain one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = u64::saturating_add;
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            cached_input_tokens: sum(self.cached_input_tokens, other.cached_input_tokens),
            cache_write_tokens: sum(self.cache_write_tokens, other.cache_write_tokens),
            cache_write_1h_tokens: sum(self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            input_audio_tokens: sum(self.input_audio_tokens, other.input_audio_tokens),
            input_image_tokens: sum(self.input_image_tokens, other.input_image_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
            output_audio_tokens: sum(self.output_audio_tokens, other.output_audio_tokens),
            output_image_tokens: sum(self.output_image_tokens, other.output_image_tokens),
            web_searches: sum(self.web_searches, other.web_searches),
            code_executions: sum(self.code_executions, other.code_executions),
            // The last attempt is the one that answered.
            service_tier: other.service_tier,
            reported_cost: match (self.reported_cost, other.reported_cost) {
                (Some(one), Some(two)) => Some(one + two),
                _ => None,
            },
            basis: self.basis.less_certain(other.basis),
            doubt: self.doubt.or(other.doubt),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_and_without_zeros_and_newer_fields_are_read() {
        let old = r#"{"input_tokens":7,"cached_input_tokens":3,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":2,"reasoning_tokens":0,"output_audio_tokens":0,"basis":"reported"}"#;
        let usage: Usage = serde_json::from_str(old).unwrap();
        assert_eq!((usage.input_tokens, usage.web_searches), (7, 0));
        assert_eq!(usage.service_tier, ServiceTier::Standard);
        let written =
            r#"{"input_tokens":7,"cached_input_tokens":3,"output_tokens":2,"basis":"reported"}"#;
        assert_eq!(serde_json::to_string(&usage).unwrap(), written);
        assert_eq!(serde_json::from_str::<Usage>(written).unwrap(), usage);
        let new = Usage {
            web_searches: 2,
            service_tier: ServiceTier::Flex,
            reported_cost: Some(NanoUsd::from_nanos(5)),
            doubt: Some(UsageDoubt::TooLarge),
            ..usage
        };
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), new);
    }

    #[test]
    fn parts_are_cut_to_their_whole_and_doubted() {
        let usage = Usage {
            input_tokens: 10,
            cached_input_tokens: 50,
            cache_write_tokens: 50,
            output_tokens: 4,
            reasoning_tokens: 9,
            ..Usage::default()
        };
        let cut = usage.consistent();
        assert_eq!((cut.cached_input_tokens, cut.cache_write_tokens), (10, 0));
        assert_eq!(cut.reasoning_tokens, 4);
        assert_eq!(cut.doubt, Some(UsageDoubt::PartsExceedWhole));
        assert_eq!(cut.consistent(), cut);
        // Audio and cache that overlap are no mistake of the upstream's.
        let overlap = Usage {
            input_tokens: 10,
            cached_input_tokens: 8,
            input_audio_tokens: 6,
            ..Usage::default()
        };
        let cut = overlap.consistent();
        assert_eq!((cut.input_audio_tokens, cut.doubt), (2, None));
    }

    #[test]
    fn words_of_tiers() {
        for tier in [
            ServiceTier::Standard,
            ServiceTier::Batch,
            ServiceTier::Flex,
            ServiceTier::Priority,
            ServiceTier::Fast,
        ] {
            assert_eq!(ServiceTier::of_word(tier.as_str()), tier);
        }
        for word in ["default", "auto", "scale", "on_demand", "", "FLEX?"] {
            assert_eq!(ServiceTier::of_word(word), ServiceTier::Standard);
        }
    }
}
