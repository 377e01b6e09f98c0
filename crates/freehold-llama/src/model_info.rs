//! What a model file says about itself, and how much memory it will take.

use std::path::{Path, PathBuf};

use crate::architectures;
use crate::error::GgufError;
use crate::gguf::Header;

/// Bytes of one cached number: the cache is kept in 16-bit floating point.
const CACHE_NUMBER_BYTES: u64 = 2;
/// Buffers that llama.cpp allocates whatever the model.
const FIXED_BUFFER_BYTES: u64 = 64 * 1024 * 1024;

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The file.
    pub path: PathBuf,
    /// The model's name, from the file or, if it has none, from the file's name.
    pub name: String,
    /// llama.cpp's name of the architecture.
    pub architecture: String,
    /// Whether this build of llama.cpp can load the architecture.
    pub is_supported: bool,
    /// Number of parameters.
    pub parameters: u64,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Longest context the model was trained on, in tokens.
    pub context_tokens_trained: u32,
    /// Number of layers.
    pub layers: u32,
    /// Width of the embeddings.
    pub embedding_length: u32,
    /// Entries of the vocabulary.
    pub vocabulary: u32,
    /// The Jinja chat template, if the file has one.
    pub chat_template: Option<String>,
    /// SPDX id or name of the licence, if the file names one.
    pub licence: Option<String>,
    /// Sampling defaults that the model's makers recommend.
    pub recommended: RecommendedSampling,
    /// Cached numbers per token, keys and values of all layers together.
    cache_numbers_per_token: u64,
}

/// Sampling defaults from the file (`general.sampling.*`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecommendedSampling {
    /// Temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Only the k likeliest tokens.
    pub top_k: Option<u32>,
    /// Only tokens this likely relative to the likeliest.
    pub min_p: Option<f64>,
}

/// An estimate of the memory that a loaded model takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The weights.
    pub weights_bytes: u64,
    /// Keys and values of the whole context.
    pub cache_bytes: u64,
    /// Buffers for evaluation and output.
    pub buffers_bytes: u64,
}

impl MemoryEstimate {
    /// All together.
    pub const fn total_bytes(&self) -> u64 {
        self.weights_bytes
            .saturating_add(self.cache_bytes)
            .saturating_add(self.buffers_bytes)
    }
}

impl ModelInfo {
    /// Reads the header of the file at `path`. Does not load the model.
    ///
    /// # Errors
    /// When the file cannot be read or its header is not sound.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        let header = Header::open(path)?;
        Self::from_header(&header, path)
    }

    fn from_header(header: &Header, path: &Path) -> Result<Self, GgufError> {
        let architecture = header
            .text("general.architecture")
            .ok_or(GgufError::Malformed("no architecture is named"))?
            .to_owned();
        let of = |key: &str| format!("{architecture}.{key}");
        let small = |key: &str| {
            header
                .unsigned_max(&of(key))
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(0)
        };
        let layers = small("block_count");
        let embedding_length = small("embedding_length");
        let heads = small("attention.head_count").max(1);
        let heads_cached = match small("attention.head_count_kv") {
            0 => heads,
            heads_cached => heads_cached,
        };
        let per_head = embedding_length / heads;
        let key_length = header
            .unsigned(&of("attention.key_length"))
            .unwrap_or(per_head.into());
        let value_length = header
            .unsigned(&of("attention.value_length"))
            .unwrap_or(per_head.into());
        let fallback_name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            path: path.to_owned(),
            name: header
                .text("general.name")
                .map_or(fallback_name, str::to_owned),
            is_supported: architectures::is_supported(&architecture),
            parameters: header.parameters,
            file_bytes: header.file_bytes,
            context_tokens_trained: small("context_length"),
            layers,
            embedding_length,
            vocabulary: vocabulary(header, &architecture),
            chat_template: header.text("tokenizer.chat_template").map(str::to_owned),
            licence: header.text("general.license").map(str::to_owned),
            recommended: recommended(header),
            cache_numbers_per_token: u64::from(layers)
                .saturating_mul(heads_cached.into())
                .saturating_mul(key_length.saturating_add(value_length)),
            architecture,
        })
    }

    /// Estimates the memory that the model takes with a cache of `cache_tokens` tokens and
    /// prompts evaluated `batch_tokens` tokens at a time.
    pub fn memory(&self, cache_tokens: u32, batch_tokens: u32) -> MemoryEstimate {
        let activations = u64::from(batch_tokens)
            .saturating_mul(u64::from(self.embedding_length))
            .saturating_mul(4 * 16);
        let logits = u64::from(self.vocabulary).saturating_mul(4 * 16);
        MemoryEstimate {
            weights_bytes: self.file_bytes,
            cache_bytes: self
                .cache_numbers_per_token
                .saturating_mul(CACHE_NUMBER_BYTES)
                .saturating_mul(u64::from(cache_tokens)),
            buffers_bytes: FIXED_BUFFER_BYTES
                .saturating_add(activations)
                .saturating_add(logits),
        }
    }
}

