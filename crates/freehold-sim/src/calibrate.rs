//! What a running server is like, told from how it served: constants of its steps, fitted on requests
//! whose beginning, first and last token were timed.
//!
//! Input: [`LoadRun`]s, made by whoever sent the requests. Output: a [`CalibratedServer`], which serves a
//! workload in the place of the roofline ([`simulate_on`](crate::simulate_on())).
//!
//! A step with `n` decoding sequences that have `c` tokens in the cache, and with `p` tokens of prompts that
//! see `q` pairs of tokens, takes `step + sequence n + context c + prompt p + pair q`. What a request took
//! from its first token to its last is a sum of such steps, and so is what it took to its first; who else
//! was served meanwhile is known. Both are one equation each in the unknown constants, solved together
//! (see [`regression`]); then the simulator itself is brought to reproduce the runs (see [`refine`]).

mod equations;
mod figures;
mod refine;
mod regression;

use serde::{Deserialize, Serialize};

use crate::error::SimError;
use equations::{UNKNOWNS, equations};
use refine::refine;
use regression::solve;

pub use figures::{Compared, LoadFigures, compare, medians};

/// The version of the file.
const FORMAT: u32 = 1;
/// Fewer requests say nothing about six constants.
const REQUESTS_MIN: usize = 8;
/// Prompts (and answers) must differ at least so many times in length.
const SPREAD_MIN: f64 = 2.0;
/// Fewer tokens of answers than this are no measurement.
const OUTPUT_TOKENS_MIN: u64 = 64;

/// One request as its client saw it. Times since its run began, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedRequest {
    /// When it was sent.
    pub sent_us: f64,
    /// When its first token came.
    pub first_us: f64,
    /// When its last token came.
    pub last_us: f64,
    /// Tokens of the prompt, as the server counted them.
    pub input_tokens: u32,
    /// Of these, read from the server's prefix cache.
    #[serde(default)]
    pub cached_tokens: u32,
    /// Tokens of the answer, as the server counted them.
    pub output_tokens: u32,
}

/// Requests that one load sent to a server, nothing else being served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRun {
    /// So many clients, each of which asked again when it had its answer; nothing for a replayed trace,
    /// whose requests were sent whether others had ended or not.
    pub clients: Option<u32>,
    /// Which of several rounds.
    pub round: u32,
    /// The requests, in the order in which they were sent.
    pub requests: Vec<ServedRequest>,
}

/// What a client cannot see of a server and must be told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerLimits {
    /// Sequences that run together; more wait.
    pub slots: u32,
    /// Tokens of prompts that one step takes.
    pub step_tokens: u32,
    /// Tokens that the cache holds; nothing when it never was the limit.
    pub cache_tokens: Option<u64>,
    /// GPUs (or machines) that it takes, for GPU-hours.
    pub gpus: u32,
}

/// Constants of a server's steps, microseconds. None is below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepConstants {
    /// Of every request, outside of the engine: network, HTTP, tokenisation.
    pub request_us: f64,
    /// Of every step.
    pub step_us: f64,
    /// Of every decoding sequence of a step.
    pub sequence_us: f64,
    /// Of every cached token of those sequences.
    pub context_us: f64,
    /// Of every token of prompts.
    pub prompt_us: f64,
    /// Of every pair of tokens of prompts (attention).
    pub pair_us: f64,
}

/// A server as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedServer {
    /// The version of this file.
    pub format: u32,
    /// The model that it served, as clients name it.
    pub model: String,
    /// What it was told to be.
    pub limits: ServerLimits,
    /// What was fitted.
    pub constants: StepConstants,
    /// On how many requests.
    pub requests: usize,
    /// Median of the absolute errors of the times that it was fitted on, a share.
    pub median_error: f64,
}

impl ServerLimits {
    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`SimError::BadSetting`].
    pub fn check(&self) -> Result<(), SimError> {
        let whole = [
            ("slots", self.slots),
            ("step_tokens", self.step_tokens),
            ("gpus", self.gpus),
        ];
        for (name, value) in whole {
            if value == 0 || value > 1_000_000 {
                return Err(SimError::setting(name, f64::from(value), "1 to 1000000"));
            }
        }
        match self.cache_tokens {
            Some(0) => Err(SimError::setting("cache_tokens", 0.0, "at least 1")),
            _ => Ok(()),
        }
    }
}

impl StepConstants {
    pub(crate) fn to_array(self) -> [f64; UNKNOWNS] {
        [
            self.request_us,
            self.step_us,
            self.sequence_us,
            self.context_us,
            self.prompt_us,
            self.pair_us,
        ]
    }

    fn from_array(values: [f64; UNKNOWNS]) -> Self {
        let [
            request_us,
            step_us,
            sequence_us,
            context_us,
            prompt_us,
            pair_us,
        ] = values;
        Self {
            request_us,
            step_us,
            sequence_us,
            context_us,
            prompt_us,
            pair_us,
        }
    }
}

