//! One event of an OpenAI stream, chat or legacy, read without building a tree: most answers pass
//! through unchanged, and only their tokens must be counted.

use std::borrow::Cow;
use std::fmt;

use freehold_types::{FinishReason, TokenLogprob};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::usage::{Count, inside};

/// A text that is borrowed from the event unless it has escapes.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

#[derive(Debug, Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) created: Option<Count>,
    #[serde(borrow, default)]
    pub(crate) choices: Option<Vec<ChunkChoice<'a>>>,
    /// Read by itself, so that a malformed one does not cost the answer.
    #[serde(borrow, default)]
    pub(crate) usage: Option<&'a RawValue>,
    /// Groq's place for the usage of a stream.
    #[serde(borrow, default)]
    pub(crate) x_groq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) service_tier: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    /// vLLM marks errors with `"object": "error"`.
    #[serde(borrow, default)]
    pub(crate) object: Option<Text<'a>>,
}

impl<'a> Chunk<'a> {
    /// What the event says of the usage.
    pub(crate) fn told_usage(&self) -> Option<&'a RawValue> {
        #[derive(Default, Deserialize)]
        struct Groq<'a> {
            #[serde(borrow, default)]
            usage: Option<&'a RawValue>,
        }
        let there = |raw: &&RawValue| raw.get() != "null";
        let groq = || inside::<Groq<'a>>(self.x_groq).usage.filter(there);
        self.usage.filter(there).or_else(groq)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChunkChoice<'a> {
    #[serde(default)]
    pub(crate) index: Option<Count>,
    #[serde(borrow, default)]
    pub(crate) delta: Option<Delta<'a>>,
    /// Legacy completions.
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) logprobs: Option<&'a RawValue>,
    /// vLLM's stop text (or token id).
    #[serde(borrow, default)]
    pub(crate) stop_reason: Option<Content<'a>>,
}

impl<'a> ChunkChoice<'a> {
    /// The text that it adds, legacy or chat.
    pub(crate) fn plain_text(&self) -> Option<&Cow<'a, str>> {
        let content = self.delta.as_ref().and_then(|delta| delta.content.as_ref());
        match (&self.text, content) {
            (Some(Text(text)), None) | (None, Some(Content::Text(text))) => Some(text),
            _ => None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Option<Content<'a>>,
    #[serde(default)]
    pub(crate) thinking_blocks: Option<Value>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    pub(crate) function_call: Option<Function<'a>>,
    #[serde(default)]
    pub(crate) annotations: Option<Value>,
    #[serde(default)]
    pub(crate) audio: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(default)]
    pub(crate) index: Option<Count>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) function: Option<Function<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Function<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<Content<'a>>,
}

/// Usually a text; some vendors write arrays or objects in its place.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Text(Cow<'a, str>),
    Other(Value),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or another value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Content<'de>, E> {
                Ok(Content::Other(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Content<'de>, E> {
                Ok(Content::Other(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Content<'de>, E> {
                Ok(Content::Other(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Content<'de>, E> {
                Ok(Content::Other(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Content<'de>, E> {
                Ok(Content::Other(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Content<'de>, A::Error> {
                Value::deserialize(SeqAccessDeserializer::new(access)).map(Content::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Content<'de>, A::Error> {
                Value::deserialize(MapAccessDeserializer::new(access)).map(Content::Other)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `choices[].logprobs` of a chat.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Logprobs {
    content: Option<Vec<WireLogprob>>,
    refusal: Option<Vec<WireLogprob>>,
}

#[derive(Debug, Deserialize)]
struct WireLogprob {
    token: String,
    /// Some servers write `null` for minus infinity.
    logprob: Option<f64>,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Option<Vec<WireLogprob>>,
}

/// What OpenAI writes for a token that is not among the likeliest.
const LEAST_LOGPROB: f64 = -9999.0;

impl WireLogprob {
    fn into_canonical(self) -> TokenLogprob {
        let top = self.top_logprobs.unwrap_or_default();
        TokenLogprob {
            token: self.token,
            logprob: self.logprob.unwrap_or(LEAST_LOGPROB),
            bytes: self.bytes,
            top: top.into_iter().map(Self::into_canonical).collect(),
        }
    }
}

impl Logprobs {
    pub(crate) fn into_canonical(self) -> Vec<TokenLogprob> {
        let content = self.content.unwrap_or_default();
        let refusal = self.refusal.unwrap_or_default();
        let all = content.into_iter().chain(refusal);
        all.map(WireLogprob::into_canonical).collect()
    }
}

/// Reads a reason to finish.
pub(crate) fn finish_reason(word: &str, stop_sequence: Option<&str>) -> FinishReason {
    match word {
        "stop" | "eos" | "eos_token" if stop_sequence.is_some() => FinishReason::StopSequence,
        "stop" | "eos" | "eos_token" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}

/// Writes a reason to finish.
pub(crate) fn finish_word(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::PauseTurn => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Other(word) if word == "model_context_window_exceeded" => "length",
        // Clients know only the words above.
        FinishReason::Other(_) => "stop",
    }
}
