//! Fits the constants on measurements, and tells how good they are on pairs they have not seen.
//!
//! Every constant is a base times a factor for the engine, the GPU family, the engine with this kind of
//! model (mixture or dense), the number format with it, and the kind, all in logarithms, so the whole is
//! a ridge regression on a non-linear model: the squared logarithm of predicted / measured throughput,
//! made robust (Cauchy weights), plus the squared distance of every base from what is known of hardware
//! and of every factor from 1. It is solved by Levenberg-Marquardt with numerical derivatives. A factor
//! that the data say nothing about stays 1.

mod solve;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::constants::{COUNT, Constants, FittedConstants, GROUPS, NAMES, groups_of};
use crate::measured::Measured;
use crate::steady::steady;
use crate::step::StepModel;
pub(crate) use solve::solve_symmetric;

/// Where bases begin, and how far (as a logarithm) data may easily draw them, and their factors, away.
///
/// Shares: published microbenchmarks reach 80-90 % of memory bandwidth and 50-80 % of the peak of
/// matrix units; launches and all-reduces cost 1-20 microseconds, and a layer of a transformer that is
/// launched part by part has a few dozen launches.
const BASES: [(f64, f64, f64); COUNT] = [
    (0.78, 0.10, 0.10),
    (0.65, 0.15, 0.15),
    (0.55, 0.20, 0.20),
    (0.35, 0.30, 0.25),
    (1_000.0, 0.70, 0.40),
    (30.0, 0.70, 0.40),
    (10.0, 0.70, 0.40),
    (0.60, 0.30, 0.20),
    (6.0, 0.60, 0.30),
    (0.80, 0.15, 0.10),
    (0.60, 0.30, 0.25),
    (400.0, 0.70, 0.40),
];
/// Errors (as a logarithm) well above this are treated as outliers. What is published about mixtures
/// leaves out how experts are spread over GPUs, so more of it is far off, and is cut off earlier.
const SCALE_DENSE: f64 = 0.2;
const SCALE_MIXTURE: f64 = 0.08;
/// How much the prior weighs against one row of a pair with one row.
const PRIOR_WEIGHT: f64 = 0.25;
/// Rounds of Levenberg-Marquardt; it has converged long before.
const ROUNDS: usize = 40;

/// One row, ready for the fit.
struct Row<'a> {
    measured: &'a Measured,
    /// Where the factors of its groups begin in the vector of parameters.
    offsets: [usize; GROUPS],
    weight: f64,
    scale: f64,
}

/// Fits constants on measurements; rows of models that would not fit into the GPUs are left out.
#[must_use]
pub fn fit(rows: &[Measured]) -> FittedConstants {
    let groups: BTreeSet<String> = rows.iter().flat_map(|row| groups_of(&row.server)).collect();
    let groups: Vec<String> = groups.into_iter().collect();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for row in rows {
        *counts.entry(key(row)).or_default() += 1.0;
    }
    let prepared: Vec<Row> = rows
        .iter()
        .map(|measured| Row {
            measured,
            offsets: groups_of(&measured.server).map(|group| {
                let index = groups.binary_search(&group).unwrap_or_default();
                COUNT * (1 + index)
            }),
            // A pair with many rows counts more than one with few, but not in proportion.
            scale: if measured.is_mixture() {
                SCALE_MIXTURE
            } else {
                SCALE_DENSE
            },
            weight: counts[&key(measured)].powf(-0.5),
        })
        .collect();
    let parameters = descend(&prepared, COUNT * (1 + groups.len()));
    constants(&parameters, &groups, rows.len())
}

fn key(row: &Measured) -> String {
    format!("{} {}", row.pair(), row.server.engine.name())
}

