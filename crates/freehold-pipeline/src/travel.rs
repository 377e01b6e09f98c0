//! The way of a request through the rooms, from the decision to the end of its answer.

use std::sync::Arc;

use freehold_cost::tokens::estimate_request;
use freehold_types::{Decision, Deployment, Error, ErrorKind, Request, RolloutSide};

use crate::attempts::first_answer;
use crate::audit::Proof;
use crate::course::{Course, Ground};
use crate::decide::Decided;
use crate::deliver::client_left;
use crate::draft::Draft;
use crate::keep::{Keeping, Tap};
use crate::live::Live;
use crate::moves::{Facts, Mirror, Moving, Said, disown};
use crate::pipeline::Pipeline;
use crate::reserve::{Asked, Purse};

/// One way that a request can go.
struct Way {
    /// What is asked there.
    request: Arc<Request>,
    decided: Decided,
    /// What the ledger and the audit trail are told when it goes this way.
    told: Option<(Option<Decision>, Proof)>,
}

impl Pipeline {
    /// The rooms in their order.
    pub(crate) async fn travel(
        &self,
        ground: Ground<'_>,
        course: &mut Course<'_>,
        said: Said,
        (mut moving, mirror): (Option<Moving>, Option<Mirror>),
    ) {
        let Some(draft) = course.draft() else {
            return;
        };
        let ways = match &mirror {
            Some(mirror) => self.mirrored_way(ground, &said, mirror, draft),
            None => self.ways(ground, &said, moving.as_mut(), draft),
        };
        let ways = match ways {
            Ok(ways) => ways,
            Err(error) => return course.fail(error).await,
        };
        let facts = Facts {
            difficulty: draft.decision.as_ref().map_or(0.0, |one| one.difficulty),
            agent: draft.agent,
            sensitivity: draft.sensitivity,
        };
        let keeping = match (&mirror, ways.last()) {
            (None, Some(usual)) => Keeping::begin(
                self.prompts.as_ref(),
                ground,
                &usual.decided.permit,
                &usual.decided.disguises,
                (&said.account, said.conversation.as_deref(), draft),
            ),
            _ => None,
        };
        let Ok(purse) = self.admit(ground, course, &said, &ways).await else {
            return;
        };
        let tap = moving.as_ref().map(|moving| moving.tap.clone());
        let tap = tap.or_else(|| keeping.as_ref().map(Keeping::tap));
        let keeping = keeping.map(|keeping| keeping.hearing(tap.as_ref()));
        let answering = (moving.as_mut(), tap);
        self.answer(ground, course, (&ways, purse.as_ref()), answering)
            .await;
        if let Some(moving) = moving {
            let about = (said, ground.received, facts);
            self.watched(moving, (ground.id, ground.request, ground.log), about);
        }
        if let Some(keeping) = keeping {
            keeping.finish(ground.log.last_deployment());
        }
    }

    /// The ways that a client's request can go: where it is asked, and behind a candidate, where it would have gone
    /// without it.
    fn ways(
        &self,
        ground: Ground<'_>,
        said: &Said,
        moving: Option<&mut Moving>,
        draft: &mut Draft,
    ) -> Result<Vec<Way>, Error> {
        let (snapshot, account) = (ground.snapshot, &*said.account);
        let words = (said.claim, said.conversation.as_deref());
        let Some(moving) = moving.filter(|moving| moving.side == RolloutSide::Candidate) else {
            let decided = self.decide(snapshot, account, words, ground.request, draft)?;
            return Ok(vec![Way {
                request: Arc::clone(ground.request),
                decided,
                told: None,
            }]);
        };
        let mut ways = Vec::with_capacity(2);
        let mut trial = draft.clone();
        match self.candidate(ground, said, moving, &mut trial) {
            Ok(way) => ways.push(way),
            Err(error) if error.kind == ErrorKind::Unavailable => moving.failed = true,
            Err(error) => {
                // It may not, or cannot, serve this one: nobody's fault.
                tracing::debug!(%error, id = %ground.id, "stays with the incumbent");
                moving.side = RolloutSide::Incumbent;
            }
        }
        let usual = self.decide(snapshot, account, words, ground.request, draft);
        if !ways.is_empty() {
            let usually = (draft.decision.take(), draft.proof.clone());
            *draft = trial;
            if let Ok(decided) = usual {
                ways.push(Way {
                    request: Arc::clone(ground.request),
                    decided,
                    told: Some(usually),
                });
            }
            return Ok(ways);
        }
        draft.rollout = Some(moving.part());
        Ok(vec![Way {
            request: Arc::clone(ground.request),
            decided: usual?,
            told: None,
        }])
    }