impl CalibratedServer {
    /// Reads a file that `freehold calibrate` wrote.
    ///
    /// # Errors
    /// [`SimError::Malformed`] and [`SimError::BadSetting`].
    pub fn from_json(text: &str) -> Result<Self, SimError> {
        let what = "the measured server";
        let read: Self = serde_json::from_str(text)
            .map_err(|error| SimError::malformed(what, error.to_string()))?;
        if read.format != FORMAT {
            let why = format!(
                "it is of format {}, and this version reads {FORMAT}: measure it again",
                read.format
            );
            return Err(SimError::malformed(what, why));
        }
        read.check()?;
        Ok(read)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.map_or_else(|_| unreachable!("numbers and names"), |text| text + "\n")
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`SimError::BadSetting`].
    pub fn check(&self) -> Result<(), SimError> {
        self.limits.check()?;
        for value in self.constants.to_array() {
            if !(value.is_finite() && value >= 0.0) {
                return Err(SimError::setting("a constant", value, "0 or more"));
            }
        }
        let constants = &self.constants;
        if constants.step_us + constants.sequence_us <= 0.0 {
            let must_be = "above 0 for a step with one sequence";
            return Err(SimError::setting("step_us + sequence_us", 0.0, must_be));
        }
        Ok(())
    }

    /// The same with other limits, such as more slots.
    #[must_use]
    pub fn with_limits(&self, limits: ServerLimits) -> Self {
        Self {
            limits,
            ..self.clone()
        }
    }
}

/// Fits a server's constants on runs with at least two numbers of clients.
///
/// # Errors
/// [`SimError::Malformed`] when the runs contradict themselves, or are too few or too much alike to tell the
/// constants apart; the message says what to send.
pub fn calibrate(
    model: &str,
    runs: &[LoadRun],
    limits: ServerLimits,
) -> Result<CalibratedServer, SimError> {
    limits.check()?;
    check(runs)?;
    let unexplained = || {
        refused(
            "the times cannot be explained by any constants; measure again while nothing else uses the server",
        )
    };
    let rough = solve(&equations(runs, &limits)).ok_or_else(unexplained)?;
    let mut fitted = CalibratedServer {
        format: FORMAT,
        model: model.to_owned(),
        limits,
        constants: StepConstants::from_array(rough),
        requests: runs.iter().map(|run| run.requests.len()).sum(),
        median_error: 0.0,
    };
    let (values, median_error) = refine(&fitted, runs).ok_or_else(unexplained)?;
    fitted.constants = StepConstants::from_array(values.map(rounded));
    fitted.median_error = rounded(median_error);
    fitted.check()?;
    Ok(fitted)
}

fn refused(why: impl Into<String>) -> SimError {
    SimError::malformed("the measurement", why)
}

/// Whether the runs can tell the constants apart.
fn check(runs: &[LoadRun]) -> Result<(), SimError> {
    let all = || runs.iter().flat_map(|run| &run.requests);
    for (index, request) in all().enumerate() {
        let times = [request.sent_us, request.first_us, request.last_us];
        let is_sound = times.iter().all(|time| time.is_finite() && *time >= 0.0)
            && request.sent_us < request.first_us
            && request.first_us <= request.last_us;
        if !is_sound {
            return Err(refused(format!(
                "request {index} ended before it began; its times were not measured by one clock"
            )));
        }
        if request.input_tokens == 0 || request.output_tokens == 0 {
            return Err(refused(format!("request {index} has no tokens")));
        }
    }
    if all().count() < REQUESTS_MIN {
        return Err(refused(format!(
            "it has {} requests; send at least {REQUESTS_MIN}",
            all().count()
        )));
    }
    let mut clients: Vec<u32> = runs.iter().filter_map(|run| run.clients).collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.len() < 2 {
        return Err(refused(
            "what a step costs and what each of its sequences adds can only be told apart at two numbers of \
             clients, such as 1 and 4",
        ));
    }
    let written: u64 = all().map(|request| u64::from(request.output_tokens)).sum();
    if written < OUTPUT_TOKENS_MIN || all().all(|request| request.output_tokens < 2) {
        return Err(refused(format!(
            "all answers together have {written} tokens; ask for longer ones"
        )));
    }
    let fresh = |request: &ServedRequest| {
        f64::from(request.input_tokens.saturating_sub(request.cached_tokens))
    };
    let most = all().map(fresh).fold(0.0, f64::max);
    let least = all().map(fresh).fold(f64::INFINITY, f64::min);
    if most < SPREAD_MIN * least.max(1.0) {
        return Err(refused(format!(
            "prompts have {least} to {most} tokens that were not cached; send short and long ones"
        )));
    }
    Ok(())
}

/// Five significant digits: what is below is noise.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 4 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
#[path = "calibrate/calibrate_tests.rs"]
mod tests;