/// Levenberg-Marquardt on all parameters, as logarithms relative to the prior's middle.
fn descend(rows: &[Row], size: usize) -> Vec<f64> {
    let mut parameters = vec![0.0; size];
    let mut damping = 1e-2;
    let mut cost = total_cost(rows, &parameters);
    for _ in 0..ROUNDS {
        let (normal, gradient) = normal_equations(rows, &parameters);
        let mut improved = false;
        for _ in 0..8 {
            let mut damped = normal.clone();
            for index in 0..size {
                damped[index * size + index] *= 1.0 + damping;
            }
            let Some(step) = solve_symmetric(damped, &gradient) else {
                damping *= 10.0;
                continue;
            };
            let candidate: Vec<f64> = parameters
                .iter()
                .zip(&step)
                .map(|(old, change)| old - change.clamp(-0.7, 0.7))
                .collect();
            let new_cost = total_cost(rows, &candidate);
            if new_cost < cost {
                improved = cost - new_cost > 1e-7 * cost;
                parameters = candidate;
                cost = new_cost;
                damping = (damping * 0.3).max(1e-6);
                break;
            }
            damping *= 4.0;
        }
        if !improved {
            break;
        }
    }
    parameters
}

/// The constants that hold for a row, and the logarithm of predicted / measured.
fn residual(row: &Row, values: [f64; COUNT]) -> Option<f64> {
    let measured = row.measured;
    let model = StepModel::new(&measured.server, &Constants::from_array(values));
    let predicted = steady(
        &measured.server,
        &model,
        measured.offer,
        measured.input,
        measured.output,
    )?;
    Some((predicted.output_tokens_per_s / measured.tokens_per_s).ln())
}

fn values_of(row: &Row, parameters: &[f64]) -> [f64; COUNT] {
    let mut values = [0.0; COUNT];
    for (index, value) in values.iter_mut().enumerate() {
        let factors: f64 = row
            .offsets
            .iter()
            .map(|offset| parameters[offset + index])
            .sum();
        *value = BASES[index].0 * (parameters[index] + factors).exp();
    }
    values
}

fn spread(index: usize) -> f64 {
    if index < COUNT {
        BASES[index].1
    } else {
        BASES[index % COUNT].2
    }
}

fn total_cost(rows: &[Row], parameters: &[f64]) -> f64 {
    let fit: f64 = rows
        .iter()
        .filter_map(|row| {
            let error = residual(row, values_of(row, parameters))? / row.scale;
            // Cauchy's loss.
            Some(row.weight * (error * error).ln_1p())
        })
        .sum();
    let prior: f64 = parameters
        .iter()
        .enumerate()
        .map(|(index, value)| (value / spread(index)).powi(2))
        .sum();
    fit + PRIOR_WEIGHT * prior
}

/// Where in the vector of parameters all that belongs to a row begins: the base and its groups.
fn starts(row: &Row) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(row.offsets)
}

/// The Gauss-Newton matrix and the gradient, with Cauchy's weights.
fn normal_equations(rows: &[Row], parameters: &[f64]) -> (Vec<f64>, Vec<f64>) {
    const STEP: f64 = 1e-4;
    let size = parameters.len();
    let mut normal = vec![0.0; size * size];
    let mut gradient = vec![0.0; size];
    for row in rows {
        let values = values_of(row, parameters);
        let Some(base) = residual(row, values) else {
            continue;
        };
        let error = base / row.scale;
        let weight = row.weight / (1.0 + error * error);
        let mut slopes = [0.0; COUNT];
        for (index, slope) in slopes.iter_mut().enumerate() {
            let mut moved = values;
            moved[index] *= STEP.exp();
            let Some(there) = residual(row, moved) else {
                continue;
            };
            *slope = (there - base) / STEP / row.scale;
        }
        for start in starts(row) {
            for (index, slope) in slopes.iter().enumerate() {
                gradient[start + index] += weight * slope * error;
                for other in starts(row) {
                    let line = (start + index) * size + other;
                    for (second, other_slope) in slopes.iter().enumerate() {
                        normal[line + second] += weight * slope * other_slope;
                    }
                }
            }
        }
    }
    for (index, value) in parameters.iter().enumerate() {
        let strength = PRIOR_WEIGHT / spread(index).powi(2);
        normal[index * size + index] += strength;
        gradient[index] += strength * value;
    }
    (normal, gradient)
}

