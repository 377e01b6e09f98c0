//! Published measurements of throughput, to fit constants on and to compare with.

use serde::Deserialize;

use crate::constants::FittedConstants;
use crate::engine::Engine;
use crate::error::SimError;
use crate::gpu::Gpu;
use crate::quantisation::{CacheType, Precision, Weights};
use crate::server::Server;
use crate::shape::ModelShape;
use crate::steady::{Offer, Steady, steady};
use crate::step::StepModel;

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The replica.
    pub server: Server,
    /// The model's name, as the measurement calls it.
    pub model: String,
    /// How requests were offered.
    pub offer: Offer,
    /// Tokens of a prompt.
    pub input: f64,
    /// Tokens of an answer.
    pub output: f64,
    /// Tokens written per second that were measured.
    pub tokens_per_s: f64,
    /// Whether the throughput itself was published, and not only latencies.
    pub is_direct: bool,
}

/// What a file of measurements held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    /// What can be used.
    pub rows: Vec<Measured>,
    /// What was left out, with the line and the reason.
    pub skipped: Vec<(u64, String)>,
}

#[derive(Deserialize)]
struct Row {
    model: String,
    params_b: f64,
    active_params_b: Option<f64>,
    dtype: String,
    gpu: String,
    n_gpu: u32,
    engine: String,
    concurrency_or_batch: String,
    input_len: f64,
    output_len: f64,
    output_tok_s_total: f64,
    basis: String,
    quality: String,
}

impl Measurements {
    /// Reads a table of measurements: CSV with the columns `model, params_b, active_params_b, dtype, gpu,
    /// n_gpu, engine, concurrency_or_batch, input_len, output_len, output_tok_s_total, basis,
    /// quality`. Rows of quality C (no number format, or mostly queueing) are left out, and so is
    /// what cannot be understood; both are told.
    ///
    /// # Errors
    /// [`SimError::Malformed`] when the text is no such table at all.
    pub fn read(text: &str) -> Result<Self, SimError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut read = Self::default();
        for (index, row) in reader.deserialize::<Row>().enumerate() {
            let line = index as u64 + 2;
            match row {
                Ok(row) if row.quality == "C" => {
                    read.skipped.push((line, "quality C".to_owned()));
                }
                Ok(row) => match row.measured() {
                    Ok(measured) => read.rows.push(measured),
                    Err(error) => read.skipped.push((line, error.to_string())),
                },
                Err(error) if index == 0 => {
                    return Err(SimError::malformed(
                        "the table of measurements",
                        error.to_string(),
                    ));
                }
                Err(error) => read.skipped.push((line, error.to_string())),
            }
        }
        Ok(read)
    }
}

impl Row {
    fn measured(&self) -> Result<Measured, SimError> {
        let parameters = self.params_b * 1e9;
        let active = self.active_params_b.unwrap_or(self.params_b) * 1e9;
        let shape = ModelShape::find(&self.model)
            .unwrap_or_else(|_| ModelShape::like(&self.model, parameters, active));
        let (engine, is_batch) = self.engine()?;
        let weights: Weights = self.dtype.parse()?;
        let mut server = Server::new(shape, weights, Gpu::find(&self.gpu)?, self.n_gpu, engine);
        self.apply_options(&mut server);
        server.cache = self.cache(weights, is_batch);
        let positive = self.input_len > 0.0 && self.output_len > 0.0;
        if !(positive && self.output_tok_s_total > 0.0) {
            return Err(SimError::malformed(
                &self.model,
                "lengths or throughput are not above 0",
            ));
        }
        Ok(Measured {
            offer: self.offer(is_batch)?,
            server,
            model: self.model.clone(),
            input: self.input_len,
            output: self.output_len,
            tokens_per_s: self.output_tok_s_total,
            is_direct: self.quality == "A",
        })
    }

    /// Meta publishes no small weights: those of Llama are quantised by NVIDIA, whose checkpoints bring
    /// scales for an 8-bit cache, which engines then use. Others publish their own, without.
    fn cache(&self, weights: Weights, is_batch: bool) -> CacheType {
        let is_nvidias = self.model.to_lowercase().starts_with("llama")
            && weights.precision() != Precision::Sixteen;
        if is_nvidias && !is_batch {
            CacheType::Eight
        } else {
            CacheType::Sixteen
        }
    }

    /// Settings that the measurement names beside the engine.
    fn apply_options(&self, server: &mut Server) {
        let option = |names: &[&str]| {
            names.iter().find_map(|name| {
                let rest = self.engine.split_once(name)?.1;
                let digits: String = rest
                    .trim_start_matches(['=', ' '])
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                digits.parse::<u32>().ok().filter(|number| *number > 0)
            })
        };
        let tokens = [
            "max_num_batched_tokens",
            "max-num-batched-tokens",
            "max_num_tokens",
            "max_batched_tokens",
        ];
        if let Some(tokens) = option(&tokens) {
            server.limits.step_tokens = tokens.max(16);
        }
        if let Some(sequences) = option(&["max_num_seqs", "max-num-seqs"]) {
            server.limits.sequences = sequences;
        }
    }

    /// The engine, and whether it filled its batches once. An old TensorRT-LLM is one, too.
    fn engine(&self) -> Result<(Engine, bool), SimError> {
        let is_batch = self.engine.contains("static");
        if is_batch && self.engine.contains("TensorRT") {
            return Ok((Engine::TensorrtLlm, true));
        }
        Ok((self.engine.parse()?, is_batch))
    }

    fn offer(&self, is_batch: bool) -> Result<Offer, SimError> {
        let text = self.concurrency_or_batch.trim();
        let is_decode = self.basis.contains("decode_only");
        if let Ok(count) = text.parse::<f64>() {
            return Ok(match () {
                _ if count < 1.0 => {
                    return Err(SimError::setting("concurrency", count, "at least 1"));
                }
                _ if is_batch && is_decode => Offer::DecodeOnly(count),
                _ if is_batch => Offer::Batch(count),
                _ => Offer::Clients(count),
            });
        }
        if text == "max" {
            return Ok(Offer::Unlimited);
        }
        // `inf(1000 reqs)`, `open-loop sps10 (300 reqs, cap 256)`: all at once, or nearly.
        let count = text.split(['(', ' ']).zip(text.split(['(', ' ']).skip(1));
        let requests = count
            .filter(|(_, next)| next.starts_with("reqs"))
            .find_map(|(number, _)| number.parse::<f64>().ok());
        requests.map(Offer::Burst).ok_or_else(|| {
            SimError::malformed(&self.model, format!("cannot read the concurrency `{text}`"))
        })
    }
}

impl Measured {
    /// Model and GPU: what is held back together, so that no fit has seen a tested pair.
    #[must_use]
    pub fn pair(&self) -> String {
        format!("{} on {}", self.model, self.server.gpu.name)
    }

    /// Whether it is about a mixture of experts.
    #[must_use]
    pub fn is_mixture(&self) -> bool {
        self.server.shape.experts.is_some()
    }

    /// What constants predict; nothing when the model would not fit.
    #[must_use]
    pub fn predict(&self, constants: &FittedConstants) -> Option<Steady> {
        let model = StepModel::new(&self.server, &constants.of(&self.server));
        steady(&self.server, &model, self.offer, self.input, self.output)
    }
}
