//! A shape from the metadata of a GGUF file.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Reading the file is the caller's
//! affair; this crate does no input.

use std::collections::BTreeMap;

use super::{Experts, LatentAttention, ModelShape, SlidingWindow};
use crate::error::SimError;
use crate::quantisation::Weights;

/// One value of a GGUF file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// Any number.
    Number(f64),
    /// A text.
    Text(String),
    /// Numbers, such as a setting layer by layer.
    Numbers(Vec<f64>),
    /// The length of any other array.
    Length(u64),
}

impl GgufValue {
    /// A number; of a setting layer by layer the largest, so that memory is not underestimated.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Numbers(numbers) => numbers.iter().copied().reduce(f64::max),
            Self::Text(_) | Self::Length(_) => None,
        }
    }
}

pub(super) fn read(
    name: &str,
    metadata: &BTreeMap<String, GgufValue>,
) -> Result<ModelShape, SimError> {
    let architecture = match metadata.get("general.architecture") {
        Some(GgufValue::Text(text)) => text.clone(),
        _ => return Err(missing(name, "general.architecture")),
    };
    let keys = Keys {
        name,
        architecture,
        metadata,
    };
    let hidden = keys.needed("embedding_length")?;
    let heads = keys.needed("attention.head_count")?;
    let layers = keys.needed("block_count")?;
    let ffn = keys.optional("feed_forward_length").unwrap_or(0);
    let by_division = hidden.checked_div(heads).unwrap_or(0);
    let head_dim = keys.optional("attention.key_length").unwrap_or(by_division);
    let latent = keys.optional("attention.kv_lora_rank").map(|kv_rank| {
        let rope_dim = keys.optional("rope.dimension_count").unwrap_or(0);
        LatentAttention {
            kv_rank,
            rope_dim,
            nope_dim: head_dim.saturating_sub(rope_dim).max(1),
            value_dim: keys.optional("attention.value_length").unwrap_or(head_dim),
            q_rank: keys.optional("attention.q_lora_rank").unwrap_or(0),
        }
    });
    Ok(ModelShape {
        name: name.to_owned(),
        layers,
        hidden,
        heads,
        kv_heads: keys.optional("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        ffn,
        is_gated: ![
            "gpt2",
            "gptj",
            "gptneox",
            "bloom",
            "falcon",
            "phi2",
            "starcoder2",
            "mpt",
        ]
        .contains(&keys.architecture.as_str()),
        vocabulary: keys.vocabulary()?,
        // A file with tied embeddings has no `output.weight`, which metadata does not tell.
        has_tied_embeddings: keys.architecture.starts_with("gemma"),
        context_tokens: keys.optional("context_length").unwrap_or(0),
        experts: keys.experts(ffn),
        window: keys.window(layers),
        latent,
        native: keys.native(),
    })
}

fn missing(name: &str, key: &str) -> SimError {
    let why = format!("the GGUF metadata has no `{key}`; is this a whole language model's file?");
    SimError::malformed(name, why)
}

struct Keys<'a> {
    name: &'a str,
    architecture: String,
    metadata: &'a BTreeMap<String, GgufValue>,
}

impl Keys<'_> {
    fn optional(&self, key: &str) -> Option<u32> {
        let value = self.metadata.get(&format!("{}.{key}", self.architecture))?;
        let number = value.number()?;
        // Saturates on what no file says; the bounds are checked afterwards.
        (number >= 0.0).then_some(number as u32)
    }

    fn needed(&self, key: &str) -> Result<u32, SimError> {
        self.optional(key)
            .ok_or_else(|| missing(self.name, &format!("{}.{key}", self.architecture)))
    }

    fn vocabulary(&self) -> Result<u32, SimError> {
        let stated = self.optional("vocab_size");
        let counted = match self.metadata.get("tokenizer.ggml.tokens") {
            Some(GgufValue::Length(length)) => u32::try_from(*length).ok(),
            _ => None,
        };
        stated
            .or(counted)
            .ok_or_else(|| missing(self.name, "tokenizer.ggml.tokens"))
    }

    fn experts(&self, ffn: u32) -> Option<Experts> {
        let total = self.optional("expert_count").filter(|total| *total > 1)?;
        let expert_ffn = self.optional("expert_feed_forward_length").unwrap_or(ffn);
        let shared = self.optional("expert_shared_count").unwrap_or(0);
        Some(Experts {
            total,
            active: self.optional("expert_used_count").unwrap_or(1),
            ffn: expert_ffn,
            shared_ffn: self
                .optional("expert_shared_feed_forward_length")
                .unwrap_or_else(|| expert_ffn.saturating_mul(shared)),
            dense_layers: self.optional("leading_dense_block_count").unwrap_or(0),
        })
    }

    fn window(&self, layers: u32) -> Option<SlidingWindow> {
        let tokens = self
            .optional("attention.sliding_window")
            .filter(|tokens| *tokens > 0)?;
        // llama.cpp keeps the pattern of layers in its code, not in the file.
        let full_layers = match self.architecture.as_str() {
            "gpt-oss" | "gemma2" => layers / 2,
            "gemma3" => layers / 6,
            _ => 0,
        };
        Some(SlidingWindow {
            tokens,
            full_layers,
        })
    }

    /// From `general.file_type`, numbered as in llama.cpp's `llama_ftype`.
    fn native(&self) -> Weights {
        let kind = self
            .metadata
            .get("general.file_type")
            .and_then(GgufValue::number);
        match kind.map(|kind| kind as i64) {
            Some(0) => Weights::Fp32,
            Some(1) => Weights::Fp16,
            Some(2) => Weights::Q4_0,
            Some(3) => Weights::Q4_1,
            Some(7) => Weights::Q8_0,
            Some(8 | 9) => Weights::Q5_0,
            Some(10) => Weights::Q2K,
            Some(11..=13) => Weights::Q3KM,
            Some(16 | 17) => Weights::Q5KM,
            Some(18) => Weights::Q6K,
            Some(32) => Weights::Bf16,
            Some(38) => Weights::Mxfp4,
            // 14 and 15 are Q4_K; anything rarer is about as large.
            _ => Weights::Q4KM,
        }
    }
}
