//! One request on its way, and the ways in which it may end.

use std::sync::Arc;
use std::time::Duration;

use freehold_policy::Permit;
use freehold_ports::Slot;
use freehold_types::{Decision, Deployment, Error, ErrorKind, OutcomeStatus, Request, RequestId};
use tokio::sync::oneshot;

use crate::attempts::{Persistence, Scene};
use crate::audit::Proof;
use crate::deliver::{ChunkSender, channel, client_left, collect, relay};
use crate::disguise::Disguises;
use crate::draft::{Draft, Ending, status_of};
use crate::live::Live;
use crate::log::{AttemptLog, Settled, stopped, usage_of_unanswered};
use crate::pipeline::{Answer, AnswerBody, Failure, Head, Pipeline, StatusOf};
use crate::reserve::{Denied, Hold, Purse};
use crate::snapshot::Snapshot;
use crate::trace::TraceContext;

/// The HTTP status of an answer that has begun, however it ends.
const OK: u16 = 200;
/// How long a client may have to wait for its answer's end because tokens are being counted.
const COUNTING_MAX: Duration = Duration::from_secs(1);

/// What does not change while a request is on its way.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) request: &'a Arc<Request>,
    pub(crate) log: &'a AttemptLog,
    pub(crate) id: RequestId,
    pub(crate) trace: TraceContext,
    pub(crate) betas: Option<&'a Arc<str>>,
    pub(crate) received: Duration,
    pub(crate) status_of: StatusOf,
}

impl<'a> Ground<'a> {
    /// What attempts need to know.
    pub(crate) fn scene(
        self,
        permit: &'a Permit,
        disguises: &'a Disguises,
        persistence: Persistence,
        purse: Option<&'a Purse>,
    ) -> Scene<'a> {
        Scene {
            snapshot: self.snapshot,
            accounting: &self.pipeline.accounting,
            permit,
            request: self.request,
            disguises,
            id: self.id,
            trace: self.trace,
            betas: self.betas,
            received: self.received,
            log: self.log,
            persistence,
            purse,
        }
    }

    fn elapsed(self) -> Duration {
        let now = self.pipeline.accounting.clock().monotonic();
        now.saturating_sub(self.received)
    }
}

/// What the client still waits for.
pub(crate) enum Client {
    /// The answer's head.
    Waiting(oneshot::Sender<Result<Answer, Failure>>),
    /// The next chunk.
    Reading(ChunkSender),
    /// Nothing.
    Served,
}

/// One request on its way. However it ends, the outcome is recorded once, and before the client
/// knows that the answer is complete.
pub(crate) struct Course<'a> {
    ground: Ground<'a>,
    /// `None` once the outcome is recorded.
    draft: Option<Draft>,
    client: Client,
    /// The answer under way.
    live: Option<Live>,
    /// What is reserved for it.
    hold: Hold,
    /// What is asked, where that is not what the client asked.
    asked: Option<Arc<Request>>,
}

impl<'a> Course<'a> {
    pub(crate) fn new(ground: Ground<'a>, draft: Draft, client: Client) -> Self {
        Self {
            ground,
            draft: Some(draft),
            client,
            live: None,
            hold: Hold::default(),
            asked: None,
        }
    }

    /// Goes another way than the client's name leads: this is asked there, and this is told of it.
    pub(crate) fn asks(
        &mut self,
        request: &Arc<Request>,
        told: Option<&(Option<Decision>, Proof)>,
    ) {
        if !Arc::ptr_eq(request, self.ground.request) || self.asked.is_some() {
            self.asked = Some(Arc::clone(request));
        }
        if let (Some(draft), Some((decision, proof))) = (&mut self.draft, told) {
            draft.decision = decision.clone();
            draft.proof = proof.clone();
        }
    }

    fn asked(&self) -> &Request {
        self.asked.as_ref().unwrap_or(self.ground.request)
    }

    /// Keeps what was reserved, until the request has ended.
    pub(crate) fn hold(
        &mut self,
        hold: Hold,
        remembered: Result<Option<Slot>, Error>,
    ) -> Result<(), Error> {
        self.hold = hold;
        self.hold.slot = remembered?;
        Ok(())
    }

    /// Ends the request for want of what it could use.
    pub(crate) async fn deny(&mut self, denied: Denied) {
        self.hold.standing = denied.standing;
        self.fail(denied.error).await;
    }

    /// What is known of the request so far; `None` once it is over.
    pub(crate) fn draft(&mut self) -> Option<&mut Draft> {
        self.draft.as_mut()
    }

    /// Resolves when the client has gone.
    pub(crate) async fn client_left(&mut self) {
        match &mut self.client {
            Client::Waiting(client) => client.closed().await,
            Client::Reading(chunks) => chunks.closed().await,
            Client::Served => std::future::pending().await,
        }
    }

    /// Ends the request with an error, wherever it is.
    pub(crate) async fn fail(&mut self, error: Error) {
        let deployment = self.live.as_ref().map(|live| Arc::clone(&live.deployment));
        let rest = self.live.as_mut().and_then(Live::take_rest);
        self.count().await;
        self.close_live(Some(&error));
        self.close_open(&error);
        let begun = matches!(self.client, Client::Reading(_));
        let head = self.head(deployment.as_ref());
        let http_status = if begun {
            OK
        } else {
            (self.ground.status_of)(&error)
        };
        self.finish(
            status_of(&error, self.ground.log.len()),
            http_status,
            Some(&error),
        );
        // A client that has gone does not mind.
        match std::mem::replace(&mut self.client, Client::Served) {
            Client::Waiting(client) => {
                let _ = client.send(Err(Failure { error, head }));
            }
            Client::Reading(chunks) => {
                chunks.tell_cost(self.ground.log.cost());
                if let Some(rest) = rest {
                    let _ = chunks.send(Ok(rest)).await;
                }
                let _ = chunks.send(Err(error)).await;
            }
            Client::Served => {}
        }
    }

