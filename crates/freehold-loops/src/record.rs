//! A rollout as the database keeps it.

use std::collections::BTreeMap;

use freehold_proof::rollout::{Evidence, Order, Stage, State};
use freehold_store::StoredRollout;
use freehold_types::RolloutSide;
use serde::{Deserialize, Serialize};

/// Further entries of a history drop the oldest but the first.
const HISTORY_MAX: usize = 1_000;

/// Order, state and history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What was ordered.
    pub order: Order,
    /// Where it stands.
    pub state: State,
    /// What happened, the oldest first.
    pub history: Vec<Event>,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, Unix milliseconds.
    pub at_unix_ms: u64,
    /// The stage that it came to, or stayed in.
    pub stage: Stage,
    /// The period that began with it.
    pub period: u64,
    /// Who did it.
    pub by: By,
    /// What, and why.
    pub why: String,
}

/// Who changed a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// An operator.
    Operator,
    /// The loop, by the order's rules.
    Loop,
}

/// A rollout with what the database knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Rises with each change.
    pub version: u64,
    /// Whether it goes on.
    pub active: bool,
    /// When it was started, Unix milliseconds.
    pub created_unix_ms: u64,
    /// The rollout.
    pub rollout: Rollout,
}

/// A row that is no rollout.
#[derive(Debug, thiserror::Error)]
#[error("the rollout {id} in the database cannot be read: {source}")]
pub struct BadRecord {
    /// Which.
    pub id: String,
    /// Why.
    source: serde_json::Error,
}

impl TryFrom<StoredRollout> for Record {
    type Error = BadRecord;

    fn try_from(stored: StoredRollout) -> Result<Self, BadRecord> {
        match serde_json::from_str(&stored.body) {
            Ok(rollout) => Ok(Self {
                id: stored.id,
                version: stored.version,
                active: stored.active,
                created_unix_ms: stored.created_unix_ms,
                rollout,
            }),
            Err(source) => Err(BadRecord {
                id: stored.id,
                source,
            }),
        }
    }
}

impl Rollout {
    /// A new id. Later ones are larger.
    #[must_use]
    pub fn new_id() -> String {
        format!("r-{}", uuid::Uuid::now_v7().simple())
    }

    /// A rollout that begins.
    #[must_use]
    pub fn new(order: Order, now_unix_ms: u64) -> Self {
        let mut rollout = Self {
            order,
            state: State::new(now_unix_ms),
            history: Vec::new(),
        };
        rollout.note(By::Operator, "started".to_owned(), now_unix_ms);
        rollout
    }

    /// Writes something into the history.
    pub fn note(&mut self, by: By, why: String, now_unix_ms: u64) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(1);
        }
        self.history.push(Event {
            at_unix_ms: now_unix_ms,
            stage: self.state.stage,
            period: self.state.period,
            by,
            why,
        });
    }

    /// Comes to a stage.
    pub fn come_to(&mut self, stage: Stage, by: By, why: String, now_unix_ms: u64) {
        self.state = self.state.moved(stage, now_unix_ms);
        self.note(by, why, now_unix_ms);
    }

    /// As the database keeps it.
    #[must_use]
    pub fn body(&self) -> String {
        // Numbers, names and lists of them can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What became of a request that was chosen to be answered by both sides. No text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairBody {
    /// Who served the client.
    pub served: RolloutSide,
    /// The part that it is judged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
    /// The incumbent's score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<f64>,
    /// The candidate's score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<f64>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// How long the client's side took, in milliseconds.
    pub served_ms: u64,
    /// How long the other side took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored_ms: Option<u64>,
}

/// Adds up the evidence of one period, and of all before it.
#[must_use]
pub(crate) fn added_up(
    rows: &[(u64, String, String)],
    period: u64,
    but_source: Option<&str>,
) -> (Evidence, Evidence) {
    let (mut now, mut before) = (Evidence::default(), Evidence::default());
    for (at, source, body) in rows {
        let parsed: Result<Evidence, _> = serde_json::from_str(body);
        let Ok(evidence) = parsed else {
            tracing::error!(%source, "evidence of a rollout cannot be read and is left out");
            continue;
        };
        if *at < period {
            before.merge(&evidence);
        } else if *at == period && Some(source.as_str()) != but_source {
            now.merge(&evidence);
        }
    }
    (now, before)
}

impl Record {
    /// What all gateways have seen in the period under way, and in all before it.
    #[must_use]
    pub fn evidence(&self, rows: &[(u64, String, String)]) -> (Evidence, Evidence) {
        added_up(rows, self.rollout.state.period, None)
    }
}

/// What the guards' incumbents scored in the mean, where that is known well enough.
pub(crate) fn means(
    before: &Evidence,
) -> BTreeMap<freehold_proof::rollout::Guard, freehold_proof::Score> {
    const ENOUGH: u64 = 20;
    let means = before.guards.iter().filter_map(|(guard, seen)| {
        let mean = seen
            .incumbent
            .get()
            .filter(|_| seen.incumbent.count >= ENOUGH)?;
        Some((
            *guard,
            freehold_proof::Score::new(mean.clamp(0.0, 1.0)).ok()?,
        ))
    });
    means.collect()
}
