//! What must hold of every schedule.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use freehold_policy::Claim;
use freehold_route::RouteSettings;
use freehold_types::outcome::CostBasis;
use freehold_types::{
    AttemptRecord, Availability, ErrorKind, NanoUsd, Outcome, OutcomeStatus, Sensitivity,
    UsageBasis,
};

use super::client::{Manner, Seen};
use super::schedule::Met;
use super::upstream::{Counted, INPUT_TOKENS, Stage};
use super::world::{TIGHT, World};

/// The most that an upstream counts of a prompt: its bytes, and four times what its template takes.
const PROMPT_TOKENS_MAX: u64 = 27 + 28;

struct Violations(Vec<String>);

impl Violations {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

pub(crate) fn violations(world: &World, seen: &[Seen]) -> Vec<String> {
    let mut found = Violations(vec![]);
    for seen in seen {
        one_end(seen, &mut found);
        if seen.client.counts {
            continue;
        }
        let handed = world.books.handed.lock();
        let outcomes: Vec<_> = handed.iter().filter(|one| one.0.id == seen.id).collect();
        let [(outcome, _)] = outcomes[..] else {
            let many = outcomes.len();
            found.0.push(format!("{} has {many} outcomes", seen.id));
            continue;
        };
        told_as_seen(seen, outcome, &mut found);
        let calls = world.counts.of(seen.id);
        as_counted(outcome, &calls, &mut found);
        permitted(world, seen, &calls, &mut found);
        bounded(world, &calls, &mut found);
        same_text(seen, &calls, &mut found);
        reserved_and_settled(world, seen, outcome, &calls, &mut found);
    }
    at_rest(world, &mut found);
    nothing_left(world, seen, &mut found);
    found.0
}

/// Every client that stays is told one end, and nothing after it.
fn one_end(seen: &Seen, found: &mut Violations) {
    let id = seen.id;
    found.must(seen.after_the_end == 0, || {
        format!("{id} got more after its end")
    });
    found.must(seen.opened <= 1, || {
        format!("{id} was opened {} times", seen.opened)
    });
    // Who takes nothing for minutes is given up, and may find nothing when it comes back.
    let may_be_given_up = match seen.client.manner {
        Manner::Sleeps(_, pause_ms) => pause_ms >= 300_000,
        _ => false,
    };
    let ends = usize::from(!seen.left);
    found.must(
        seen.ends.len() == ends || (may_be_given_up && seen.ends.is_empty()),
        || format!("{id} was told {} ends: {:?}", seen.ends.len(), seen.ends),
    );
}

/// The ledger says of the end what the client saw.
fn told_as_seen(seen: &Seen, outcome: &Outcome, found: &mut Violations) {
    let is_whole = outcome.status == OutcomeStatus::Completed;
    let fits = match seen.ends.first() {
        Some(None) => is_whole,
        Some(Some(kind)) => {
            let told = outcome.error.as_ref().map(|error| error.kind);
            !is_whole && told == Some(*kind)
        }
        // What was on its way may have been whole.
        None => true,
    };
    found.must(fits, || {
        format!("{}: {:?} for {:?}", seen.id, outcome.status, seen.ends)
    });
    found.must(is_whole || outcome.error.is_some(), || {
        format!("{} ended without a reason", seen.id)
    });
}

/// The ledger has every call that an upstream had, with what it counted.
fn as_counted(outcome: &Outcome, calls: &[Counted], found: &mut Violations) {
    let id = outcome.id;
    let attempts = &outcome.attempts;
    found.must(attempts.len() == calls.len(), || {
        format!("{id}: {} attempts, {} calls", attempts.len(), calls.len())
    });
    for (attempt, call) in attempts.iter().zip(calls) {
        found.must(attempt.deployment == call.deployment, || {
            format!("{id}: {attempt:?} is {call:?}")
        });
        found.must(usage_fits(attempt, call), || {
            format!("{id}: the usage of {attempt:?} is not that of {call:?}")
        });
        found.must(!call.is_open, || format!("{id}: {call:?} is left open"));
    }
    let sum: u64 = attempts.iter().map(|one| one.usage.output_tokens).sum();
    found.must(outcome.usage.output_tokens == sum, || {
        format!(
            "{id}: {} tokens in all, {sum} of attempts",
            outcome.usage.output_tokens
        )
    });
    let cost: Option<NanoUsd> = attempts.iter().map(|one| Some(one.cost?.total)).sum();
    found.must(outcome.cost == cost, || {
        format!("{id}: {:?} is not {cost:?}", outcome.cost)
    });
}

fn usage_fits(attempt: &AttemptRecord, call: &Counted) -> bool {
    let usage = attempt.usage;
    let words = call.words.len() as u64;
    match call.stage {
        // Whoever gives an unanswered call up may be billed for the prompt.
        Stage::Asked => (usage.basis, usage.output_tokens) == (UsageBasis::Estimated, 0),
        Stage::Refused => usage.total_tokens() == 0,
        _ if !call.begun && attempt.error.is_some() => usage.output_tokens == 0,
        Stage::Whole if call.told.is_some() => {
            let told = (usage.input_tokens, usage.output_tokens);
            told == (INPUT_TOKENS, words) && usage.basis == UsageBasis::Reported
        }
        // What was handed over is counted, whoever broke it off.
        _ => usage.output_tokens == words && usage.input_tokens > 0,
    }
}

/// No call leaves what policy permits and the route names, and none comes after content was shown.
fn permitted(world: &World, seen: &Seen, calls: &[Counted], found: &mut Violations) {
    let id = seen.id;
    let stays_inside = match seen.client.claim {
        Claim::None => false,
        Claim::Label(label) => label > Sensitivity::Internal,
        Claim::Unreadable => true,
    };
    let named = &seen.client.model;
    for call in calls {
        found.must(call.is_inside || !stays_inside, || {
            format!("{id} got out: {call:?}")
        });
        let may = !named.contains('/') || *call.deployment.as_str() == **named;
        found.must(may, || format!("{id} asked for {named}: {call:?}"));
    }
    // A pipeline that takes the first content shows it: whoever is called later was called too late.
    let first = calls.iter().position(|call| !call.words.is_empty());
    let later = first.map_or(0, |first| calls.len() - first - 1);
    found.must(
        later == 0 || world.setup.settings.hedge_after_ms.is_some(),
        || format!("{id}: {later} calls after content had come"),
    );
}

/// No more deployments, and none of them more often, than the route says.
fn bounded(world: &World, calls: &[Counted], found: &mut Violations) {
    let settings = &world.setup.settings;
    let mut often = BTreeMap::new();
    for call in calls {
        let (calls, stale) = often.entry(&call.deployment).or_insert((0, 0));
        // Two connections that were closed meanwhile are no tries.
        if call.is_stale && *stale < 2 {
            *stale += 1;
        } else {
            *calls += 1;
        }
    }
    // The last requests are not the route's: they have the usual settings.
    let each = 1 + settings.retries.max(RouteSettings::default().retries);
    let fits = often.values().all(|(calls, _)| *calls <= each);
    found.must(
        fits && often.len() <= settings.max_attempts as usize,
        || format!("too many calls: {often:?}"),
    );
}

/// What the client read is what one call wrote, from its beginning.
fn same_text(seen: &Seen, calls: &[Counted], found: &mut Violations) {
    let id = seen.id;
    let is_whole = seen.ends == [None];
    let of = |call: &Counted| {
        let text = call.words.concat();
        if is_whole {
            text == seen.text && call.stage == Stage::Whole
        } else {
            text.starts_with(&seen.text)
        }
    };
    found.must(
        (seen.text.is_empty() && !is_whole) || calls.iter().any(of),
        || format!("{id} read {:?}, which nobody wrote: {calls:?}", seen.text),
    );
}

/// What was reserved is settled once, with what the ledger says it cost, and never beyond it.
fn reserved_and_settled(
    world: &World,
    seen: &Seen,
    outcome: &Outcome,
    calls: &[Counted],
    found: &mut Violations,
) {
    let id = outcome.id;
    let taken = world.meter.taken.lock();
    let Some(reserved) = taken.get(&id) else {
        let may_call = outcome.key.as_str() != TIGHT || calls.is_empty();
        found.must(may_call, || {
            format!("{id} was served without a reservation")
        });
        return;
    };
    let [used] = reserved.settled[..] else {
        let many = reserved.settled.len();
        found.0.push(format!("{id} was settled {many} times"));
        return;
    };
    let cost = outcome.cost.unwrap_or(reserved.cost);
    found.must(used.cost == cost, || {
        format!("{id}: settled {} for {cost}", used.cost)
    });
    // An owned machine is paid by time, and nobody knows beforehand how long it takes.
    let by_token = outcome
        .attempts
        .iter()
        .all(|one| one.cost.is_some_and(|cost| cost.basis == CostBasis::Tokens));
    if by_token {
        covered(reserved.cost, seen, outcome, found);
    }
    found.must(!by_token || used.cost <= reserved.cost, || {
        format!(
            "{id}: {} of {} reserved: {:?}",
            used.cost, reserved.cost, outcome.attempts
        )
    });
}

/// The requests that come when everything has calmed down find nothing under way.
fn at_rest(world: &World, found: &mut Violations) {
    let handed = world.books.handed.lock();
    let calm = handed.iter().map(|one| &one.0);
    for outcome in calm.filter(|one| one.route.as_str().starts_with("calm")) {
        let decision = outcome.decision.iter();
        let busy = decision
            .flat_map(|decision| &decision.inputs.candidates)
            .filter(|candidate| candidate.in_flight > 0);
        for candidate in busy {
            found.0.push(format!("{candidate:?} is busy for ever"));
        }
    }
}

/// No attempt began that could have spent what was not reserved.
fn covered(reserved: NanoUsd, seen: &Seen, outcome: &Outcome, found: &mut Violations) {
    let most = NanoUsd::from_nanos(
        i64::try_from(PROMPT_TOKENS_MAX * 1_000 + seen.client.tokens_max * 2_000).unwrap(),
    );
    for (number, attempt) in outcome.attempts.iter().enumerate() {
        let before = outcome.attempts[..number].iter();
        let before = before.map(|earlier| {
            let ended_us = earlier.started_us + earlier.duration_us;
            let cost = earlier.cost.map_or(most, |cost| cost.total);
            if ended_us <= attempt.started_us {
                cost
            } else {
                most
            }
        });
        let possible = before.sum::<NanoUsd>() + most;
        found.must(possible <= reserved, || {
            format!(
                "{}: {possible} was possible, {reserved} reserved: {:?}",
                seen.id, outcome.attempts
            )
        });
    }
}

/// When all is over, nothing is reserved, remembered, open or untold.
fn nothing_left(world: &World, seen: &[Seen], found: &mut Violations) {
    let held = world.meter.inner.held();
    found.must(held == 0, || format!("{held} reservations are left"));
    let stray = world.meter.stray.load(Ordering::Relaxed);
    found.must(stray == 0, || format!("{stray} stray settlements"));
    let handed = world.books.handed.lock();
    let taken = world.meter.taken.lock();
    let spent = handed.iter().filter(|one| taken.contains_key(&one.0.id));
    let spent: NanoUsd = spent
        .map(|one| one.0.cost.unwrap_or(taken[&one.0.id].cost))
        .sum();
    let standing = world.standing();
    let (accounts, reserved) = standing.map_or((NanoUsd::ZERO, NanoUsd::ZERO), |standing| {
        (standing.spent, standing.reserved)
    });
    found.must(reserved == NanoUsd::ZERO, || {
        format!("{reserved} stay reserved")
    });
    found.must(accounts == spent, || {
        format!("the accounts say {accounts}, the ledger {spent}")
    });
    // A request whose outcome could not be kept stays in the journal: the next start records it.
    let unkept = |id| {
        handed
            .iter()
            .any(|(outcome, kept)| outcome.id == id && !kept)
    };
    let journal = world.journal.open.lock();
    let forgotten: Vec<_> = journal.values().filter(|id| !unkept(**id)).collect();
    found.must(forgotten.is_empty(), || {
        format!("under way for ever: {forgotten:?}")
    });
    let stray = world.journal.stray.load(Ordering::Relaxed);
    found.must(stray == 0, || {
        format!("{stray} slots were given back twice")
    });
    let mut ended = world.spans.ended.lock().clone();
    ended.sort();
    let mut asked: Vec<_> = seen
        .iter()
        .filter(|one| !one.client.counts)
        .map(|one| one.id)
        .collect();
    asked.sort();
    found.must(ended == asked, || {
        format!("spans of {ended:?} for {asked:?}")
    });
    for owned in world.pipeline.owned() {
        let known = owned.charged + owned.idle;
        found.must(owned.wall == known, || {
            format!("{}: {} of {} are known", owned.backend, known, owned.wall)
        });
    }
}

/// What a schedule was about.
pub(crate) fn met(world: &World, seen: &[Seen]) -> Met {
    let handed = world.books.handed.lock();
    let of = |status| handed.iter().filter(|one| one.0.status == status).count();
    let calls = world.counts.all();
    let by_stage = |stage| calls.iter().filter(|call| call.stage == stage).count();
    let told = |kind| seen.iter().filter(|one| one.ends == [Some(kind)]).count();
    Met {
        requests: seen.len(),
        attempts: calls.len(),
        completed: of(OutcomeStatus::Completed),
        failed: of(OutcomeStatus::Failed),
        cancelled: of(OutcomeStatus::Cancelled),
        refused: of(OutcomeStatus::Refused),
        fallbacks: handed
            .iter()
            .filter(|one| one.0.status == OutcomeStatus::Completed && one.0.attempts.len() > 1)
            .count(),
        races: calls.iter().filter(|call| call.at_once > 1).count(),
        cut_in_the_middle: by_stage(Stage::Broken),
        given_up_unanswered: by_stage(Stage::Asked),
        out_of_money: told(ErrorKind::RateLimited),
        unrecorded: handed.iter().filter(|one| !one.1).count(),
        cooled_down: handed
            .iter()
            .filter_map(|one| one.0.decision.as_ref())
            .flat_map(|decision| &decision.inputs.candidates)
            .filter(|candidate| matches!(candidate.availability, Availability::Down { .. }))
            .count(),
        stopped: told(ErrorKind::Unavailable),
    }
}
