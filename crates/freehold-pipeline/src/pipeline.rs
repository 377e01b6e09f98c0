//! The one request function. [`Pipeline::drive`] reads as the way of a request does.

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
    Deployment, DeploymentId, Dialect, Error, ErrorKind, FlowName, KeyName, NanoUsd, OutcomeStatus,
    Request, RequestId,
};
use tokio::sync::{mpsc, oneshot};

use crate::accounting::Accounting;
use crate::attempts::{Live, Persistence, Scene, first_answer};
use crate::deliver::{CHUNKS_WAITING_MAX, ChunkReceiver, client_left, collect, relay};
use crate::draft::{Draft, Ending, status_of};
use crate::log::{AttemptLog, Settled, stopped, usage_of_unanswered};
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

/// The HTTP status of an answer that has begun, however it ends.
const OK: u16 = 200;

type Client = oneshot::Sender<Result<Answer, Failure>>;

/// The request function and what it needs.
pub struct Pipeline {
    snapshot: ArcSwap<Snapshot>,
    accounting: Accounting,
    ledger: Arc<dyn Ledger>,
    draining: AtomicBool,
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

    /// Whether requests are taken, and how many deployments there are for them.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<usize, Error> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the gateway is shutting down",
            ));
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
        tokio::spawn(Arc::clone(self).drive(admission, status_of, client));
        answer.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the request was lost in the gateway");
            Err(Failure {
                error,
                head: Head::default(),
            })
        })
    }

    /// The way of a request, from admission to the ledger.
    async fn drive(self: Arc<Self>, admission: Admission, status_of: StatusOf, mut client: Client) {
        let snapshot = self.snapshot.load_full();
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
        let log = AttemptLog::default();
        let course = Course {
            pipeline: &self,
            log: &log,
            received,
            status_of,
        };

        let Decided {
            permit,
            attempts,
            persistence,
        } = match self.decide(&snapshot, &account, claim, &request, &mut draft) {
            Ok(decided) => decided,
            Err(error) => return course.fail(draft, &snapshot, &request, error, client),
        };
        let request = Arc::new(request);
        let scene = Scene {
            snapshot: &snapshot,
            accounting: &self.accounting,
            permit: &permit,
            request: &request,
            id,
            traceparent: traceparent.as_ref(),
            received,
            log: &log,
            persistence,
        };
        let begun = tokio::select! {
            biased;
            begun = first_answer(scene, &attempts) => begun,
            () = client.closed() => Err(client_left()),
        };
        match begun {
            Err(error) => course.fail(draft, &snapshot, &request, error, client),
            Ok(live) if request.stream => course.stream(scene, draft, live, client).await,
            Ok(live) => course.whole(scene, draft, live, client).await,
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

    fn record(&self, outcome: freehold_types::Outcome) {
        observe::outcome(&outcome, &self.snapshot.load());
        if let Err(error) = self.ledger.record(&outcome) {
            observe::unrecorded();
            // The outcome holds no text and no secret: the log line is the last copy there is.
            let lost = serde_json::to_string(&outcome).unwrap_or_default();
            tracing::error!(%error, id = %outcome.id, outcome = %lost, "an outcome could not be recorded");
        }
    }
}

/// What guard, policy and route decided.
struct Decided {
    permit: Permit,
    attempts: Vec<Arc<Deployment>>,
    persistence: Persistence,
}

/// One request on its way, and how it may end.
struct Course<'a> {
    pipeline: &'a Pipeline,
    log: &'a AttemptLog,
    received: Duration,
    status_of: StatusOf,
}

