//! What users say of answers: kept, joined to what was decided, and told to the rollout's guard. Their words go to
//! the prompt store, where policy lets text of the request be stored, and nowhere else.

use std::sync::Arc;

use freehold_pipeline::{Pipeline, Told};
use freehold_ports::{Account, BoxFuture, Feedback, FeedbackGiven, Feedbacks, NotStored, Wording};
use freehold_proof::Score;
use freehold_store::{FeedbackRow, Reader, Rollouts};
use freehold_types::{Error, ErrorKind, Outcome, RolloutPart};
use metrics::counter;
use serde::{Deserialize, Serialize};

use crate::rollouts::Watch;

const COMMENT: &str = "comment";
const EDITED_ANSWER: &str = "edited_answer";

/// Names of texts: the stored ones, and the others with the reason.
type Words = (Vec<&'static str>, Vec<(&'static str, NotStored)>);

/// Takes feedback.
pub struct FeedbackDesk {
    store: Arc<Rollouts>,
    reader: Reader,
    watch: Watch,
    pipeline: Arc<Pipeline>,
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
    /// A desk that keeps what it is told in this store, and words where this pipeline keeps text.
    #[must_use]
    pub fn new(
        store: Arc<Rollouts>,
        reader: Reader,
        watch: Watch,
        pipeline: Arc<Pipeline>,
    ) -> Self {
        Self {
            store,
            reader,
            watch,
            pipeline,
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
        // One key's ids are not another's.
        let row_id = format!("{}/{id}", account.key);
        let row = FeedbackRow {
            id: row_id.clone(),
            request: told.request.to_string(),
            at_unix_ms: told.at_unix_ms,
            body: serde_json::to_string(&body).unwrap_or_default(),
        };
        let is_new = self.store.add_feedback(&row).await.map_err(away)?;
        let score = body.score.and_then(|score| Score::new(score).ok());
        if let (true, Some(part), Some(score)) = (is_new, &body.rollout, score) {
            self.watch.rated(part, score);
        }
        let words = Told {
            id: row_id,
            wording: told.wording,
            claim: told.claim,
            at_unix_ms: told.at_unix_ms,
        };
        // After the rest: who is not told what became of it sends it again, with the same id.
        let (stored, not_stored) = self.keep_words(account, &outcome, words).await;
        Ok(FeedbackGiven {
            id,
            is_new,
            stored,
            not_stored,
        })
    }

    /// Which of the texts are stored, and which are not, and why.
    async fn keep_words(&self, account: &Account, outcome: &Outcome, told: Told) -> Words {
        let Wording {
            comment,
            edited_answer,
        } = &told.wording;
        let given = [
            (COMMENT, comment.is_some()),
            (EDITED_ANSWER, edited_answer.is_some()),
        ];
        let given = given.map(|(name, is_given)| is_given.then_some(name));
        let mut words = Words::default();
        if given.iter().all(Option::is_none) {
            return words;
        }
        let done = self.pipeline.remark(account, outcome, told).await;
        for name in given.into_iter().flatten() {
            let why = match done {
                Ok(kept) if name == COMMENT && kept.comment => None,
                Ok(kept) if name == EDITED_ANSWER && kept.edited_answer => None,
                Ok(_) => Some(NotStored::KnownId),
                Err(why) => Some(why),
            };
            let result = why.map_or("stored", NotStored::as_str);
            counter!("freehold_feedback_texts_total", "text" => name, "result" => result)
                .increment(1);
            match why {
                None => words.0.push(name),
                Some(why) => words.1.push((name, why)),
            }
        }
        words
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
