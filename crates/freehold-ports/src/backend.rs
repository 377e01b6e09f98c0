//! The narrow waist: everything that can answer a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use freehold_policy::Passage;
use freehold_types::{
    BackendId, Deployment, Dialect, Error, ErrorKind, Event, Request, RequestId, Site, TraceParent,
};
use futures_core::Stream;
use smallvec::SmallVec;

/// A boxed future, so that backends stay usable as `dyn Backend`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The chunks of an answer. Dropping it cancels the upstream.
///
/// The last event of the last chunk is [`Event::End`]. A stream that ends without it, or yields an
/// error, was cut; nothing follows an error.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Chunk, Error>> + Send>>;

/// A piece of an answer: what it means, and how the upstream wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// What it means.
    pub events: SmallVec<[Event; 1]>,
    /// The upstream's own bytes and their dialect: whole SSE frames of a stream, or the whole body.
    /// A client of the same dialect gets them unchanged. `None` from the embedded engine.
    pub raw: Option<(Dialect, Bytes)>,
    /// True when `raw` is there only because the gateway asked for it (a usage chunk that the
    /// client did not ask for) and must not be passed on.
    pub hidden: bool,
}

/// How long each phase of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands (TCP and TLS).
    pub connect: Duration,
    /// Until the answer's first byte; for a non-streamed answer this is the whole generation.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(120),
        }
    }
}

/// One call of one deployment. Can only be made with a [`Passage`].
#[derive(Debug)]
pub struct Call {
    passage: Passage,
    /// The deployment to call.
    pub deployment: Arc<Deployment>,
    /// What to ask. `request.model` is the route; the model to ask for is `deployment.model`.
    pub request: Arc<Request>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// For logs and for the upstream's tracing.
    pub id: RequestId,
    /// The W3C trace context (`traceparent`) to hand to the upstream, when there is one.
    pub traceparent: Option<TraceParent>,
    /// What the client's `anthropic-beta` header names, for an upstream of that dialect.
    pub betas: Option<Arc<str>>,
    left_out: LeftOut,
}

/// Fields of the request that a backend had no word for and left out, because they change only cost,
/// speed or bookkeeping. Written once by the backend, read by whoever made the call.
#[derive(Clone, Debug, Default)]
pub struct LeftOut(Arc<OnceLock<Vec<String>>>);

impl LeftOut {
    /// The fields' paths; empty when nothing was left out.
    pub fn fields(&self) -> &[String] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

impl Call {
    /// A call through `passage`.
    ///
    /// # Errors
    /// When the passage leads to another deployment, or is for a masked request and this one still
    /// holds the client's own bytes: a defect of the caller, never sent anywhere.
    pub fn new(
        passage: Passage,
        deployment: Arc<Deployment>,
        request: Arc<Request>,
        timeouts: Timeouts,
        id: RequestId,
    ) -> Result<Self, Error> {
        if *passage.deployment() != deployment.id
            || !passage.covers(&deployment.backend, &deployment.site)
        {
            return Err(Error::new(
                ErrorKind::Internal,
                "the permit does not cover the deployment; the request was not sent",
            ));
        }
        if passage.masked() && request.raw.is_some() {
            return Err(Error::new(
                ErrorKind::Internal,
                "the request must be masked and still holds what it came with; it was not sent",
            ));
        }
        Ok(Self {
            passage,
            deployment,
            request,
            timeouts,
            id,
            traceparent: None,
            betas: None,
            left_out: LeftOut::default(),
        })
    }

    /// Tells the caller which of the request's fields the backend leaves out, by their paths.
    pub fn note_left_out(&self, fields: Vec<String>) {
        if !fields.is_empty() {
            // A backend encodes a request once; should it do so again, the first note stands.
            let _ = self.left_out.0.set(fields);
        }
    }

    /// Where the backend will note what it leaves out.
    pub fn left_out(&self) -> LeftOut {
        self.left_out.clone()
    }

    /// To be checked by every backend first: that the passage leads to this very backend, as it is
    /// declared now.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, backend: &BackendId, site: &Site) -> Result<(), Error> {
        if self.passage.covers(backend, site) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            "the permit does not cover the backend; the request was not sent",
        ))
    }
}

/// What a look at a backend found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The models it serves, where it can tell.
    pub models: Vec<String>,
    /// In words: version, slots, anything an operator wants to see.
    pub detail: String,
}

/// Everything that can answer a request: a hosted API, a self-hosted server, the embedded engine.
pub trait Backend: Send + Sync {
    /// Its id.
    fn id(&self) -> &BackendId;

    /// Where it runs.
    fn site(&self) -> &Site;

    /// Starts an answer. Resolves once the upstream has accepted the request (a 2xx status, a
    /// slot in the engine's queue); until then another attempt can take over unseen.
    ///
    /// Non-streamed answers come as one chunk with all their events.
    fn start(&self, call: Call) -> BoxFuture<'_, Result<ChunkStream, Error>>;

    /// The exact number of prompt tokens, without an answer. `Ok(None)` when the backend cannot
    /// count; the gateway then estimates.
    fn count_tokens(&self, call: Call) -> BoxFuture<'_, Result<Option<u64>, Error>>;

    /// Looks whether the backend is reachable and accepts our credentials.
    fn probe(&self) -> BoxFuture<'_, Result<Probe, Error>>;
}
