//! Flows on the move: which side serves a request, whose answers are looked at, and requests that the other side
//! answers too, unseen by the client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_policy::Claim;
use freehold_ports::{Account, AnswerEnd};
use freehold_route::{Resolved, fraction, fraction_of};
use freehold_types::request::ResponseFormat;
use freehold_types::rollout::MIRRORED;
use freehold_types::{
    AgentSignals, Dialect, Error, FlowName, KeyName, Message, NanoUsd, Request, RequestId,
    Response, Role, RolloutPart, RolloutSide, Sensitivity,
};

use crate::draft::Draft;
use crate::keep::Tap;
use crate::log::AttemptLog;
use crate::pipeline::{Admission, AnswerBody, Pipeline, StatusOf};
use crate::snapshot::Snapshot;
use crate::withhold::Names;

/// The key of mirrored requests in the ledger.
const MIRROR_KEY: &str = "mirror";

/// What moves now. Requests read it once, at admission.
#[derive(Debug, Default)]
pub struct Moves(HashMap<FlowName, Arc<Move>>);

/// A flow on the move.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The rollout.
    pub rollout: String,
    /// Which period of it.
    pub period: u64,
    /// The flow.
    pub flow: FlowName,
    /// What clients name: requests of the flow that name something else stay where they are. `*` is any.
    pub incumbent: String,
    /// What the candidate is.
    pub candidate: Change,
    /// The share of conversations that the candidate serves, 0 to 1.
    pub share: f64,
    /// The share of requests that the other side answers too, 0 to 1.
    pub mirror_share: f64,
}

/// What is different for the candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The model, as a client would name it.
    pub model: String,
    /// Other instructions.
    pub system: Option<String>,
    /// Another temperature.
    pub temperature: Option<f64>,
}

impl Moves {
    /// These. Of two of the same flow, the last one counts.
    #[must_use]
    pub fn new(moves: impl IntoIterator<Item = Move>) -> Self {
        let by_flow = moves
            .into_iter()
            .map(|step| (step.flow.clone(), Arc::new(step)));
        Self(by_flow.collect())
    }

    /// Who is to serve a request; `None` when it stays where it is, and nobody looks.
    pub(crate) fn assign(
        &self,
        flow: Option<&FlowName>,
        (id, conversation): (RequestId, Option<&str>),
        request: &Request,
    ) -> Option<Moving> {
        let step = self.0.get(flow?)?;
        if step.incumbent != "*" && step.incumbent != request.model {
            return None;
        }
        // A conversation that the candidate serves stays with it as its share grows.
        let side = if fraction(&step.rollout, conversation, request) < step.share {
            RolloutSide::Candidate
        } else {
            RolloutSide::Incumbent
        };
        Some(Moving {
            mirrored: fraction_of(&step.rollout, id.as_bytes()) < step.mirror_share,
            step: Arc::clone(step),
            side,
            failed: false,
            tap: Tap::default(),
        })
    }
}

impl Change {
    /// The request as the candidate gets it. The same one when only the model is another: that stands in the route.
    pub(crate) fn apply(&self, request: &Arc<Request>) -> Arc<Request> {
        if self.system.is_none() && self.temperature.is_none() {
            return Arc::clone(request);
        }
        let mut changed = Request::clone(request);
        self.apply_to(&mut changed);
        Arc::new(changed)
    }

    fn apply_to(&self, request: &mut Request) {
        if let Some(system) = &self.system {
            let is_standing =
                |message: &Message| matches!(message.role, Role::System | Role::Developer);
            request.messages.retain(|message| !is_standing(message));
            let instructions = Message::text(Role::System, system.clone());
            request.messages.insert(0, instructions);
            request.raw = None;
        }
        if let Some(temperature) = self.temperature {
            request.sampling.temperature = Some(temperature);
            request.raw = None;
        }
    }
}

/// A request of a flow on the move.
pub(crate) struct Moving {
    pub(crate) step: Arc<Move>,
    pub(crate) side: RolloutSide,
    mirrored: bool,
    /// The candidate was to serve it and could not.
    pub(crate) failed: bool,
    pub(crate) tap: Tap,
}

impl Moving {
    pub(crate) fn part(&self) -> RolloutPart {
        RolloutPart {
            rollout: self.step.rollout.clone(),
            period: self.step.period,
            side: self.side,
            mirror_of: None,
        }
    }

    /// Where the candidate's model leads.
    pub(crate) fn route(&self, snapshot: &Snapshot) -> Result<Arc<Resolved>, Error> {
        // The operator moves the flow: what its keys may name does not matter, what they demand does.
        snapshot
            .routes
            .resolve(&self.step.candidate.model, &|_| true)
    }
}

/// How a request of a flow on the move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a whole answer.
    Complete,
    /// The client left before.
    Left,
    /// With an error.
    Failed,
}

