//! Which of llama.cpp's sequences are in use, and which are kept because a later prompt may begin
//! like them. Bookkeeping only; the caller moves the cache's contents.

use std::collections::VecDeque;

/// Shorter agreement is not worth keeping a conversation for.
const USEFUL_PREFIX_TOKENS: usize = 16;

/// The sequences of one context.
#[derive(Debug)]
pub(crate) struct Sequences {
    free: Vec<i32>,
    /// The least recently used stands first.
    kept: VecDeque<Kept>,
    kept_max: usize,
    kept_tokens_max: usize,
}

#[derive(Debug)]
struct Kept {
    id: i32,
    tokens: Vec<i32>,
}

/// How to begin a sequence with what a kept one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Go on in this sequence; cut it after `tokens` tokens.
    TakeOver {
        /// The sequence, no longer kept.
        id: i32,
        /// Tokens to go on from.
        tokens: usize,
    },
    /// Copy the first `tokens` tokens of this sequence, which stays kept.
    Copy {
        /// The kept sequence.
        id: i32,
        /// Tokens to copy.
        tokens: usize,
    },
}

impl Sequences {
    pub(crate) fn new(active_max: usize, kept_max: usize, kept_tokens_max: usize) -> Self {
        let count = i32::try_from(active_max + kept_max).unwrap_or(i32::MAX);
        Self {
            free: (0..count).rev().collect(),
            kept: VecDeque::new(),
            kept_max,
            kept_tokens_max,
        }
    }

    /// A sequence with nothing in it. There is one as long as no more are taken than may be active.
    pub(crate) fn take(&mut self) -> Option<i32> {
        self.free.pop()
    }

    /// Gives back a sequence that the caller has emptied.
    pub(crate) fn release(&mut self, id: i32) {
        self.free.push(id);
    }

    /// Keeps a finished sequence and its contents. Returns the sequences that had to go for it
    /// (the new one itself if it is too long); the caller empties them.
    pub(crate) fn keep(&mut self, id: i32, tokens: Vec<i32>) -> Vec<i32> {
        if self.kept_max == 0
            || tokens.len() > self.kept_tokens_max
            || tokens.len() < USEFUL_PREFIX_TOKENS
        {
            self.free.push(id);
            return vec![id];
        }
        self.kept.push_back(Kept { id, tokens });
        let mut gone = Vec::new();
        while self.kept.len() > self.kept_max || self.kept_tokens() > self.kept_tokens_max {
            gone.extend(self.evict());
        }
        gone
    }

    /// Gives up the least recently used kept sequence; the caller empties it.
    pub(crate) fn evict(&mut self) -> Option<i32> {
        let kept = self.kept.pop_front()?;
        self.free.push(kept.id);
        Some(kept.id)
    }

    /// The best kept beginning of `prompt`, whose last token is never covered: it has to be
    /// evaluated to get scores.
    pub(crate) fn reuse(&mut self, prompt: &[i32]) -> Option<Reuse> {
        let usable = &prompt[..prompt.len().saturating_sub(1)];
        let (index, tokens) = (0..)
            .zip(&self.kept)
            .map(|(index, kept)| (index, common_prefix(&kept.tokens, usable)))
            .max_by_key(|(_, tokens)| *tokens)
            .filter(|(_, tokens)| *tokens >= USEFUL_PREFIX_TOKENS)?;
        let kept = self.kept.remove(index)?;
        let id = kept.id;
        if tokens * 2 >= kept.tokens.len() {
            return Some(Reuse::TakeOver { id, tokens });
        }
        self.kept.push_back(kept);
        Some(Reuse::Copy { id, tokens })
    }

    /// Tokens that the best kept beginning of a prompt would save.
    pub(crate) fn best_kept(&self, usable: &[i32]) -> usize {
        self.kept
            .iter()
            .map(|kept| common_prefix(&kept.tokens, usable))
            .max()
            .unwrap_or(0)
    }

    /// Number of kept sequences.
    pub(crate) fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// Tokens of all kept sequences.
    pub(crate) fn kept_tokens(&self) -> usize {
        self.kept.iter().map(|kept| kept.tokens.len()).sum()
    }
}

/// How many tokens two sequences have in common at their beginning.
pub(crate) fn common_prefix(left: &[i32], right: &[i32]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

/// Whether agreement of this length is worth a copy.
pub(crate) const fn is_useful(tokens: usize) -> bool {
    tokens >= USEFUL_PREFIX_TOKENS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<i32>) -> Vec<i32> {
        range.collect()
    }

    #[test]
    fn the_last_token_is_never_covered() {
        let mut sequences = Sequences::new(1, 2, 1_000);
        let id = sequences.take().expect("free");
        assert!(sequences.keep(id, tokens(0..40)).is_empty());
        assert_eq!(
            sequences.reuse(&tokens(0..40)),
            Some(Reuse::TakeOver { id, tokens: 39 })
        );
    }

    #[test]
    fn a_long_conversation_is_not_cut_for_a_short_one() {
        let mut sequences = Sequences::new(1, 2, 1_000);
        let id = sequences.take().expect("free");
        sequences.keep(id, tokens(0..100));
        let mut prompt = tokens(0..20);
        prompt.extend(500..600);
        assert_eq!(
            sequences.reuse(&prompt),
            Some(Reuse::Copy { id, tokens: 20 })
        );
        assert_eq!(sequences.kept_count(), 1);
    }

    #[test]
    fn short_agreement_is_passed_over() {
        let mut sequences = Sequences::new(1, 2, 1_000);
        let id = sequences.take().expect("free");
        sequences.keep(id, tokens(0..100));
        let mut prompt = tokens(0..15);
        prompt.extend(500..600);
        assert_eq!(sequences.reuse(&prompt), None);
        assert_eq!(sequences.reuse(&[]), None);
    }

    #[test]
    fn the_bounds_hold_and_the_oldest_goes_first() {
        let mut sequences = Sequences::new(4, 2, 100);
        let ids: Vec<i32> = (0..4).map(|_| sequences.take().expect("free")).collect();
        assert!(sequences.keep(ids[0], tokens(0..40)).is_empty());
        assert!(sequences.keep(ids[1], tokens(100..140)).is_empty());
        assert_eq!(sequences.keep(ids[2], tokens(200..240)), [ids[0]]);
        // Too long to be kept at all, and too short to be worth it.
        assert_eq!(sequences.keep(ids[3], tokens(0..101)), [ids[3]]);
        let id = sequences.take().expect("free");
        assert_eq!(sequences.keep(id, tokens(0..3)), [id]);
        assert_eq!(sequences.kept_tokens(), 80);
    }
}
