//! The one request function. [`Pipeline::drive`] reads as the way of a request does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_cost::PriceBook;
use freehold_policy::Claim;
use freehold_ports::{
    Account, Call, Chunk, Clock, Ledger, Meter, Prompts, Standing, Tracer, UnderWay, Used,
};
use freehold_route::agent_signals;
use freehold_types::{
    AgentSignals, Deployment, DeploymentId, Dialect, Error, ErrorKind, FlowName, NanoUsd, Outcome,
    Request, RequestId, TraceParent,
};
use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounting::Accounting;
use crate::audit::AuditTrail;
use crate::course::{Client, Course, Ground};
use crate::decide::Decided;
use crate::deliver::ChunkReceiver;
use crate::draft::{Draft, Ending, Finished, status_of};
use crate::flows::Flows;
use crate::live::panicked;
use crate::log::AttemptLog;
use crate::moves::{Mirror, Moves, Moving, Said, Watcher};
use crate::observe::{self, Meters};
use crate::reserve::Hold;
use crate::retries::Retries;
use crate::snapshot::{ListedModel, Snapshot};
use crate::sticky::Stickiness;
use crate::trace::TraceContext;
use crate::withhold::{holds_data, withhold};

/// A request that has passed the door: decoded, and its key known.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its id.
    pub id: RequestId,
    /// Wall-clock time of arrival, Unix milliseconds.
    pub started_unix_ms: u64,
    /// Monotonic time of arrival.
    pub received: Duration,
    /// What the caller says about its sensitivity.
    pub claim: Claim,
    /// The conversation, where the caller names it.
    pub conversation: Option<String>,
    /// The workload the caller names.
    pub flow: Option<FlowName>,
    /// Who asks.
    pub account: Arc<Account>,
    /// What is asked.
    pub request: Request,
    /// The caller's W3C trace context.
    pub traceparent: Option<TraceParent>,
    /// What an Anthropic client's `anthropic-beta` header names.
    pub betas: Option<Arc<str>>,
    /// Set when it repeats a client's request, unseen ([`Pipeline::mirror`]).
    pub mirror: Option<Mirror>,
}

/// A request that did not pass the door, and whose key is known.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its id.
    pub id: RequestId,
    /// Wall-clock time of arrival, Unix milliseconds.
    pub started_unix_ms: u64,
    /// The dialect of its path.
    pub dialect: Dialect,
    /// Whose key it came with.
    pub account: Arc<Account>,
    /// The caller's W3C trace context.
    pub traceparent: Option<TraceParent>,
}

/// What can be said of a request before its answer is complete.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The deployment that answers, or that was tried last.
    pub deployment: Option<DeploymentId>,
    /// Why, in a line.
    pub decision: String,
    /// Attempts begun.
    pub attempts: usize,
    /// Time spent in the gateway before the first attempt.
    pub overhead: Duration,
    /// What the request cost; `None` while it is not known (streams) or cannot be.
    pub cost: Option<NanoUsd>,
    /// How the limits stand that it came under; `None` when nothing limits it.
    pub standing: Option<Box<Standing>>,
    /// Paths of the request's fields that the upstream was not told, as they change only cost,
    /// speed or bookkeeping.
    pub left_out: Vec<String>,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    /// For the headers.
    pub head: Head,
    /// The answer itself.
    pub body: AnswerBody,
}

/// An answer, whole or as it comes.
#[derive(Debug)]
pub enum AnswerBody {
    /// Whole.
    Whole(Chunk),
    /// As it comes. Ends with a chunk that holds [`freehold_types::Event::End`], or with an error.
    Stream(ChunkReceiver),
}

/// A request that got no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// For the headers.
    pub head: Head,
}

/// HTTP status of an error, as the surface will answer it: outcomes record it.
pub type StatusOf = fn(&Error) -> u16;