fn vocabulary(header: &Header, architecture: &str) -> u32 {
    let length = match header.entries.get("tokenizer.ggml.tokens") {
        Some(crate::gguf::Value::Array { length }) => Some(*length),
        _ => header.unsigned(&format!("{architecture}.vocab_size")),
    };
    length
        .and_then(|length| u32::try_from(length).ok())
        .unwrap_or(0)
}

fn recommended(header: &Header) -> RecommendedSampling {
    let fraction = |key: &str, max: f64| {
        header
            .number(key)
            .filter(|value| value.is_finite() && (0.0..=max).contains(value))
    };
    RecommendedSampling {
        temperature: fraction("general.sampling.temp", 2.0),
        top_p: fraction("general.sampling.top_p", 1.0).filter(|value| *value > 0.0),
        top_k: header
            .unsigned("general.sampling.top_k")
            .and_then(|value| u32::try_from(value).ok()),
        min_p: fraction("general.sampling.min_p", 1.0),
    }
}

/// Memory that this process may still take, in bytes: the lesser of what the machine has
/// available and what is left of the control group's limit. `None` where it cannot be told.
pub fn available_memory_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("MemAvailable:"))?;
            let kibibytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some(kibibytes.saturating_mul(1024))
        });
    let number =
        |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(limit, current)| limit.saturating_sub(current));
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Value;

    fn header(entries: &[(&str, Value)]) -> Header {
        Header {
            entries: entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            tensor_count: 0,
            parameters: 1_000,
            file_bytes: 2_000,
        }
    }

    #[test]
    fn the_cache_is_estimated_from_the_cached_heads() {
        let header = header(&[
            ("general.architecture", Value::Text("llama".into())),
            ("llama.block_count", Value::Unsigned(30)),
            ("llama.embedding_length", Value::Unsigned(576)),
            ("llama.attention.head_count", Value::Unsigned(9)),
            ("llama.attention.head_count_kv", Value::Unsigned(3)),
        ]);
        let info = ModelInfo::from_header(&header, Path::new("a/b.gguf")).expect("sound");
        // 30 layers x 3 heads x (64 + 64) numbers x 2 bytes.
        assert_eq!(info.memory(100, 1).cache_bytes, 30 * 3 * 128 * 2 * 100);
        assert_eq!(info.name, "b");
        assert!(info.is_supported);
    }

    #[test]
    fn absurd_numbers_saturate() {
        let header = header(&[
            ("general.architecture", Value::Text("new".into())),
            ("new.block_count", Value::Unsigned(u64::from(u32::MAX))),
            ("new.embedding_length", Value::Unsigned(u64::MAX)),
            ("new.attention.key_length", Value::Unsigned(u64::MAX)),
            ("general.sampling.temp", Value::Float(f64::NAN)),
        ]);
        let info = ModelInfo::from_header(&header, Path::new("x")).expect("sound");
        assert_eq!(info.memory(u32::MAX, u32::MAX).total_bytes(), u64::MAX);
        assert_eq!(info.recommended.temperature, None);
        assert!(!info.is_supported);
    }

    #[test]
    fn a_file_without_architecture_is_refused() {
        assert!(ModelInfo::from_header(&header(&[]), Path::new("x")).is_err());
    }
}
