//! What of a model decides its speed and its memory.

mod gguf;
mod hugging_face;

use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::error::SimError;
use crate::quantisation::{CacheType, Weights};

pub use gguf::GgufValue;

/// Experts, of which every token uses a few.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experts {
    /// Experts of one layer.
    pub total: u32,
    /// Experts that one token uses.
    pub active: u32,
    /// Width of one expert.
    pub ffn: u32,
    /// Width of all experts together that every token uses.
    pub shared_ffn: u32,
    /// Layers without experts.
    pub dense_layers: u32,
}

/// Layers that see only the newest tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// How many tokens they see.
    pub tokens: u32,
    /// Layers that nevertheless see everything.
    pub full_layers: u32,
}

/// Multi-head latent attention: one compressed vector is cached instead of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentAttention {
    /// Width of the compressed vector.
    pub kv_rank: u32,
    /// Width of the part that carries the position, cached beside it.
    pub rope_dim: u32,
    /// Width of a head's part without a position.
    pub nope_dim: u32,
    /// Width of a head's value.
    pub value_dim: u32,
    /// Width to which queries are compressed; 0 when they are not.
    pub q_rank: u32,
}

/// What of a model decides its speed and its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// The model's name.
    pub name: String,
    /// Layers.
    pub layers: u32,
    /// Width between layers.
    pub hidden: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Width of a dense layer's feed-forward part.
    pub ffn: u32,
    /// Whether the feed-forward part has a gate, a third matrix.
    pub is_gated: bool,
    /// Entries of the vocabulary.
    pub vocabulary: u32,
    /// Whether the output layer shares the embeddings.
    pub has_tied_embeddings: bool,
    /// Longest context, tokens; 0 when nobody told.
    pub context_tokens: u32,
    /// Experts, if it has any.
    pub experts: Option<Experts>,
    /// Layers with a limited view, if it has any.
    pub window: Option<SlidingWindow>,
    /// Latent attention, if it uses it.
    pub latent: Option<LatentAttention>,
    /// As what its makers publish the weights.
    pub native: Weights,
}

/// A row of the bundled table.
#[derive(Deserialize)]
struct Row {
    name: String,
    aliases: String,
    layers: u32,
    hidden: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    ffn: u32,
    gated: u8,
    vocab: u32,
    tied: u8,
    context: u32,
    experts: Option<u32>,
    active: Option<u32>,
    expert_ffn: Option<u32>,
    shared_ffn: Option<u32>,
    dense_layers: Option<u32>,
    window: Option<u32>,
    full_layers: Option<u32>,
    kv_rank: Option<u32>,
    rope_dim: Option<u32>,
    nope_dim: Option<u32>,
    value_dim: Option<u32>,
    q_rank: Option<u32>,
    native: Weights,
    source: String,
}

impl Row {
    fn shape(&self) -> ModelShape {
        ModelShape {
            name: self.name.clone(),
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            ffn: self.ffn,
            is_gated: self.gated == 1,
            vocabulary: self.vocab,
            has_tied_embeddings: self.tied == 1,
            context_tokens: self.context,
            experts: self.experts.map(|total| Experts {
                total,
                active: self.active.unwrap_or(total),
                ffn: self.expert_ffn.unwrap_or(self.ffn),
                shared_ffn: self.shared_ffn.unwrap_or(0),
                dense_layers: self.dense_layers.unwrap_or(0),
            }),
            window: self.window.map(|tokens| SlidingWindow {
                tokens,
                full_layers: self.full_layers.unwrap_or(0),
            }),
            latent: self.kv_rank.map(|kv_rank| LatentAttention {
                kv_rank,
                rope_dim: self.rope_dim.unwrap_or(0),
                nope_dim: self.nope_dim.unwrap_or(self.head_dim),
                value_dim: self.value_dim.unwrap_or(self.head_dim),
                q_rank: self.q_rank.unwrap_or(0),
            }),
            native: self.native,
        }
    }
}

/// Parts of a name that say how a model was tuned or stored, not what shape it has.
const SHAPELESS: [&str; 34] = [
    "instruct",
    "chat",
    "it",
    "pt",
    "hf",
    "base",
    "thinking",
    "gguf",
    "fp8",
    "fp4",
    "nvfp4",
    "mxfp4",
    "awq",
    "gptq",
    "int4",
    "int8",
    "bf16",
    "fp16",
    "w4a16",
    "w8a8",
    "dynamic",
    "quantized",
    "static",
    "2501",
    "2503",
    "2506",
    "2507",
    "v0.1",
    "v0.2",
    "v0.3",
    "meta",
    "nvidia",
    "128k",
    "4k",
];

fn without_tuning(name: &str) -> String {
    let own = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let kept: Vec<&str> = own
        .split(['-', '_', ' '])
        .filter(|part| !SHAPELESS.contains(part))
        .collect();
    kept.join("-")
}