/// A request of a flow on the move, when it has ended.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which move.
    pub step: Arc<Move>,
    /// Who was to serve it.
    pub side: RolloutSide,
    /// The candidate was to serve it and could not: the incumbent did, or nobody.
    pub failed: bool,
    /// Whether the other side is to answer it too.
    pub mirrored: bool,
    /// Its id.
    pub id: RequestId,
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub total: Duration,
    /// What it cost; `None` when unknown.
    pub cost: Option<NanoUsd>,
    /// How difficult the router takes it to be, 0 to 1.
    pub difficulty: f64,
    /// What it shows of an agent's work.
    pub agent: AgentSignals,
    /// The label that policy acted on.
    pub sensitivity: Sensitivity,
    /// What the client asked. Text: it must not be stored, and not leave but by [`Pipeline::mirror`].
    pub request: Arc<Request>,
    /// What the client got. Text, too.
    pub answer: Option<Response>,
    said: Said,
}

/// Who asked, and what they said of it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) account: Arc<Account>,
    pub(crate) claim: Claim,
    pub(crate) conversation: Option<String>,
}

/// Hears of requests of flows on the move. Called on the request's way: it must return at once.
pub trait Watcher: Send + Sync {
    /// One has ended.
    fn saw(&self, seen: Watched);
}

/// A question about a request and its answers.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The model that is asked, as a client would name it.
    pub model: String,
    /// What it is asked.
    pub messages: Vec<Message>,
    /// The form that its answer must have.
    pub response_format: ResponseFormat,
    /// Upper bound on its answer's tokens.
    pub tokens_max: u64,
}

/// What the other side made of a request.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// Its answer.
    pub answer: Result<Response, Error>,
    /// How long it took.
    pub total: Duration,
    /// What it cost; `None` when unknown.
    pub cost: Option<NanoUsd>,
}

impl Pipeline {
    /// Has the other side answer a request too. It goes the way of every request, under the same key's demands and
    /// the same claims, and is recorded as a request of its own, of the key `mirror` and a flow that begins with
    /// [`MIRRORED`]. It counts against no limit of the client's.
    pub async fn mirror(self: &Arc<Self>, seen: &Watched, status_of: StatusOf) -> Mirrored {
        let side = seen.side.other();
        let mut request = Request::clone(&seen.request);
        request.raw = None;
        request.stream = false;
        request.include_usage = false;
        if side == RolloutSide::Candidate {
            seen.step.candidate.apply_to(&mut request);
        }
        self.repeat(seen, request, (side, None), status_of).await
    }

    /// Asks another model about a request and its answers. It goes the way of a mirrored request, and is at least as
    /// sensitive as the request itself.
    pub async fn inquire(
        self: &Arc<Self>,
        seen: &Watched,
        inquiry: Inquiry,
        status_of: StatusOf,
    ) -> Mirrored {
        let mut request = Request::new(Dialect::OpenaiChat, inquiry.model, inquiry.messages);
        request.response_format = inquiry.response_format;
        request.sampling.max_output_tokens = Some(inquiry.tokens_max);
        let named = seen.request.model.clone();
        let side = seen.side.other();
        self.repeat(seen, request, (side, Some(named)), status_of)
            .await
    }

    async fn repeat(
        self: &Arc<Self>,
        seen: &Watched,
        request: Request,
        (side, named): (RolloutSide, Option<String>),
        status_of: StatusOf,
    ) -> Mirrored {
        let clock = self.accounting.clock();
        let (began, unix_ms) = (clock.monotonic(), clock.unix_ms());
        let claim = if named.is_some() {
            seen.said.claim.raised(seen.sensitivity)
        } else {
            seen.said.claim
        };
        let admission = Admission {
            id: RequestId::at(unix_ms),
            started_unix_ms: unix_ms,
            received: began,
            claim,
            conversation: seen.said.conversation.clone(),
            flow: Some(seen.step.flow.clone()),
            account: Arc::new(Account {
                bounds: Vec::new(),
                ..Account::clone(&seen.said.account)
            }),
            request,
            traceparent: None,
            betas: None,
            mirror: Some(Mirror {
                part: RolloutPart {
                    rollout: seen.step.rollout.clone(),
                    period: seen.step.period,
                    side,
                    mirror_of: Some(seen.id),
                },
                step: Arc::clone(&seen.step),
                named,
            }),
        };
        let served = self.serve(admission, status_of).await;
        let total = self.accounting.clock().monotonic().saturating_sub(began);
        match served {
            Ok(answer) => Mirrored {
                cost: answer.head.cost,
                answer: match answer.body {
                    AnswerBody::Whole(chunk) => Ok(Response::from_events(chunk.events)),
                    AnswerBody::Stream(_) => Err(Error::new(
                        freehold_types::ErrorKind::Internal,
                        "a mirrored request was streamed",
                    )),
                },
                total,
            },
            Err(failure) => Mirrored {
                cost: failure.head.cost,
                answer: Err(failure.error),
                total,
            },
        }
    }

