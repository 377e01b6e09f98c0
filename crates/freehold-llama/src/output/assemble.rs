//! Puts tokens together to text, each token's log-probability with its text.

use std::collections::VecDeque;

use super::stop::StopMatcher;
use super::utf8::Utf8Buffer;
use crate::engine::output::TokenLogprob;

/// Puts the tokens of one answer together.
#[derive(Clone, Debug)]
pub(crate) struct Assembler {
    utf8: Utf8Buffer,
    stops: StopMatcher,
    /// Bytes of text that went into the stop matcher, and that came out of it.
    decoded_bytes: usize,
    passed_bytes: usize,
    /// Log-probabilities whose text has not come out, each with the place where its text ends.
    pending: VecDeque<(usize, TokenLogprob)>,
}

/// Text that may be sent, with the log-probabilities of its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// The stop text that was found. Nothing follows.
    pub(crate) stop: Option<String>,
}

impl Assembler {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self {
            utf8: Utf8Buffer::default(),
            stops: StopMatcher::new(stops),
            decoded_bytes: 0,
            passed_bytes: 0,
            pending: VecDeque::new(),
        }
    }

    /// Adds a token.
    pub(crate) fn push(&mut self, bytes: &[u8], logprob: Option<TokenLogprob>) -> Piece {
        let text = self.utf8.push(bytes);
        self.decoded_bytes += text.len();
        if let Some(logprob) = logprob {
            self.pending.push_back((self.decoded_bytes, logprob));
        }
        let passed = self.stops.push(&text);
        self.piece(passed.text, passed.stop)
    }

    /// What was held back, now that nothing follows.
    pub(crate) fn finish(&mut self) -> Piece {
        let tail = self.utf8.finish();
        let passed = self.stops.push(&tail);
        let mut text = passed.text;
        if passed.stop.is_none() {
            text.push_str(&self.stops.finish());
        }
        let mut piece = self.piece(text, passed.stop);
        if piece.stop.is_none() {
            piece
                .logprobs
                .extend(self.pending.drain(..).map(|(_, logprob)| logprob));
        }
        piece
    }

    fn piece(&mut self, text: String, stop: Option<String>) -> Piece {
        self.passed_bytes += text.len();
        let mut logprobs = Vec::new();
        while self
            .pending
            .front()
            .is_some_and(|(end, _)| *end <= self.passed_bytes)
        {
            logprobs.extend(self.pending.pop_front().map(|(_, logprob)| logprob));
        }
        Piece {
            text,
            logprobs,
            stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logprob(token: &str) -> Option<TokenLogprob> {
        Some(TokenLogprob {
            bytes: token.as_bytes().to_vec(),
            logprob: -1.0,
            top: Vec::new(),
        })
    }

    #[test]
    fn log_probabilities_come_with_their_text() {
        let mut assembler = Assembler::new(vec!["STOP".into()]);
        let first = assembler.push(b"a", logprob("a"));
        assert_eq!((first.text.as_str(), first.logprobs.len()), ("a", 1));
        let held = assembler.push(b" S", logprob(" S"));
        assert_eq!((held.text.as_str(), held.logprobs.len()), (" ", 0));
        let released = assembler.push(b"un", logprob("un"));
        assert_eq!(
            (released.text.as_str(), released.logprobs.len()),
            ("Sun", 2)
        );
    }

    #[test]
    fn tokens_of_a_stop_text_are_dropped() {
        let mut assembler = Assembler::new(vec!["STOP".into()]);
        assembler.push(b"x ST", logprob("x ST"));
        let last = assembler.push(b"OP", logprob("OP"));
        assert_eq!(last.stop.as_deref(), Some("STOP"));
        assert!(last.logprobs.is_empty());
    }

    #[test]
    fn the_end_releases_everything() {
        let mut assembler = Assembler::new(vec!["STOP".into()]);
        assembler.push(b"ST", logprob("ST"));
        let last = assembler.finish();
        assert_eq!((last.text.as_str(), last.logprobs.len()), ("ST", 1));
        let mut split = Assembler::new(vec![]);
        assert_eq!(split.push(b"\xe2\x82", None).text, "");
        assert_eq!(split.finish().text, "\u{fffd}");
    }
}
