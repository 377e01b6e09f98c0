//! Solves the equations: least squares of relative errors, nothing below 0, outliers weighed down.
//!
//! Constants below 0 make no sense, so a constant that would be is left out and the rest is solved again
//! (the first step of Lawson and Hanson's active-set method, "Solving Least Squares Problems", 1974). Outliers,
//! such as requests that something else on the machine disturbed, get Cauchy's weights.

use super::equations::{Equation, UNKNOWNS};
use crate::fitting::solve_symmetric;

/// Rounds of reweighting; it has converged long before.
const ROUNDS: usize = 30;
/// Errors (a share of the measured time) well above this are treated as outliers.
const SCALE: f64 = 0.15;
/// Times below this are measured with an error of about this much.
const CLOCK_US: f64 = 1_000.0;
/// Against equations that do not tell two constants apart: both then get as little as possible.
const RIDGE: f64 = 1e-6;

/// The constants; nothing when there is no solution.
pub(super) fn solve(rows: &[Equation]) -> Option<[f64; UNKNOWNS]> {
    let rows: Vec<Equation> = rows
        .iter()
        .map(|row| {
            let weight = 1.0 / (row.measured_us + CLOCK_US);
            Equation {
                factors: row.factors.map(|factor| factor * weight),
                measured_us: row.measured_us * weight,
            }
        })
        .collect();
    let mut weights = vec![1.0; rows.len()];
    let mut values = [0.0; UNKNOWNS];
    for _ in 0..ROUNDS {
        let next = non_negative(&rows, &weights)?;
        let is_same = next
            .iter()
            .zip(&values)
            .all(|(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()));
        values = next;
        if is_same {
            break;
        }
        for (weight, row) in weights.iter_mut().zip(&rows) {
            let error = error(row, &values) / SCALE;
            *weight = 1.0 / (1.0 + error * error);
        }
    }
    values
        .iter()
        .all(|value| value.is_finite())
        .then_some(values)
}

fn error(row: &Equation, values: &[f64; UNKNOWNS]) -> f64 {
    let predicted: f64 = row.factors.iter().zip(values).map(|(a, b)| a * b).sum();
    predicted - row.measured_us
}

/// Least squares with no value below 0.
fn non_negative(rows: &[Equation], weights: &[f64]) -> Option<[f64; UNKNOWNS]> {
    let mut used: Vec<usize> = (0..UNKNOWNS)
        .filter(|index| rows.iter().any(|row| row.factors[*index] > 0.0))
        .collect();
    loop {
        if used.is_empty() {
            return None;
        }
        let solved = least_squares(rows, weights, &used)?;
        let lowest = solved
            .iter()
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(b.1))
            .filter(|(_, value)| **value < 0.0);
        let Some((place, _)) = lowest else {
            let mut values = [0.0; UNKNOWNS];
            for (index, value) in used.iter().zip(&solved) {
                values[*index] = *value;
            }
            return Some(values);
        };
        used.remove(place);
    }
}

/// Least squares of some of the constants, each in units of its own size.
fn least_squares(rows: &[Equation], weights: &[f64], used: &[usize]) -> Option<Vec<f64>> {
    let size = used.len();
    let scales: Vec<f64> = used
        .iter()
        .map(|index| {
            let squares = rows.iter().zip(weights);
            let sum: f64 = squares
                .map(|(row, weight)| weight * row.factors[*index].powi(2))
                .sum();
            sum.sqrt()
        })
        .collect();
    let mut normal = vec![0.0; size * size];
    let mut right = vec![0.0; size];
    for (row, weight) in rows.iter().zip(weights) {
        for (a, index) in used.iter().enumerate() {
            let left = weight * row.factors[*index] / scales[a];
            right[a] += left * row.measured_us;
            for (b, other) in used.iter().enumerate() {
                normal[a * size + b] += left * row.factors[*other] / scales[b];
            }
        }
    }
    for index in 0..size {
        normal[index * size + index] += RIDGE;
    }
    let solved = solve_symmetric(normal, &right)?;
    Some(solved.iter().zip(&scales).map(|(a, b)| a / b).collect())
}
