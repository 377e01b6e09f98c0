//! How a run went, and how a calibrated server says that it would have gone.

use serde::{Deserialize, Serialize};

use super::{CalibratedServer, LoadRun, ServedRequest};
use crate::error::SimError;
use crate::simulate::serve;

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadFigures {
    /// Tokens written per second, from the first request to the last token.
    pub output_tokens_per_s: f64,
    /// Time to the first token: half of the requests are at most this, milliseconds.
    pub ttft_p50_ms: f64,
    /// The same of 95 %.
    pub ttft_p95_ms: f64,
    /// Mean time between the tokens of an answer, of half of the answers.
    pub tpot_p50_ms: f64,
    /// Time to the last token, of half of the requests.
    pub latency_p50_ms: f64,
    /// The same of 95 %.
    pub latency_p95_ms: f64,
}

/// A run and what is predicted of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Clients; nothing for a replayed trace.
    pub clients: Option<u32>,
    /// Requests.
    pub requests: usize,
    /// Rounds of which the medians are taken.
    pub rounds: usize,
    /// As it was.
    pub measured: LoadFigures,
    /// As the calibrated server serves the same requests.
    pub predicted: LoadFigures,
    /// Predicted / measured - 1.
    pub errors: LoadFigures,
}

impl LoadFigures {
    /// Of some requests. All 0 when there are none.
    #[must_use]
    pub fn of(requests: &[ServedRequest]) -> Self {
        let mut ttft: Vec<f64> = requests.iter().map(|r| r.first_us - r.sent_us).collect();
        let mut latency: Vec<f64> = requests.iter().map(|r| r.last_us - r.sent_us).collect();
        let several = requests.iter().filter(|request| request.output_tokens > 1);
        let mut tpot: Vec<f64> = several
            .map(|r| (r.last_us - r.first_us) / f64::from(r.output_tokens - 1))
            .collect();
        let tokens: f64 = requests.iter().map(|r| f64::from(r.output_tokens)).sum();
        let began = requests.iter().map(|r| r.sent_us).fold(f64::MAX, f64::min);
        let ended = requests.iter().map(|r| r.last_us).fold(began, f64::max);
        let seconds = (ended - began) / 1e6;
        let at = |times: &mut Vec<f64>, share| percentile(times, share) / 1e3;
        Self {
            output_tokens_per_s: if seconds > 0.0 { tokens / seconds } else { 0.0 },
            ttft_p50_ms: at(&mut ttft, 0.5),
            ttft_p95_ms: at(&mut ttft, 0.95),
            tpot_p50_ms: at(&mut tpot, 0.5),
            latency_p50_ms: at(&mut latency, 0.5),
            latency_p95_ms: at(&mut latency, 0.95),
        }
    }

    fn to_array(self) -> [f64; 6] {
        [
            self.output_tokens_per_s,
            self.ttft_p50_ms,
            self.ttft_p95_ms,
            self.tpot_p50_ms,
            self.latency_p50_ms,
            self.latency_p95_ms,
        ]
    }

    fn from_array(values: [f64; 6]) -> Self {
        Self {
            output_tokens_per_s: values[0],
            ttft_p50_ms: values[1],
            ttft_p95_ms: values[2],
            tpot_p50_ms: values[3],
            latency_p50_ms: values[4],
            latency_p95_ms: values[5],
        }
    }

    /// Predicted / measured - 1, figure by figure; 0 where nothing was measured.
    #[must_use]
    pub fn errors(&self, measured: &Self) -> Self {
        let (predicted, measured) = (self.to_array(), measured.to_array());
        let mut errors = [0.0; 6];
        for (error, (predicted, measured)) in errors.iter_mut().zip(predicted.iter().zip(measured))
        {
            if measured > 0.0 {
                *error = predicted / measured - 1.0;
            }
        }
        Self::from_array(errors)
    }

    /// Figure by figure the median of several rounds.
    fn median(rounds: &[Self]) -> Self {
        let mut values = [0.0; 6];
        for (index, value) in values.iter_mut().enumerate() {
            let mut of: Vec<f64> = rounds.iter().map(|round| round.to_array()[index]).collect();
            *value = percentile(&mut of, 0.5);
        }
        Self::from_array(values)
    }
}

/// Between the two nearest values in proportion.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = share * values.len().saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => 0.0,
    }
}

/// One run against what the server is predicted to do with the same requests.
///
/// # Errors
/// As [`CalibratedServer::check`], and [`SimError::Malformed`] for a run without requests.
pub fn compare(server: &CalibratedServer, run: &LoadRun) -> Result<Compared, SimError> {
    if run.requests.is_empty() {
        return Err(SimError::malformed("the run", "it has no request"));
    }
    let measured = LoadFigures::of(&run.requests);
    let predicted = LoadFigures::of(&serve(server, run)?);
    Ok(Compared {
        clients: run.clients,
        requests: run.requests.len(),
        rounds: 1,
        measured,
        predicted,
        errors: predicted.errors(&measured),
    })
}

/// Every number of clients, and the replayed trace if there is one last: medians over its rounds.
///
/// # Errors
/// As [`compare`].
pub fn medians(server: &CalibratedServer, runs: &[LoadRun]) -> Result<Vec<Compared>, SimError> {
    let mut kinds: Vec<Option<u32>> = runs.iter().map(|run| run.clients).collect();
    kinds.sort_unstable_by_key(|clients| clients.unwrap_or(u32::MAX));
    kinds.dedup();
    let mut told = Vec::new();
    for clients in kinds {
        let of = runs.iter().filter(|run| run.clients == clients);
        let rounds: Vec<Compared> = of
            .map(|run| compare(server, run))
            .collect::<Result<_, _>>()?;
        let column = |of: fn(&Compared) -> LoadFigures| {
            LoadFigures::median(&rounds.iter().map(of).collect::<Vec<_>>())
        };
        let (measured, predicted) = (column(|r| r.measured), column(|r| r.predicted));
        told.push(Compared {
            clients,
            requests: rounds.iter().map(|round| round.requests).sum(),
            rounds: rounds.len(),
            measured,
            predicted,
            errors: predicted.errors(&measured),
        });
    }
    Ok(told)
}
