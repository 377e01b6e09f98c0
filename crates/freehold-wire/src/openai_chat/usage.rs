//! OpenAI's token counts, both ways.

use freehold_types::usage::{ServiceTier, UsageDoubt};
use freehold_types::{Usage, UsageBasis};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::told::{Reader, Told};

/// A number as upstreams write it: `null` and negative numbers count as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Count;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of tokens")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Count, E> {
                Ok(Count(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(value).unwrap_or(0)))
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "`as` saturates, and negative counts are to become zero"
            )]
            fn visit_f64<E>(self, value: f64) -> Result<Count, E> {
                Ok(Count(value as u64))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(0))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// OpenAI's `usage`, with what compatible vendors add to it or call otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireUsage<'a> {
    prompt_tokens: Told,
    completion_tokens: Told,
    total_tokens: Told,
    /// The words of OpenAI's newer API and of Anthropic's, which some servers write here too.
    input_tokens: Told,
    output_tokens: Told,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    /// Other words for `prompt_tokens_details.cached_tokens`: DeepSeek's, Moonshot's and Together's,
    /// and Anthropic's as gateways hand them on.
    prompt_cache_hit_tokens: Told,
    cached_tokens: Told,
    cache_read_input_tokens: Told,
    /// Another word for `prompt_tokens_details.cache_write_tokens`.
    cache_creation_input_tokens: Told,
    /// Another place for `completion_tokens_details.reasoning_tokens`.
    reasoning_tokens: Told,
    /// What OpenRouter (a number) or Perplexity (an object) has charged, in dollars.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_details: Option<&'a RawValue>,
    #[serde(borrow)]
    is_byok: Option<&'a RawValue>,
    #[serde(borrow)]
    server_tool_use: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Told,
    cache_write_tokens: Told,
    audio_tokens: Told,
    image_tokens: Told,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Told,
    audio_tokens: Told,
    image_tokens: Told,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CostDetails {
    upstream_inference_cost: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TotalCost {
    total_cost: Option<f64>,
}

/// Calls of tools on the vendor's side, in Anthropic's words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerTools {
    pub(crate) web_search_requests: Told,
    pub(crate) code_execution_requests: Told,
}

/// Reads what an answer says of its usage; `None` when it says nothing. A count that is wrong is
/// doubted, and when it was a whole, what remains is an estimate.
pub(crate) fn decode_usage(text: &str, tier: ServiceTier) -> Option<Usage> {
    // An array would be read as the fields in their order.
    let wire = match text.starts_with('{') {
        true => serde_json::from_str::<WireUsage<'_>>(text).ok(),
        false => None,
    };
    let Some(wire) = wire else {
        return Some(unreadable());
    };
    let mut reader = Reader::default();
    let prompt = wire.prompt_tokens.or(wire.input_tokens);
    let completion = wire.completion_tokens.or(wire.output_tokens);
    if (prompt, completion) == (Told::Nothing, Told::Nothing) {
        return None;
    }
    let (input, output) = (reader.whole(prompt), reader.whole(completion));
    // A total is only used where it is beyond doubt.
    let total = match wire.total_tokens {
        Told::Count(total) => Some(total),
        _ => None,
    };
    let wholes_are_right = reader.doubt.is_none();
    let mut usage = wire.parts(&mut reader);
    let rest = |known: u64| total.and_then(|total| total.checked_sub(known));
    let (input, output) = match (input, output) {
        (Some(input), None) if wholes_are_right => (Some(input), rest(input)),
        (None, Some(output)) if wholes_are_right => (rest(output), Some(output)),
        known => known,
    };
    usage.basis = match (input, output) {
        (Some(_), Some(_)) => UsageBasis::Reported,
        _ => UsageBasis::Estimated,
    };
    usage.input_tokens = input.unwrap_or(0);
    usage.output_tokens = output.unwrap_or(0);
    if let (UsageBasis::Reported, Some(hidden)) = (usage.basis, rest(usage.total_tokens())) {
        add_hidden(&mut usage, hidden);
    }
    usage.service_tier = tier;
    usage.doubt = reader.doubt;
    Some(usage)
}

/// A total that is more than prompt and answer: some vendors leave the thoughts out of the answer's
/// tokens (xAI, Gemini), and some gateways leave the cached tokens out of the prompt's. All are billed.
fn add_hidden(usage: &mut Usage, hidden: u64) {
    let cached = usage
        .cached_input_tokens
        .saturating_add(usage.cache_write_tokens);
    if hidden == 0 {
    } else if hidden == usage.reasoning_tokens || usage.reasoning_tokens == 0 && hidden != cached {
        usage.output_tokens = usage.output_tokens.saturating_add(hidden);
        usage.reasoning_tokens = hidden;
    } else if hidden == cached {
        usage.input_tokens = usage.input_tokens.saturating_add(hidden);
    }
}

/// A usage that cannot be read at all.
fn unreadable() -> Usage {
    Usage {
        doubt: Some(UsageDoubt::NotANumber),
        ..Usage::default()
    }
}

/// What stands inside, or its default when that has another form.
pub(crate) fn inside<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    let raw = raw.map(RawValue::get).filter(|raw| !raw.starts_with('['));
    let read = raw.and_then(|raw| serde_json::from_str(raw).ok());
    read.unwrap_or_default()
}

impl WireUsage<'_> {
    /// Everything but the wholes.
    fn parts(&self, reader: &mut Reader) -> Usage {
        let prompt: PromptDetails = inside(self.prompt_tokens_details);
        let completion: CompletionDetails = inside(self.completion_tokens_details);
        let tools: ServerTools = inside(self.server_tool_use);
        let mut largest = |told: &[Told]| {
            let counts = told.iter().map(|told| reader.part(*told));
            counts.max().unwrap_or(0)
        };
        let usage = Usage {
            // The same number under several names is counted once.
            cached_input_tokens: largest(&[
                prompt.cached_tokens,
                self.prompt_cache_hit_tokens,
                self.cached_tokens,
                self.cache_read_input_tokens,
            ]),
            cache_write_tokens: largest(&[
                prompt.cache_write_tokens,
                self.cache_creation_input_tokens,
            ]),
            input_audio_tokens: largest(&[prompt.audio_tokens]),
            input_image_tokens: largest(&[prompt.image_tokens]),
            reasoning_tokens: largest(&[completion.reasoning_tokens, self.reasoning_tokens]),
            output_audio_tokens: largest(&[completion.audio_tokens]),
            output_image_tokens: largest(&[completion.image_tokens]),
            web_searches: largest(&[tools.web_search_requests]),
            code_executions: largest(&[tools.code_execution_requests]),
            ..Usage::default()
        };
        Usage {
            reported_cost: reader.charge(self.charged_usd()),
            ..usage
        }
    }

    /// What the vendor has charged, and what the vendor behind it charges the caller's own account.
    fn charged_usd(&self) -> Option<f64> {
        let plain: Option<f64> = inside(self.cost);
        let charged = plain.or_else(|| inside::<TotalCost>(self.cost).total_cost)?;
        let behind: CostDetails = inside(self.cost_details);
        let own_key = inside::<bool>(self.is_byok);
        let behind = behind.upstream_inference_cost.filter(|_| own_key);
        Some(charged + behind.unwrap_or(0.0))
    }
}

/// Writes OpenAI's `usage`.
pub(crate) fn encode_usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}
