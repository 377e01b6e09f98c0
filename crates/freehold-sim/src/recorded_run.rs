//! A recorded run of a real server, to compare a simulation with.

use freehold_workload::{Arrival, Workload};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::constants::FittedConstants;
use crate::engine::Engine;
use crate::error::SimError;
use crate::gpu::Gpu;
use crate::quantisation::Weights;
use crate::server::Server;
use crate::service::Slo;
use crate::shape::ModelShape;
use crate::simulate::{Fleet, simulate};

/// A recorded run: what was asked, of which server, and how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedRun {
    /// The requests.
    pub workload: Workload,
    /// The server.
    pub server: Server,
    /// How it went.
    pub measured: RunFigures,
}

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// Tokens written per second, from the first request to the last token.
    pub output_tokens_per_s: f64,
    /// Mean time per later token, milliseconds.
    pub tpot_ms: f64,
    /// Mean time to the last token, milliseconds.
    pub latency_ms: f64,
    /// Mean time to the first token, milliseconds.
    pub ttft_ms: f64,
}

impl RunFigures {
    /// Predicted / measured - 1, figure by figure.
    #[must_use]
    pub fn errors(&self, measured: &Self) -> Self {
        Self {
            output_tokens_per_s: self.output_tokens_per_s / measured.output_tokens_per_s - 1.0,
            tpot_ms: self.tpot_ms / measured.tpot_ms - 1.0,
            latency_ms: self.latency_ms / measured.latency_ms - 1.0,
            ttft_ms: self.ttft_ms / measured.ttft_ms - 1.0,
        }
    }
}

/// A line of the record; times in seconds.
#[derive(Deserialize)]
struct Line {
    input_toks: u32,
    output_toks: u32,
    arrival_time: f64,
    queued_ts: f64,
    first_token_ts: f64,
    last_token_ts: f64,
}

impl RecordedRun {
    /// Reads a run of vLLM: `meta` with the model, the GPU and the engine's settings, `requests` with a
    /// JSON object per line and request (`input_toks`, `output_toks`, `arrival_time`, `queued_ts`,
    /// `first_token_ts`, `last_token_ts`; the last three on the engine's clock). Where the meta data tell how
    /// many tokens the cache holds (`num_kv_tokens`), it holds as many. `gpu` is the GPU if the
    /// meta data do not name it.
    ///
    /// # Errors
    /// [`SimError::Malformed`] and [`SimError::Unknown`].
    pub fn read(meta: &str, requests: &str, gpu: &str) -> Result<Self, SimError> {
        let meta: Value = serde_json::from_str(meta)
            .map_err(|error| SimError::malformed("the run's meta data", error.to_string()))?;
        let lines = lines(requests)?;
        let first = lines[0].arrival_time;
        // The engine's clock has its own beginning: the smallest difference is that of an idle server.
        let offset = lines
            .iter()
            .map(|line| line.queued_ts - line.arrival_time)
            .fold(f64::INFINITY, f64::min);
        let arrivals: Vec<Arrival> = lines
            .iter()
            .map(|line| Arrival {
                at_us: ((line.arrival_time - first) * 1e6) as u64,
                input_tokens: line.input_toks,
                output_tokens: line.output_toks,
                ..Arrival::default()
            })
            .collect();
        let duration_us = arrivals.last().map_or(0, |arrival| arrival.at_us);
        Ok(Self {
            server: server(&meta, gpu)?,
            measured: figures(&lines, offset),
            workload: Workload {
                arrivals,
                duration_us,
                flows: vec!["run".to_owned()],
                ..Workload::default()
            },
        })
    }

    /// Model and GPU, named as in [`Measured::pair`](crate::Measured::pair).
    #[must_use]
    pub fn pair(&self) -> String {
        format!("{} on {}", self.server.shape.name, self.server.gpu.name)
    }

    /// What a simulation says about the same requests.
    ///
    /// # Errors
    /// As [`simulate`](crate::simulate()).
    pub fn predict(&self, constants: &FittedConstants) -> Result<RunFigures, SimError> {
        let report = simulate(
            &self.workload,
            &self.server,
            &constants.of(&self.server),
            &Fleet::fixed(1),
            &Slo::default(),
            0,
        )?;
        Ok(RunFigures {
            output_tokens_per_s: report.output_tokens as f64 / report.seconds,
            tpot_ms: report.tpot_ms.mean,
            latency_ms: report.e2e_ms.mean,
            ttft_ms: report.ttft_ms.mean,
        })
    }
}

fn lines(requests: &str) -> Result<Vec<Line>, SimError> {
    let mut lines = Vec::new();
    for (index, text) in requests
        .lines()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty())
    {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            SimError::malformed(
                format!("line {} of the run's requests", index + 1),
                error.to_string(),
            )
        })?;
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(SimError::malformed("the run", "it has no request"));
    }
    lines.sort_by(|a, b| a.arrival_time.total_cmp(&b.arrival_time));
    Ok(lines)
}

fn figures(lines: &[Line], offset: f64) -> RunFigures {
    let count = lines.len() as f64;
    let mean = |of: &dyn Fn(&Line) -> f64| lines.iter().map(of).sum::<f64>() / count * 1e3;
    let tokens: f64 = lines.iter().map(|line| f64::from(line.output_toks)).sum();
    let last = lines
        .iter()
        .map(|line| line.last_token_ts)
        .fold(f64::MIN, f64::max);
    let several: Vec<&Line> = lines.iter().filter(|line| line.output_toks > 1).collect();
    let tpot = several
        .iter()
        .map(|line| (line.last_token_ts - line.first_token_ts) / f64::from(line.output_toks - 1))
        .sum::<f64>();
    RunFigures {
        output_tokens_per_s: tokens / (last - offset - lines[0].arrival_time),
        tpot_ms: tpot / several.len().max(1) as f64 * 1e3,
        latency_ms: mean(&|line| line.last_token_ts - offset - line.arrival_time),
        ttft_ms: mean(&|line| line.first_token_ts - offset - line.arrival_time),
    }
}

