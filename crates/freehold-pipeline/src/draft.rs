//! The outcome while it is still happening.

use std::collections::BTreeMap;
use std::time::Duration;

use freehold_ports::Account;
use freehold_types::audit::AuditName;
use freehold_types::outcome::{ErrorSummary, Timing};
use freehold_types::{
    AgentSignals, AttemptRecord, Decision, Deployment, DeploymentId, Dialect, Error, ErrorKind,
    FlowName, KeyName, NanoUsd, Outcome, OutcomeStatus, RequestId, RolloutPart, RouteName,
    Sensitivity, TeamName, Usage, UsageBasis,
};

use crate::audit::Proof;
use crate::log::micros;
use crate::trace::Traced;
use crate::withhold::Names;

const ROUTE_CHARS_MAX: usize = 128;

/// What is known of a request before it has ended.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: RequestId,
    pub(crate) started_unix_ms: u64,
    pub(crate) dialect: Dialect,
    pub(crate) route: RouteName,
    pub(crate) key: KeyName,
    pub(crate) team: Option<TeamName>,
    pub(crate) flow: Option<FlowName>,
    pub(crate) streamed: bool,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) findings: BTreeMap<String, u32>,
    /// What was removed from the answer.
    pub(crate) redacted: BTreeMap<String, u32>,
    pub(crate) decision: Option<Decision>,
    pub(crate) rollout: Option<RolloutPart>,
    pub(crate) agent: AgentSignals,
    pub(crate) first_token: Option<Duration>,
    /// What the audit trail is told beside the outcome.
    pub(crate) proof: Proof,
    /// What the tracer is told beside the outcome.
    pub(crate) traced: Traced,
    /// What the guard said of its names.
    pub(crate) names: Names,
}

/// A request that has ended, for everybody who is told of it.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) proof: Proof,
    pub(crate) traced: Traced,
    pub(crate) names: Names,
}

/// How a request ended.
pub(crate) struct Ending<'a> {
    pub(crate) status: OutcomeStatus,
    pub(crate) http_status: u16,
    pub(crate) error: Option<&'a Error>,
    pub(crate) total: Duration,
}

impl Draft {
    /// Takes note of the workload: the one that is named, else the key's, else one that is discovered.
    pub(crate) fn belongs_to(
        &mut self,
        named: Option<FlowName>,
        discover: impl FnOnce() -> Option<FlowName>,
    ) {
        self.flow = named.or(self.flow.take());
        if self.flow.is_none() {
            self.flow = discover();
            self.names = Names::of_own_flow();
        }
    }

    /// A draft that knows only who came and what was named.
    pub(crate) fn new(
        id: RequestId,
        started_unix_ms: u64,
        dialect: Dialect,
        model: &str,
        account: &Account,
    ) -> Self {
        let route: String = model.chars().take(ROUTE_CHARS_MAX).collect();
        Self {
            id,
            started_unix_ms,
            dialect,
            route: RouteName::from(route),
            key: account.key.clone(),
            team: account.team.clone(),
            flow: account.flow.clone(),
            streamed: false,
            sensitivity: Sensitivity::Restricted,
            findings: BTreeMap::new(),
            redacted: BTreeMap::new(),
            decision: None,
            rollout: None,
            agent: AgentSignals::default(),
            first_token: None,
            proof: Proof::default(),
            traced: Traced::default(),
            names: Names::default(),
        }
    }

    /// Why this deployment, in a line.
    pub(crate) fn decision_line(&self, deployment: Option<&DeploymentId>) -> String {
        let Some(decision) = &self.decision else {
            return format!("{}: refused before routing", self.route);
        };
        let why = decision
            .candidates
            .iter()
            .find(|candidate| Some(&candidate.deployment) == deployment)
            .map_or("no deployment", |candidate| candidate.reason.as_str());
        format!(
            "{}: {}; difficulty {:.2}; {why}",
            self.route,
            decision.objective.as_str(),
            decision.difficulty
        )
    }

