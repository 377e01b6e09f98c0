//! How difficult a request probably is: a logistic model over its observable features.
//!
//! Transparent on purpose: one table of weights, each with what it multiplies, and every
//! contribution can be shown. The weights are set by judgement on what small models fail at; they
//! are not yet trained on outcomes.

use freehold_types::Features;

use crate::rank::rounded;

/// What a feature adds to the log-odds of being difficult.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The feature.
    pub feature: &'static str,
    /// What it adds: positive makes the request more difficult.
    pub log_odds: f64,
}

struct Term {
    feature: &'static str,
    weight: f64,
    value: fn(&Features) -> f64,
}

/// Log-odds of an empty request.
const BIAS: f64 = -2.4;

/// The model. Counts enter through logarithms, so that nothing dominates by its size alone.
const TERMS: [Term; 14] = [
    Term {
        feature: "prompt length",
        weight: 0.45,
        value: |f| log(f.prompt_tokens, 100),
    },
    Term {
        feature: "question length",
        weight: 0.25,
        value: |f| log(f.last_turn_chars, 400),
    },
    Term {
        feature: "turns",
        weight: 0.20,
        value: |f| log(f.turns, 2),
    },
    Term {
        feature: "code",
        weight: 1.50,
        value: |f| share(f.code_permille),
    },
    Term {
        feature: "maths",
        weight: 1.20,
        value: |f| share(f.maths_permille * 20),
    },
    Term {
        feature: "questions",
        weight: 0.20,
        value: |f| log(f.questions, 2),
    },
    Term {
        feature: "reasoning words",
        weight: 0.90,
        value: |f| log(f.reasoning_words, 1),
    },
    Term {
        feature: "simple words",
        weight: -0.40,
        value: |f| log(f.simple_words, 1),
    },
    Term {
        feature: "other scripts",
        weight: 0.60,
        value: |f| share(f.non_latin_permille),
    },
    Term {
        feature: "tools",
        weight: 0.60,
        value: |f| log(f.tools, 1),
    },
    Term {
        feature: "schema",
        weight: 0.35,
        value: |f| log(f.schema_depth, 1),
    },
    Term {
        feature: "pictures",
        weight: 0.80,
        value: |f| log(f.images, 1),
    },
    Term {
        feature: "answer length",
        weight: 0.25,
        value: |f| log(f.max_output_tokens, 1_000),
    },
    Term {
        feature: "thinking",
        weight: 1.00,
        value: |f| share(f.thinking * 1_000),
    },
];

/// `ln(1 + count / unit)`, at most 6.
fn log(count: u64, unit: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts, of which the logarithm is taken"
    )]
    let ratio = count as f64 / unit as f64;
    ratio.ln_1p().min(6.0)
}

/// Thousandths as a share, at most 1.
fn share(permille: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
    let permille = permille.min(1_000) as f64;
    permille / 1_000.0
}

/// How difficult the request probably is: 0 (trivial) to 1, to six decimals.
pub fn difficulty(features: &Features) -> f64 {
    let log_odds = TERMS
        .iter()
        .fold(BIAS, |sum, term| sum + term.weight * (term.value)(features));
    rounded(1.0 / (1.0 + (-log_odds).exp()))
}

/// What each feature contributed, the strongest first; features that contributed nothing are left
/// out. The first entry is always the model's bias.
pub fn contributions(features: &Features) -> Vec<Contribution> {
    let mut list: Vec<_> = TERMS
        .iter()
        .map(|term| Contribution {
            feature: term.feature,
            log_odds: rounded(term.weight * (term.value)(features)),
        })
        .filter(|contribution| contribution.log_odds != 0.0)
        .collect();
    list.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
    let bias = Contribution {
        feature: "bias",
        log_odds: BIAS,
    };
    list.insert(0, bias);
    list
}
