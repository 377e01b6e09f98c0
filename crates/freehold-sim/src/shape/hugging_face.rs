//! A shape from a Hugging Face `config.json`.

use serde_json::Value;

use super::{Experts, LatentAttention, ModelShape, SlidingWindow};
use crate::error::SimError;
use crate::quantisation::Weights;

/// Reads the entries that `transformers` writes; models with pictures keep them under `text_config`.
pub(super) fn read(name: &str, config: &Value) -> Result<ModelShape, SimError> {
    let text = Config {
        name,
        entries: config
            .get("text_config")
            .filter(|part| part.get("num_hidden_layers").is_some())
            .unwrap_or(config),
    };
    let hidden = text.needed(&["hidden_size", "n_embd", "d_model"])?;
    let heads = text.needed(&["num_attention_heads", "n_head", "num_heads"])?;
    let layers = text.needed(&["num_hidden_layers", "n_layer", "num_layers"])?;
    let kv_heads = text
        .optional(&["num_key_value_heads", "num_kv_heads", "n_head_kv"])?
        .unwrap_or(heads);
    let head_dim = match text.optional(&["head_dim"])? {
        Some(width) => width,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let ffn = text.optional(&["intermediate_size", "n_inner", "ffn_hidden_size"])?;
    let latent = text.latent(head_dim)?;
    Ok(ModelShape {
        name: name.to_owned(),
        layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        ffn: ffn.unwrap_or_else(|| hidden.saturating_mul(4)),
        is_gated: text.is_gated(),
        vocabulary: text.needed(&["vocab_size"])?,
        has_tied_embeddings: text.has_tied_embeddings(config),
        context_tokens: text
            .optional(&["max_position_embeddings", "n_positions", "seq_length"])?
            .unwrap_or(0),
        experts: text.experts(layers, ffn)?,
        window: text.window(layers)?,
        latent,
        native: text.native(config),
    })
}

struct Config<'a> {
    name: &'a str,
    entries: &'a Value,
}

impl Config<'_> {
    fn optional(&self, keys: &[&str]) -> Result<Option<u32>, SimError> {
        let found = keys.iter().find_map(|key| {
            Some((key, self.entries.get(key)?)).filter(|(_, value)| !value.is_null())
        });
        let Some((key, value)) = found else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| {
            let why = format!("`{key}` in config.json is {value}, not a whole number");
            SimError::malformed(self.name, why)
        })
    }

    fn needed(&self, keys: &[&str]) -> Result<u32, SimError> {
        self.optional(keys)?.ok_or_else(|| {
            let why = format!(
                "config.json has no `{}`; give the model's own config.json, not an adapter's or a tokenizer's",
                keys[0]
            );
            SimError::malformed(self.name, why)
        })
    }

    fn text(&self, key: &str) -> &str {
        self.entries.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// Old families have two matrices; all newer ones have a gate.
    fn is_gated(&self) -> bool {
        ![
            "gpt2",
            "gptj",
            "gpt_neox",
            "gpt_bigcode",
            "opt",
            "bloom",
            "falcon",
            "phi",
            "starcoder2",
            "mpt",
        ]
        .contains(&self.text("model_type"))
    }

    fn has_tied_embeddings(&self, whole: &Value) -> bool {
        let told = [self.entries, whole]
            .iter()
            .find_map(|part| part.get("tie_word_embeddings")?.as_bool());
        // Families whose default is to share; `transformers` leaves defaults out of the file.
        let by_default = self.text("model_type");
        told.unwrap_or(by_default.starts_with("gemma") || ["gpt2", "bloom"].contains(&by_default))
    }

    fn experts(&self, layers: u32, ffn: Option<u32>) -> Result<Option<Experts>, SimError> {
        let total = self.optional(&["num_local_experts", "num_experts", "n_routed_experts"])?;
        let Some(total) = total.filter(|total| *total > 1) else {
            return Ok(None);
        };
        let expert_ffn = match self.optional(&["moe_intermediate_size"])? {
            Some(width) => width,
            None => ffn.unwrap_or(0),
        };
        let shared = match self.optional(&["shared_expert_intermediate_size"])? {
            Some(width) => width,
            None => expert_ffn.saturating_mul(self.optional(&["n_shared_experts"])?.unwrap_or(0)),
        };
        let every = self.optional(&["decoder_sparse_step", "interleave_moe_layer_step"])?;
        let leading = self.optional(&["first_k_dense_replace"])?.unwrap_or(0);
        let skipped = layers - layers / every.unwrap_or(1).max(1);
        let active = ["num_experts_per_tok", "num_experts_per_token", "moe_topk"];
        Ok(Some(Experts {
            total,
            active: self.needed(&active)?,
            ffn: expert_ffn,
            shared_ffn: shared,
            dense_layers: leading.max(skipped).min(layers),
        }))
    }

    fn window(&self, layers: u32) -> Result<Option<SlidingWindow>, SimError> {
        let tokens = self.optional(&["sliding_window", "attention_chunk_size"])?;
        let is_off = self
            .entries
            .get("use_sliding_window")
            .and_then(Value::as_bool)
            == Some(false);
        let Some(tokens) = tokens.filter(|tokens| *tokens > 0 && !is_off) else {
            return Ok(None);
        };
        let full_layers =
            if let Some(kinds) = self.entries.get("layer_types").and_then(Value::as_array) {
                let full = kinds
                    .iter()
                    .filter(|kind| kind.as_str() == Some("full_attention"));
                u32::try_from(full.count()).unwrap_or(layers)
            } else if let Some(every) = self.optional(&["sliding_window_pattern"])? {
                layers.checked_div(every).unwrap_or(0)
            } else if self.text("model_type") == "gemma2" {
                layers / 2
            } else if let Some(first) = self.optional(&["max_window_layers"])? {
                first.min(layers)
            } else {
                0
            };
        Ok(Some(SlidingWindow {
            tokens,
            full_layers,
        }))
    }

    fn latent(&self, head_dim: u32) -> Result<Option<LatentAttention>, SimError> {
        let Some(kv_rank) = self.optional(&["kv_lora_rank"])? else {
            return Ok(None);
        };
        Ok(Some(LatentAttention {
            kv_rank,
            rope_dim: self.optional(&["qk_rope_head_dim"])?.unwrap_or(0),
            nope_dim: self.optional(&["qk_nope_head_dim"])?.unwrap_or(head_dim),
            value_dim: self.optional(&["v_head_dim"])?.unwrap_or(head_dim),
            q_rank: self.optional(&["q_lora_rank"])?.unwrap_or(0),
        }))
    }

    /// The quantisation that the file states, else its number format.
    fn native(&self, whole: &Value) -> Weights {
        let parts = [self.entries, whole];
        let stated = parts
            .iter()
            .find_map(|part| part.get("quantization_config"));
        if let Some(stated) = stated {
            let method = stated
                .get("quant_method")
                .and_then(Value::as_str)
                .unwrap_or("");
            if let Ok(weights) = method.parse() {
                return weights;
            }
            let text = stated.to_string().to_lowercase();
            let bits = text.contains("\"num_bits\":4") || text.contains("\"bits\":4");
            return if text.contains("nvfp4") {
                Weights::Nvfp4
            } else if bits {
                Weights::Int4
            } else if text.contains("float") || text.contains("fp8") {
                Weights::Fp8
            } else {
                Weights::Int8
            };
        }
        let dtype = parts.iter().find_map(|part| {
            part.get("torch_dtype")
                .or_else(|| part.get("dtype"))?
                .as_str()
        });
        dtype
            .and_then(|name| name.parse().ok())
            .unwrap_or(Weights::Bf16)
    }
}
