//! What was seen of both sides in one period of a rollout. Evidence of several gateways can be added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::apart::Apart;
use crate::differences::{Differences, Score};
use crate::scorers::judge::Preferences;
use crate::strata::Stratified;

/// Which side answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// What served the flow before.
    Incumbent,
    /// What shall serve it.
    Candidate,
}

/// What is watched beside scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Requests that end without an error.
    Errors,
    /// Requests that are fast enough.
    Latency,
    /// Answers that are valid by the request's schema.
    Schema,
    /// Answers that are no refusals.
    Refusals,
    /// Scores that users give.
    Feedback,
    /// Requests that are cheap enough.
    Cost,
    /// Requests that show an agent's work going as it should.
    Agents,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Errors,
        Self::Latency,
        Self::Schema,
        Self::Refusals,
        Self::Feedback,
        Self::Cost,
        Self::Agents,
    ];

    /// Its name in orders and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Schema => "schema",
            Self::Refusals => "refusals",
            Self::Feedback => "feedback",
            Self::Cost => "cost",
            Self::Agents => "agents",
        }
    }

    pub(super) const fn margin_name(self) -> &'static str {
        match self {
            Self::Errors => "guards.errors.margin",
            Self::Latency => "guards.latency.margin",
            Self::Schema => "guards.schema.margin",
            Self::Refusals => "guards.refusals.margin",
            Self::Feedback => "guards.feedback.margin",
            Self::Cost => "guards.cost.margin",
            Self::Agents => "guards.agents.margin",
        }
    }
}

/// A sum of scores, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The sum.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl Mean {
    /// One more.
    pub fn add(&mut self, score: Score) {
        self.sum += score.get();
        self.count += 1;
    }

    /// The mean; none without scores.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// What a guard has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardEvidence {
    /// The incumbent's mean.
    pub incumbent: Mean,
    /// The candidate's mean.
    pub candidate: Mean,
    /// Requests that both answered, and candidates held against an earlier mean.
    paired: Differences,
    /// Requests that one of both answered.
    apart: Apart,
}

impl GuardEvidence {
    /// All differences.
    #[must_use]
    pub fn differences(&self) -> Differences {
        let mut all = self.paired.clone();
        all.merge(self.apart.differences());
        all
    }

    fn merge(&mut self, other: &Self) {
        self.incumbent.merge(&other.incumbent);
        self.candidate.merge(&other.candidate);
        self.paired.merge(&other.paired);
        // What waits in the other for its counterpart stays there.
        self.paired.merge(other.apart.differences());
    }
}

/// What one request has shown, by guard: a score from 0, bad, to 1, good.
pub type Seen = BTreeMap<Guard, Score>;

/// What was seen in one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Requests that the incumbent served to clients.
    pub incumbent_requests: u64,
    /// Requests that the candidate served to clients.
    pub candidate_requests: u64,
    /// Requests that were chosen to be answered by both.
    pub sampled: u64,
    /// Of these, those that have a score.
    pub scored: u64,
    /// Of these, those that have none, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What mirroring has cost, in nano-dollars, as far as that is known.
    pub mirror_nano_usd: u64,
    /// Mirrored requests whose cost is unknown.
    pub mirror_cost_unknown: u64,
    /// What clients' requests have cost on each side, in nano-dollars.
    pub incumbent_nano_usd: u64,
    /// The same of the candidate.
    pub candidate_nano_usd: u64,
    /// Scores of requests that both answered.
    pub pairs: Stratified,
    /// Where a model judges: how far it can be trusted.
    pub judge: Preferences,
    /// What guards have seen.
    pub guards: BTreeMap<Guard, GuardEvidence>,
}

impl Evidence {
    /// Sampled requests that are neither scored nor skipped yet.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        let skipped: u64 = self.skipped.values().sum();
        self.sampled.saturating_sub(self.scored + skipped)
    }

    /// A sampled request has no score, and why.
    pub fn skip(&mut self, reason: &str) {
        if let Some(count) = self.skipped.get_mut(reason) {
            *count += 1;
        } else {
            self.skipped.insert(reason.to_owned(), 1);
        }
    }

    /// A sampled request was scored.
    pub fn pair(&mut self, stratum: &str, incumbent: Score, candidate: Score) {
        self.scored += 1;
        self.pairs.pair(stratum, incumbent, candidate);
    }

    /// Guards see a request that both answered.
    pub fn watch_pair(&mut self, incumbent: &Seen, candidate: &Seen) {
        for (guard, candidate) in candidate {
            if let Some(incumbent) = incumbent.get(guard) {
                let evidence = self.guards.entry(*guard).or_default();
                evidence.incumbent.add(*incumbent);
                evidence.candidate.add(*candidate);
                evidence.paired.pair(*incumbent, *candidate);
            }
        }
    }

    /// Guards see a request that one of both answered. When everything goes to the candidate, it is held against the
    /// incumbent's mean of earlier periods, where there is one.
    pub fn watch(&mut self, arm: Arm, seen: &Seen, earlier: &BTreeMap<Guard, Score>) {
        for (guard, score) in seen {
            let evidence = self.guards.entry(*guard).or_default();
            match (arm, earlier.get(guard)) {
                (Arm::Incumbent, _) => {
                    evidence.incumbent.add(*score);
                    evidence.apart.incumbent(*score);
                }
                (Arm::Candidate, Some(mean)) => {
                    evidence.candidate.add(*score);
                    evidence.paired.pair(*mean, *score);
                }
                (Arm::Candidate, None) => {
                    evidence.candidate.add(*score);
                    evidence.apart.candidate(*score);
                }
            }
        }
    }

    /// Adds what another gateway has seen in the same period.
    pub fn merge(&mut self, other: &Self) {
        self.incumbent_requests += other.incumbent_requests;
        self.candidate_requests += other.candidate_requests;
        self.sampled += other.sampled;
        self.scored += other.scored;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += count;
        }
        self.mirror_nano_usd += other.mirror_nano_usd;
        self.mirror_cost_unknown += other.mirror_cost_unknown;
        self.incumbent_nano_usd += other.incumbent_nano_usd;
        self.candidate_nano_usd += other.candidate_nano_usd;
        self.pairs.merge(&other.pairs);
        self.judge.merge(&other.judge);
        for (guard, evidence) in &other.guards {
            self.guards.entry(*guard).or_default().merge(evidence);
        }
    }
}