/// The request function and what it needs.
pub struct Pipeline {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) accounting: Accounting,
    ledger: Arc<dyn Ledger>,
    audit: Option<AuditTrail>,
    tracer: Option<Arc<dyn Tracer>>,
    /// Where text goes that policy lets be stored.
    pub(crate) prompts: Option<Arc<dyn Prompts>>,
    /// Counts limits and budgets; without it, nothing that is limited is served.
    pub(crate) meter: Option<Arc<dyn Meter>>,
    /// What is under way, beyond the death of this process.
    pub(crate) journal: Option<Arc<dyn UnderWay>>,
    draining: AtomicBool,
    meters: Meters,
    /// From it come the placeholders' tags; as long-lived as the process.
    pub(crate) mask_secret: Arc<[u8; 32]>,
    /// The labels of conversations that were above the default once.
    pub(crate) labels: Stickiness,
    /// The flows that move from one model to another.
    moves: ArcSwap<Moves>,
    /// Looks at their requests.
    pub(crate) watcher: Option<Arc<dyn Watcher>>,
    /// The flows that were discovered.
    flows: Flows,
    /// Requests that come again.
    retries: Retries,
    /// Requests under way, until their outcomes are recorded.
    under_way: TaskTracker,
    /// Ends them.
    cut: CancellationToken,
}

impl Pipeline {
    /// A pipeline that starts with this snapshot.
    pub fn new(snapshot: Snapshot, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let accounting = Accounting::new(clock, PriceBook::bundled());
        accounting.watch(&snapshot);
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            accounting,
            ledger,
            audit: None,
            tracer: None,
            prompts: None,
            meter: None,
            journal: None,
            draining: AtomicBool::new(false),
            meters: Meters::default(),
            mask_secret: Arc::new(random_secret()),
            labels: Stickiness::new(),
            moves: ArcSwap::default(),
            watcher: None,
            flows: Flows::default(),
            retries: Retries::new(),
            under_way: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }

