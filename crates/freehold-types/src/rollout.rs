//! A request's part in moving its flow from one model to another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RequestId;

/// What the flow of mirrored requests begins with in the ledger: they are nobody's workload.
pub const MIRRORED: &str = "mirror:";

/// Which side of a rollout a request was served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutSide {
    /// What served the flow before.
    Incumbent,
    /// What shall serve it.
    Candidate,
}

impl RolloutSide {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Incumbent => Self::Candidate,
            Self::Candidate => Self::Incumbent,
        }
    }

    /// Its name in logs and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incumbent => "incumbent",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Display for RolloutSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request's part in a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPart {
    /// The rollout's id.
    pub rollout: String,
    /// The period of it: evidence begins anew with each.
    pub period: u64,
    /// Who was to serve the request.
    pub side: RolloutSide,
    /// The client's request that this one repeats unseen; `None` for clients' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_of: Option<RequestId>,
}