    /// The way to the candidate.
    fn candidate(
        &self,
        ground: Ground<'_>,
        said: &Said,
        moving: &Moving,
        draft: &mut Draft,
    ) -> Result<Way, Error> {
        let (snapshot, account) = (ground.snapshot, &*said.account);
        self.ready()?;
        let named = snapshot.route(&ground.request.model, account)?;
        let route = moving.route(snapshot).map_err(|error| {
            let message = format!("the candidate cannot be asked: {error}");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let request = moving.step.candidate.apply(ground.request);
        let words = (said.claim, said.conversation.as_deref());
        let decided =
            self.decide_on(snapshot, account, words, &request, (&route, &named), draft)?;
        Ok(Way {
            request,
            decided,
            told: None,
        })
    }

    /// The way of a request that repeats a client's, or asks about it.
    fn mirrored_way(
        &self,
        ground: Ground<'_>,
        said: &Said,
        mirror: &Mirror,
        draft: &mut Draft,
    ) -> Result<Vec<Way>, Error> {
        let (snapshot, account) = (ground.snapshot, &*said.account);
        let words = (said.claim, said.conversation.as_deref());
        let request = ground.request;
        draft.rollout = Some(mirror.part.clone());
        // Where it goes, when that is not where the client's name leads, and what was named.
        let elsewhere = match (&mirror.named, mirror.part.side) {
            (Some(named), _) => Some((named, &request.model)),
            (None, RolloutSide::Candidate) => Some((&request.model, &mirror.step.candidate.model)),
            (None, RolloutSide::Incumbent) => None,
        };
        let decided = match elsewhere {
            None => self.decide(snapshot, account, words, request, draft),
            Some((named, model)) => snapshot.route(named, account).and_then(|named| {
                let route = snapshot.routes.resolve(model, &|_| true)?;
                self.ready()?;
                self.decide_on(snapshot, account, words, request, (&route, &named), draft)
            }),
        };
        disown(draft);
        Ok(vec![Way {
            request: Arc::clone(request),
            decided: decided?,
            told: None,
        }])
    }

    /// Reserves what the request could use on any of its ways, and tells how much money that is. The
    /// error is told already.
    async fn admit(
        &self,
        ground: Ground<'_>,
        course: &mut Course<'_>,
        said: &Said,
        ways: &[Way],
    ) -> Result<Option<Purse>, ()> {
        let Some(draft) = course.draft() else {
            return Err(());
        };
        let attempts: Vec<Arc<Deployment>> = ways
            .iter()
            .flat_map(|way| way.decided.attempts.iter().cloned())
            .collect();
        let request = ways.first().map_or(ground.request, |way| &way.request);
        // The router has guessed already.
        let prompt_tokens = match &draft.decision {
            Some(decision) => decision.inputs.features.prompt_tokens,
            None => estimate_request(request),
        };
        let hedges = |way: &Way| way.decided.persistence.hedge_after.is_some();
        let retries = |way: &Way| way.decided.persistence.retries > 0;
        let asked = Asked {
            id: ground.id,
            started_unix_ms: draft.started_unix_ms,
            account: &said.account,
            flow: draft.flow.as_ref(),
            request,
            prompt_tokens,
            attempts: &attempts,
            parallel: 1 + usize::from(ways.iter().any(hedges)),
            again: attempts.len() > 1 || ways.iter().any(retries),
        };
        match self.reserve(&asked, &ground.snapshot.flow_limits).await {
            Ok((hold, purse)) => {
                let remembered = self.remember(&asked, draft, &ground.snapshot.guard);
                if let Err(error) = course.hold(hold, remembered) {
                    course.fail(error).await;
                    return Err(());
                }
                Ok(purse)
            }
            Err(denied) => {
                course.deny(denied).await;
                Err(())
            }
        }
    }

    /// Goes one way after the other until an answer begins, and delivers that.
    async fn answer(
        &self,
        ground: Ground<'_>,
        course: &mut Course<'_>,
        (ways, purse): (&[Way], Option<&Purse>),
        (mut moving, tap): (Option<&mut Moving>, Option<Tap>),
    ) {
        let mut ways = ways.iter().peekable();
        while let Some(way) = ways.next() {
            let Decided {
                permit,
                disguises,
                persistence,
                ..
            } = &way.decided;
            let ground = Ground {
                request: &way.request,
                ..ground
            };
            course.asks(&way.request, way.told.as_ref());
            let scene = ground.scene(permit, disguises, *persistence, purse);
            let begun = tokio::select! {
                biased;
                begun = first_answer(scene, &way.decided.attempts) => begun,
                () = course.client_left() => Err(client_left()),
            };
            match begun.map(|live| live.tapped(tap.clone())) {
                Err(error) if ways.peek().is_some() && goes_on(&error) => {
                    if let Some(moving) = moving.as_deref_mut() {
                        moving.failed = true;
                    }
                }
                Err(error) => return course.fail(error).await,
                Ok(live) => return deliver(ground, course, scene, live).await,
            }
        }
    }
}

async fn deliver(
    ground: Ground<'_>,
    course: &mut Course<'_>,
    scene: crate::attempts::Scene<'_>,
    live: Live,
) {
    if ground.request.stream {
        course.stream(scene, live).await;
    } else {
        course.whole(scene, live).await;
    }
}

/// Whether a candidate's error is mended by asking the incumbent: all but a client that has gone.
fn goes_on(error: &Error) -> bool {
    error.kind != ErrorKind::Cancelled
}