    /// The same pipeline, telling an audit trail of each request.
    #[must_use]
    pub fn with_audit(mut self, audit: AuditTrail) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The same pipeline, making spans of requests.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Arc<dyn Tracer>) -> Self {
        self.tracer = Some(tracer);
        self
    }

    /// The same pipeline, keeping limits and budgets.
    #[must_use]
    pub fn with_meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// The same pipeline, storing text where policy says so.
    #[must_use]
    pub fn with_prompts(mut self, prompts: Arc<dyn Prompts>) -> Self {
        self.prompts = Some(prompts);
        self
    }

    /// The same pipeline, remembering what is under way.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<dyn UnderWay>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The same pipeline, telling of requests of flows on the move.
    #[must_use]
    pub fn with_watcher(mut self, watcher: Arc<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// From now on these flows move. Requests under way stay where they are.
    pub fn use_moves(&self, moves: Moves) {
        self.moves.store(Arc::new(moves));
    }

    /// Replaces the configuration. Requests under way keep the one they started with.
    pub fn reload(&self, snapshot: Snapshot) {
        self.accounting.watch(&snapshot);
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The configuration that is in force.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Takes no further requests; those under way go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Ends the requests under way: clients get an error, and the outcomes are recorded.
    pub fn cut(&self) {
        self.drain();
        self.cut.cancel();
    }

    /// Resolves when a draining pipeline has recorded the outcome of every request.
    pub async fn idle(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Whether requests are taken, and how many deployments there are for them.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<usize, Error> {
        if self.draining.load(Ordering::Acquire) {
            return Err(shutting_down());
        }
        self.ledger.ready().map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("outcomes cannot be recorded: {error}"),
            )
        })?;
        if let Some(audit) = &self.audit {
            audit.ready()?;
        }
        Ok(self.snapshot.load().deployments().len())
    }

    /// The models that this account may name.
    pub fn models(&self, account: &Account) -> Vec<ListedModel> {
        self.snapshot.load().models(account)
    }

    /// Serves one request. `status_of` tells which HTTP status an error gets.
    ///
    /// Dropping the returned future, or the stream in its answer, means that the client has gone:
    /// the upstream is cancelled and the outcome recorded all the same.
    ///
    /// # Errors
    /// When there is no answer; the outcome is already recorded.
    pub async fn serve(
        self: &Arc<Self>,
        admission: Admission,
        status_of: StatusOf,
    ) -> Result<Answer, Failure> {
        let (client, answer) = oneshot::channel();
        let way = Arc::clone(self).drive(admission, status_of, Client::Waiting(client));
        // It is large, and a task is moved several times before it runs.
        self.under_way.spawn(Box::pin(way));
        answer.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the request was lost in the gateway");
            Err(Failure {
                error,
                head: Head::default(),
            })
        })
    }

    /// The way of a request, from admission to the ledger. A defect that stops it on its way ends it
    /// like any other error: the client is told once, and the outcome recorded once.
    async fn drive(self: Arc<Self>, admission: Admission, status_of: StatusOf, client: Client) {
        let Admission {
            id,
            started_unix_ms,
            received,
            claim,
            conversation,
            flow,
            account,
            request,
            traceparent,
            betas,
            mirror,
        } = admission;
        let mut draft = Draft::new(
            id,
            started_unix_ms,
            request.dialect,
            &request.model,
            &account,
        );
        draft.belongs_to(flow, || self.flows.discover(&request));
        draft.streamed = request.stream;
        if mirror.is_none() {
            draft.agent = self.agent(&account, &request, received);
        }
        let moves = self.moves.load();
        let whose = (id, conversation.as_deref());
        let moving = moves.assign(draft.flow.as_ref(), whose, &request);
        let moving = moving.filter(|_| mirror.is_none());
        draft.rollout = moving.as_ref().map(Moving::part);
        let trace = self.trace(id, traceparent);
        draft.traced.trace = trace.trace;
        let snapshot = self.snapshot.load_full();
        // They are handed on in a header, where the guard has not looked.
        let betas = betas.filter(|betas| !holds_data(&snapshot.guard, betas));
        let log = AttemptLog::default();
        let ground = Ground {
            pipeline: &self,
            snapshot: &snapshot,
            request: &Arc::new(request),
            log: &log,
            id,
            trace,
            betas: betas.as_ref(),
            received,
            status_of,
        };
        let mut course = Course::new(ground, draft, client);
        let said = Said {
            account,
            claim,
            conversation,
        };
        let errand = (moving, mirror);
        let ended = {
            // It is large, and moved with whatever it is wrapped in.
            let way = AssertUnwindSafe(Box::pin(self.travel(ground, &mut course, said, errand)));
            tokio::select! {
                biased;
                travelled = way.catch_unwind() => travelled.map_err(|_| panicked()),
                () = self.cut.cancelled() => Err(shutting_down()),
            }
        };
        if let Err(error) = ended {
            course.fail(error).await;
        }
    }

    /// The exact number of prompt tokens where the chosen backend can count, else an estimate. The
    /// same policy holds as for an answer, and the audit trail is told the same; the ledger is not, as
    /// nothing is billed.
    ///
    /// # Errors
    /// As for an answer.
    pub async fn count_tokens(self: &Arc<Self>, admission: Admission) -> Result<u64, Error> {
        // A client that leaves does not end it: what was sent must be told.
        let counting = self.under_way.spawn(Arc::clone(self).count(admission));
        counting.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn count(self: Arc<Self>, admission: Admission) -> Result<u64, Error> {
        let snapshot = self.snapshot.load_full();
        let mut draft = Draft::new(
            admission.id,
            admission.started_unix_ms,
            admission.request.dialect,
            &admission.request.model,
            &admission.account,
        );
        let flow = admission.flow.clone();
        draft.belongs_to(flow, || self.flows.discover(&admission.request));
        let mut asked = None;
        let counting = self.count_at(&snapshot, &admission, &mut draft, &mut asked);
        let counted = AssertUnwindSafe(counting).catch_unwind().await;
        let counted = counted.unwrap_or_else(|_| Err(panicked()));
        if let Some(audit) = &self.audit {
            let error = counted.as_ref().err();
            let mut told = draft.counted(asked.as_deref(), error);
            let is_found = told.outcome.decision.is_some();
            withhold(&mut told.outcome, &snapshot.guard, is_found, &told.names);
            audit.keep(&told.outcome, told.proof);
        }
        counted
    }

    /// Counts, and says in `asked` who was sent the request.
    async fn count_at(
        &self,
        snapshot: &Snapshot,
        admission: &Admission,
        draft: &mut Draft,
        asked: &mut Option<Arc<Deployment>>,
    ) -> Result<u64, Error> {
        let request = &admission.request;
        let account = &admission.account;
        let said = (admission.claim, admission.conversation.as_deref());
        let Decided {
            permit,
            disguises,
            attempts,
            persistence,
        } = self.decide(snapshot, account, said, request, draft)?;
        if let Some(deployment) = attempts.first() {
            let request = Arc::new(request.clone());
            let outgoing = disguises.outgoing(&snapshot.guard, &permit, &request, deployment)?;
            let mut call = Call::new(
                outgoing.passage,
                Arc::clone(deployment),
                outgoing.request,
                persistence.timeouts,
                admission.id,
            )?;
            call.traceparent = admission.traceparent;
            let backend = snapshot.backend(&deployment.backend)?;
            *asked = Some(Arc::clone(deployment));
            if let Some(tokens) = backend.count_tokens(call).await? {
                return Ok(tokens);
            }
        }
        Ok(freehold_cost::tokens::estimate_request(request))
    }

    /// Puts what was used in the place of what was reserved. A cost that nobody knows counts as what
    /// was reserved.
    pub(crate) fn settle(&self, hold: Hold, outcome: &Outcome) {
        if let (Some(journal), Some(slot)) = (&self.journal, hold.slot) {
            journal.end(slot);
        }
        if let (Some(meter), Some(reservation)) = (&self.meter, hold.reservation) {
            let used = Used {
                tokens: outcome.usage.total_tokens(),
                cost: outcome.cost.unwrap_or(reservation.cost),
            };
            meter.settle(reservation, used);
        }
    }

    /// Records a request that did not pass the door, and whose key is known.
    pub fn refused(&self, door: Door, error: &Error, http_status: u16) {
        let mut draft = Draft::new(
            door.id,
            door.started_unix_ms,
            door.dialect,
            "",
            &door.account,
        );
        draft.traced.trace = self.trace(door.id, door.traceparent).trace;
        let ending = Ending {
            status: status_of(error, 0),
            http_status,
            error: Some(error),
            total: Duration::ZERO,
        };
        self.record(draft.finish(&ending, vec![]), Hold::default());
    }

    /// What a request shows of an agent's work.
    fn agent(&self, account: &Account, request: &Request, received: Duration) -> AgentSignals {
        AgentSignals {
            retries: self.retries.count(&account.key, request, received),
            ..agent_signals(request)
        }
    }

    /// The trace of a request.
    fn trace(&self, id: RequestId, caller: Option<TraceParent>) -> TraceContext {
        let tracer = self.tracer.as_ref();
        let trace = tracer.and_then(|tracer| tracer.begin(id, caller));
        TraceContext { caller, trace }
    }

    pub(crate) fn record(&self, finished: Finished, mut hold: Hold) {
        let Finished {
            mut outcome,
            proof,
            traced,
            names,
        } = finished;
        let snapshot = self.snapshot.load();
        let is_found = outcome.decision.is_some();
        withhold(&mut outcome, &snapshot.guard, is_found, &names);
        if let Some(audit) = &self.audit {
            audit.keep(&outcome, proof);
        }
        if let Err(error) = self.ledger.record(&outcome) {
            observe::unrecorded();
            // Not crossed out: at the next start, the note of it is recorded in its place.
            hold.slot = None;
            // The outcome holds no text and no secret: the log line is the last copy there is.
            let lost = serde_json::to_string(&outcome).unwrap_or_default();
            tracing::error!(%error, id = %outcome.id, outcome = %lost, "an outcome could not be recorded");
        }
        // After it is recorded: what is counted here only is lost with the process.
        self.settle(hold, &outcome);
        self.meters.count(&outcome, &snapshot);
        traced.tell(self.tracer.as_deref(), outcome);
    }
}

/// 32 bytes from the operating system, by way of random ids.
fn random_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    secret
}

fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down")
}
