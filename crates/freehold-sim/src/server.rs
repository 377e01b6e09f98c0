//! One replica: a model on some GPUs with an engine; what fits into its memory.

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Limits};
use crate::error::SimError;
use crate::gpu::{Gpu, Link};
use crate::quantisation::{CacheType, Weights};
use crate::shape::ModelShape;

/// Bytes that the runtime keeps on every GPU whatever the model: context, graphs, libraries' buffers.
const RUNTIME_BYTES: f64 = 1.0e9;
/// Share of the weights' bytes lost to padding, alignment and fragmentation.
const PADDING_SHARE: f64 = 0.01;

/// One replica: a model on some GPUs with an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The model.
    pub shape: ModelShape,
    /// How its weights are stored.
    pub weights: Weights,
    /// How keys and values are stored.
    pub cache: CacheType,
    /// The GPU.
    pub gpu: Gpu,
    /// How many GPUs share one copy of the model (tensor parallelism).
    pub gpus: u32,
    /// The engine.
    pub engine: Engine,
    /// Its settings.
    pub limits: Limits,
}

/// What fits into a replica's memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes of weights on each GPU.
    pub weight_bytes: f64,
    /// Bytes of buffers on each GPU.
    pub buffer_bytes: f64,
    /// Bytes left for the cache, all GPUs together; below 0 when the model does not fit.
    pub cache_bytes: f64,
    /// Tokens that the cache holds when sequences are long.
    pub cache_tokens: u64,
}

impl Server {
    /// A replica with the engine's own settings.
    #[must_use]
    pub fn new(shape: ModelShape, weights: Weights, gpu: Gpu, gpus: u32, engine: Engine) -> Self {
        let limits = Limits::of(engine, &gpu);
        Self {
            shape,
            weights,
            cache: CacheType::default(),
            gpu,
            gpus: gpus.max(1),
            engine,
            limits,
        }
    }

    /// The same on another number of GPUs.
    #[must_use]
    pub fn on(&self, gpus: u32) -> Self {
        Self {
            gpus: gpus.max(1),
            ..self.clone()
        }
    }

    /// GPUs as a factor.
    pub(crate) fn parallel(&self) -> f64 {
        f64::from(self.gpus.max(1))
    }

    /// How many times keys and values are stored: GPUs beyond the number of heads store copies.
    #[must_use]
    pub fn cache_copies(&self) -> f64 {
        let heads = match self.shape.latent {
            Some(_) => 1,
            None => self.shape.kv_heads.max(1),
        };
        (self.parallel() / f64::from(heads)).max(1.0)
    }

    /// Bytes that one more cached token takes, all GPUs together, in layers that see everything.
    #[must_use]
    pub fn token_bytes(&self) -> f64 {
        f64::from(self.shape.full_layers())
            * self.shape.cache_bytes_per_layer(self.cache)
            * self.cache_copies()
    }

    /// Bytes that a sequence of so many tokens takes in the cache, all GPUs together.
    #[must_use]
    pub fn sequence_bytes(&self, tokens: f64) -> f64 {
        self.shape.cache_bytes(tokens, self.cache) * self.cache_copies()
    }

    /// What fits.
    ///
    /// Weights are divided among the GPUs; buffers are the runtime's own and the widest
    /// activations of one step: 16-bit rows of the hidden state (8 copies) and of the feed-forward
    /// part, and the output layer's 32-bit numbers of all sequences.
    #[must_use]
    pub fn room(&self) -> Room {
        let parallel = self.parallel();
        let weight_bytes = self.shape.weight_bytes(self.weights) * (1.0 + PADDING_SHARE) / parallel;
        let width = 8.0 * f64::from(self.shape.hidden) + 2.0 * self.widest_ffn() / parallel;
        let rows = f64::from(self.limits.step_tokens.min(16_384));
        let logits = f64::from(self.limits.sequences.min(1_024)) * f64::from(self.shape.vocabulary);
        let buffer_bytes = RUNTIME_BYTES + 2.0 * rows * width + 4.0 * logits / parallel;
        let usable = self.gpu.memory_bytes() * self.limits.memory_share;
        let cache_bytes = (usable - weight_bytes - buffer_bytes) * parallel;
        // Windows are filled once; the rest of the room holds tokens of full layers.
        let per_token = self.token_bytes().max(1.0);
        let cache_tokens = (cache_bytes / per_token).max(0.0) as u64;
        Room {
            weight_bytes,
            buffer_bytes,
            cache_bytes,
            cache_tokens,
        }
    }

    fn widest_ffn(&self) -> f64 {
        let dense = f64::from(self.shape.ffn);
        self.shape.experts.map_or(dense, |experts| {
            f64::from(experts.active * experts.ffn + experts.shared_ffn)
        })
    }

    /// How many sequences of so many tokens run together.
    #[must_use]
    pub fn sequences_of(&self, tokens: f64) -> f64 {
        let by_memory = self.room().cache_bytes / self.sequence_bytes(tokens.max(1.0)).max(1.0);
        by_memory.min(f64::from(self.limits.sequences)).max(0.0)
    }

    /// Whether one sequence of so many tokens can be served.
    ///
    /// # Errors
    /// [`SimError::DoesNotFit`], with what would help.
    pub fn check(&self, tokens: f64) -> Result<(), SimError> {
        self.limits.check()?;
        let room = self.room();
        let not = |why: String, hint: String| SimError::DoesNotFit {
            model: format!("{} in {}", self.shape.name, self.weights),
            why,
            hint,
        };
        let giga = |bytes: f64| bytes / 1e9;
        let where_to = format!("{} x {}", self.gpus, self.gpu.name);
        if self.gpus > 1 && self.gpu.link == Link::Pcie && self.gpus > 8 {
            let why = format!("{where_to} do not reach each other fast enough");
            return Err(not(why, "use at most 8 GPUs of one server".to_owned()));
        }
        if room.cache_bytes <= 0.0 {
            let need = room.weight_bytes + room.buffer_bytes;
            let have = self.gpu.memory_bytes() * self.limits.memory_share;
            let why = format!(
                "each GPU of {where_to} needs {:.1} GB and may use {:.1}",
                giga(need),
                giga(have)
            );
            return Err(not(why, self.hint(tokens)));
        }
        if self.sequence_bytes(tokens) > room.cache_bytes {
            let why = format!(
                "the cache of {where_to} holds {} tokens and one request has {tokens:.0}",
                room.cache_tokens
            );
            return Err(not(why, self.hint(tokens)));
        }
        Ok(())
    }

    /// The smallest change that would make it fit.
    fn hint(&self, tokens: f64) -> String {
        let fits = |server: &Self| {
            let room = server.room();
            room.cache_bytes > server.sequence_bytes(tokens)
        };
        let more = [2, 4, 8, 16]
            .into_iter()
            .find(|gpus| *gpus > self.gpus && fits(&self.on(*gpus)));
        let smaller = [Weights::Fp8, Weights::Int4].into_iter().find(|weights| {
            let server = Self {
                weights: *weights,
                ..self.clone()
            };
            weights.bits() < self.weights.bits() && fits(&server)
        });
        match (more, smaller) {
            (Some(gpus), Some(weights)) => {
                format!("use {gpus} GPUs, or {weights} weights on {}", self.gpus)
            }
            (Some(gpus), None) => format!("use {gpus} GPUs"),
            (None, Some(weights)) => format!("use {weights} weights"),
            (None, None) => "take a GPU with more memory or a smaller model".to_owned(),
        }
    }
}