    /// Looks at a request of a flow on the move when it has ended.
    pub(crate) fn watched(
        &self,
        moving: Moving,
        (id, request, log): (RequestId, &Arc<Request>, &AttemptLog),
        (said, received, facts): (Said, Duration, Facts),
    ) {
        let records = log.records();
        let Some(watcher) = &self.watcher else {
            return;
        };
        if records.is_empty() && !moving.failed {
            // Nobody was asked: a limit, a bad request.
            return;
        }
        let (answer, end) = moving.tap.copy();
        let errs = records.last().is_none_or(|last| last.error.is_some());
        let ended = match end {
            AnswerEnd::Complete => Ended::Complete,
            _ if errs => Ended::Failed,
            _ => Ended::Left,
        };
        watcher.saw(Watched {
            step: moving.step,
            side: moving.side,
            failed: moving.failed,
            mirrored: moving.mirrored,
            id,
            ended,
            total: self.accounting.clock().monotonic().saturating_sub(received),
            cost: log.cost(),
            difficulty: facts.difficulty,
            agent: facts.agent,
            sensitivity: facts.sensitivity,
            request: Arc::clone(request),
            answer,
            said,
        });
    }
}

/// What is known of a request before its answer, for whoever watches.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) difficulty: f64,
    pub(crate) agent: AgentSignals,
    pub(crate) sensitivity: Sensitivity,
}

/// Marks a request that repeats a client's, or asks about it.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(crate) part: RolloutPart,
    pub(crate) step: Arc<Move>,
    /// What the client named, when this one asks about it: what that demands holds all the same.
    pub(crate) named: Option<String>,
}

/// From here on a mirrored request is nobody's: neither its key's nor its flow's.
pub(crate) fn disown(draft: &mut Draft) {
    draft.key = KeyName::from(MIRROR_KEY);
    draft.team = None;
    let flow = draft.flow.as_ref().map_or("", FlowName::as_str);
    draft.flow = Some(FlowName::from(format!("{MIRRORED}{flow}")));
    draft.names = Names::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(share: f64) -> Move {
        Move {
            rollout: "r1".to_owned(),
            period: 0,
            flow: FlowName::from("support"),
            incumbent: "rented".to_owned(),
            candidate: Change {
                model: "owned".to_owned(),
                system: None,
                temperature: None,
            },
            share,
            mirror_share: 0.5,
        }
    }

    fn request(model: &str, text: &str) -> Request {
        Request::new(
            Dialect::OpenaiChat,
            model,
            vec![Message::text(Role::User, text)],
        )
    }

    fn side(share: f64, conversation: &str) -> RolloutSide {
        let flow = FlowName::from("support");
        let id = RequestId::at(0);
        let asked = request("rented", "hi");
        let moves = Moves::new([step(share)]);
        let moving = moves.assign(Some(&flow), (id, Some(conversation)), &asked);
        moving.unwrap().side
    }

    #[test]
    fn conversations_stay_where_they_are_as_the_share_grows() {
        let candidates = |share| {
            let names = (0..2_000).map(|number| format!("c{number}"));
            let taken = names.filter(|name| side(share, name) == RolloutSide::Candidate);
            taken.collect::<std::collections::BTreeSet<_>>()
        };
        let (few, more) = (candidates(0.05), candidates(0.25));
        assert!((70..130).contains(&few.len()), "{}", few.len());
        assert!((430..570).contains(&more.len()), "{}", more.len());
        assert!(few.is_subset(&more));
        assert!(candidates(0.0).is_empty());
        assert_eq!(candidates(1.0).len(), 2_000);
    }

    #[test]
    fn only_requests_of_the_flow_that_name_the_incumbent_move() {
        let moves = Moves::new([step(1.0)]);
        let id = RequestId::at(0);
        let assigned = |flow: Option<&str>, model: &str| {
            let flow = flow.map(FlowName::from);
            moves
                .assign(flow.as_ref(), (id, None), &request(model, "hi"))
                .is_some()
        };
        assert!(assigned(Some("support"), "rented"));
        assert!(!assigned(Some("support"), "other"));
        assert!(!assigned(Some("sales"), "rented"));
        assert!(!assigned(None, "rented"));
    }

    #[test]
    fn instructions_are_replaced_and_stale_bytes_dropped() {
        let mut asked = request("rented", "hi");
        asked.messages.insert(0, Message::text(Role::System, "old"));
        asked.raw = Some(freehold_types::request::RawBody {
            bytes: bytes::Bytes::from_static(b"{\"model\":\"rented\"}"),
            model_span: 9..17,
        });
        let asked = Arc::new(asked);
        let same = step(1.0).candidate.apply(&asked);
        assert!(Arc::ptr_eq(&same, &asked));
        let change = Change {
            system: Some("new".to_owned()),
            temperature: Some(0.5),
            ..step(1.0).candidate
        };
        let changed = change.apply(&asked);
        assert_eq!(changed.messages[0], Message::text(Role::System, "new"));
        assert_eq!(changed.messages.len(), 2);
        assert_eq!(changed.sampling.temperature, Some(0.5));
        assert_eq!(changed.raw, None);
    }
}
