//! Which blocks of prompts a replica still has in its cache.
//!
//! Blocks live in the part of the cache that no running sequence uses; the block that was used longest ago
//! goes first. A sequence that finds its beginning here skips computing it, and still counts its whole
//! prompt as its own: what two running sequences share is counted twice, which errs towards more
//! memory.

use hashlink::LruCache;
use rustc_hash::FxBuildHasher;

/// Blocks by id, least recently used first.
#[derive(Debug)]
pub(super) struct PrefixCache {
    blocks: LruCache<u64, (), FxBuildHasher>,
}

impl PrefixCache {
    pub(super) fn new() -> Self {
        Self {
            // Bounded by `shrink_to`, which knows how much memory is free.
            blocks: LruCache::with_hasher(usize::MAX, FxBuildHasher),
        }
    }

    /// How many blocks at the beginning are there.
    pub(super) fn leading(&mut self, prefix: &[u64]) -> usize {
        prefix
            .iter()
            .take_while(|block| self.blocks.get(*block).is_some())
            .count()
    }

    /// Remembers a prompt; its beginning stays longest, as more prompts share it.
    pub(super) fn insert(&mut self, prefix: &[u64]) {
        for block in prefix.iter().rev() {
            self.blocks.insert(*block, ());
        }
    }

    /// Keeps at most so many blocks.
    pub(super) fn shrink_to(&mut self, blocks: usize) {
        while self.blocks.len() > blocks {
            self.blocks.remove_lru();
        }
    }

    /// Forgets everything: the replica is gone.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_beginning_counts_and_old_blocks_go_first() {
        let mut cache = PrefixCache::new();
        cache.insert(&[1, 2, 3]);
        cache.insert(&[7, 8]);
        assert_eq!(cache.leading(&[1, 2, 9]), 2);
        assert_eq!(cache.leading(&[9, 1]), 0);
        // Blocks 1 and 2 were just used, so 3 is the oldest, then 8, then 7.
        cache.shrink_to(3);
        assert_eq!(cache.leading(&[1, 2, 3]), 2);
        assert_eq!(cache.leading(&[7, 8]), 1);
        cache.clear();
        assert_eq!(cache.leading(&[1]), 0);
    }
}
