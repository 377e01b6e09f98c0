//! Counts an answer while it streams by, so that its usage is known however it ends.

use freehold_cost::tokens;
use freehold_ports::Chunk;
use freehold_types::{Delta, Event, FinishReason, PartKind, Request, Usage, UsageBasis};

/// Longer text is counted by its shape and forgotten, so that a long answer holds no memory.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Of so many choices it is remembered why they ended.
const FINISH_REASONS_MAX: usize = 16;
/// Models (by the beginning of their names) whose tokenizer is o200k, which is at hand.
const O200K_MODELS: [&str; 10] = [
    "gpt-4o",
    "gpt-4.1",
    "gpt-4.5",
    "gpt-5",
    "gpt-6",
    "gpt-oss",
    "chatgpt-4o",
    "o1",
    "o3",
    "o4",
];

/// Whether the tokens of a model's text can be counted here.
pub(crate) fn has_known_tokenizer(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    O200K_MODELS.iter().any(|start| name.starts_with(start))
}

/// What has been seen of one attempt's answer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    reported: Option<Usage>,
    kept: Vec<Growing>,
    kept_bytes: usize,
    /// A guess at the tokens of text that is no longer kept.
    forgotten_tokens: u64,
    /// Pieces in which the text came.
    pieces: u64,
    /// What a tokenizer counted in all of the text.
    exact_tokens: Option<u64>,
    model: Option<String>,
    finish_reasons: Vec<FinishReason>,
    begun: bool,
    complete: bool,
    /// The model has finished; only framing and the usage can follow.
    finished: bool,
    /// The usage was reported when the model had finished: nothing can be added to it.
    settled: bool,
    has_content: bool,
}

/// Text that belongs together.
#[derive(Debug)]
struct Growing {
    choice: u32,
    part: u32,
    text: String,
}

impl Tally {
    /// Takes note of a chunk.
    pub(crate) fn see(&mut self, chunk: &Chunk) {
        self.begun |= !chunk.events.is_empty();
        let mut tells_usage = false;
        for event in &chunk.events {
            self.has_content |= is_content(event);
            match event {
                Event::Start { model, .. } => self.model = Some(model.clone()),
                Event::PartStart {
                    choice,
                    part,
                    kind: PartKind::ToolCall { name, .. },
                } => self.take_text(*choice, *part, name),
                Event::PartDelta {
                    choice,
                    part,
                    delta,
                } => match delta {
                    Delta::Text { text, .. }
                    | Delta::Refusal(text)
                    | Delta::Thinking(text)
                    | Delta::Arguments(text) => self.take_text(*choice, *part, text),
                    Delta::Signature(_) | Delta::Unknown { .. } => {}
                },
                Event::Usage(usage) => {
                    self.reported = Some(*usage);
                    tells_usage = true;
                }
                Event::Finish { reason, .. } => {
                    self.finished = true;
                    if self.finish_reasons.len() < FINISH_REASONS_MAX {
                        self.finish_reasons.push(reason.clone());
                    }
                }
                Event::End => self.complete = true,
                _ => {}
            }
        }
        self.settled |= self.finished && tells_usage;
    }

    /// True once anything of an answer was seen: from then on the prompt may be billed.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// True once the answer's terminal event was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// True once anything that the model generated was seen.
    pub(crate) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Why the choices ended.
    pub(crate) fn take_finish_reasons(&mut self) -> Vec<FinishReason> {
        std::mem::take(&mut self.finish_reasons)
    }

    /// The model as the upstream named it.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The usage of what was seen: as reported for a whole answer, zeros included; for one that was
    /// cut, or whose upstream never reports or reports what cannot be, the larger of what was reported
    /// and what can be counted. Its parts never exceed their wholes.
    pub(crate) fn usage(&self, request: &Request) -> Usage {
        self.believable_usage(request).consistent()
    }

