//! A request on its way through the owner thread, and its answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::constraint::Guide;
use super::output::{EndReason, Output, TokenCounts};
use super::request::Draw;
use super::sampler::Sampler;
use crate::error::RequestError;
use crate::output::assemble::{Assembler, Piece};

/// A checked request, ready for the owner thread.
pub(crate) struct Prepared {
    pub(crate) prompt: Vec<i32>,
    pub(crate) draw: Draw,
    /// Tokens that each choice may have; fits the context together with the prompt.
    pub(crate) max_tokens: usize,
    pub(crate) stop: Vec<String>,
    pub(crate) choices: u32,
    pub(crate) logprobs: Option<usize>,
    pub(crate) guide: Option<Guide>,
    pub(crate) deterministic: bool,
    pub(crate) show_special: bool,
    pub(crate) reply: Sender<Output>,
    pub(crate) ticket: Ticket,
}

/// A place among the waiting requests; given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<AtomicUsize>);

impl Ticket {
    /// Takes a place, if fewer than `max` are taken; else tells how many are.
    pub(crate) fn take(waiting: &Arc<AtomicUsize>, max: usize) -> Result<Self, usize> {
        waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < max).then_some(taken + 1)
            })
            .map(|_| Self(Arc::clone(waiting)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request that waits or runs.
pub(crate) struct Job {
    pub(crate) choices: Vec<Choice>,
    /// Waiting requests that were never admitted hold one.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) max_tokens: usize,
    pub(crate) logprobs: Option<usize>,
    pub(crate) deterministic: bool,
    pub(crate) seeded: bool,
    pub(crate) show_special: bool,
    pub(crate) counts: TokenCounts,
    /// When it first got a slot.
    pub(crate) started: Option<Instant>,
    reply: Sender<Output>,
    /// What a slow reader has not taken yet. While it holds anything, the job is paused.
    outbox: VecDeque<Output>,
    is_abandoned: bool,
    is_failed: bool,
}

/// One answer of a request.
pub(crate) struct Choice {
    /// The prompt and what was drawn after it.
    pub(crate) tokens: Vec<i32>,
    /// How many of `tokens` are in the cache.
    pub(crate) decoded: usize,
    /// The cache's sequence, while it has one.
    pub(crate) sequence: Option<i32>,
    pub(crate) state: ChoiceState,
    pub(crate) generated: usize,
    pub(crate) sampler: Sampler,
    pub(crate) guide: Option<Guide>,
    assembler: Assembler,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChoiceState {
    /// Waits until the first choice has read the prompt that they share.
    Forking,
    Running,
    Finished,
}

impl Job {
    pub(crate) fn new(prepared: Prepared) -> Self {
        let prompt_tokens = u32::try_from(prepared.prompt.len()).unwrap_or(u32::MAX);
        let seeded = prepared.draw.seed.is_some();
        let choices = (0..prepared.choices)
            .map(|index| Choice {
                sampler: Sampler::new(prepared.draw.clone(), &prepared.prompt, index.into()),
                tokens: prepared.prompt.clone(),
                decoded: 0,
                sequence: None,
                state: if index == 0 {
                    ChoiceState::Running
                } else {
                    ChoiceState::Forking
                },
                generated: 0,
                guide: prepared.guide.clone(),
                assembler: Assembler::new(prepared.stop.clone()),
            })
            .collect();
        Self {
            choices,
            ticket: Some(prepared.ticket),
            max_tokens: prepared.max_tokens,
            logprobs: prepared.logprobs,
            deterministic: prepared.deterministic,
            seeded,
            show_special: prepared.show_special,
            counts: TokenCounts {
                prompt: prompt_tokens,
                ..TokenCounts::default()
            },
            started: None,
            reply: prepared.reply,
            outbox: VecDeque::new(),
            is_abandoned: false,
            is_failed: false,
        }
    }

    /// True once nobody reads the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned || self.reply.is_closed()
    }

    /// True while the reader is slower than the engine.
    pub(crate) fn is_paused(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.choices
            .iter()
            .all(|choice| choice.state == ChoiceState::Finished)
    }

    /// Choices that take or will take a slot.
    pub(crate) fn unfinished(&self) -> usize {
        self.choices
            .iter()
            .filter(|choice| choice.state != ChoiceState::Finished)
            .count()
    }

    /// Tokens that it holds in the cache, plus some room to go on.
    pub(crate) fn cache_need(&self, headroom: usize) -> usize {
        self.choices
            .iter()
            .filter(|choice| choice.state != ChoiceState::Finished)
            .map(|choice| {
                choice.tokens.len()
                    + self
                        .max_tokens
                        .saturating_sub(choice.generated)
                        .min(headroom)
            })
            .sum()
    }

    /// Sends a step of the answer, or keeps it for a slow reader.
    pub(crate) fn send(&mut self, output: Output) {
        if self.outbox.is_empty() {
            match self.reply.try_send(output) {
                Ok(()) => {}
                Err(TrySendError::Full(output)) => self.outbox.push_back(output),
                Err(TrySendError::Closed(_)) => self.is_abandoned = true,
            }
        } else {
            self.outbox.push_back(output);
        }
    }

    /// Tries to send what a slow reader has not taken yet.
    pub(crate) fn flush(&mut self) {
        while let Some(output) = self.outbox.pop_front() {
            match self.reply.try_send(output) {
                Ok(()) => {}
                Err(TrySendError::Full(output)) => {
                    self.outbox.push_front(output);
                    return;
                }
                Err(TrySendError::Closed(_)) => {
                    self.is_abandoned = true;
                    return;
                }
            }
        }
    }

    /// Sends text of a choice, if there is any.
    pub(crate) fn send_piece(&mut self, choice: usize, piece: Piece) {
        if piece.text.is_empty() && piece.logprobs.is_empty() {
            return;
        }
        self.send(Output::Text {
            choice: u32::try_from(choice).unwrap_or(u32::MAX),
            text: piece.text,
            logprobs: piece.logprobs,
            completion_tokens: self.counts.completion,
        });
    }

    /// Ends a choice: sends what was held back, and why it ended.
    pub(crate) fn finish_choice(&mut self, index: usize, reason: EndReason) {
        self.choices[index].state = ChoiceState::Finished;
        if !matches!(reason, EndReason::StopText(_)) {
            let mut piece = self.choices[index].assembler.finish();
            // A stop text that only the very end completed.
            if let Some(stop) = piece.stop.take() {
                self.send_piece(index, piece);
                return self.send_finished(index, EndReason::StopText(stop));
            }
            self.send_piece(index, piece);
        }
        self.send_finished(index, reason);
    }

    fn send_finished(&mut self, index: usize, reason: EndReason) {
        let choice = u32::try_from(index).unwrap_or(u32::MAX);
        self.send(Output::Finished { choice, reason });
    }

    /// Ends the request: all answers are complete.
    pub(crate) fn finish(&mut self) {
        if !self.is_failed {
            self.send(Output::Done(self.counts));
        }
    }

    /// Ends the request early.
    pub(crate) fn fail(&mut self, error: RequestError) {
        self.ticket = None;
        self.is_failed = true;
        for choice in &mut self.choices {
            choice.state = ChoiceState::Finished;
        }
        self.send(Output::Failed(error));
    }
}

impl Choice {
    /// Tokens that are not in the cache yet.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.decoded
    }

    /// Adds a drawn token's text.
    pub(crate) fn push_text(
        &mut self,
        bytes: &[u8],
        logprob: Option<super::output::TokenLogprob>,
    ) -> Piece {
        self.assembler.push(bytes, logprob)
    }
}
