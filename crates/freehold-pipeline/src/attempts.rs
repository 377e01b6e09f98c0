//! Attempt by attempt: retries on one deployment, fallback to the next, a hedge when the first is
//! slow. All of it before the first content has reached the client; after that, nothing changes hands.

use std::sync::Arc;
use std::time::Duration;

use freehold_policy::Permit;
use freehold_ports::{Call, Timeouts};
use freehold_types::{Deployment, Error, ErrorKind, Request, RequestId, Retry, Usage, UsageBasis};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::accounting::Accounting;
use crate::disguise::{Disguises, Outgoing};
use crate::live::{Live, begin};
use crate::log::{AttemptLog, AttemptNumber, Settled, stopped, usage_of_unanswered};
use crate::reserve::Purse;
use crate::snapshot::Snapshot;
use crate::tally::Tally;
use crate::trace::TraceContext;

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Further tries on the same deployment after an error that may pass.
    pub retries: u32,
    /// Pause before the first of them; doubles with each.
    pub backoff: Duration,
    /// The longest pause, an upstream's Retry-After included; a longer one means: go elsewhere.
    pub backoff_max: Duration,
    /// Start the next attempt of the plan when the current one has not begun to answer after this
    /// long, and take whichever begins first.
    pub hedge_after: Option<Duration>,
    /// Time limits of each attempt.
    pub timeouts: Timeouts,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            retries: 1,
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(2),
            hedge_after: None,
            timeouts: Timeouts::default(),
        }
    }
}

/// Everything an attempt needs to know of its request.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) accounting: &'a Accounting,
    pub(crate) permit: &'a Permit,
    pub(crate) request: &'a Arc<Request>,
    /// What of it each backend gets.
    pub(crate) disguises: &'a Disguises,
    pub(crate) id: RequestId,
    pub(crate) trace: TraceContext,
    pub(crate) betas: Option<&'a Arc<str>>,
    pub(crate) received: Duration,
    pub(crate) log: &'a AttemptLog,
    pub(crate) persistence: Persistence,
    /// `None` where no budget limits the request.
    pub(crate) purse: Option<&'a Purse>,
}

impl Scene<'_> {
    /// Time since admission.
    pub(crate) fn elapsed(&self) -> Duration {
        self.accounting
            .clock()
            .monotonic()
            .saturating_sub(self.received)
    }

    /// Whether what is reserved covers one more attempt.
    fn covers(&self, deployment: &Deployment) -> bool {
        self.purse
            .is_none_or(|purse| purse.covers(self.log, deployment))
    }
}

/// Goes through the plan until an answer begins.
///
/// # Errors
/// The error of the last attempt, or the first one that trying again cannot mend.
pub(crate) async fn first_answer(
    scene: Scene<'_>,
    plan: &[Arc<Deployment>],
) -> Result<Live, Error> {
    let mut waiting = plan.iter();
    // They are large, and moved several times on their way into the race.
    let attempt = |deployment| Box::pin(with_retries(scene, deployment));
    let mut racing = FuturesUnordered::new();
    let mut last = Error::new(ErrorKind::Unavailable, "no attempt is possible any more");
    let next = waiting.find(|deployment| scene.covers(deployment));
    racing.extend(next.map(attempt));
    loop {
        // Without this, an empty plan would wait for a hedge that never comes.
        if racing.is_empty() {
            return Err(last);
        }
        let next = waiting.as_slice().first();
        let possible = next.is_some_and(|deployment| scene.covers(deployment));
        let hedge = hedge(scene.persistence.hedge_after, possible);
        tokio::select! {
            // An answer that is there makes a hedge needless.
            biased;
            Some(result) = racing.next() => match result {
                Ok(live) => {
                    drop(racing);
                    close_losers(scene, live.number);
                    return Ok(live);
                }
                Err(error) if !error.allows_fallback() => return Err(error),
                Err(error) => {
                    last = error;
                    if racing.is_empty() {
                        match waiting.find(|deployment| scene.covers(deployment)) {
                            Some(deployment) => racing.push(attempt(deployment)),
                            None => return Err(last),
                        }
                    }
                }
            },
            () = hedge => {
                // Asked again: the one before may not have begun when the time was set.
                let deployment = waiting.as_slice().first().filter(|next| scene.covers(next));
                if let Some(deployment) = deployment {
                    waiting.next();
                    racing.push(attempt(deployment));
                }
            }
        }
    }
}