/// Four significant digits: what is below is noise, and would differ between machines.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn constants(parameters: &[f64], groups: &[String], rows: usize) -> FittedConstants {
    let mut base = [0.0; COUNT];
    for (index, value) in base.iter_mut().enumerate() {
        *value = rounded(BASES[index].0 * parameters[index].exp());
    }
    let factors = groups
        .iter()
        .enumerate()
        .map(|(group, name)| {
            let start = COUNT * (1 + group);
            let told = NAMES
                .iter()
                .enumerate()
                .map(|(index, name)| ((*name).to_owned(), rounded(parameters[start + index].exp())))
                .filter(|(_, factor)| (*factor - 1.0).abs() > 5e-4)
                .collect();
            (name.clone(), told)
        })
        .collect();
    FittedConstants {
        rows,
        base: Constants::from_array(base),
        factors,
    }
}

/// One row and what constants that never saw its pair say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// Model and GPU.
    pub pair: String,
    /// Whether the model is a mixture of experts.
    pub is_mixture: bool,
    /// What was measured, tokens per second.
    pub measured: f64,
    /// What is predicted; nothing when the model would not fit.
    pub predicted: Option<f64>,
    /// Which row of the input it is.
    pub row: usize,
}

impl HeldOut {
    /// Predicted / measured - 1.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        Some(self.predicted? / self.measured - 1.0)
    }
}

/// Predicts every row with constants fitted on all other pairs of model and GPU.
#[must_use]
pub fn cross_validate(rows: &[Measured]) -> Vec<HeldOut> {
    let pairs: BTreeSet<String> = rows.iter().map(Measured::pair).collect();
    let mut told = Vec::with_capacity(rows.len());
    for pair in pairs {
        let others: Vec<Measured> = rows
            .iter()
            .filter(|row| row.pair() != pair)
            .cloned()
            .collect();
        let constants = fit(&others);
        told.extend(
            predict_rows(rows, &constants)
                .into_iter()
                .filter(|row| row.pair == pair),
        );
    }
    told.sort_by_key(|row| row.row);
    told
}

/// Predicts every row with given constants.
#[must_use]
pub fn predict_rows(rows: &[Measured], constants: &FittedConstants) -> Vec<HeldOut> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| HeldOut {
            pair: row.pair(),
            is_mixture: row.is_mixture(),
            measured: row.tokens_per_s,
            predicted: row
                .predict(constants)
                .map(|steady| steady.output_tokens_per_s),
            row: index,
        })
        .collect()
}

/// How far predictions are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Rows that were predicted.
    pub rows: usize,
    /// Rows of models that would not fit, which are no part of the other figures.
    pub unpredicted: usize,
    /// Median of the absolute error, a share.
    pub median: f64,
    /// 90 % of absolute errors are at most this share.
    pub p90: f64,
    /// Median of the error with its sign, a share: above 0 means predicted too fast.
    pub bias: f64,
}

impl Errors {
    /// Of some predictions.
    #[must_use]
    pub fn of<'a>(rows: impl Iterator<Item = &'a HeldOut>) -> Self {
        let mut unpredicted = 0;
        let mut signed = Vec::new();
        for row in rows {
            match row.error() {
                Some(error) => signed.push(error),
                None => unpredicted += 1,
            }
        }
        let mut absolute: Vec<f64> = signed.iter().map(|error| error.abs()).collect();
        signed.sort_by(f64::total_cmp);
        absolute.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], share: f64| {
            let last = sorted.len().saturating_sub(1);
            let index = (share * last as f64).round() as usize;
            sorted.get(index).copied().unwrap_or(0.0)
        };
        Self {
            rows: absolute.len(),
            unpredicted,
            median: at(&absolute, 0.5),
            p90: at(&absolute, 0.9),
            bias: at(&signed, 0.5),
        }
    }
}
