//! Removes findings from a text that comes in pieces.

use std::ops::Range;

use zeroize::Zeroizing;

use super::hold::{WORD_BYTES_MAX, settled};
use super::redact::Looking;

/// What was given back is looked at again with what follows: so many bytes of context.
const BEFORE_BYTES: usize = 96;
/// A finding that may still grow is held until it has this many bytes.
const OPEN_BYTES_MAX: usize = 16 * 1024;
/// A text of which more than this is held is looked at again only when it has grown by a quarter.
const OFTEN_BYTES_MAX: usize = 512;

/// One text of an answer: what is held of it, and what came before.
#[derive(Default)]
pub(super) struct HeldText {
    /// The end of what was given back, as the model wrote it.
    before: Zeroizing<String>,
    held: Zeroizing<String>,
    /// How much was held when it was looked at last.
    looked_bytes: usize,
    /// A word is being removed that was too long to be held.
    removing_word: bool,
}

impl HeldText {
    /// Takes the next piece and gives back what is certain by now.
    pub(super) fn push(&mut self, delta: &str, looking: &mut Looking) -> String {
        self.held.push_str(delta);
        self.remove_word();
        let again_at = self.looked_bytes + self.looked_bytes / 4;
        if self.looked_bytes > OFTEN_BYTES_MAX && self.held.len() < again_at {
            return String::new();
        }
        let end = settled(&self.held);
        self.release(end, false, looking)
    }

    /// The text has ended: gives back what was held.
    pub(super) fn finish(mut self, looking: &mut Looking) -> String {
        let end = self.held.len();
        self.release(end, true, looking)
    }

    /// Drops the rest of a word whose beginning was removed.
    fn remove_word(&mut self) {
        if self.removing_word {
            let end = self.held.find(char::is_whitespace);
            self.removing_word = end.is_none();
            let end = end.unwrap_or(self.held.len());
            self.held.drain(..end);
        }
    }

    fn release(&mut self, end: usize, last: bool, looking: &mut Looking) -> String {
        if end == 0 {
            return String::new();
        }
        let from = self.before.len();
        let mut window = Zeroizing::new(String::with_capacity(from + self.held.len()));
        window.push_str(&self.before);
        window.push_str(&self.held);
        let spots = looking.look(&window, from);
        let mut end = from + end;
        if !last {
            end = self.before_open(end, &spots);
        }
        self.looked_bytes = window.len() - end;
        if end <= from {
            return String::new();
        }
        let mut written = String::with_capacity(end - from);
        let mut at = from;
        let mut is_cut = false;
        for (range, entity) in &spots {
            // Two findings may overlap: what either covers goes.
            if range.end <= at || range.start >= end {
                continue;
            }
            written.push_str(&window[at..range.start.max(at)]);
            if range.start >= at {
                written.push_str(&looking.removed(entity));
            }
            at = range.end.min(end);
            is_cut = range.end >= end;
        }
        written.push_str(&window[at..end]);
        self.removing_word = !last && is_cut && !window[..end].ends_with(char::is_whitespace);
        let context = window.ceil_char_boundary(end.saturating_sub(BEFORE_BYTES));
        self.before = Zeroizing::new(window[context..end].to_owned());
        self.held = Zeroizing::new(window[end..].to_owned());
        written
    }

    /// The end, or the beginning of a finding that goes beyond it and may still grow.
    fn before_open(&self, end: usize, spots: &[(Range<usize>, String)]) -> usize {
        let length = self.before.len() + self.held.len();
        let mut end = end;
        // An earlier one may reach over a later one's beginning.
        for (range, _) in spots.iter().rev() {
            let is_open = range.start < end && (range.end > end || range.end == length);
            if is_open && length - range.start <= OPEN_BYTES_MAX.max(WORD_BYTES_MAX) {
                end = range.start;
            }
        }
        end
    }
}
