//! How an engine is set up.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::error::LoadError;

/// Sequences that llama.cpp can tell apart.
const SEQUENCES_MAX: u32 = 256;
/// Largest context that is accepted, whatever the model says.
const CONTEXT_TOKENS_MAX: u32 = 4 * 1024 * 1024;

/// How an engine is set up. [`EngineSettings::new`] gives working defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// The GGUF file.
    pub model_path: PathBuf,
    /// Tokens of prompt and answer together that one request may have. `None`: what the model was
    /// trained on, at most 8192.
    pub context_tokens: Option<u32>,
    /// Tokens of all requests together that the cache holds. `None`: as `context_tokens`.
    pub cache_tokens: Option<u32>,
    /// Answers that are generated at the same time.
    pub slots: u32,
    /// Finished conversations that are kept so that the next turn need not evaluate them again.
    pub kept_prefixes: u32,
    /// Tokens of all kept conversations together. They make every step a little slower.
    pub kept_prefix_tokens: u32,
    /// Prompt tokens that are evaluated per step. Smaller: answers under way stall less while a
    /// prompt is read, and a client that leaves is noticed sooner.
    pub prefill_chunk_tokens: u32,
    /// Requests that may wait for a slot; more are refused.
    pub queue_length: usize,
    /// Pieces of an answer that may wait for a slow reader before its slot pauses.
    pub output_buffer: usize,
    /// Threads that evaluate. `None`: all cores that this process may use.
    pub threads: Option<NonZeroUsize>,
    /// Layers to put on a GPU. Without a GPU in the build or the machine, all stay on the CPU.
    pub gpu_layers: u32,
    /// Load even when the memory seems too small.
    pub ignore_memory_estimate: bool,
}

impl EngineSettings {
    /// The defaults for the model in `model_path`.
    pub fn new(model_path: impl Into<PathBuf>) -> Self {
        Self {
            model_path: model_path.into(),
            context_tokens: None,
            cache_tokens: None,
            slots: 8,
            kept_prefixes: 8,
            kept_prefix_tokens: 4096,
            prefill_chunk_tokens: 128,
            queue_length: 64,
            output_buffer: 64,
            threads: None,
            gpu_layers: 999,
            ignore_memory_estimate: false,
        }
    }

    /// Checks the ranges and replaces every "default" by a number.
    pub(crate) fn resolve(&self, context_tokens_trained: u32) -> Result<Resolved, LoadError> {
        let within = |setting: &'static str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let message = format!("must be between {min} and {max}, but is {value}");
            Err(LoadError::Setting { setting, message })
        };
        let trained = match context_tokens_trained {
            0 => 4096,
            trained => trained,
        };
        let context_tokens = self.context_tokens.unwrap_or(trained.min(8192));
        let cache_tokens = self.cache_tokens.unwrap_or(context_tokens);
        within(
            "context_tokens",
            context_tokens.into(),
            16,
            CONTEXT_TOKENS_MAX.into(),
        )?;
        within(
            "cache_tokens",
            cache_tokens.into(),
            context_tokens.into(),
            CONTEXT_TOKENS_MAX.into(),
        )?;
        within("slots", self.slots.into(), 1, 128)?;
        let sequences = self.slots.saturating_add(self.kept_prefixes);
        within(
            "slots + kept_prefixes",
            sequences.into(),
            1,
            SEQUENCES_MAX.into(),
        )?;
        within(
            "prefill_chunk_tokens",
            self.prefill_chunk_tokens.into(),
            1,
            4096,
        )?;
        within("queue_length", self.queue_length as u64, 1, 1_000_000)?;
        within("output_buffer", self.output_buffer as u64, 1, 65_536)?;
        let threads = self.threads.map_or_else(default_threads, NonZeroUsize::get);
        within("threads", threads as u64, 1, 512)?;
        Ok(Resolved {
            context_tokens,
            cache_tokens,
            slots: self.slots as usize,
            kept_prefixes: self.kept_prefixes as usize,
            kept_prefix_tokens: self.kept_prefix_tokens as usize,
            prefill_chunk_tokens: self.prefill_chunk_tokens as usize,
            queue_length: self.queue_length,
            output_buffer: self.output_buffer,
            threads: i32::try_from(threads).unwrap_or(1),
            gpu_layers: self.gpu_layers,
        })
    }
}

/// Settings without a "default".
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) context_tokens: u32,
    pub(crate) cache_tokens: u32,
    pub(crate) slots: usize,
    pub(crate) kept_prefixes: usize,
    pub(crate) kept_prefix_tokens: usize,
    pub(crate) prefill_chunk_tokens: usize,
    pub(crate) queue_length: usize,
    pub(crate) output_buffer: usize,
    pub(crate) threads: i32,
    pub(crate) gpu_layers: u32,
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_every_model() {
        for trained in [0, 512, 8192, 131_072] {
            let resolved = EngineSettings::new("x").resolve(trained).expect("sound");
            assert!(resolved.context_tokens <= 8192);
            assert!(resolved.cache_tokens >= resolved.context_tokens);
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let base = EngineSettings::new("x");
        for (settings, name) in [
            (
                EngineSettings {
                    slots: 0,
                    ..base.clone()
                },
                "slots",
            ),
            (
                EngineSettings {
                    context_tokens: Some(1),
                    ..base.clone()
                },
                "context_tokens",
            ),
            (
                EngineSettings {
                    cache_tokens: Some(17),
                    ..base.clone()
                },
                "cache_tokens",
            ),
            (
                EngineSettings {
                    queue_length: 0,
                    ..base.clone()
                },
                "queue_length",
            ),
            (
                EngineSettings {
                    kept_prefixes: 4096,
                    ..base
                },
                "slots + kept_prefixes",
            ),
        ] {
            match settings.resolve(2048) {
                Err(LoadError::Setting { setting, .. }) => assert_eq!(setting, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