impl ModelShape {
    /// The bundled shapes, each with the repository that it was read from.
    #[must_use]
    pub fn catalogue() -> Vec<(Self, String)> {
        table()
            .iter()
            .map(|row| (row.shape(), row.source.clone()))
            .collect()
    }

    /// A shape of the catalogue; `meta-llama/Llama-3.1-8B-Instruct` finds `Llama-3.1-8B`.
    ///
    /// # Errors
    /// [`SimError::Unknown`] with the nearest names.
    pub fn find(name: &str) -> Result<Self, SimError> {
        let all = table();
        let exact = catalogue::plain(name);
        let loose = catalogue::plain(&without_tuning(name));
        let found = [exact, loose].into_iter().find_map(|wanted| {
            all.iter()
                .find(|row| catalogue::is_called(&wanted, &row.name, &row.aliases))
        });
        found.map(Row::shape).ok_or_else(|| {
            catalogue::unknown(
                "model",
                name,
                all.iter().map(|row| row.name.as_str()),
                "or give the path of its config.json or GGUF file",
            )
        })
    }

    /// A shape from a Hugging Face `config.json`.
    ///
    /// # Errors
    /// [`SimError::Malformed`] when a needed entry is missing or makes no sense.
    pub fn from_hugging_face(name: &str, config: &serde_json::Value) -> Result<Self, SimError> {
        hugging_face::read(name, config)?.checked()
    }

    /// A shape from the metadata of a GGUF file, key by key.
    ///
    /// # Errors
    /// [`SimError::Malformed`] when a needed entry is missing or makes no sense.
    pub fn from_gguf(
        name: &str,
        metadata: &std::collections::BTreeMap<String, GgufValue>,
    ) -> Result<Self, SimError> {
        gguf::read(name, metadata)?.checked()
    }

    /// A guess for a model of which only the size is known: the nearest known shape of its kind,
    /// with layers and widths stretched alike.
    #[must_use]
    pub fn like(name: &str, parameters: f64, active_parameters: f64) -> Self {
        let is_mixture = active_parameters < 0.8 * parameters;
        let distance = |shape: &Self| (shape.parameters() / parameters).ln().abs();
        let nearest = table()
            .iter()
            .map(Row::shape)
            .filter(|shape| shape.experts.is_some() == is_mixture && shape.is_gated)
            .min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let Some(mut shape) = nearest else {
            return Self::find("Llama-3.1-8B").unwrap_or_else(|_| unreachable!("it is bundled"));
        };
        let stretch = (parameters / shape.parameters()).cbrt();
        let stretched = |value: u32| ((f64::from(value) * stretch).round() as u32).max(1);
        shape.name = name.to_owned();
        shape.layers = stretched(shape.layers);
        shape.hidden = stretched(shape.hidden);
        shape.ffn = stretched(shape.ffn);
        if let Some(experts) = &mut shape.experts {
            experts.ffn = stretched(experts.ffn);
            experts.shared_ffn = stretched(experts.shared_ffn);
        }
        shape
    }

    /// Refuses what no model has, so that later arithmetic cannot overflow or divide by zero.
    fn checked(self) -> Result<Self, SimError> {
        let bounds = [
            ("layers", self.layers, 2_000),
            ("hidden size", self.hidden, 1_000_000),
            ("attention heads", self.heads, 10_000),
            ("key-value heads", self.kv_heads, 10_000),
            ("head size", self.head_dim, 10_000),
            ("vocabulary", self.vocabulary, 50_000_000),
        ];
        for (what, value, most) in bounds {
            if value == 0 || value > most {
                let why = format!("{what} is {value}; it must be 1 to {most}");
                return Err(SimError::malformed(&self.name, why));
            }
        }
        if self.ffn == 0 && self.experts.is_none() {
            return Err(SimError::malformed(
                &self.name,
                "the feed-forward width is 0",
            ));
        }
        if let Some(experts) = self.experts
            && (experts.active == 0 || experts.active > experts.total || experts.ffn == 0)
        {
            let why = format!(
                "{} of {} experts of width {} are active",
                experts.active, experts.total, experts.ffn
            );
            return Err(SimError::malformed(&self.name, why));
        }
        Ok(self)
    }

    /// Layers with experts.
    #[must_use]
    pub fn expert_layers(&self) -> u32 {
        self.experts.map_or(0, |experts| {
            self.layers.saturating_sub(experts.dense_layers)
        })
    }

