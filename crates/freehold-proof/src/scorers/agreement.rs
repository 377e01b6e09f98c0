//! How far two scorers say the same of the same answers: a judge, and people.

use serde::Serialize;

use crate::differences::Score;

/// How far two scores of the same answers agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Answers with both scores.
    pub answers: u64,
    /// The share with equal scores.
    pub equal: f64,
    /// By how much the first is higher in the mean.
    pub difference: f64,
    /// Cohen's kappa with quadratic weights (Cohen 1968): 1 when all are equal, 0 when they agree as by chance. None when
    /// both give all answers the same score.
    pub kappa: Option<f64>,
    /// Pearson's correlation; none when either gives all answers the same score.
    pub correlation: Option<f64>,
}

impl Agreement {
    /// Of pairs of scores; none when there are none.
    ///
    /// With quadratic weights, kappa is 1 minus the mean squared difference over what it would be if the scores were
    /// paired at random, which is the sum of both variances and the squared difference of the means: no categories are
    /// needed.
    #[must_use]
    pub fn of(pairs: &[(Score, Score)]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let count = pairs.len() as f64;
        let values = || {
            pairs
                .iter()
                .map(|(first, second)| (first.get(), second.get()))
        };
        let mean = |value: &dyn Fn((f64, f64)) -> f64| values().map(value).sum::<f64>() / count;
        let (first, second) = (mean(&|(x, _)| x), mean(&|(_, y)| y));
        let spread = mean(&|(x, _)| (x - first).powi(2));
        let other_spread = mean(&|(_, y)| (y - second).powi(2));
        let together = mean(&|(x, y)| (x - first) * (y - second));
        let squares = mean(&|(x, y)| (x - y).powi(2));
        let by_chance = spread + other_spread + (first - second).powi(2);
        let equal = values().filter(|(x, y)| (x - y).abs() < 1e-9).count();
        let root = (spread * other_spread).sqrt();
        Some(Self {
            answers: pairs.len() as u64,
            equal: equal as f64 / count,
            difference: first - second,
            kappa: (by_chance > 1e-12).then(|| 1.0 - squares / by_chance),
            correlation: (root > 1e-12).then(|| (together / root).clamp(-1.0, 1.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, f64)]) -> Agreement {
        let score = |value| Score::new(value).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(x, y)| (score(*x), score(*y))).collect();
        Agreement::of(&pairs).unwrap()
    }

    /// As scikit-learn's `cohen_kappa_score(x, y, weights="quadratic")` and `numpy.corrcoef` have it for grades 0 to 4:
    /// x = 0 1 2 3 4 4 2 1, y = 0 1 3 3 4 2 2 0. By hand: squares 6 / 8, means 17/8 and 15/8.
    #[test]
    fn kappa_and_correlation_are_those_of_the_literature() {
        let grades = [
            (0, 0),
            (1, 1),
            (2, 3),
            (3, 3),
            (4, 4),
            (4, 2),
            (2, 2),
            (1, 0),
        ];
        let pairs = grades.map(|(x, y)| (f64::from(x) / 4.0, f64::from(y) / 4.0));
        let agreement = of(&pairs);
        assert_eq!(agreement.answers, 8);
        assert!((agreement.equal - 5.0 / 8.0).abs() < 1e-12);
        assert!((agreement.difference - 0.25 / 4.0).abs() < 1e-12);
        // Variances 119/64 and 119/64, squared difference of means 4/64: 1 - (48/64) / (242/64).
        assert!((agreement.kappa.unwrap() - (1.0 - 48.0 / 242.0)).abs() < 1e-12);
        // Covariance 38/8 - (17 * 15) / 64 = 97/64... over 119/64.
        let products: f64 = grades.iter().map(|(x, y)| f64::from(x * y)).sum();
        let covariance = products / 8.0 - 17.0 * 15.0 / 64.0;
        assert!((agreement.correlation.unwrap() - covariance / (119.0 / 64.0)).abs() < 1e-12);
    }

    #[test]
    fn chance_and_opposites_are_no_agreement() {
        let chance = of(&[(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]);
        assert!(chance.kappa.unwrap().abs() < 1e-12 && chance.correlation.unwrap().abs() < 1e-12);
        let opposite = of(&[(0.0, 1.0), (1.0, 0.0)]);
        assert!((opposite.kappa.unwrap() + 1.0).abs() < 1e-12);
        let same = of(&[(0.5, 0.5), (0.5, 0.5)]);
        assert_eq!(
            (same.kappa, same.correlation, same.equal),
            (None, None, 1.0)
        );
        assert_eq!(Agreement::of(&[]), None);
    }
}
