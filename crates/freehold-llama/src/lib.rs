//! The embedded engine: open-weight models served by llama.cpp inside the process.
//!
//! In: a GGUF file ([`EngineSettings`]) and requests, either in the engine's own words
//! ([`GenerateRequest`] to [`Output`]) or in the canonical ones, through the
//! [`freehold_ports::Backend`] trait. Out: streams of text with exact token counts.
//!
//! One thread owns each model and serves all its requests together (continuous batching).
//!
//! This room never fetches a model, never opens a connection, never decides who may ask, and never
//! logs what was asked or answered. It is the only room that links C++ code.

mod adapter;
mod architectures;
mod chat;
mod engine;
mod error;
mod gguf;
mod libraries;
mod model_info;
mod output;
mod requantise;
mod settings;

pub use adapter::{EmbeddedBackend, EmbeddedModel};
pub use engine::output::{EndReason, Output, TokenCounts, TokenLogprob};
pub use engine::request::{Constraint, GenerateRequest, Prompt, PromptPiece, SamplingOptions};
pub use engine::stats::EngineStats;
pub use engine::{Engine, Generation, ShutDown};
pub use error::{GgufError, LoadError, RequestError};
pub use libraries::{DIRECTORY_VARIABLE, devices, search_path};
pub use model_info::{MemoryEstimate, ModelInfo, RecommendedSampling, available_memory_bytes};
pub use requantise::{RequantiseError, WeightFormat, requantise};
pub use settings::EngineSettings;
