//! Two equations of every request: what it took to its first token, and from there to its last.
//!
//! Who else was served meanwhile is told from the other requests of the run. Prompts are worked on in the order
//! in which they come, each evenly from the end of the one before it to its own first token; an answer is taken
//! to be written evenly from its first token to its last.

use super::{LoadRun, ServedRequest, ServerLimits};

/// How many constants there are: [`StepConstants::to_array`](super::StepConstants).
pub(super) const UNKNOWNS: usize = 6;

/// `factors` times the constants is `measured_us`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Equation {
    pub(super) factors: [f64; UNKNOWNS],
    pub(super) measured_us: f64,
}

/// Of every request of every run. Requests beyond the server's slots wait, which no equation describes:
/// of runs with more clients only the second one is used, and replayed traces are not.
pub(super) fn equations(runs: &[LoadRun], limits: &ServerLimits) -> Vec<Equation> {
    let mut rows = Vec::new();
    for run in runs {
        let Some(clients) = run.clients else {
            continue;
        };
        let waits = clients > limits.slots;
        let run = Timeline::of(run);
        for (index, request) in run.requests.iter().enumerate() {
            if !waits {
                rows.push(to_first(&run, index, limits));
            }
            if request.output_tokens > 1 && request.last_us > request.first_us {
                rows.push(to_last(&run, index));
            }
        }
    }
    rows
}

/// A run's requests, and since when each prompt was worked on.
struct Timeline<'a> {
    requests: &'a [ServedRequest],
    begun_us: Vec<f64>,
}

impl<'a> Timeline<'a> {
    fn of(run: &'a LoadRun) -> Self {
        let requests = &run.requests;
        let begun = |request: &ServedRequest| {
            let before = requests.iter().filter(|other| {
                other.sent_us < request.sent_us && other.first_us <= request.first_us
            });
            let ended = before.map(|other| other.first_us);
            ended.fold(request.sent_us, f64::max).min(request.first_us)
        };
        Self {
            requests,
            begun_us: requests.iter().map(begun).collect(),
        }
    }
}

/// What others did in a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
struct Meanwhile {
    /// Tokens that they wrote, and the cached tokens that each of these looked at.
    written: f64,
    context: f64,
    /// Tokens that the busiest of them wrote: so many steps there were at least.
    steps: f64,
    prompt: f64,
    pairs: f64,
}

fn meanwhile(run: &Timeline, index: usize, from_us: f64, until_us: f64) -> Meanwhile {
    let mut sum = Meanwhile::default();
    for (other, request) in run.requests.iter().enumerate() {
        if other == index {
            continue;
        }
        let prompt = share(run.begun_us[other], request.first_us, from_us, until_us);
        let fresh = fresh(request);
        sum.prompt += prompt * fresh;
        sum.pairs += prompt * pairs(request);
        let written = share(request.first_us, request.last_us, from_us, until_us)
            * f64::from(request.output_tokens - 1);
        sum.written += written;
        sum.steps = sum.steps.max(written);
        if written > 0.0 {
            let middle = (request.first_us.max(from_us) + request.last_us.min(until_us)) / 2.0;
            let done = (middle - request.first_us) / (request.last_us - request.first_us);
            let context = f64::from(request.input_tokens) + done * f64::from(request.output_tokens);
            sum.context += written * context;
        }
    }
    sum
}

/// Which share of the first stretch lies in the second.
fn share(begin_us: f64, end_us: f64, from_us: f64, until_us: f64) -> f64 {
    let common = end_us.min(until_us) - begin_us.max(from_us);
    if common <= 0.0 || end_us <= begin_us {
        return 0.0;
    }
    common / (end_us - begin_us)
}

/// Tokens of the prompt that had to be worked on.
fn fresh(request: &ServedRequest) -> f64 {
    f64::from(request.input_tokens.saturating_sub(request.cached_tokens)).max(1.0)
}

/// Pairs of tokens of the prompt: each of the fresh ones sees those before it.
fn pairs(request: &ServedRequest) -> f64 {
    let fresh = fresh(request);
    fresh * (f64::from(request.cached_tokens) + fresh / 2.0)
}

fn to_first(run: &Timeline, index: usize, limits: &ServerLimits) -> Equation {
    let request = &run.requests[index];
    let others = meanwhile(run, index, request.sent_us, request.first_us);
    let prompt = fresh(request) + others.prompt;
    let own_steps = (prompt / f64::from(limits.step_tokens)).ceil();
    Equation {
        factors: [
            1.0,
            own_steps.max(others.steps),
            others.written,
            others.context,
            prompt,
            pairs(request) + others.pairs,
        ],
        measured_us: request.first_us - request.sent_us,
    }
}

fn to_last(run: &Timeline, index: usize) -> Equation {
    let request = &run.requests[index];
    let others = meanwhile(run, index, request.first_us, request.last_us);
    let steps = f64::from(request.output_tokens - 1);
    let context = f64::from(request.input_tokens) + f64::from(request.output_tokens) / 2.0;
    Equation {
        factors: [
            0.0,
            steps,
            steps + others.written,
            steps * context + others.context,
            others.prompt,
            others.pairs,
        ],
        measured_us: request.last_us - request.first_us,
    }
}
