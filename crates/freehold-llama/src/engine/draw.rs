//! Draws one token for one answer and follows up on it.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::job::Job;
use super::output::{EndReason, TokenLogprob};
use super::sampler::{self, Scratch};
use crate::error::RequestError;

/// What becomes of an answer after a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Continue,
    End(EndReason),
}

/// Draws the next token of a choice from `scores`, sends its text, and says how it goes on.
pub(crate) fn next_token(
    model: &LlamaModel,
    job: &mut Job,
    index: usize,
    scores: &[f32],
    scratch: &mut Scratch,
) -> Result<Step, RequestError> {
    let choice = &mut job.choices[index];
    let allowed = match &mut choice.guide {
        Some(guide) => guide.allowed()?,
        None => None,
    };
    let token = choice
        .sampler
        .sample(scores, allowed.as_ref(), scratch)
        .ok_or_else(|| RequestError::Evaluate("no token can follow".into()))?;
    choice.generated += 1;
    job.counts.completion += 1;
    if model.vocab().is_eog(LlamaToken(token)) {
        return Ok(Step::End(EndReason::Stop));
    }
    let bytes = model
        .vocab()
        .token_to_piece(LlamaToken(token), job.show_special, None);
    if let Some(guide) = &mut choice.guide {
        guide.accept(token, &bytes, |text| tokenize(model, text))?;
    }
    choice.sampler.accept(token);
    choice.tokens.push(token);
    let logprob = job
        .logprobs
        .map(|top| describe(model, &bytes, scores, token, top));
    let mut piece = choice.push_text(&bytes, logprob);
    let stop = piece.stop.take();
    let is_complete = choice
        .guide
        .as_ref()
        .is_some_and(super::constraint::Guide::is_complete);
    let is_full = choice.generated >= job.max_tokens;
    job.send_piece(index, piece);
    Ok(match stop {
        Some(stop) => Step::End(EndReason::StopText(stop)),
        None if is_complete => Step::End(EndReason::Stop),
        None if is_full => Step::End(EndReason::Length),
        None => Step::Continue,
    })
}

fn tokenize(model: &LlamaModel, text: &str) -> Vec<i32> {
    model
        .vocab()
        .tokenize(text.as_bytes(), false, false)
        .into_iter()
        .map(|token| token.0)
        .collect()
}

fn describe(
    model: &LlamaModel,
    bytes: &[u8],
    scores: &[f32],
    token: i32,
    top: usize,
) -> TokenLogprob {
    let logprobs = sampler::logprobs(scores, token, top);
    let piece = |id| model.vocab().token_to_piece(LlamaToken(id), true, None);
    TokenLogprob {
        bytes: bytes.to_vec(),
        logprob: logprobs.chosen,
        top: logprobs
            .top
            .into_iter()
            .map(|(id, logprob)| (piece(id), logprob))
            .collect(),
    }
}
