//! What can be wrong with a question to the planner.

use freehold_workload::BadWorkload;

/// Why there is no answer; every message says what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The traffic is empty or contradicts itself.
    #[error("the traffic cannot be priced")]
    Workload(#[from] BadWorkload),
    /// Too little traffic to say anything about a month.
    #[error("{0}")]
    TooLittle(String),
    /// An assumption that makes no sense.
    #[error("assumption {key}: {why}")]
    Assumption {
        /// Which one.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file from outside does not read.
    #[error("{what}: {why}")]
    Malformed {
        /// Which file or part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody knows what a model costs.
    #[error("no price is known for {model}: {hint}")]
    NoPrice {
        /// The model.
        model: String,
        /// What would help.
        hint: String,
    },
    /// No machine can serve the traffic as asked.
    #[error("nothing can be owned for this traffic: {0}")]
    NoCandidate(String),
    /// A setting that makes no sense.
    #[error("{name} is {value}; it must be {must_be}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        must_be: &'static str,
    },
}