    /// The outcome: what was known, how it ended, and every attempt.
    pub(crate) fn finish(self, ending: &Ending<'_>, attempts: Vec<AttemptRecord>) -> Finished {
        let total_us = micros(ending.total);
        let mut proof = self.proof;
        // An upstream's own codes are its text: only ours are names.
        let ours = ending.error.filter(|error| error.upstream_body.is_none());
        let code = ours.and_then(|error| error.code.as_deref());
        proof.code = code.map(AuditName::new);
        let outcome = Outcome {
            id: self.id,
            started_unix_ms: self.started_unix_ms,
            dialect: self.dialect,
            route: self.route,
            key: self.key,
            team: self.team,
            flow: self.flow,
            sensitivity: self.sensitivity,
            findings: self.findings,
            redacted: self.redacted,
            status: ending.status,
            http_status: ending.http_status,
            error: ending.error.map(ErrorSummary::from),
            streamed: self.streamed,
            usage: total_usage(&attempts),
            cost: total_cost(attempts.iter()),
            timing: Timing {
                total_us,
                first_token_us: self.first_token.map(micros),
                overhead_us: attempts.first().map_or(total_us, |first| first.started_us),
            },
            decision: self.decision,
            rollout: self.rollout,
            agent: self.agent,
            attempts,
        };
        Finished {
            outcome,
            proof,
            traced: self.traced,
            names: self.names,
        }
    }
}

impl Draft {
    /// The outcome of a request whose gateway died before it could tell more.
    pub(crate) fn interrupted(
        &self,
        attempt: Option<AttemptRecord>,
        error: ErrorSummary,
    ) -> Outcome {
        Outcome {
            id: self.id,
            started_unix_ms: self.started_unix_ms,
            dialect: self.dialect,
            route: self.route.clone(),
            key: self.key.clone(),
            team: self.team.clone(),
            flow: self.flow.clone(),
            sensitivity: self.sensitivity,
            findings: self.findings.clone(),
            redacted: BTreeMap::new(),
            status: OutcomeStatus::Failed,
            // Nobody knows what the client got.
            http_status: 0,
            error: Some(error),
            streamed: self.streamed,
            usage: attempt
                .as_ref()
                .map_or_else(Usage::default, |attempt| attempt.usage),
            cost: total_cost(attempt.iter()),
            timing: Timing::default(),
            decision: None,
            rollout: self.rollout.clone(),
            agent: self.agent,
            attempts: attempt.into_iter().collect(),
        }
    }

    /// What the audit trail is told of a count of tokens: no money and no time, only who was sent the
    /// request, and how it ended.
    pub(crate) fn counted(self, asked: Option<&Deployment>, error: Option<&Error>) -> Finished {
        let attempt = asked.map(|deployment| unmeasured(deployment, error.map(ErrorSummary::from)));
        let attempts: Vec<_> = attempt.into_iter().collect();
        let ending = Ending {
            status: error.map_or(OutcomeStatus::Completed, |error| {
                status_of(error, attempts.len())
            }),
            http_status: 0,
            error,
            total: Duration::ZERO,
        };
        self.finish(&ending, attempts)
    }
}

/// An attempt of which only is known who was asked, and how that ended.
pub(crate) fn unmeasured(deployment: &Deployment, error: Option<ErrorSummary>) -> AttemptRecord {
    AttemptRecord {
        deployment: deployment.id.clone(),
        backend: deployment.backend.clone(),
        reported_model: None,
        perimeter: deployment.site.perimeter,
        region: deployment.site.region.clone(),
        started_us: 0,
        duration_us: 0,
        first_token_us: None,
        error,
        usage: Usage::default(),
        cost: None,
    }
}

/// How a request with this error ended.
pub(crate) fn status_of(error: &Error, attempts: usize) -> OutcomeStatus {
    match error.kind {
        ErrorKind::Cancelled => OutcomeStatus::Cancelled,
        _ if attempts == 0 => OutcomeStatus::Refused,
        _ => OutcomeStatus::Failed,
    }
}

/// Tokens of all attempts; as certain as the least certain of those that used any.
fn total_usage(attempts: &[AttemptRecord]) -> Usage {
    let used = attempts
        .iter()
        .map(|attempt| attempt.usage)
        .filter(|usage| usage.total_tokens() > 0);
    let sum = used.reduce(Usage::plus);
    // An upstream that reported zero tokens said so; without attempts nothing was used at all.
    sum.or_else(|| attempts.last().map(|attempt| attempt.usage))
        .unwrap_or(Usage {
            basis: UsageBasis::Counted,
            ..Usage::default()
        })
}

/// Cost of all attempts. Unknown as soon as one that used tokens has an unknown cost.
pub(crate) fn total_cost<'a>(attempts: impl Iterator<Item = &'a AttemptRecord>) -> Option<NanoUsd> {
    attempts
        .map(|attempt| match attempt.cost {
            Some(cost) => Some(cost.total),
            None if attempt.usage.total_tokens() == 0 => Some(NanoUsd::ZERO),
            None => None,
        })
        .sum()
}
