//! The one request function. [`Pipeline::drive`] reads as the way of a request does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_cost::PriceBook;
use freehold_guard::scan;
use freehold_policy::{Claim, Labels, Permit, decide};
use freehold_ports::{Account, Call, Chunk, Clock, Ledger};
use freehold_route::{Plan, Query, plan};
use freehold_types::{
    Deployment, DeploymentId, Dialect, Error, ErrorKind, FlowName, KeyName, NanoUsd, Request,
    RequestId,
};
use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounting::Accounting;
use crate::attempts::{Persistence, first_answer};
use crate::course::{Client, Course, Ground};
use crate::deliver::{ChunkReceiver, client_left};
use crate::draft::{Draft, Ending, status_of};
use crate::live::panicked;
use crate::log::AttemptLog;
use crate::observe;
use crate::snapshot::{ListedModel, Snapshot, persistence};

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
    /// The workload the caller names.
    pub flow: Option<FlowName>,
    /// Who asks.
    pub account: Arc<Account>,
    /// What is asked.
    pub request: Request,
    /// W3C trace context to hand on.
    pub traceparent: Option<Arc<str>>,
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
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, moved twice: a box would cost more than it saves"
)]
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
    draining: AtomicBool,
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
            draining: AtomicBool::new(false),
            under_way: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Replaces the configuration. Requests under way keep the one they started with.
    pub fn reload(&self, snapshot: Snapshot) {
        self.accounting.watch(&snapshot);
        self.snapshot.store(Arc::new(snapshot));
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
        self.under_way.spawn(way);
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
            flow,
            account,
            request,
            traceparent,
        } = admission;
        let mut draft = Draft::new(
            id,
            started_unix_ms,
            request.dialect,
            &request.model,
            account.key.clone(),
        );
        draft.flow = flow.or_else(|| account.flow.clone());
        draft.streamed = request.stream;
        let snapshot = self.snapshot.load_full();
        let log = AttemptLog::default();
        let ground = Ground {
            pipeline: &self,
            snapshot: &snapshot,
            request: &Arc::new(request),
            log: &log,
            id,
            traceparent: traceparent.as_ref(),
            received,
            status_of,
        };
        let mut course = Course::new(ground, draft, client);
        let ended = {
            let way = AssertUnwindSafe(self.travel(ground, &mut course, &account, claim));
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

    /// The rooms in their order.
    async fn travel(
        &self,
        ground: Ground<'_>,
        course: &mut Course<'_>,
        account: &Account,
        claim: Claim,
    ) {
        let Some(draft) = course.draft() else {
            return;
        };
        let Decided {
            permit,
            attempts,
            persistence,
        } = match self.decide(ground.snapshot, account, claim, ground.request, draft) {
            Ok(decided) => decided,
            Err(error) => return course.fail(error).await,
        };
        let scene = ground.scene(&permit, persistence);
        let begun = tokio::select! {
            biased;
            begun = first_answer(scene, &attempts) => begun,
            () = course.client_left() => Err(client_left()),
        };
        match begun {
            Err(error) => course.fail(error).await,
            Ok(live) if ground.request.stream => course.stream(scene, live).await,
            Ok(live) => course.whole(scene, live).await,
        }
    }

    /// Guard, policy, route: what may serve the request, and what should.
    fn decide(
        &self,
        snapshot: &Snapshot,
        account: &Account,
        claim: Claim,
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Decided, Error> {
        self.ready()?;
        let route = snapshot.route(&request.model, account)?;
        let seen = scan(request, &snapshot.guard);
        draft.findings = seen.counts();
        let labels = Labels {
            default: snapshot.default_sensitivity,
            route: route.settings.sensitivity,
            key: account.sensitivity,
            claim,
            scan: &seen,
        };
        let constraints = [
            route.settings.constraint.clone(),
            account.constraint.clone(),
        ];
        let permit = decide(&snapshot.rules, &labels, constraints).map_err(|refusal| {
            draft.sensitivity = refusal.sensitivity;
            Error::new(ErrorKind::PolicyRefused, refusal.reason)
        })?;
        draft.sensitivity = permit.sensitivity();
        let query = Query {
            request,
            route: &route,
            permit: &permit,
            prices: self.accounting.prices(),
            health: &|deployment| self.accounting.health(deployment),
            at_unix_ms: draft.started_unix_ms,
        };
        match plan(&query) {
            Ok(Plan { attempts, decision }) => {
                draft.decision = Some(decision);
                let attempts = attempts
                    .into_iter()
                    .map(|attempt| attempt.deployment)
                    .collect();
                let persistence = persistence(&route.settings);
                Ok(Decided {
                    permit,
                    attempts,
                    persistence,
                })
            }
            Err(rejected) => {
                draft.decision = Some(*rejected.decision);
                Err(rejected.error)
            }
        }
    }

    /// The exact number of prompt tokens where the chosen backend can count, else an estimate. The
    /// same policy holds as for an answer.
    ///
    /// # Errors
    /// As for an answer.
    pub async fn count_tokens(&self, admission: Admission) -> Result<u64, Error> {
        let snapshot = self.snapshot.load_full();
        let request = &admission.request;
        let account = &admission.account;
        let mut draft = Draft::new(
            admission.id,
            admission.started_unix_ms,
            request.dialect,
            &request.model,
            account.key.clone(),
        );
        let Decided {
            permit,
            attempts,
            persistence,
        } = self.decide(&snapshot, account, admission.claim, request, &mut draft)?;
        if let Some(deployment) = attempts.first() {
            let passage = permit
                .passage(deployment)
                .map_err(|denial| Error::new(ErrorKind::PolicyRefused, denial.to_string()))?;
            let mut call = Call::new(
                passage,
                Arc::clone(deployment),
                Arc::new(request.clone()),
                persistence.timeouts,
                admission.id,
            )?;
            call.traceparent.clone_from(&admission.traceparent);
            let backend = snapshot.backend(&deployment.backend)?;
            if let Some(tokens) = backend.count_tokens(call).await? {
                return Ok(tokens);
            }
        }
        Ok(freehold_cost::tokens::estimate_request(request))
    }

    /// Records a request that did not pass the door, and whose key is known.
    pub fn refused(
        &self,
        id: RequestId,
        started_unix_ms: u64,
        dialect: Dialect,
        key: &KeyName,
        error: &Error,
        http_status: u16,
    ) {
        let draft = Draft::new(id, started_unix_ms, dialect, "", key.clone());
        let ending = Ending {
            status: status_of(error, 0),
            http_status,
            error: Some(error),
            total: Duration::ZERO,
        };
        self.record(draft.finish(&ending, vec![]));
    }

    pub(crate) fn record(&self, outcome: freehold_types::Outcome) {
        observe::outcome(&outcome, &self.snapshot.load());
        if let Err(error) = self.ledger.record(&outcome) {
            observe::unrecorded();
            // The outcome holds no text and no secret: the log line is the last copy there is.
            let lost = serde_json::to_string(&outcome).unwrap_or_default();
            tracing::error!(%error, id = %outcome.id, outcome = %lost, "an outcome could not be recorded");
        }
    }
}

fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down")
}

/// What guard, policy and route decided.
struct Decided {
    permit: Permit,
    attempts: Vec<Arc<Deployment>>,
    persistence: Persistence,
}
