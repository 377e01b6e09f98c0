//! Step times looked up instead of worked out: a simulation takes tens of millions of steps.

use crate::calibrate::StepConstants;
use crate::server::Server;
use crate::step::StepModel;

/// What a replica's steps cost, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct StepTables {
    /// By the number of tokens of the step.
    tokens_us: Vec<f64>,
    /// By the number of decoding sequences: the output layer and the engine's own work.
    sequences_us: Vec<f64>,
    /// Per cached token of all decoding sequences.
    context_us: f64,
    /// Per cached token of a sequence, in layers with a window, and the window.
    windowed_us: f64,
    window_tokens: f64,
    pair_us: f64,
    windowed_pair_us: f64,
    /// Of every step that works on prompts, on top.
    prompt_step_us: f64,
    /// Per token of prompts, beyond `tokens_us`.
    prompt_us: f64,
}

impl StepTables {
    pub(super) fn new(server: &Server, model: &StepModel) -> Self {
        let sequences = server.limits.sequences as usize;
        // A step's tokens: prompts up to the budget, and one per sequence when there are more of those.
        let tokens = (server.limits.step_tokens as usize).max(sequences) + 1;
        Self {
            tokens_us: (0..=tokens)
                .map(|count| model.tokens_us(count as f64))
                .collect(),
            sequences_us: (0..=sequences)
                .map(|count| model.sequences_us(count as f64))
                .collect(),
            context_us: model.context_us(),
            windowed_us: model.windowed_us(),
            window_tokens: model.window_tokens(),
            pair_us: model.pair_us(),
            windowed_pair_us: model.windowed_pair_us(),
            prompt_step_us: model.prompt_step_us(),
            prompt_us: 0.0,
        }
    }

    /// Of a server that was measured: linear in everything.
    pub(super) fn calibrated(constants: &StepConstants, slots: u32) -> Self {
        Self {
            tokens_us: vec![constants.step_us],
            sequences_us: (0..=slots)
                .map(|count| constants.sequence_us * f64::from(count))
                .collect(),
            context_us: constants.context_us,
            windowed_us: 0.0,
            window_tokens: 0.0,
            pair_us: constants.pair_us,
            windowed_pair_us: 0.0,
            prompt_step_us: 0.0,
            prompt_us: constants.prompt_us,
        }
    }

    /// What a step costs whatever the contexts: `tokens` in all, `decoding` sequences with `context` cached
    /// tokens together (which counts only in layers with a window).
    #[inline]
    pub(super) fn base_us(&self, tokens: usize, decoding: usize, context: f64) -> f64 {
        let mut time = self.tokens_us[tokens.min(self.tokens_us.len() - 1)]
            + self.sequences_us[decoding.min(self.sequences_us.len() - 1)];
        if self.windowed_us > 0.0 {
            time += self.windowed_us * context.min(decoding as f64 * self.window_tokens);
        }
        time
    }

    /// What one more cached token costs per step.
    #[inline]
    pub(super) fn context_us(&self) -> f64 {
        self.context_us
    }

    /// What a step's prompts, if it has any, cost beyond [`StepTables::base_us`]: `pairs` of tokens, `tokens`
    /// of prompts.
    #[inline]
    pub(super) fn prompts_us(&self, tokens: f64, pairs: f64) -> f64 {
        self.prompt_step_us
            + self.prompt_us * tokens
            + self.pair_us * pairs
            + self.windowed_pair_us * pairs.min(tokens * self.window_tokens)
    }

    /// The same as [`StepModel::step_us`].
    #[cfg(test)]
    pub(super) fn step_us(&self, load: &crate::step::StepLoad) -> f64 {
        let tokens = (load.decoding + load.prompt_tokens) as usize;
        let prompts_us = if load.prompt_tokens > 0.0 {
            self.prompts_us(load.prompt_tokens, load.prompt_pairs)
        } else {
            0.0
        };
        self.base_us(tokens, load.decoding as usize, load.context_tokens)
            + self.context_us * load.context_tokens
            + prompts_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constants::FittedConstants;
    use crate::engine::Engine;
    use crate::gpu::Gpu;
    use crate::quantisation::Weights;
    use crate::shape::ModelShape;
    use crate::step::StepLoad;

    #[test]
    fn tables_and_formula_agree() {
        for model in ["Llama-3.1-8B", "gpt-oss-20b"] {
            let shape = ModelShape::find(model).unwrap();
            let gpu = Gpu::find("H100").unwrap();
            let server = Server::new(shape, Weights::Bf16, gpu, 1, Engine::Vllm);
            let model = StepModel::new(&server, &FittedConstants::bundled().of(&server));
            let tables = StepTables::new(&server, &model);
            for (decoding, context, prompt, pairs) in [
                (1.0, 10.0, 0.0, 0.0),
                (64.0, 64_000.0, 0.0, 0.0),
                (64.0, 64_000.0, 512.0, 131_072.0),
                (0.0, 0.0, 2_000.0, 2e6),
            ] {
                let load = StepLoad {
                    decoding,
                    context_tokens: context,
                    prompt_tokens: prompt,
                    prompt_pairs: pairs,
                };
                let (a, b) = (tables.step_us(&load), model.step_us(&load));
                assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
            }
        }
    }
}