impl Course<'_> {
    fn elapsed(&self) -> Duration {
        self.pipeline
            .accounting
            .clock()
            .monotonic()
            .saturating_sub(self.received)
    }

    /// No answer.
    fn fail(
        self,
        draft: Draft,
        snapshot: &Snapshot,
        request: &Request,
        error: Error,
        client: Client,
    ) {
        self.close_open(snapshot, request, &error);
        let head = self.head(&draft, None);
        let http_status = (self.status_of)(&error);
        self.finish(
            draft,
            status_of(&error, self.log.len()),
            http_status,
            Some(&error),
        );
        // A client that has gone does not mind.
        let _ = client.send(Err(Failure { error, head }));
    }

    /// An answer as it comes. The outcome is recorded before the client gets the last chunk.
    async fn stream(&self, scene: Scene<'_>, mut draft: Draft, mut live: Live, client: Client) {
        let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let head = self.head(&draft, Some(&live.deployment));
        let body = AnswerBody::Stream(receiver);
        if client.send(Ok(Answer { head, body })).is_err() {
            let error = client_left();
            self.close(scene, &mut live, None);
            return self.finish(draft, OutcomeStatus::Cancelled, OK, Some(&error));
        }
        draft.first_token = Some(self.elapsed());
        match relay(scene, &mut live, &chunks).await {
            Ok(last) => {
                self.close(scene, &mut live, None);
                self.finish(draft, OutcomeStatus::Completed, OK, None);
                let _ = chunks.send(Ok(last)).await;
            }
            Err(error) => {
                let blame = (error.kind != ErrorKind::Cancelled).then_some(&error);
                self.close(scene, &mut live, blame);
                self.finish(draft, status_of(&error, self.log.len()), OK, Some(&error));
                let _ = chunks.send(Err(error)).await;
            }
        }
    }

    /// A whole answer.
    async fn whole(&self, scene: Scene<'_>, draft: Draft, mut live: Live, mut client: Client) {
        let collected = tokio::select! {
            biased;
            collected = collect(scene, &mut live) => collected,
            () = client.closed() => Err(client_left()),
        };
        match collected {
            Ok(chunk) => {
                let cost = self.close(scene, &mut live, None);
                let mut head = self.head(&draft, Some(&live.deployment));
                head.cost = cost;
                self.finish(draft, OutcomeStatus::Completed, OK, None);
                let _ = client.send(Ok(Answer {
                    head,
                    body: AnswerBody::Whole(chunk),
                }));
            }
            Err(error) => {
                let blame = (error.kind != ErrorKind::Cancelled).then_some(&error);
                self.close(scene, &mut live, blame);
                let head = self.head(&draft, Some(&live.deployment));
                let http_status = (self.status_of)(&error);
                self.finish(
                    draft,
                    status_of(&error, self.log.len()),
                    http_status,
                    Some(&error),
                );
                let _ = client.send(Err(Failure { error, head }));
            }
        }
    }

    /// Closes the attempt that answers; what it cost.
    fn close(&self, scene: Scene<'_>, live: &mut Live, error: Option<&Error>) -> Option<NanoUsd> {
        let usage = live.tally.usage(scene.request);
        self.log.settle(
            scene.accounting,
            &live.deployment,
            live.number,
            &live.tally,
            Settled {
                at: self.elapsed(),
                error,
                usage,
            },
        )
    }

    /// Closes attempts that were under way when the request ended.
    fn close_open(&self, snapshot: &Snapshot, request: &Request, error: &Error) {
        let stopped = stopped(&error.message);
        self.log.settle_open(
            &self.pipeline.accounting,
            snapshot,
            None,
            Settled {
                at: self.elapsed(),
                error: Some(&stopped),
                usage: usage_of_unanswered(request),
            },
        );
    }

    fn head(&self, draft: &Draft, deployment: Option<&Arc<Deployment>>) -> Head {
        Head {
            deployment: deployment
                .map(|deployment| deployment.id.clone())
                .or_else(|| self.log.last_deployment()),
            decision: draft.decision_line(deployment.map(|deployment| &deployment.id)),
            attempts: self.log.len(),
            overhead: self.log.first_began().unwrap_or_else(|| self.elapsed()),
            cost: None,
        }
    }

    fn finish(&self, draft: Draft, status: OutcomeStatus, http_status: u16, error: Option<&Error>) {
        let ending = Ending {
            status,
            http_status,
            error,
            total: self.elapsed(),
        };
        self.pipeline
            .record(draft.finish(&ending, self.log.records()));
    }
}
