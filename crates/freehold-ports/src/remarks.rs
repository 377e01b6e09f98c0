//! What users say of answers in words, on its way beside the stored text of the request.

use std::fmt;

use freehold_policy::{StorePass, StoredText};
use freehold_types::{Request, RequestId, Sensitivity};

use crate::Unkept;

/// What is known of a remark beside its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemarkFacts {
    /// The request that it is about.
    pub request: RequestId,
    /// The tenant of who says it, or the key's name where there is none: it must be the request's.
    pub tenant: String,
    /// Its id: of one request, the same one is kept once.
    pub id: String,
    /// When it came, Unix milliseconds.
    pub given_unix_ms: u64,
}

/// A stored request, as its record tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The request as it is stored.
    pub request: Request,
    /// Which text that is.
    pub what: StoredText,
    /// Its label.
    pub sensitivity: Sensitivity,
    /// The names of the rules that matched it.
    pub rules: Vec<String>,
    /// When it can no longer be read, Unix milliseconds.
    pub expires_unix_ms: u64,
}

/// What a user says: at least one of the two.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wording {
    /// What they say of the answer.
    pub comment: Option<String>,
    /// What the answer should have been.
    pub edited_answer: Option<String>,
}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wording").finish_non_exhaustive()
    }
}

/// The words of a remark, as they may be stored. Can only be made with a [`StorePass`].
pub struct RemarkText {
    pass: StorePass,
    sensitivity: Sensitivity,
    wording: Wording,
}

impl RemarkText {
    /// The words that `pass` is for, masked where it asks for that, and their label.
    pub fn new(pass: StorePass, sensitivity: Sensitivity, wording: Wording) -> Self {
        Self {
            pass,
            sensitivity,
            wording,
        }
    }

    /// The right to store them.
    pub fn pass(&self) -> &StorePass {
        &self.pass
    }

    /// Their label.
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// What was said.
    pub fn wording(&self) -> &Wording {
        &self.wording
    }
}

/// Makes the text of a remark, away from the request's path.
type Words = Box<dyn FnOnce(&Recorded) -> Result<RemarkText, NotStored> + Send>;

/// What a user says of an answer in words, on its way into a store.
pub struct Remark {
    facts: RemarkFacts,
    weight_bytes: usize,
    words: Words,
}

impl Remark {
    /// A remark. `words` is called once at most, by the store's own thread and with the request's own
    /// record: it has policy decide, scans and masks. `weight_bytes` is about how much memory it takes
    /// until then.
    pub fn new(
        facts: RemarkFacts,
        weight_bytes: usize,
        words: impl FnOnce(&Recorded) -> Result<RemarkText, NotStored> + Send + 'static,
    ) -> Self {
        Self {
            facts,
            weight_bytes,
            words: Box::new(words),
        }
    }

    /// What is known beside the words.
    pub fn facts(&self) -> &RemarkFacts {
        &self.facts
    }

    /// About how much memory it takes.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// The words, and what is known beside them.
    ///
    /// # Errors
    /// Why there are none to store.
    pub fn into_text(self, recorded: &Recorded) -> Result<(RemarkFacts, RemarkText), NotStored> {
        let text = (self.words)(recorded)?;
        Ok((self.facts, text))
    }
}

/// What is kept under a remark's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remarked {
    /// There is a comment.
    pub comment: bool,
    /// There is an edited answer.
    pub edited_answer: bool,
}

/// Why words are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The gateway has no store of prompts.
    StoreOff,
    /// No rule stores it, or one says never.
    Policy,
    /// The words are more sensitive than any that are stored.
    TooSensitive,
    /// Something that must be masked cannot be.
    Unmaskable,
    /// There are more of them than are stored.
    TooLarge,
    /// The request's own text is not there.
    RequestNotStored,
    /// The request's record does not tell which rules let it be stored: an earlier version wrote it.
    OldRecord,
    /// The request has as many remarks as it may have.
    TooMany,
    /// Something else is kept under the same id.
    KnownId,
    /// Too much waits already, or the store did not come to it in time.
    Busy,
    /// The store is as large as it may be.
    StoreFull,
    /// The database cannot be read or written.
    Unwritable,
    /// The master key cannot be used.
    Key,
    /// A defect.
    Defect,
    /// The gateway is stopping.
    Closed,
}

impl NotStored {
    /// Its name in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StoreOff => "store_off",
            Self::Policy => "policy",
            Self::TooSensitive => "too_sensitive",
            Self::Unmaskable => "unmaskable",
            Self::TooLarge => "too_large",
            Self::RequestNotStored => "request_not_stored",
            Self::OldRecord => "old_record",
            Self::TooMany => "too_many",
            Self::KnownId => "known_id",
            Self::Busy => "busy",
            Self::StoreFull => "store_full",
            Self::Unwritable => "unwritable",
            Self::Key => "key",
            Self::Defect => "defect",
            Self::Closed => "closed",
        }
    }

    /// It in a sentence, for developers.
    pub const fn message(self) -> &'static str {
        match self {
            Self::StoreOff => "this gateway stores no text",
            Self::Policy => {
                "no rule of the policy lets text of this request be stored, or one forbids it"
            }
            Self::TooSensitive => "the text is more sensitive than what the policy stores",
            Self::Unmaskable => "something in it must be masked before it is stored, and cannot be",
            Self::TooLarge => "the text is longer than what is stored",
            Self::RequestNotStored => {
                "the request's own text is not stored: policy did not let it be, it was not in the sample, it is not \
                 written yet, it has expired, was erased, or is of another tenant"
            }
            Self::OldRecord => {
                "the request was stored by an earlier version, which did not note the rules for it"
            }
            Self::TooMany => "as much is kept of this request as may be",
            Self::KnownId => {
                "feedback on this request with this id was kept before, without such a text; send another id"
            }
            Self::Busy => "too much waits to be stored; send it again with the same id",
            Self::StoreFull => "the store is full",
            Self::Unwritable => "the store cannot be used now; send it again with the same id",
            Self::Key => "the store's master key cannot be used now",
            Self::Defect => "a defect of the gateway kept it from being stored",
            Self::Closed => "the gateway is stopping; send it again with the same id",
        }
    }
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for NotStored {}

impl From<Unkept> for NotStored {
    fn from(unkept: Unkept) -> Self {
        match unkept {
            Unkept::Unmaskable => Self::Unmaskable,
            Unkept::TooSensitive => Self::TooSensitive,
            Unkept::TooLarge => Self::TooLarge,
        }
    }
}
