//! What a cache of prompts could save at best.

use hashlink::LruCache;
use serde::Serialize;

use super::real;
use crate::Workload;

/// What a cache of one size would find, if every request that came had been computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reuse {
    /// How many tokens the cache holds; nothing for a cache without bounds.
    pub cache_tokens: Option<u64>,
    /// Blocks that were there, of all blocks, 0 to 1.
    pub block_hit_rate: f64,
    /// Input tokens that were there, of all input tokens, 0 to 1.
    pub token_hit_rate: f64,
}

/// The hit rates of a cache without bounds, and of least-recently-used caches of these sizes.
///
/// A block is found only when all before it are: what a model computes of a text depends on all that
/// precedes it. Every block of a request counts as used, and is there for the next. Of a request, all
/// tokens but the last can be found at best, because the last one's output is what is asked for.
#[must_use]
pub fn reuse(workload: &Workload, cache_tokens: &[u64]) -> Vec<Reuse> {
    let sizes = std::iter::once(None).chain(cache_tokens.iter().copied().map(Some));
    sizes.map(|size| hit_rates(workload, size)).collect()
}

fn hit_rates(workload: &Workload, cache_tokens: Option<u64>) -> Reuse {
    let block_tokens = u64::from(workload.prefix_block_tokens);
    let capacity = match cache_tokens {
        Some(tokens) => tokens.checked_div(block_tokens).unwrap_or(0),
        None => u64::MAX,
    };
    let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
    let mut cache = if cache_tokens.is_none() {
        LruCache::new_unbounded()
    } else {
        LruCache::new(capacity)
    };
    let (mut blocks, mut hits, mut tokens, mut hit_tokens) = (0_u64, 0_u64, 0_u64, 0_u64);
    for arrival in &workload.arrivals {
        let prefix = workload.prefix_of(arrival);
        let found = prefix
            .iter()
            .take_while(|block| cache.get(*block).is_some());
        let found = found.count() as u64;
        // From the end, so that what begins most requests is dropped last.
        for block in prefix.iter().rev() {
            cache.insert(*block, ());
        }
        blocks += prefix.len() as u64;
        hits += found;
        tokens += u64::from(arrival.input_tokens);
        let possible = u64::from(arrival.input_tokens.saturating_sub(1));
        hit_tokens += (found * block_tokens).min(possible);
    }
    Reuse {
        cache_tokens,
        block_hit_rate: real(hits) / real(blocks.max(1)),
        token_hit_rate: real(hit_tokens) / real(tokens.max(1)),
    }
}