    /// An answer as it comes.
    pub(crate) async fn stream(&mut self, scene: Scene<'_>, live: Live) {
        let (chunks, receiver) = channel();
        let head = Head {
            left_out: live.left_out.fields().to_vec(),
            ..self.head(Some(&live.deployment))
        };
        let live = self.live.insert(live);
        let waiting = std::mem::replace(&mut self.client, Client::Reading(chunks.clone()));
        let body = AnswerBody::Stream(receiver);
        let gone = match waiting {
            Client::Waiting(client) => client.send(Ok(Answer { head, body })).is_err(),
            Client::Reading(_) | Client::Served => true,
        };
        let relayed = if gone {
            Err(client_left())
        } else {
            relay(scene, live, &chunks).await
        };
        match relayed {
            Ok(last) => {
                self.count().await;
                self.close_live(None);
                self.finish(OutcomeStatus::Completed, OK, None);
                self.client = Client::Served;
                chunks.tell_cost(self.ground.log.cost());
                let _ = chunks.send(Ok(last)).await;
            }
            Err(error) => self.fail(error).await,
        }
    }

    /// A whole answer.
    pub(crate) async fn whole(&mut self, scene: Scene<'_>, live: Live) {
        let live = self.live.insert(live);
        let Client::Waiting(client) = &mut self.client else {
            return;
        };
        let collected = tokio::select! {
            biased;
            collected = collect(scene, live) => collected,
            () = client.closed() => Err(client_left()),
        };
        let chunk = match collected {
            Ok(chunk) => chunk,
            Err(error) => return self.fail(error).await,
        };
        let (deployment, left_out) = (Arc::clone(&live.deployment), live.left_out.clone());
        self.count().await;
        self.close_live(None);
        let head = Head {
            cost: self.ground.log.cost(),
            left_out: left_out.fields().to_vec(),
            ..self.head(Some(&deployment))
        };
        self.finish(OutcomeStatus::Completed, OK, None);
        if let Client::Waiting(client) = std::mem::replace(&mut self.client, Client::Served) {
            let body = AnswerBody::Whole(chunk);
            let _ = client.send(Ok(Answer { head, body }));
        }
    }

    /// Counts what nobody reported.
    async fn count(&mut self) {
        if let Some(live) = &mut self.live {
            let counting = live.tally.count(&live.deployment.model);
            // Later, a guess has to do.
            let _ = tokio::time::timeout(COUNTING_MAX, counting).await;
        }
    }

    /// Closes the attempt that answers.
    fn close_live(&mut self, error: Option<&Error>) {
        let Some(mut live) = self.live.take() else {
            return;
        };
        let usage = live.tally.usage(self.asked());
        let ground = self.ground;
        if let Some(draft) = &mut self.draft {
            draft.redacted = live.treatment.redacted();
            if draft.traced.trace.is_some() {
                draft.traced.finish_reasons = live.tally.take_finish_reasons();
            }
            let first_token = ground.log.first_token_at(live.number);
            draft.first_token = first_token.filter(|_| ground.request.stream);
        }
        ground.log.settle(
            &ground.pipeline.accounting,
            &live.deployment,
            live.number,
            &live.tally,
            Settled {
                at: ground.elapsed(),
                // The attempt is not to blame when the client leaves it.
                error: error.filter(|error| error.kind != ErrorKind::Cancelled),
                usage,
            },
        );
    }

    /// Closes attempts that were under way when the request ended.
    fn close_open(&self, error: &Error) {
        let ground = self.ground;
        ground.log.settle_open(
            &ground.pipeline.accounting,
            ground.snapshot,
            None,
            Settled {
                at: ground.elapsed(),
                error: Some(&stopped(&error.message)),
                usage: usage_of_unanswered(self.asked()),
            },
        );
    }

    fn head(&self, deployment: Option<&Arc<Deployment>>) -> Head {
        let log = self.ground.log;
        let answers = deployment.map(|deployment| &deployment.id);
        Head {
            deployment: answers.cloned().or_else(|| log.last_deployment()),
            decision: self
                .draft
                .as_ref()
                .map_or_else(String::new, |draft| draft.decision_line(answers)),
            attempts: log.len(),
            overhead: log.first_began().unwrap_or_else(|| self.ground.elapsed()),
            cost: None,
            standing: self.hold.standing.clone(),
            left_out: vec![],
        }
    }

    /// Records the outcome, unless it is recorded.
    fn finish(&mut self, status: OutcomeStatus, http_status: u16, error: Option<&Error>) {
        let ending = Ending {
            status,
            http_status,
            error,
            total: self.ground.elapsed(),
        };
        let attempts = self.ground.log.records();
        if let Some(draft) = self.draft.take() {
            let hold = std::mem::take(&mut self.hold);
            let pipeline = self.ground.pipeline;
            pipeline.record(draft.finish(&ending, attempts), hold);
        }
    }
}
