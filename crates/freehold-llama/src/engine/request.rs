//! What an engine is asked, in its own words, and the checks on it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::RequestError;
use crate::model_info::RecommendedSampling;

/// Stop texts per request.
const STOPS_MAX: usize = 64;
/// Bytes of one stop text: this much output may be held back.
const STOP_BYTES_MAX: usize = 1_024;
/// Alternatives per token that may be asked for.
const TOP_LOGPROBS_MAX: u32 = 20;
/// Entries of a logit bias.
const BIASES_MAX: usize = 4_096;

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A text. Texts of special tokens in it become those tokens.
    Text(String),
    /// A rendered chat template, some pieces of which must be taken literally.
    Pieces(Vec<PromptPiece>),
    /// Token ids.
    Tokens(Vec<i32>),
}

/// A piece of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptPiece {
    /// The text.
    pub text: String,
    /// True when texts of special tokens in it stay texts: it came from the client.
    pub is_literal: bool,
}

/// The form that the output must have.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Some JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The JSON Schema.
        schema: Value,
        /// Whether keywords that cannot be enforced are passed over; else they are an error.
        lenient: bool,
    },
    /// A grammar in llguidance's dialect of Lark.
    Lark(String),
    /// A grammar for all that follows the first of these texts in the output; until then, free.
    LarkAfter {
        /// The texts that switch the grammar on.
        triggers: Vec<String>,
        /// The grammar for what follows the trigger.
        grammar: String,
    },
}

/// How tokens are drawn. `None`: the model's recommendation, or else llama.cpp's usual default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplingOptions {
    /// 0 is greedy. Up to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, above 0 and up to 1.
    pub top_p: Option<f64>,
    /// Only the k likeliest tokens; 0 is off.
    pub top_k: Option<u32>,
    /// Only tokens this likely relative to the likeliest, 0 to 1.
    pub min_p: Option<f64>,
    /// Penalty per earlier occurrence in the answer, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Penalty for any earlier occurrence in the answer, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Factor for every token of prompt and answer, above 0 and up to 10; 1 is off.
    pub repetition_penalty: Option<f64>,
    /// For repeatable draws.
    pub seed: Option<u64>,
    /// Added to the scores of tokens, -100 to 100.
    pub logit_bias: BTreeMap<i32, f64>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// What to continue.
    pub prompt: Prompt,
    /// How tokens are drawn.
    pub sampling: SamplingOptions,
    /// Upper bound on generated tokens per choice. `None`: as far as the context reaches.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Number of answers.
    pub choices: u32,
    /// Log-probabilities of the chosen tokens, with this many alternatives each.
    pub logprobs: Option<u32>,
    /// The form that the output must have.
    pub constraint: Option<Constraint>,
    /// Run alone, with an empty cache, so that the same seed gives the same text every time.
    pub deterministic: bool,
    /// Show special tokens in the output, but for those that end it.
    pub show_special: bool,
}

impl GenerateRequest {
    /// A request for one answer with default sampling.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            sampling: SamplingOptions::default(),
            max_tokens: None,
            stop: Vec::new(),
            choices: 1,
            logprobs: None,
            constraint: None,
            deterministic: false,
            show_special: false,
        }
    }

    /// Checks every field that can be checked without the model.
    pub(crate) fn check(&self, slots: usize, vocabulary: i32) -> Result<(), RequestError> {
        self.sampling.check(vocabulary)?;
        if self.choices == 0 || self.choices as usize > slots {
            return Err(invalid(
                "n",
                format!("must be between 1 and {slots}, the engine's slots"),
            ));
        }
        if self.max_tokens == Some(0) {
            return Err(invalid("max_tokens", "must be at least 1"));
        }
        if self.stop.len() > STOPS_MAX {
            return Err(invalid("stop", format!("at most {STOPS_MAX} texts")));
        }
        if self
            .stop
            .iter()
            .any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX)
        {
            let message = format!("every text must have 1 to {STOP_BYTES_MAX} bytes");
            return Err(invalid("stop", message));
        }
        if self.logprobs.is_some_and(|top| top > TOP_LOGPROBS_MAX) {
            return Err(invalid(
                "top_logprobs",
                format!("must be at most {TOP_LOGPROBS_MAX}"),
            ));
        }
        if let Prompt::Tokens(tokens) = &self.prompt
            && let Some(token) = tokens
                .iter()
                .find(|token| !(0..vocabulary).contains(*token))
        {
            return Err(invalid(
                "prompt",
                format!("{token} is no token of this model"),
            ));
        }
        Ok(())
    }
}