    /// Weights of the attention of one layer.
    #[must_use]
    pub fn attention_weights(&self) -> f64 {
        let hidden = f64::from(self.hidden);
        let heads = f64::from(self.heads);
        if let Some(latent) = self.latent {
            let [kv, rope, nope, value, q] = [
                latent.kv_rank,
                latent.rope_dim,
                latent.nope_dim,
                latent.value_dim,
                latent.q_rank,
            ]
            .map(f64::from);
            let query = heads * (nope + rope);
            let queries = if q > 0.0 {
                (hidden + query) * q
            } else {
                hidden * query
            };
            return queries
                + hidden * (kv + rope)
                + kv * heads * (nope + value)
                + heads * value * hidden;
        }
        let width = heads * f64::from(self.head_dim);
        let kv_width = f64::from(self.kv_heads) * f64::from(self.head_dim);
        2.0 * hidden * width + 2.0 * hidden * kv_width
    }

    fn matrices(&self) -> f64 {
        if self.is_gated { 3.0 } else { 2.0 }
    }

    /// Weights that every token uses in all layers: attention, dense and shared feed-forward parts, and
    /// the experts' router; no embeddings.
    #[must_use]
    pub fn common_weights(&self) -> f64 {
        let hidden = f64::from(self.hidden);
        let with_experts = f64::from(self.expert_layers());
        let dense = f64::from(self.layers) - with_experts;
        let shared = self.experts.map_or(0.0, |experts| {
            hidden * (self.matrices() * f64::from(experts.shared_ffn) + f64::from(experts.total))
        });
        f64::from(self.layers) * self.attention_weights()
            + dense * self.matrices() * hidden * f64::from(self.ffn)
            + with_experts * shared
    }

    /// Weights of one expert in all layers that have experts.
    #[must_use]
    pub fn expert_weights(&self) -> f64 {
        self.experts.map_or(0.0, |experts| {
            f64::from(self.expert_layers())
                * self.matrices()
                * f64::from(self.hidden)
                * f64::from(experts.ffn)
        })
    }

    /// Weights of the output layer, as many as of the embeddings.
    #[must_use]
    pub fn output_weights(&self) -> f64 {
        f64::from(self.vocabulary) * f64::from(self.hidden)
    }

    /// All parameters, without norms and biases (below 0.1 % in all known models).
    #[must_use]
    pub fn parameters(&self) -> f64 {
        let total = self.experts.map_or(0.0, |experts| f64::from(experts.total));
        let embeddings = if self.has_tied_embeddings { 1.0 } else { 2.0 };
        self.common_weights() + total * self.expert_weights() + embeddings * self.output_weights()
    }

    /// Parameters that one token uses, embeddings left out but the output layer included.
    #[must_use]
    pub fn active_parameters(&self) -> f64 {
        let active = self
            .experts
            .map_or(0.0, |experts| f64::from(experts.active));
        self.common_weights() + active * self.expert_weights() + self.output_weights()
    }

    /// Bytes that all weights take in memory.
    #[must_use]
    pub fn weight_bytes(&self, weights: Weights) -> f64 {
        let total = self.experts.map_or(0.0, |experts| f64::from(experts.total));
        let embeddings = if self.has_tied_embeddings { 1.0 } else { 2.0 };
        self.common_weights() * Self::common_bytes(weights)
            + total * self.expert_weights() * weights.bytes()
            + embeddings * self.output_weights() * Self::embedding_bytes(weights)
    }

    /// Bytes of one weight outside experts and embeddings.
    #[must_use]
    pub fn common_bytes(weights: Weights) -> f64 {
        if weights.is_experts_only() {
            2.0
        } else {
            weights.bytes()
        }
    }

    /// Bytes of one weight of embeddings and output layer.
    #[must_use]
    pub fn embedding_bytes(weights: Weights) -> f64 {
        if weights.covers_embeddings() {
            weights.bytes()
        } else {
            weights.bytes().max(2.0)
        }
    }

    /// Layers that see the whole context.
    #[must_use]
    pub fn full_layers(&self) -> u32 {
        self.window
            .map_or(self.layers, |window| window.full_layers.min(self.layers))
    }

    /// Bytes that one token takes in the cache in one layer.
    #[must_use]
    pub fn cache_bytes_per_layer(&self, cache: CacheType) -> f64 {
        let numbers = match self.latent {
            Some(latent) => f64::from(latent.kv_rank + latent.rope_dim),
            None => 2.0 * f64::from(self.kv_heads) * f64::from(self.head_dim),
        };
        numbers * cache.bytes()
    }

    /// Bytes that the cache of one sequence takes, windows kept to their length.
    #[must_use]
    pub fn cache_bytes(&self, tokens: f64, cache: CacheType) -> f64 {
        let full = f64::from(self.full_layers());
        let windowed = f64::from(self.layers) - full;
        let seen = self
            .window
            .map_or(tokens, |window| tokens.min(f64::from(window.tokens)));
        (full * tokens + windowed * seen) * self.cache_bytes_per_layer(cache)
    }
}

fn table() -> Vec<Row> {
    catalogue::rows(include_str!("../data/models.csv"))
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