/// Resolves when it is time to hedge; never when there is nothing to hedge with.
async fn hedge(after: Option<Duration>, possible: bool) {
    match after {
        Some(after) if possible => tokio::time::sleep(after).await,
        _ => std::future::pending().await,
    }
}

/// The attempts that lost a race were stopped; what they were sent may be billed.
fn close_losers(scene: Scene<'_>, winner: AttemptNumber) {
    if scene.log.len() == 1 {
        return;
    }
    let stopped = stopped("another attempt answered first");
    let usage = usage_of_unanswered(scene.request);
    let end = Settled {
        at: scene.elapsed(),
        error: Some(&stopped),
        usage,
    };
    scene
        .log
        .settle_open(scene.accounting, scene.snapshot, Some(winner), end);
}

/// So many connections that were kept may turn out closed, one after the other, before that counts as an error.
const STALE_MAX: u32 = 2;

/// One deployment, with its retries.
async fn with_retries(scene: Scene<'_>, deployment: &Arc<Deployment>) -> Result<Live, Error> {
    let mut pause = scene.persistence.backoff;
    let mut retries_left = scene.persistence.retries;
    let mut stale_left = STALE_MAX;
    loop {
        let error = match once(scene, deployment).await {
            Ok(live) => return Ok(live),
            Err(error) => error,
        };
        if stale_left > 0 && error.code.as_deref() == Some(Error::CONNECTION_STALE) {
            stale_left -= 1;
            if !scene.covers(deployment) {
                return Err(error);
            }
            continue;
        }
        let wait = match error.retry {
            Retry::Soon => pause,
            Retry::After(asked) => asked.max(pause),
            Retry::Never | Retry::Elsewhere => return Err(error),
        };
        if retries_left == 0 || wait > scene.persistence.backoff_max {
            return Err(error);
        }
        retries_left -= 1;
        pause = (pause * 2).min(scene.persistence.backoff_max);
        tokio::time::sleep(wait).await;
        // Now, as another may have begun meanwhile.
        if !scene.covers(deployment) {
            return Err(error);
        }
    }
}

/// One call of one deployment, until its answer begins.
async fn once(scene: Scene<'_>, deployment: &Arc<Deployment>) -> Result<Live, Error> {
    let guard = &scene.snapshot.guard;
    let outgoing = scene
        .disguises
        .outgoing(guard, scene.permit, scene.request, deployment)?;
    let Outgoing {
        passage,
        request,
        treatment,
    } = outgoing;
    let backend = scene.snapshot.backend(&deployment.backend)?;
    let mut call = Call::new(
        passage,
        Arc::clone(deployment),
        request,
        scene.persistence.timeouts,
        scene.id,
    )?;
    call.betas = scene.betas.cloned();
    let left_out = call.left_out();
    let at = scene.elapsed();
    let under_way = scene.accounting.begin(deployment);
    let number = scene.log.open(deployment, under_way, at);
    let perimeter = deployment.site.perimeter;
    call.traceparent = scene.trace.handed_on(number.place(), perimeter);
    let mut tally = Tally::default();
    match begin(&**backend, call, &mut tally).await {
        Ok(begun) => {
            let mut live = Live::new(scene, deployment, number, begun, tally);
            live.treatment = treatment;
            live.left_out = left_out;
            Ok(live)
        }
        Err(error) => {
            let usage = if tally.has_begun() {
                tally.usage(scene.request)
            } else {
                // An upstream that refused or failed before its answer began bills no tokens.
                Usage {
                    basis: UsageBasis::Counted,
                    ..Usage::default()
                }
            };
            let end = Settled {
                at: scene.elapsed(),
                error: Some(&error),
                usage,
            };
            scene
                .log
                .settle(scene.accounting, deployment, number, &tally, end);
            Err(error)
        }
    }
}