impl SamplingOptions {
    fn check(&self, vocabulary: i32) -> Result<(), RequestError> {
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, f64::MIN_POSITIVE, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within(
            "repetition_penalty",
            self.repetition_penalty,
            f64::MIN_POSITIVE,
            10.0,
        )?;
        if self.logit_bias.len() > BIASES_MAX {
            return Err(invalid(
                "logit_bias",
                format!("at most {BIASES_MAX} tokens"),
            ));
        }
        for (token, bias) in &self.logit_bias {
            if !(0..vocabulary).contains(token) {
                return Err(invalid(
                    "logit_bias",
                    format!("{token} is no token of this model"),
                ));
            }
            within("logit_bias", Some(*bias), -100.0, 100.0)?;
        }
        Ok(())
    }

    /// Replaces every `None` by a number.
    pub(crate) fn resolve(&self, recommended: &RecommendedSampling) -> Draw {
        #[expect(clippy::cast_possible_truncation, reason = "scores are 32-bit")]
        let single = |value: f64| value as f32;
        Draw {
            temperature: single(self.temperature.or(recommended.temperature).unwrap_or(0.8)),
            top_p: single(self.top_p.or(recommended.top_p).unwrap_or(0.95)),
            top_k: self.top_k.or(recommended.top_k).unwrap_or(40) as usize,
            min_p: single(self.min_p.or(recommended.min_p).unwrap_or(0.05)),
            frequency_penalty: single(self.frequency_penalty.unwrap_or(0.0)),
            presence_penalty: single(self.presence_penalty.unwrap_or(0.0)),
            repetition_penalty: single(self.repetition_penalty.unwrap_or(1.0)),
            logit_bias: self
                .logit_bias
                .iter()
                .map(|(&id, &bias)| (id, single(bias)))
                .collect(),
            seed: self.seed,
        }
    }
}

/// How tokens are drawn, without a "default".
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) top_k: usize,
    pub(crate) min_p: f32,
    pub(crate) frequency_penalty: f32,
    pub(crate) presence_penalty: f32,
    pub(crate) repetition_penalty: f32,
    pub(crate) logit_bias: Vec<(i32, f32)>,
    pub(crate) seed: Option<u64>,
}

fn within(field: &'static str, value: Option<f64>, min: f64, max: f64) -> Result<(), RequestError> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            let from = if min == f64::MIN_POSITIVE {
                "above 0".into()
            } else {
                format!("at least {min}")
            };
            Err(invalid(field, format!("must be {from} and at most {max}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> RequestError {
    RequestError::Invalid {
        field,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(change: impl FnOnce(&mut GenerateRequest)) -> &'static str {
        let mut request = GenerateRequest::new(Prompt::Text("x".into()));
        change(&mut request);
        match request.check(8, 100) {
            Err(RequestError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (name, temperature) in [("nan", f64::NAN), ("low", -0.1), ("high", 2.1)] {
            assert_eq!(
                field(|r| r.sampling.temperature = Some(temperature)),
                "temperature",
                "{name}"
            );
        }
        assert_eq!(field(|r| r.sampling.top_p = Some(0.0)), "top_p");
        assert_eq!(field(|r| r.sampling.min_p = Some(1.5)), "min_p");
        assert_eq!(
            field(|r| r.sampling.frequency_penalty = Some(3.0)),
            "frequency_penalty"
        );
        assert_eq!(
            field(|r| r.sampling.presence_penalty = Some(f64::INFINITY)),
            "presence_penalty"
        );
        assert_eq!(
            field(|r| r.sampling.repetition_penalty = Some(0.0)),
            "repetition_penalty"
        );
        assert_eq!(
            field(|r| r.sampling.logit_bias = BTreeMap::from([(100, 1.0)])),
            "logit_bias"
        );
        assert_eq!(
            field(|r| r.sampling.logit_bias = BTreeMap::from([(1, 101.0)])),
            "logit_bias"
        );
        assert_eq!(field(|r| r.choices = 0), "n");
        assert_eq!(field(|r| r.choices = 9), "n");
        assert_eq!(field(|r| r.max_tokens = Some(0)), "max_tokens");
        assert_eq!(field(|r| r.stop = vec![String::new()]), "stop");
        assert_eq!(field(|r| r.stop = vec!["x".repeat(1_025)]), "stop");
        assert_eq!(field(|r| r.logprobs = Some(21)), "top_logprobs");
        assert_eq!(field(|r| r.prompt = Prompt::Tokens(vec![1, -1])), "prompt");
    }

    #[test]
    fn the_request_goes_before_the_model_and_the_model_before_us() {
        let recommended = RecommendedSampling {
            temperature: Some(0.6),
            top_k: Some(20),
            ..Default::default()
        };
        let options = SamplingOptions {
            temperature: Some(0.0),
            ..Default::default()
        };
        let draw = options.resolve(&recommended);
        assert_eq!((draw.temperature, draw.top_k, draw.top_p), (0.0, 20, 0.95));
    }
}
