//! What can be wrong with a question to the simulator.

use freehold_workload::BadWorkload;

/// Why there is no answer; every message says what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimError {
    /// The workload is empty or contradicts itself.
    #[error("the workload cannot be simulated")]
    Workload(#[from] BadWorkload),
    /// A setting that makes no sense.
    #[error("{name} is {value}; it must be {must_be}")]
    BadSetting {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: f64,
        /// What it may be.
        must_be: &'static str,
    },
    /// The model cannot be served on these GPUs.
    #[error("{model} does not fit: {why}; {hint}")]
    DoesNotFit {
        /// The model.
        model: String,
        /// What is missing.
        why: String,
        /// What would help.
        hint: String,
    },
    /// No number of servers that was allowed keeps the promise.
    #[error(
        "no fleet of up to {replicas_max} replicas keeps the service level at {load} times the traffic \
         (best: {best_share:.1} % of requests); {hint}"
    )]
    Unreachable {
        /// Times the workload's traffic.
        load: f64,
        /// The largest fleet that was allowed.
        replicas_max: u32,
        /// Per cent of requests served well by the best fleet that was tried.
        best_share: f64,
        /// What would help.
        hint: String,
    },
    /// Something is not known by that name.
    #[error("no {what} is known by the name `{name}`; {hint}")]
    Unknown {
        /// What sort of thing.
        what: &'static str,
        /// The name.
        name: String,
        /// What would help.
        hint: String,
    },
    /// A file from outside lacks something or contradicts itself.
    #[error("{what}: {why}")]
    Malformed {
        /// The file or entry.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl SimError {
    /// A setting that makes no sense.
    #[must_use]
    pub fn setting(name: &'static str, value: f64, must_be: &'static str) -> Self {
        Self::BadSetting {
            name,
            value,
            must_be,
        }
    }

    /// A file from outside that lacks something.
    pub(crate) fn malformed(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            why: why.into(),
        }
    }
}
