//! What happened to one request: the record that every bill, budget and recommendation comes from.
//!
//! An outcome holds no prompt text, no answer text and no secret. It is what the ledger stores, so
//! it is serialisable; new fields need a default so that old records stay readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::AgentSignals;
use crate::decision::Decision;
use crate::error::{ErrorKind, ErrorSource};
use crate::price::BookId;
use crate::rollout::RolloutPart;
use crate::{
    BackendId, DeploymentId, Dialect, FlowName, KeyName, NanoUsd, Perimeter, Region, RequestId,
    RouteName, Sensitivity, TeamName, Usage,
};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeStatus {
    /// The client got a whole answer.
    Completed,
    /// The client left before the end.
    Cancelled,
    /// An attempt was made and failed.
    Failed,
    /// No attempt was made: bad request, policy, limits, nothing able to serve.
    Refused,
}

/// The durable record of one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The request.
    pub id: RequestId,
    /// Wall-clock time of admission, Unix milliseconds.
    pub started_unix_ms: u64,
    /// The dialect the client spoke.
    pub dialect: Dialect,
    /// What the client named in `model`, cut to 128 characters.
    pub route: RouteName,
    /// Who asked.
    pub key: KeyName,
    /// Whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// The workload.
    pub flow: Option<FlowName>,
    /// The label that policy acted on.
    pub sensitivity: Sensitivity,
    /// How many findings of each entity type.
    pub findings: BTreeMap<String, u32>,
    /// How many findings of each entity type were removed from the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redacted: BTreeMap<String, u32>,
    /// How it ended.
    pub status: OutcomeStatus,
    /// The HTTP status the client got.
    pub http_status: u16,
    /// What went wrong, when something did.
    pub error: Option<ErrorSummary>,
    /// True when the answer was streamed.
    pub streamed: bool,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Tokens of all attempts that were billed.
    pub usage: Usage,
    /// Cost of all attempts; `None` when any part of it is unknown.
    pub cost: Option<NanoUsd>,
    /// How long things took.
    pub timing: Timing,
    /// Why the deployment was chosen.
    pub decision: Option<Decision>,
    /// Its part in moving the flow to another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutPart>,
    /// What it shows of an agent's work.
    #[serde(default, skip_serializing_if = "AgentSignals::is_empty")]
    pub agent: AgentSignals,
}

/// What went wrong, without any text of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorSummary {
    /// What.
    pub kind: ErrorKind,
    /// On whose side.
    pub side: ErrorSource,
    /// The upstream's HTTP status.
    pub upstream_status: Option<u16>,
    /// The field at fault.
    pub param: Option<String>,
}

impl From<&crate::Error> for ErrorSummary {
    fn from(error: &crate::Error) -> Self {
        Self {
            kind: error.kind,
            side: error.source_side,
            upstream_status: error.upstream_status,
            // Paths can quote keys of the client's JSON: bounded, like everything stored.
            param: error
                .param
                .as_ref()
                .map(|param| param.chars().take(128).collect()),
        }
    }
}

/// One attempt at one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its backend.
    pub backend: BackendId,
    /// The model as the upstream named it in its answer, when it answered.
    pub reported_model: Option<String>,
    /// On whose machines.
    pub perimeter: Perimeter,
    /// Where.
    pub region: Option<Region>,
    /// Begin, in microseconds after admission.
    pub started_us: u64,
    /// Duration.
    pub duration_us: u64,
    /// From the attempt's begin to its first token.
    pub first_token_us: Option<u64>,
    /// What went wrong; `None` for the attempt that served, also when the client left it.
    pub error: Option<ErrorSummary>,
    /// Tokens.
    pub usage: Usage,
    /// Cost; `None` when unknown.
    pub cost: Option<Cost>,
}

/// What an attempt cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The whole cost.
    pub total: NanoUsd,
    /// The part of an owned machine's idle time that falls on this request.
    pub idle_share: NanoUsd,
    /// Where the figure comes from.
    pub basis: CostBasis,
    /// What the figure does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<CostGap>,
    /// The price book of a listed price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub book: Option<BookId>,
}

/// What a cost does not know. The figure is the best there is, and may differ from the invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostGap {
    /// No price is known for the service tier: the standard price was taken.
    TierPrice,
    /// No fee is known for a hosted tool that was used: it is not in the figure.
    ToolFee,
    /// The gateway died before the answer's end: the figure is the most it can have cost.
    Interrupted,
}

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostBasis {
    /// Tokens at a listed or configured price.
    Tokens,
    /// Time on an owned machine.
    Hours,
    /// What the upstream says it has charged.
    Reported,
}

/// How long things took, in microseconds after admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Until the client had everything, or was gone.
    pub total_us: u64,
    /// Until the first token was on its way to the client.
    pub first_token_us: Option<u64>,
    /// Spent in Freehold itself before the first attempt.
    pub overhead_us: u64,
}
