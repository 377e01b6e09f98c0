//! How long one step of a replica takes: a roofline, part by part.
//!
//! The parts of a layer run one after another, so their times add up; within a part the slower of
//! memory and arithmetic decides (Williams et al., "Roofline", CACM 52(4), 2009):
//!
//! * matrices: `max(bytes of weights read / bandwidth, 2 x weights x tokens / peak)`. Of a mixture,
//!   `E (1 - (1 - k/E)^tokens)` of `E` experts are read when every token picks `k`;
//! * cache: bytes of keys and values of all running sequences / bandwidth;
//! * attention over prompts: `4 x width x pairs of tokens / peak`;
//! * all-reduces of tensor parallelism, two a layer: `2 (n-1)/n x bytes / link` and a latency each
//!   (ring; Thakur et al., IJHPCA 19(1), 2005);
//! * what is left: the engine's own work per step, layer and sequence, and per layer of steps that work on
//!   prompts.
//!
//! Shares of bandwidth and peak that are really reached, and the engine's own work, are [`Constants`].

use serde::{Deserialize, Serialize};

use crate::constants::Constants;
use crate::server::Server;

/// What one step works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepLoad {
    /// Sequences that get their next token.
    pub decoding: f64,
    /// Tokens that those sequences have in the cache, together.
    pub context_tokens: f64,
    /// Tokens of prompts worked on in this step.
    pub prompt_tokens: f64,
    /// For each of those tokens the number of tokens before it, together.
    pub prompt_pairs: f64,
}

/// The smooth maximum's power: parts that take equally long take `2^(1/4)` as long together.
const SMOOTH_POWER: f64 = 4.0;

/// The GPU that `compute` is about (A100), how what is reached shrinks with larger ones, and the most.
const REFERENCE_TFLOPS: f64 = 312.0;
const FILL_POWER: f64 = 1.0 / 3.0;
const COMPUTE_MOST: f64 = 0.9;
/// How many layers `sequence_us` is about.
const REFERENCE_LAYERS: f64 = 64.0;

/// A replica's step times, worked out as far as they do not depend on the step.
#[derive(Clone, Debug)]
pub struct StepModel {
    /// Bytes of weights that every step reads, and 2 x weights per token, microseconds each.
    common_read_us: f64,
    common_compute_us: f64,
    /// The output layer: read once, computed once per sequence.
    output_read_us: f64,
    output_compute_us: f64,
    /// All experts read, microseconds; one token computed.
    experts_read_us: f64,
    expert_compute_us: f64,
    /// Share of experts that a token does not use.
    untouched: f64,
    /// Per cached token, in layers that see everything.
    context_us: f64,
    /// Per cached token, in layers with a window of so many tokens.
    windowed_us: f64,
    window_tokens: f64,
    /// Per pair of tokens in prompts.
    pair_us: f64,
    windowed_pair_us: f64,
    /// Per token: all-reduces.
    link_us: f64,
    fixed_us: f64,
    sequence_us: f64,
    /// Of steps that work on prompts, on top.
    prompt_step_us: f64,
}

impl StepModel {
    /// A replica's model with the constants that hold for it.
    #[must_use]
    pub fn new(server: &Server, constants: &Constants) -> Self {
        let shape = &server.shape;
        let parallel = server.parallel();
        let layers = f64::from(shape.layers);
        let bandwidth = server.gpu.bandwidth_gb_s * 1e9 * parallel / 1e6;
        let reading = bandwidth * constants.weight_bandwidth;
        let precision = server.gpu.precision(server.weights);
        // Large GPUs are harder to fill: what is reached grows with about the 2/3 power of the peak.
        let filled = (REFERENCE_TFLOPS / server.gpu.tflops_16).powf(FILL_POWER);
        let compute = (constants.compute * filled).min(COMPUTE_MOST);
        let peak = server.gpu.flops(precision) * parallel / 1e6 * compute;
        let peak_16 = server.gpu.tflops_16 * 1e12 * parallel / 1e6;
        let common_peak = if server.weights.is_experts_only() {
            peak_16 * compute
        } else {
            peak
        };
        let experts = shape.experts;
        let total = experts.map_or(1.0, |experts| f64::from(experts.total));
        let active = experts.map_or(0.0, |experts| f64::from(experts.active));
        let expert_reading = reading * constants.expert_bandwidth;
        let expert_peak = peak * constants.expert_compute;
        let cache_rate = bandwidth * constants.cache_bandwidth;
        let per_layer = shape.cache_bytes_per_layer(server.cache) * server.cache_copies();
        let full = f64::from(shape.full_layers());
        let windowed = layers - full;
        let width = match shape.latent {
            Some(latent) => {
                f64::from(shape.heads)
                    * f64::from(latent.nope_dim + latent.rope_dim + latent.value_dim)
                    / 2.0
            }
            None => f64::from(shape.heads) * f64::from(shape.head_dim),
        };
        let pair_us = 4.0 * width / (peak_16 * constants.attention_compute);
        let (link_us, reduce_us) = Self::all_reduces(server, constants);
        Self {
            common_read_us: shape.common_weights()
                * crate::shape::ModelShape::common_bytes(server.weights)
                / reading,
            common_compute_us: 2.0 * shape.common_weights() / common_peak,
            output_read_us: shape.output_weights()
                * crate::shape::ModelShape::embedding_bytes(server.weights)
                / reading,
            output_compute_us: 2.0 * shape.output_weights() / (peak_16 * compute),
            experts_read_us: total * shape.expert_weights() * server.weights.bytes()
                / expert_reading,
            expert_compute_us: 2.0 * active * shape.expert_weights() / expert_peak,
            untouched: 1.0 - active / total,
            context_us: full * per_layer / cache_rate,
            windowed_us: windowed * per_layer / cache_rate,
            window_tokens: shape.window.map_or(0.0, |window| f64::from(window.tokens)),
            pair_us: full * pair_us,
            windowed_pair_us: windowed * pair_us,
            link_us,
            fixed_us: constants.step_us + layers * constants.layer_us + reduce_us,
            sequence_us: constants.sequence_us * layers / REFERENCE_LAYERS,
            prompt_step_us: constants.prompt_layer_us * layers,
        }
    }

