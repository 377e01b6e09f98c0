//! What encoders must know beside the canonical value itself.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How to write a request for one upstream.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions<'a> {
    /// The model's name as the upstream knows it.
    pub model: &'a str,
    /// Ask an OpenAI stream for its usage chunk, even though the client did not.
    pub request_usage: bool,
    /// Where the upstream departs from its dialect.
    pub quirks: &'a Quirks,
}

/// An encoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON body.
    pub body: Bytes,
    /// True when the usage chunk was asked for by us and not by the client: the decoder of the
    /// answer must hide it.
    pub usage_was_added: bool,
    /// Paths of fields that the target has no word for and that change only cost, speed or
    /// bookkeeping, never what the model is asked (see [`crate`]): they were left out.
    pub left_out: Vec<String>,
}

/// The field in which an OpenAI-compatible upstream takes the bound on generated tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_completion_tokens`, OpenAI's own word since its reasoning models.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`, all that many compatible servers know.
    MaxTokens,
}

/// How an Anthropic-compatible upstream is told to think.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingStyle {
    /// `thinking.type: adaptive` with `output_config.effort` (Claude 4.6 and later).
    #[default]
    Adaptive,
    /// `thinking.type: enabled` with `budget_tokens` (up to Claude 4.5).
    Budget,
}

/// In which field of an assistant message an OpenAI-compatible upstream takes earlier reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// In none: earlier reasoning is left out.
    #[default]
    None,
    /// `reasoning_content` (DeepSeek, llama.cpp).
    ReasoningContent,
    /// `reasoning` (vLLM, OpenRouter).
    Reasoning,
}

/// Where one upstream departs from its dialect: data of a catalogue row. The default is what the
/// dialect's own vendor takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// OpenAI dialects: the field of the bound on generated tokens.
    pub max_tokens_field: MaxTokensField,
    /// OpenAI chat: true when the role `developer` is known; else `system` is sent instead.
    pub developer_role: bool,
    /// OpenAI dialects: true when `top_k`, `min_p` and `repetition_penalty` are known.
    pub extended_sampling: bool,
    /// OpenAI dialects: true when `stream_options.include_usage` is known.
    pub stream_usage: bool,
    /// OpenAI chat: where earlier reasoning goes.
    pub reasoning_field: ReasoningField,
    /// Anthropic: how to ask for thinking.
    pub thinking: ThinkingStyle,
    /// Anthropic: `max_tokens` (required there) when the client gave no bound, in tokens.
    pub default_max_tokens: u32,
    /// Top-level fields that the upstream refuses although its dialect has them: left out.
    pub drop_fields: Vec<String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            max_tokens_field: MaxTokensField::default(),
            developer_role: true,
            extended_sampling: false,
            stream_usage: true,
            reasoning_field: ReasoningField::default(),
            thinking: ThinkingStyle::default(),
            default_max_tokens: 4096,
            drop_fields: Vec::new(),
        }
    }
}

/// What an answer shows of the gateway rather than of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerContext {
    /// The answer's id; when empty, the upstream's.
    pub id: String,
    /// The model's name as the client knows it; when empty, the upstream's.
    pub model: String,
    /// When the answer began, in Unix seconds.
    pub created_s: u64,
    /// OpenAI streams: true when the client asked for the usage chunk.
    pub include_usage: bool,
}

impl AnswerContext {
    /// The id to show, given the upstream's.
    pub(crate) fn shown_id<'a>(&'a self, upstream: &'a str) -> &'a str {
        if self.id.is_empty() {
            upstream
        } else {
            &self.id
        }
    }

    /// The model to show, given the upstream's.
    pub(crate) fn shown_model<'a>(&'a self, upstream: &'a str) -> &'a str {
        if self.model.is_empty() {
            upstream
        } else {
            &self.model
        }
    }
}
