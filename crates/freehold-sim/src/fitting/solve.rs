//! Solves the small dense systems of the fit.

/// `matrix x = right` for a symmetric positive definite matrix, row by row, by Cholesky's
/// decomposition; nothing when it is not positive definite.
pub(crate) fn solve_symmetric(mut matrix: Vec<f64>, right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    for column in 0..size {
        for row in column..size {
            let (a, b) = (row * size, column * size);
            let known: f64 = (0..column).map(|k| matrix[a + k] * matrix[b + k]).sum();
            let rest = matrix[a + column] - known;
            matrix[a + column] = if row == column {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / matrix[b + column]
            };
        }
    }
    let mut solution = right.to_vec();
    for row in 0..size {
        let known: f64 = (0..row).map(|k| matrix[row * size + k] * solution[k]).sum();
        solution[row] = (solution[row] - known) / matrix[row * size + row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size)
            .map(|k| matrix[k * size + row] * solution[k])
            .sum();
        solution[row] = (solution[row] - known) / matrix[row * size + row];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_by_hand() {
        // 4x + 2y = 10, 2x + 3y = 11: x = 1, y = 3.
        let solved = solve_symmetric(vec![4.0, 2.0, 2.0, 3.0], &[10.0, 11.0]).unwrap();
        assert!((solved[0] - 1.0).abs() < 1e-12 && (solved[1] - 3.0).abs() < 1e-12);
        assert_eq!(solve_symmetric(vec![1.0, 2.0, 2.0, 1.0], &[1.0, 1.0]), None);
    }
}
