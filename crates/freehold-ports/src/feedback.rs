//! What users say of answers.

use freehold_policy::Claim;
use freehold_types::{Error, RequestId};

use crate::{Account, BoxFuture, NotStored, Wording};

/// What a user says of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// The caller's own id: the same one is kept once.
    pub id: Option<String>,
    /// The request that it is about.
    pub request: RequestId,
    /// From 0, bad, to 1, good.
    pub score: Option<f64>,
    /// A word for it.
    pub label: Option<String>,
    /// What they say in words: kept only where policy lets text of the request be stored.
    pub wording: Wording,
    /// How sensitive the caller says that is.
    pub claim: Claim,
    /// When it came, Unix milliseconds.
    pub at_unix_ms: u64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackGiven {
    /// Its id.
    pub id: String,
    /// False when this id was kept before.
    pub is_new: bool,
    /// The texts that are stored under it, of those that were told.
    pub stored: Vec<&'static str>,
    /// Those that are not, and why.
    pub not_stored: Vec<(&'static str, NotStored)>,
}

/// Takes feedback.
pub trait Feedbacks: Send + Sync {
    /// Keeps what a key's user says.
    ///
    /// # Errors
    /// `NotFound` when the key made no such request, `Unavailable` when it cannot be kept now.
    fn give<'a>(
        &'a self,
        account: &'a Account,
        told: Feedback,
    ) -> BoxFuture<'a, Result<FeedbackGiven, Error>>;
}
