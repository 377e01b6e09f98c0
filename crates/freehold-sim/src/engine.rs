//! What serving engines do unless told otherwise.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::gpu::Gpu;

/// A serving engine; constants are fitted per engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    TensorrtLlm,
    /// llama.cpp and what is built on it: Ollama, the embedded engine.
    LlamaCpp,
    /// An old engine with batches that are filled once (before continuous batching).
    StaticBatch,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Vllm,
        Self::Sglang,
        Self::TensorrtLlm,
        Self::LlamaCpp,
        Self::StaticBatch,
    ];

    /// The usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::TensorrtLlm => "tensorrt-llm",
            Self::LlamaCpp => "llama-cpp",
            Self::StaticBatch => "static-batch",
        }
    }
}

impl FromStr for Engine {
    type Err = SimError;

    /// Reads names as published benchmarks write them, versions and options behind them included.
    fn from_str(text: &str) -> Result<Self, SimError> {
        let name = text.to_lowercase();
        let is = |part: &str| name.contains(part);
        if is("static") {
            Ok(Self::StaticBatch)
        } else if is("trtllm") || is("tensorrt") {
            Ok(Self::TensorrtLlm)
        } else if is("sglang") {
            Ok(Self::Sglang)
        } else if is("vllm") {
            Ok(Self::Vllm)
        } else if is("llama.cpp") || is("llama-cpp") || is("ollama") {
            Ok(Self::LlamaCpp)
        } else {
            Err(SimError::Unknown {
                what: "engine",
                name: text.to_owned(),
                hint: "use vllm, sglang, tensorrt-llm or llama-cpp".to_owned(),
            })
        }
    }
}

/// How an engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Sequences that run together.
    pub sequences: u32,
    /// Tokens of one step, prompts' chunks and one per running sequence.
    pub step_tokens: u32,
    /// Share of GPU memory that the engine may take.
    pub memory_share: f64,
    /// Tokens of one cache block.
    pub block_tokens: u32,
    /// Whether a sequence gets the cache for all its output before it starts, so that nothing is
    /// ever preempted.
    pub reserves_output: bool,
}

impl Limits {
    /// An engine's own settings on a GPU.
    ///
    /// vLLM 0.10 and later: `EngineArgs` doubles nothing below 70 GiB and on A100 (2,048 tokens, 256
    /// sequences), else 8,192 and 1,024; `SGLang`: chunks of 8,192 on large GPUs, memory share 0.88;
    /// TensorRT-LLM: `max_num_tokens` 8,192, `max_batch_size` 2,048, no eviction; llama.cpp: 512
    /// tokens of a micro-batch, 4 slots of the server.
    #[must_use]
    pub fn of(engine: Engine, gpu: &Gpu) -> Self {
        let is_large = gpu.memory_mib >= 70 * 1024 && !gpu.name.starts_with("A100");
        let pick = |large: u32, small: u32| if is_large { large } else { small };
        let (sequences, step_tokens, memory_share, reserves_output) = match engine {
            Engine::Vllm => (pick(1_024, 256), pick(8_192, 2_048), 0.90, false),
            Engine::Sglang => (2_048, pick(8_192, 4_096), 0.88, false),
            Engine::TensorrtLlm => (2_048, 8_192, 0.90, true),
            Engine::LlamaCpp => (4, 512, 0.95, true),
            Engine::StaticBatch => (2_048, 16_384, 0.95, true),
        };
        Self {
            sequences,
            step_tokens,
            memory_share,
            block_tokens: 16,
            reserves_output,
        }
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`SimError::BadSetting`].
    pub fn check(&self) -> Result<(), SimError> {
        let whole = [
            ("sequences", self.sequences),
            ("step_tokens", self.step_tokens),
            ("block_tokens", self.block_tokens),
        ];
        for (name, value) in whole {
            if value == 0 {
                return Err(SimError::setting(name, 0.0, "at least 1"));
            }
        }
        if self.step_tokens < 16 {
            return Err(SimError::setting(
                "step_tokens",
                f64::from(self.step_tokens),
                "at least 16",
            ));
        }
        if self.memory_share > 0.0 && self.memory_share <= 1.0 {
            return Ok(());
        }
        Err(SimError::setting(
            "memory_share",
            self.memory_share,
            "above 0 and at most 1, such as 0.9",
        ))
    }
}