fn server(meta: &Value, gpu: &str) -> Result<Server, SimError> {
    let settings = meta.get("engine_kwargs").unwrap_or(meta);
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| SimError::malformed("the run's meta data", format!("it has no `{key}`")))
    };
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let shape = ModelShape::find(&text(meta, "model")?)?;
    let weights: Weights = match settings.get("dtype").and_then(Value::as_str) {
        Some(name) => name.parse()?,
        None => shape.native,
    };
    let device = match meta.get("hardware") {
        Some(hardware) => text(hardware, "device_name")?,
        None => gpu.to_owned(),
    };
    let name = device.replace("NVIDIA", "").replace("GeForce", "");
    let gpu = find_device(name.trim())?;
    let gpus = number(settings, "tensor_parallel_size").unwrap_or(1) as u32;
    let mut server = Server::new(shape, weights, gpu, gpus, Engine::Vllm);
    if let Some(sequences) = number(settings, "max_num_seqs") {
        server.limits.sequences = sequences as u32;
    }
    if let Some(tokens) = number(settings, "max_num_batched_tokens") {
        server.limits.step_tokens = tokens as u32;
    }
    let cache = meta.get("kv_cache").unwrap_or(&Value::Null);
    if let Some(share) = cache.get("gpu_memory_utilization").and_then(Value::as_f64) {
        server.limits.memory_share = share;
    }
    if let Some(tokens) = number(cache, "num_kv_tokens") {
        hold_tokens(&mut server, tokens as f64);
    }
    server.limits.check()?;
    Ok(server)
}

/// The engine told how many tokens its cache holds: the memory share with which ours holds as many.
fn hold_tokens(server: &mut Server, tokens: f64) {
    let missing_bytes = tokens * server.token_bytes() - server.room().cache_bytes;
    let share = missing_bytes / server.parallel() / server.gpu.memory_bytes();
    server.limits.memory_share = (server.limits.memory_share + share).clamp(0.01, 1.0);
}

/// A driver's name has more words than a data sheet's: the longest beginning that is known.
fn find_device(name: &str) -> Result<Gpu, SimError> {
    let words: Vec<&str> = name.split([' ', '-']).collect();
    (1..=words.len())
        .rev()
        .find_map(|count| Gpu::find(&words[..count].join(" ")).ok())
        .map_or_else(|| Gpu::find(name), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#"{"model": "meta-llama/Llama-3.1-8B", "engine_kwargs": {"dtype": "bfloat16",
        "tensor_parallel_size": 1, "max_num_seqs": 256, "max_num_batched_tokens": 2048},
        "kv_cache": {"gpu_memory_utilization": 0.9},
        "hardware": {"device_name": "NVIDIA GeForce RTX 4090"}}"#;
    const REQUESTS: &str = r#"{"request_id": "a", "input_toks": 100, "output_toks": 11, "arrival_time": 1000.0, "queued_ts": 50.0, "scheduled_ts": 50.0, "first_token_ts": 50.1, "last_token_ts": 50.4}
{"request_id": "b", "input_toks": 100, "output_toks": 11, "arrival_time": 1001.0, "queued_ts": 51.2, "scheduled_ts": 51.2, "first_token_ts": 51.3, "last_token_ts": 51.4}"#;

    #[test]
    fn a_run_is_read_and_its_figures_are_right() {
        let run = RecordedRun::read(META, REQUESTS, "").unwrap();
        assert_eq!(run.pair(), "Llama-3.1-8B on RTX-4090");
        assert_eq!(run.workload.arrivals[1].at_us, 1_000_000);
        assert_eq!(run.server.limits.step_tokens, 2_048);
        let told = META.replace("0.9}", "0.9, \"num_kv_tokens\": 30000}");
        let told = RecordedRun::read(&told, REQUESTS, "").unwrap();
        let holds = told.server.room().cache_tokens;
        assert!((29_999..=30_001).contains(&holds), "{holds}");
        assert!(run.server.room().cache_tokens > 35_000);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(run.measured.output_tokens_per_s, 22.0 / 1.4);
        // 30 ms and 10 ms a token; 0.1 s and 0.3 s to the first one, 0.4 s each in all.
        close(run.measured.tpot_ms, 20.0);
        close(run.measured.ttft_ms, 200.0);
        close(run.measured.latency_ms, 400.0);
        let predicted = run.predict(&FittedConstants::bundled()).unwrap();
        let errors = predicted.errors(&run.measured);
        close(errors.tpot_ms, predicted.tpot_ms / 20.0 - 1.0);
    }

    #[test]
    fn broken_records_are_told() {
        let told = RecordedRun::read("{}", REQUESTS, "H100")
            .unwrap_err()
            .to_string();
        assert!(told.contains("model"), "{told}");
        let told = RecordedRun::read(META, "", "").unwrap_err().to_string();
        assert!(told.contains("no request"), "{told}");
        let told = RecordedRun::read(META, "{}", "").unwrap_err().to_string();
        assert!(told.contains("line 1"), "{told}");
    }
}
