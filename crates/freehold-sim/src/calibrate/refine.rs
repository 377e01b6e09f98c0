//! Makes the simulator itself reproduce the runs: the equations take answers to be written evenly, which
//! they are not while others' prompts are worked on.
//!
//! Every run is simulated with its requests sent when they really were. The logarithms of simulated over
//! measured times, to the first token and from there to the last, are brought down by Levenberg-Marquardt on
//! the constants' logarithms, outliers weighed down, and drawn a little to where the equations put them.

use super::equations::UNKNOWNS;
use super::{CalibratedServer, LoadRun, ServedRequest, ServerLimits, StepConstants};
use crate::fitting::solve_symmetric;
use crate::simulate::serve;

/// Rounds of Levenberg-Marquardt; it has converged before.
const ROUNDS: usize = 25;
/// Relative change for derivatives: large against the jumps that whole steps make.
const STEP: f64 = 0.03;
/// Errors (as a logarithm) well above this are treated as outliers.
const SCALE: f64 = 0.15;
/// How much the equations' constants weigh against one time; as a logarithm.
const PRIOR_WEIGHT: f64 = 0.5;
/// Where a constant begins that the equations put at 0, and below which none goes, microseconds: request, step,
/// sequence, context, prompt, pair.
const LEAST_US: [f64; UNKNOWNS] = [100.0, 10.0, 1.0, 1e-4, 0.1, 1e-6];
/// Times below this are measured with an error of about this much.
const CLOCK_US: f64 = 1_000.0;

/// The constants that reproduce the runs best, and the median of the errors' absolutes that is left.
pub(super) fn refine(
    server: &CalibratedServer,
    runs: &[LoadRun],
) -> Option<([f64; UNKNOWNS], f64)> {
    let problem = Problem::new(server, runs);
    let mut best = [0.0; UNKNOWNS];
    let mut errors = problem.errors(&best)?;
    let mut cost = problem.cost(&best, &errors);
    let mut damping = 1e-2;
    for _ in 0..ROUNDS {
        let (normal, gradient) = problem.normal_equations(&best, &errors)?;
        let mut gain = 0.0;
        for _ in 0..6 {
            let mut damped = normal;
            for index in 0..UNKNOWNS {
                damped[index * UNKNOWNS + index] *= 1.0 + damping;
            }
            let step = solve_symmetric(damped.to_vec(), &gradient)?;
            let mut candidate = best;
            for (value, change) in candidate.iter_mut().zip(&step) {
                *value -= change.clamp(-0.5, 0.5);
            }
            let found = problem.errors(&candidate)?;
            let new_cost = problem.cost(&candidate, &found);
            if new_cost < cost {
                gain = (cost - new_cost) / cost;
                (best, errors, cost) = (candidate, found, new_cost);
                damping = (damping * 0.3).max(1e-6);
                break;
            }
            damping *= 4.0;
        }
        if gain < 1e-6 {
            break;
        }
    }
    let mut absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    absolute.sort_by(f64::total_cmp);
    let median = absolute.get(absolute.len() / 2).copied()?;
    Some((problem.values(&best), median))
}

struct Problem {
    server: CalibratedServer,
    runs: Vec<LoadRun>,
    start: [f64; UNKNOWNS],
}

impl Problem {
    fn new(server: &CalibratedServer, runs: &[LoadRun]) -> Self {
        let mut start = server.constants.to_array();
        for (value, least) in start.iter_mut().zip(LEAST_US) {
            *value = value.max(least);
        }
        // With clients, requests were sent when others had ended: sent again at those times, none waits.
        let as_sent = |run: &LoadRun| LoadRun {
            clients: None,
            ..run.clone()
        };
        let fitted = runs.iter().filter(|run| run.clients.is_some());
        let most = runs.iter().filter_map(|run| run.clients).max();
        let waits = most.is_some_and(|most| most > server.limits.slots);
        let slots = match (waits, most) {
            (false, Some(most)) => server.limits.slots.max(most.saturating_mul(2)),
            _ => server.limits.slots,
        };
        Self {
            server: server.with_limits(ServerLimits {
                slots,
                ..server.limits
            }),
            runs: fitted.map(as_sent).collect(),
            start,
        }
    }

    fn values(&self, logarithms: &[f64; UNKNOWNS]) -> [f64; UNKNOWNS] {
        let mut values = self.start;
        for (value, logarithm) in values.iter_mut().zip(logarithms) {
            *value *= logarithm.exp();
        }
        values
    }

    /// Two logarithms of simulated / measured for every request.
    fn errors(&self, logarithms: &[f64; UNKNOWNS]) -> Option<Vec<f64>> {
        let server = CalibratedServer {
            constants: StepConstants::from_array(self.values(logarithms)),
            ..self.server.clone()
        };
        let mut errors = Vec::new();
        for run in &self.runs {
            let served = serve(&server, run).ok()?;
            for (told, measured) in served.iter().zip(&run.requests) {
                errors.push(ratio(told, measured, |r| r.first_us - r.sent_us));
                errors.push(ratio(told, measured, |r| r.last_us - r.first_us));
            }
        }
        errors
            .iter()
            .all(|error| error.is_finite())
            .then_some(errors)
    }

    fn cost(&self, logarithms: &[f64; UNKNOWNS], errors: &[f64]) -> f64 {
        let fit: f64 = errors.iter().map(|e| (e / SCALE).powi(2).ln_1p()).sum();
        let prior: f64 = logarithms.iter().map(|value| value * value).sum();
        fit + PRIOR_WEIGHT * prior
    }

    /// The Gauss-Newton matrix and the gradient, with Cauchy's weights.
    fn normal_equations(
        &self,
        logarithms: &[f64; UNKNOWNS],
        errors: &[f64],
    ) -> Option<([f64; UNKNOWNS * UNKNOWNS], [f64; UNKNOWNS])> {
        let mut slopes = Vec::with_capacity(UNKNOWNS);
        for index in 0..UNKNOWNS {
            let (mut more, mut less) = (*logarithms, *logarithms);
            more[index] += STEP;
            less[index] -= STEP;
            let (more, less) = (self.errors(&more)?, self.errors(&less)?);
            let both = more.iter().zip(&less);
            let slope: Vec<f64> = both.map(|(a, b)| (a - b) / (2.0 * STEP * SCALE)).collect();
            slopes.push(slope);
        }
        let mut normal = [0.0; UNKNOWNS * UNKNOWNS];
        let mut gradient = [0.0; UNKNOWNS];
        for (row, error) in errors.iter().enumerate() {
            let scaled = error / SCALE;
            let weight = 1.0 / (1.0 + scaled * scaled);
            for a in 0..UNKNOWNS {
                gradient[a] += weight * slopes[a][row] * scaled;
                for b in 0..UNKNOWNS {
                    normal[a * UNKNOWNS + b] += weight * slopes[a][row] * slopes[b][row];
                }
            }
        }
        for (index, value) in logarithms.iter().enumerate() {
            normal[index * UNKNOWNS + index] += PRIOR_WEIGHT;
            gradient[index] += PRIOR_WEIGHT * value;
        }
        Some((normal, gradient))
    }
}

fn ratio(
    told: &ServedRequest,
    measured: &ServedRequest,
    of: impl Fn(&ServedRequest) -> f64,
) -> f64 {
    ((of(told) + CLOCK_US) / (of(measured) + CLOCK_US)).ln()
}
