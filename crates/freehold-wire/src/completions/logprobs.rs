//! The legacy shape of log-probabilities: parallel arrays.

use freehold_types::TokenLogprob;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// `choices[].logprobs` of a legacy completion.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LegacyLogprobs {
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f64>>>,
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

impl LegacyLogprobs {
    pub(crate) fn into_canonical(self) -> Vec<TokenLogprob> {
        let mut logprobs = self.token_logprobs.unwrap_or_default().into_iter();
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let tokens = self.tokens.unwrap_or_default().into_iter();
        tokens
            .map(|token| {
                let top = tops.next().flatten().unwrap_or_default();
                TokenLogprob {
                    token,
                    // The first token of an echoed prompt has none.
                    logprob: logprobs.next().flatten().unwrap_or(0.0),
                    bytes: None,
                    top: top.into_iter().map(alternative).collect(),
                }
            })
            .collect()
    }
}

fn alternative((token, logprob): (String, Value)) -> TokenLogprob {
    TokenLogprob {
        token,
        logprob: logprob.as_f64().unwrap_or(0.0),
        bytes: None,
        top: Vec::new(),
    }
}

/// Writes the parallel arrays. `offset` is the place of the first token in the answer, in
/// characters; the answer is the place after the last.
pub(crate) fn encode(logprobs: &[TokenLogprob], offset: usize) -> (Value, usize) {
    let mut at = offset;
    let mut offsets = Vec::with_capacity(logprobs.len());
    for logprob in logprobs {
        offsets.push(at);
        at += logprob.token.chars().count();
    }
    let top = logprobs.iter().map(|logprob| {
        let pairs = logprob.top.iter();
        let map: Map<_, _> = pairs
            .map(|top| (top.token.clone(), top.logprob.into()))
            .collect();
        Value::Object(map)
    });
    let value = json!({
        "tokens": Value::from_iter(logprobs.iter().map(|logprob| logprob.token.clone())),
        "token_logprobs": Value::from_iter(logprobs.iter().map(|logprob| logprob.logprob)),
        "top_logprobs": Value::from_iter(top),
        "text_offset": offsets,
    });
    (value, at)
}
