//! Where the text of requests and answers is stored, as far as policy lets it be.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use freehold_policy::{StorePass, Storing};
use freehold_types::{
    DeploymentId, Dialect, Error, ErrorKind, FlowName, Request, Response, Sensitivity,
};

use crate::{BoxFuture, NotStored, Remark, Remarked};

/// A store of prompts. Whatever happens in it, requests go on.
pub trait Prompts: Send + Sync {
    /// Takes a sample. Returns at once, whether it is kept or not: what does not fit the queue, or
    /// cannot be written, is dropped and counted.
    fn keep(&self, sample: Sample);

    /// Puts what a user says of an answer beside what is stored of the request, if that is stored.
    /// Says what is kept under the remark's id, once that is on the disk.
    ///
    /// # Errors
    /// Why it is not stored. It is not stored later, either.
    fn remark(&self, remark: Remark) -> BoxFuture<'_, Result<Remarked, NotStored>>;
}

/// How the answer of a sample ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
    /// It is whole.
    Complete,
    /// It was cut: the upstream failed, or the client left.
    Cut,
    /// There was none.
    Missing,
}

impl AnswerEnd {
    /// Its name in records and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for AnswerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a sample beside its text.
#[derive(Clone)]
pub struct SampleFacts {
    /// The tenant, or the key's name where there is none.
    pub tenant: String,
    /// The end user, as the client names them. Stored as a keyed hash only.
    pub subject: Option<String>,
    /// The conversation, as the client names it. Stored as a keyed hash only.
    pub conversation: Option<String>,
    /// The workload.
    pub flow: Option<FlowName>,
    /// What answered, or was asked last.
    pub deployment: Option<DeploymentId>,
    /// The client's dialect.
    pub dialect: Dialect,
    /// The label that policy acted on.
    pub sensitivity: Sensitivity,
    /// Wall-clock time of admission, Unix milliseconds.
    pub started_unix_ms: u64,
    /// When the request began, on a clock that never jumps: what began before an erasure is not
    /// stored after it.
    pub begun: Instant,
    /// How the answer ended.
    pub end: AnswerEnd,
}

/// Why a sample has no text to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// Something that must be masked cannot be.
    Unmaskable,
    /// Its text is more sensitive than any that is stored.
    TooSensitive,
    /// The answer was larger than any that is stored.
    TooLarge,
}

/// Makes the text of a sample, away from the request's path.
type Words = Box<dyn FnOnce(Storing) -> Result<Text, Unkept> + Send>;

/// One request and its answer on their way into a store. Can only be made with a [`Storing`], which
/// only policy gives.
pub struct Sample {
    storing: Storing,
    facts: SampleFacts,
    weight_bytes: usize,
    words: Words,
}

impl Sample {
    /// A sample. `words` is called once, by the store's own thread, and makes the text: it masks what
    /// must be masked first. `weight_bytes` is about how much memory the text takes until then.
    pub fn new(
        storing: Storing,
        facts: SampleFacts,
        weight_bytes: usize,
        words: impl FnOnce(Storing) -> Result<Text, Unkept> + Send + 'static,
    ) -> Self {
        Self {
            storing,
            facts,
            weight_bytes,
            words: Box::new(words),
        }
    }

    /// What is known beside the text.
    pub fn facts(&self) -> &SampleFacts {
        &self.facts
    }

    /// About how much memory it takes.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// The text, and what is known beside it.
    ///
    /// # Errors
    /// Why there is no text to store.
    pub fn into_text(self) -> Result<(SampleFacts, Text), Unkept> {
        let text = (self.words)(self.storing)?;
        Ok((self.facts, text))
    }
}

/// A request and its answer, as they may be stored. Can only be made with a [`StorePass`].
pub struct Text {
    pass: StorePass,
    request: Arc<Request>,
    answer: Option<Response>,
}

impl Text {
    /// The text that `pass` is for.
    ///
    /// # Errors
    /// When it must be masked and the request still holds the client's own bytes: a defect of the
    /// caller, never stored anywhere.
    pub fn new(
        pass: StorePass,
        request: Arc<Request>,
        answer: Option<Response>,
    ) -> Result<Self, Error> {
        if pass.masked() && request.raw.is_some() {
            return Err(Error::new(
                ErrorKind::Internal,
                "the request must be masked and still holds what it came with; it was not stored",
            ));
        }
        Ok(Self {
            pass,
            request,
            answer,
        })
    }

    /// The right to store it, and for how long.
    pub fn pass(&self) -> &StorePass {
        &self.pass
    }

    /// What was asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What was answered; `None` when nothing was.
    pub fn answer(&self) -> Option<&Response> {
        self.answer.as_ref()
    }
}