    /// Microseconds per token, and per step, that all-reduces take.
    fn all_reduces(server: &Server, constants: &Constants) -> (f64, f64) {
        let parallel = server.parallel();
        if parallel <= 1.0 {
            return (0.0, 0.0);
        }
        let count = 2.0 * f64::from(server.shape.layers);
        let bytes = 2.0 * f64::from(server.shape.hidden);
        let rate = server.gpu.link_gb_s * 1e9 / 1e6 * constants.link;
        let ring = 2.0 * (parallel - 1.0) / parallel;
        (
            count * bytes * ring / rate,
            count * constants.reduce_us * parallel.log2(),
        )
    }

    /// How long a step takes, microseconds.
    #[must_use]
    pub fn step_us(&self, load: &StepLoad) -> f64 {
        let tokens = load.decoding + load.prompt_tokens;
        if tokens <= 0.0 {
            return 0.0;
        }
        let windowed = load.context_tokens.min(load.decoding * self.window_tokens);
        let pairs = load.prompt_pairs;
        let windowed_pairs = pairs.min(load.prompt_tokens * self.window_tokens);
        let prompt_step_us = if load.prompt_tokens > 0.0 {
            self.prompt_step_us
        } else {
            0.0
        };
        self.tokens_us(tokens)
            + self.sequences_us(load.decoding)
            + self.context_us * load.context_tokens
            + self.windowed_us * windowed
            + self.pair_us * pairs
            + self.windowed_pair_us * windowed_pairs
            + prompt_step_us
    }

    /// What a step of so many tokens costs whatever they are: matrices, all-reduces, fixed work.
    pub(crate) fn tokens_us(&self, tokens: f64) -> f64 {
        let common = smooth_max(self.common_read_us, self.common_compute_us * tokens);
        let experts = if self.expert_compute_us > 0.0 {
            let touched = 1.0 - self.untouched.powf(tokens);
            smooth_max(
                self.experts_read_us * touched,
                self.expert_compute_us * tokens,
            )
        } else {
            0.0
        };
        common + experts + self.link_us * tokens + self.fixed_us
    }

    /// What so many decoding sequences cost: the output layer and the engine's own work. Prompts that end
    /// need a row of the output layer too: as good as nothing beside the rest.
    pub(crate) fn sequences_us(&self, sequences: f64) -> f64 {
        let rows = sequences.max(1.0);
        smooth_max(self.output_read_us, self.output_compute_us * rows)
            + self.sequence_us * sequences
    }

    /// Per cached token and step: what a longer context costs.
    pub(crate) fn context_us(&self) -> f64 {
        self.context_us
    }

    /// The same in layers with a window.
    pub(crate) fn windowed_us(&self) -> f64 {
        self.windowed_us
    }

    /// The window; 0 when no layer has one.
    pub(crate) fn window_tokens(&self) -> f64 {
        self.window_tokens
    }

    /// What a step costs more when it works on prompts, however many.
    pub(crate) fn prompt_step_us(&self) -> f64 {
        self.prompt_step_us
    }

    /// Per pair of tokens of prompts.
    pub(crate) fn pair_us(&self) -> f64 {
        self.pair_us
    }

    /// The same in layers with a window.
    pub(crate) fn windowed_pair_us(&self) -> f64 {
        self.windowed_pair_us
    }
}

/// Nearly the larger of two, without a corner: work and reading overlap well except where they are equal.
fn smooth_max(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if small <= 0.0 {
        return large;
    }
    large * (1.0 + (small / large).powf(SMOOTH_POWER)).powf(1.0 / SMOOTH_POWER)
}