    fn believable_usage(&self, request: &Request) -> Usage {
        if let Some(usage) = self.final_usage() {
            return usage;
        }
        let reported = self.reported.unwrap_or_default();
        let input_tokens = match reported.input_tokens {
            0 => tokens::estimate_request(request),
            known => known,
        };
        Usage {
            input_tokens,
            output_tokens: reported.output_tokens.max(self.counted_tokens()),
            basis: UsageBasis::Estimated,
            // A charge for a part of the answer is not the charge.
            reported_cost: None,
            ..reported
        }
    }

    /// What the upstream says and nobody needs to count.
    fn final_usage(&self) -> Option<Usage> {
        self.reported.filter(|usage| match usage.basis {
            UsageBasis::Reported => self.complete || self.settled,
            UsageBasis::Counted => true,
            // What the upstream told is not all there is to know.
            UsageBasis::Estimated => false,
        })
    }

    /// Counts the text with the tokenizer of the model, when that has to be done and all of the text
    /// is still there. The tokenizer's first use takes a while, which nobody else shall wait for.
    pub(crate) async fn count(&mut self, model: &str) {
        let countable = self.forgotten_tokens == 0 && !self.kept.is_empty();
        if self.final_usage().is_some() || !countable || !has_known_tokenizer(model) {
            return;
        }
        let texts: Vec<String> = self.kept.iter().map(|kept| kept.text.clone()).collect();
        let counting = tokio::task::spawn_blocking(move || {
            let counts = texts.iter().map(|text| tokens::count_text(text));
            counts.sum()
        });
        // A failure leaves the guess.
        self.exact_tokens = counting.await.ok();
    }

    /// The tokens of the text: counted, or told by the pieces in which it came, or guessed.
    fn counted_tokens(&self) -> u64 {
        if let Some(counted) = self.exact_tokens {
            return counted;
        }
        let kept = self
            .kept
            .iter()
            .map(|growing| tokens::estimate_text(&growing.text));
        let guess = self.forgotten_tokens + kept.sum::<u64>();
        // Most servers send each token by itself; then their pieces are the exact count. Those that
        // send several tokens at once, or single letters, are far from the guess.
        if (guess * 7 / 10..=guess * 14 / 10).contains(&self.pieces) {
            self.pieces
        } else {
            guess
        }
    }

    fn take_text(&mut self, choice: u32, part: u32, text: &str) {
        // Once an upstream keeps a running count of its own, ours is not needed.
        let counted = |usage: Usage| usage.basis == UsageBasis::Counted;
        if text.is_empty() || self.reported.is_some_and(counted) {
            return;
        }
        self.pieces += 1;
        let known = |growing: &&mut Growing| (growing.choice, growing.part) == (choice, part);
        match self.kept.iter_mut().rev().find(known) {
            Some(growing) => growing.text.push_str(text),
            None => self.kept.push(Growing {
                choice,
                part,
                text: text.to_owned(),
            }),
        }
        self.kept_bytes += text.len();
        if self.kept_bytes > KEPT_BYTES_MAX {
            let kept = self.kept.drain(..);
            self.forgotten_tokens += kept
                .map(|growing| tokens::estimate_text(&growing.text))
                .sum::<u64>();
            self.kept_bytes = 0;
        }
    }
}

/// Whether an event shows anything that the model generated. What opens an answer (role, empty
/// parts) and what closes it do not.
fn is_content(event: &Event) -> bool {
    match event {
        Event::PartStart { kind, .. } => match kind {
            PartKind::Text | PartKind::Refusal | PartKind::Thinking => false,
            PartKind::ToolCall { .. }
            | PartKind::RedactedThinking { .. }
            | PartKind::Unknown { .. } => true,
        },
        Event::PartDelta { delta, .. } => match delta {
            Delta::Text { text, .. }
            | Delta::Refusal(text)
            | Delta::Thinking(text)
            | Delta::Signature(text)
            | Delta::Arguments(text) => !text.is_empty(),
            Delta::Unknown { .. } => true,
        },
        _ => false,
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
