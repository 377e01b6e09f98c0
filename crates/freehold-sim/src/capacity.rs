//! Whether a model fits, and with how long contexts and how many requests at once.

use serde::{Deserialize, Serialize};

use crate::constants::FittedConstants;
use crate::quantisation::Weights;
use crate::server::{Room, Server};
use crate::steady::{Offer, steady};
use crate::step::StepModel;

/// What a model can do on some GPUs in one quantisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// How weights are stored.
    pub weights: Weights,
    /// GPUs of one replica.
    pub gpus: u32,
    /// Whether one request of the asked length fits.
    pub fits: bool,
    /// Why not, and what would help; empty when it fits.
    pub why_not: String,
    /// What fits into the memory.
    pub room: Room,
    /// The longest context of a request that is alone, tokens; the model's own limit if that is less.
    pub context_tokens: u64,
    /// How many requests of the asked length run at once.
    pub concurrency: u64,
    /// Time per token of a request that is alone, milliseconds.
    pub tpot_ms: f64,
    /// Tokens written per second with as many requests as fit.
    pub output_tokens_per_s: f64,
    /// Groups of the constants that were never measured: the speeds then are guesses.
    pub unseen: Vec<String>,
}

/// What a replica can do with requests of `input` and `output` tokens.
#[must_use]
pub fn fit_in(server: &Server, constants: &FittedConstants, input: f64, output: f64) -> Fit {
    let tokens = input + output;
    let why_not = match server.check(tokens) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    let room = server.room();
    let limit = match server.shape.context_tokens {
        0 => u64::MAX,
        told => u64::from(told),
    };
    let model = StepModel::new(server, &constants.of(server));
    let speed = |offer| steady(server, &model, offer, input, output);
    Fit {
        weights: server.weights,
        gpus: server.gpus,
        fits: why_not.is_empty(),
        why_not,
        room,
        context_tokens: longest(server, room.cache_bytes).min(limit),
        concurrency: server.sequences_of(tokens) as u64,
        tpot_ms: speed(Offer::Clients(1.0)).map_or(0.0, |steady| steady.tpot_ms),
        output_tokens_per_s: speed(Offer::Unlimited)
            .map_or(0.0, |steady| steady.output_tokens_per_s),
        unseen: constants.unseen(server),
    }
}

/// The longest sequence that the room holds. With windows bytes do not grow evenly, so it is searched.
fn longest(server: &Server, cache_bytes: f64) -> u64 {
    if cache_bytes <= 0.0 {
        return 0;
    }
    let (mut fits, mut too_long) = (0u64, 1u64 << 40);
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        if server.sequence_bytes(middle as f64) <= cache_bytes {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::gpu::Gpu;
    use crate::shape::ModelShape;

    fn server(model: &str, weights: Weights, gpu: &str, gpus: u32) -> Server {
        let shape = ModelShape::find(model).unwrap();
        Server::new(shape, weights, Gpu::find(gpu).unwrap(), gpus, Engine::Vllm)
    }

    fn asked(server: &Server) -> Fit {
        fit_in(server, &FittedConstants::bundled(), 1_000.0, 500.0)
    }

    #[test]
    fn the_cache_of_a_measured_server_is_as_large_as_it_was() {
        // vLLM 0.19 reported 41,408 tokens for this model and GPU.
        let fit = asked(&server("Llama-3.1-8B", Weights::Bf16, "RTX 4090", 1));
        let share = fit.room.cache_tokens as f64 / 41_408.0;
        assert!((0.9..1.1).contains(&share), "{fit:?}");
        assert_eq!(fit.concurrency, fit.room.cache_tokens / 1_500);
        assert_eq!(fit.context_tokens, fit.room.cache_tokens);
    }

    #[test]
    fn what_does_not_fit_says_what_would() {
        let fit = asked(&server("Llama-3.1-70B", Weights::Bf16, "H100", 1));
        assert!(!fit.fits && fit.concurrency == 0);
        assert!(
            fit.why_not.contains("4 GPUs") || fit.why_not.contains("2 GPUs"),
            "{}",
            fit.why_not
        );
        assert!(asked(&server("Llama-3.1-70B", Weights::Int4, "H100", 1)).fits);
        assert!(asked(&server("gpt-oss-120b", Weights::Mxfp4, "H100", 1)).fits);
        let tiny = asked(&server("Kimi-K2", Weights::Fp8, "T4", 1));
        assert!(tiny.why_not.contains("more memory"), "{}", tiny.why_not);
    }

    #[test]
    fn a_models_own_limit_holds() {
        let fit = asked(&server("SmolLM2-135M", Weights::Bf16, "H100", 1));
        assert_eq!(fit.context_tokens, 8_192);
    }

    #[test]
    fn what_was_never_measured_is_told() {
        let fit = asked(&server("Llama-3.1-8B", Weights::Bf16, "MI300X", 1));
        assert_eq!(fit.unseen, ["family cdna3"]);
        assert!(
            asked(&server("Llama-3.1-8B", Weights::Fp8, "H100", 1))
                .unseen
                .is_empty()
        );
    }
}
