//! Counts an answer while it streams by, so that its usage is known however it ends.

use freehold_cost::tokens;
use freehold_ports::Chunk;
use freehold_types::{Delta, Event, PartKind, Request, Usage, UsageBasis};

/// Text is counted and forgotten in pieces of this size, so that a long answer holds no memory.
const PENDING_BYTES_MAX: usize = 16 * 1024;

/// What has been seen of one attempt's answer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    reported: Option<Usage>,
    pending_text: String,
    counted_tokens: u64,
    model: Option<String>,
    begun: bool,
    complete: bool,
    has_content: bool,
}

impl Tally {
    /// Takes note of a chunk.
    pub(crate) fn see(&mut self, chunk: &Chunk) {
        self.begun |= !chunk.events.is_empty();
        for event in &chunk.events {
            self.has_content |= is_content(event);
            match event {
                Event::Start { model, .. } => self.model = Some(model.clone()),
                Event::PartStart {
                    kind: PartKind::ToolCall { name, .. },
                    ..
                } => self.take_text(name),
                Event::PartDelta { delta, .. } => match delta {
                    Delta::Text { text, .. }
                    | Delta::Refusal(text)
                    | Delta::Thinking(text)
                    | Delta::Arguments(text) => self.take_text(text),
                    Delta::Signature(_) | Delta::Unknown { .. } => {}
                },
                Event::Usage(usage) => self.reported = Some(*usage),
                Event::End => self.complete = true,
                _ => {}
            }
        }
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

    /// The model as the upstream named it.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The usage of what was seen: as reported for a whole answer; for one that was cut, or whose
    /// upstream never reports, the larger of what was reported and what can be counted.
    pub(crate) fn usage(&mut self, request: &Request) -> Usage {
        match self.reported {
            Some(usage) if self.complete || usage.basis == UsageBasis::Counted => usage,
            reported => {
                self.count_pending();
                let reported = reported.unwrap_or_default();
                let input_tokens = match reported.input_tokens {
                    0 => tokens::estimate_request(request),
                    known => known,
                };
                Usage {
                    input_tokens,
                    output_tokens: reported.output_tokens.max(self.counted_tokens),
                    basis: UsageBasis::Estimated,
                    ..reported
                }
            }
        }
    }

    fn take_text(&mut self, text: &str) {
        // Once an upstream keeps a running count of its own, ours is not needed.
        if self
            .reported
            .is_some_and(|usage| usage.basis == UsageBasis::Counted)
        {
            return;
        }
        self.pending_text.push_str(text);
        if self.pending_text.len() > PENDING_BYTES_MAX {
            self.count_pending();
        }
    }

    fn count_pending(&mut self) {
        if !self.pending_text.is_empty() {
            self.counted_tokens += tokens::estimate_text(&self.pending_text);
            self.pending_text.clear();
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
