//! What users say of answers: kept, joined to what was decided, and told to the rollout's guard.

use std::sync::Arc;

use freehold_ports::{Account, BoxFuture, Feedback, FeedbackGiven, Feedbacks};
use freehold_proof::Score;
use freehold_store::{FeedbackRow, Reader, Rollouts};
use freehold_types::{Error, ErrorKind, Outcome, RolloutPart};
use serde::{Deserialize, Serialize};

use crate::rollouts::Watch;

/// Takes feedback.
pub struct FeedbackDesk {
    store: Arc<Rollouts>,
    reader: Reader,
    watch: Watch,
}

/// What is kept of one word of feedback. No text of the request or the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedbackBody {
    /// From 0, bad, to 1, good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// A word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The flow of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The deployment that answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Its part in a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutPart>,
    /// Whose key it is.
    pub key: String,
}

impl FeedbackDesk {
    /// A desk that keeps what it is told in this store.
    #[must_use]
    pub fn new(store: Arc<Rollouts>, reader: Reader, watch: Watch) -> Self {
        Self {
            store,
            reader,
            watch,
        }
    }

    async fn take(&self, account: &Account, told: Feedback) -> Result<FeedbackGiven, Error> {
        let outcome = self.outcome(account, &told).await?;
        let deployment = outcome
            .attempts
            .last()
            .map(|last| last.deployment.to_string());
        let body = FeedbackBody {
            score: told.score,
            label: told.label,
            flow: outcome.flow.as_ref().map(ToString::to_string),
            deployment,
            rollout: outcome.rollout.clone(),
            key: account.key.to_string(),
        };
        let id = told
            .id
            .unwrap_or_else(|| format!("fb_{}", uuid::Uuid::now_v7().simple()));
        let row = FeedbackRow {
            // One key's ids are not another's.
            id: format!("{}/{id}", account.key),
            request: told.request.to_string(),
            at_unix_ms: told.at_unix_ms,
            body: serde_json::to_string(&body).unwrap_or_default(),
        };
        let is_new = self.store.add_feedback(&row).await.map_err(away)?;
        let score = body.score.and_then(|score| Score::new(score).ok());
        if let (true, Some(part), Some(score)) = (is_new, &body.rollout, score) {
            self.watch.rated(part, score);
        }
        Ok(FeedbackGiven { id, is_new })
    }

    /// The request that it is about, if it is one of this key's.
    async fn outcome(&self, account: &Account, told: &Feedback) -> Result<Outcome, Error> {
        let found = self.reader.outcome(told.request).await.map_err(away)?;
        let is_own = |outcome: &Outcome| {
            outcome.key == account.key || (outcome.team.is_some() && outcome.team == account.team)
        };
        found.filter(is_own).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "no such request of this key: send the id of its `x-request-id` header, a second after its answer \
                 at the earliest",
            )
            .with_param("request_id")
        })
    }
}

impl Feedbacks for FeedbackDesk {
    fn give<'a>(
        &'a self,
        account: &'a Account,
        told: Feedback,
    ) -> BoxFuture<'a, Result<FeedbackGiven, Error>> {
        Box::pin(self.take(account, told))
    }
}

fn away(error: freehold_store::StoreError) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("feedback cannot be kept now: {error}"),
    )
}
