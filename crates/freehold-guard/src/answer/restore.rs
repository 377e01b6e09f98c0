//! Puts back what masking replaced.

use freehold_types::answer::Event;

use super::{Rewrite, Rewriter};
use crate::mask::Restorer;

/// Restores the events of one answer to a masked request.
///
/// Each text of each part is restored on its own, so parts and choices may interleave. What is held
/// back comes before the part's end, before its choice's `Finish`, or before `End`. Log-probabilities
/// are dropped: they are those of the placeholders' tokens and no longer fit the text. Signatures,
/// encrypted reasoning, ids and counts of tokens stay as they are.
#[derive(Debug)]
pub struct AnswerRestorer(Rewriter<Restore>);

#[derive(Debug)]
struct Restore {
    text: Restorer,
    json: Restorer,
}

impl Rewrite for Restore {
    type Text = Restorer;

    fn open(&self, is_json: bool) -> Restorer {
        if is_json {
            self.json.another()
        } else {
            self.text.another()
        }
    }

    fn push(&mut self, text: &mut Restorer, delta: &str) -> String {
        text.push(delta)
    }

    fn finish(&mut self, mut text: Restorer) -> String {
        text.finish()
    }
}

impl AnswerRestorer {
    pub(crate) fn new(text: Restorer, json_text: bool) -> Self {
        let json = text.clone().for_json();
        Self(Rewriter::new(Restore { text, json }, json_text))
    }

    /// Takes an event and gives back those that are certain by now, in their order.
    pub fn push(&mut self, event: Event) -> Vec<Event> {
        self.0.push(event)
    }

    /// The answer was cut short: gives back what was held.
    pub fn finish(&mut self) -> Vec<Event> {
        self.0.finish()
    }
}
