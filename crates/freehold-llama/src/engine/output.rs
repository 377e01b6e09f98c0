//! What an engine answers, in its own words.

use crate::error::RequestError;

/// One step of an answer.
///
/// Order: `Started`, then `Text` and `Finished` of the choices, then `Done`; or `Failed` at any
/// place. Nothing follows `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A slot was found.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Those of them that need not be evaluated again.
        cached_tokens: u32,
    },
    /// A choice grew.
    Text {
        /// Index of the choice.
        choice: u32,
        /// What was added. Never empty.
        text: String,
        /// One entry per token of the text, when asked for.
        logprobs: Vec<TokenLogprob>,
        /// Tokens generated so far, all choices together.
        completion_tokens: u32,
    },
    /// A choice is complete.
    Finished {
        /// Index of the choice.
        choice: u32,
        /// Why it ended.
        reason: EndReason,
    },
    /// The answer is complete.
    Done(TokenCounts),
    /// The answer was cut short.
    Failed(RequestError),
}

/// Why a choice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The model was done, or the grammar allows nothing more.
    Stop,
    /// This stop text was met; it is not part of the answer.
    StopText(String),
    /// The limit on tokens, or the end of the context, was reached.
    Length,
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Those of them that were not evaluated again.
    pub cached: u32,
    /// Tokens that were generated, the ones that ended answers included.
    pub completion: u32,
}

/// A token with its probability by the model's own scores, before any setting was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's bytes; they may be part of a character.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens in its place, best first.
    pub top: Vec<(Vec<u8>, f64)>,
}
