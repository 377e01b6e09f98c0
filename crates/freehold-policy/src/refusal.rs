//! Why policy lets a request reach nothing at all.

use std::fmt;

use freehold_types::Sensitivity;

/// The kind of a refusal; stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A rule blocks it.
    Blocked,
    /// What rules, route and key demand contradicts each other or the label, or no deployment
    /// fulfils it.
    Unsatisfiable,
    /// A rule's expression could not be evaluated.
    EvaluationFailed,
    /// The request could not be scanned to its end.
    ScanIncomplete,
}

impl Code {
    /// The code as clients, audit and metrics see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "policy_blocked",
            Self::Unsatisfiable => "policy_unsatisfiable",
            Self::EvaluationFailed => "policy_evaluation_failed",
            Self::ScanIncomplete => "scan_incomplete",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why policy lets a request reach nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub code: Code,
    /// The label that led to it.
    pub sensitivity: Sensitivity,
    /// The names of the rules that led to it, in the order in which they are written; the first
    /// gives the reason. Empty when it is the label, the route or the key.
    pub rules: Vec<String>,
    /// In words, for the client and the audit trail; no prompt text.
    pub reason: String,
}

impl Refusal {
    /// The rule that gives the reason.
    pub fn rule(&self) -> Option<&str> {
        self.rules.first().map(String::as_str)
    }
}
