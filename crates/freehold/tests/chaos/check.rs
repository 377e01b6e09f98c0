//! What must hold whatever has happened.

use std::collections::BTreeMap;

use freehold_store::{Database, Reader, RecentQuery};
use freehold_testkit::{Fault, RequestEnd, RequestRecord};
use freehold_types::{Outcome, OutcomeStatus, UsageBasis};

use crate::client::{Asked, End};
use crate::gateway::is_interrupted;
use crate::process::{eventually, holds, metrics, value};
use crate::situations::Situation;
use crate::world::World;

/// More than a debug build takes for what it is sent here; far less than a leak or a bomb would.
const RESIDENT_MIB_MAX: u64 = 400;
/// Files that may stay open: what is opened when it is needed first, and stays.
const FILES_MORE: usize = 6;
/// Tasks likewise.
const TASKS_MORE: f64 = 4.0;

/// Looks at everything; tells in a line what there was.
pub(crate) async fn check(mut world: World, situation: Situation, mut asked: Vec<Asked>) -> String {
    for one in &asked {
        let fine = match &one.end {
            End::Odd(_) => false,
            End::Lost(_) => situation.may_lose_connections(),
            _ => true,
        };
        let tail = || {
            world
                .log()
                .lines()
                .rev()
                .take(10)
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(fine, "{one:?}\n{}", tail());
    }
    let many = |end: fn(&End) -> bool| asked.iter().filter(|one| end(&one.end)).count();
    let told = format!(
        "{} requests: {} whole, {} errors, {} broken off, {} left, {} lost",
        asked.len(),
        many(|end| *end == End::Whole),
        many(|end| matches!(end, End::Error(..))),
        many(|end| *end == End::BrokenOff),
        many(|end| *end == End::Left),
        many(|end| matches!(end, End::Lost(_))),
    );
    asked.extend(world.serves(false).await);
    at_rest(&mut world).await;
    tokio::task::block_in_place(|| world.gateway.terminate());
    let outcomes = outcomes(&world).await;
    let records = std::mem::take(&mut world.gone);
    recorded(situation, &asked, &outcomes, &records);
    format!("{told}; {} outcomes", outcomes.len())
}

/// When nobody asks any more, and the upstreams have gone, the gateway holds what it held at first.
async fn at_rest(world: &mut World) {
    for number in 0..world.upstreams.len() {
        world.take_away(number);
    }
    let world = &*world;
    let resident_mib = eventually("nothing is left", async || {
        let Some(now) = holds(&world.gateway).await else {
            return Err("it does not answer".to_owned());
        };
        let metrics = metrics(&world.gateway.url).await.unwrap_or_default();
        let reserved = value(&metrics, "freehold_budget_reserved_usd");
        let files = now.files <= world.base.files + FILES_MORE;
        if files && now.tasks <= world.base.tasks + TASKS_MORE && reserved == 0.0 {
            return Ok(now.resident_mib);
        }
        Err(format!(
            "{now:?}, at first {:?}; {reserved} reserved",
            world.base
        ))
    })
    .await;
    assert!(resident_mib <= RESIDENT_MIB_MAX, "{resident_mib} MiB");
}

async fn outcomes(world: &World) -> Vec<Outcome> {
    let ledger = world.home.path().join("state/ledger");
    let file = format!("sqlite:{}", ledger.join("ledger.db").display());
    let database: Database = file.parse().unwrap();
    let reader = Reader::open(database, ledger.join("spool"));
    let query = RecentQuery::newest(1_000_000);
    reader.recent(&query).await.unwrap()
}

/// The ledger has every request once, as its client saw it end, with what the upstreams counted.
fn recorded(
    situation: Situation,
    asked: &[Asked],
    outcomes: &[Outcome],
    records: &[RequestRecord],
) {
    let mut by_flow: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        let flow = outcome.flow.as_ref().map_or("", |flow| flow.as_str());
        by_flow.entry(flow).or_default().push(outcome);
    }
    let mut by_name: BTreeMap<String, Vec<&RequestRecord>> = BTreeMap::new();
    for record in records {
        let body = String::from_utf8_lossy(&record.body);
        let name = body.find("chaos-").map(|at| {
            let end = body[at..].match_indices('-').nth(1);
            body[at..=at + end.map_or(0, |(end, _)| end)].to_owned()
        });
        by_name
            .entry(name.unwrap_or_default())
            .or_default()
            .push(record);
    }
    for one in asked {
        let records = by_name.get(&one.ask.name).map_or(&[][..], Vec::as_slice);
        let outcomes = by_flow.get(&*one.ask.name).map_or(&[][..], Vec::as_slice);
        as_seen(situation, one, outcomes, records);
        if let [outcome] = outcomes {
            as_counted(one, outcome, records);
        }
    }
}

fn as_seen(situation: Situation, one: &Asked, outcomes: &[&Outcome], records: &[&RequestRecord]) {
    let context = || format!("{one:?}\n{outcomes:?}\n{records:?}");
    assert!(outcomes.len() <= 1, "twice: {}", context());
    // Who leaves, or is lost, may never have come; who is refused as nothing can be recorded, is not.
    let must_be_there = match &one.end {
        End::Left | End::Lost(_) => !records.is_empty(),
        End::Error(503, _) if situation.may_fail_to_record() => !records.is_empty(),
        _ => true,
    };
    assert!(!must_be_there || outcomes.len() == 1, "lost: {}", context());
    let Some(outcome) = outcomes.first() else {
        return;
    };
    let is_whole = outcome.status == OutcomeStatus::Completed;
    match &one.end {
        End::Whole => assert!(is_whole, "{}", context()),
        End::Error(..) | End::BrokenOff => assert!(!is_whole, "{}", context()),
        End::Left | End::Lost(_) | End::Odd(_) => {}
    }
    let total_s = outcome.timing.total_us / 1_000_000;
    assert!(total_s < 120, "{}", context());
}

fn as_counted(one: &Asked, outcome: &Outcome, records: &[&RequestRecord]) {
    let context = || format!("{one:?}\n{outcome:?}\n{records:?}");
    let attempts = &outcome.attempts;
    if is_interrupted(&outcome) {
        // The most that it can have been stands for it.
        let counted = records.iter().map(|record| record.usage.completion_tokens);
        let counted = counted.max().unwrap_or_default();
        assert!(outcome.usage.output_tokens >= counted, "{}", context());
        return;
    }
    assert!(records.len() <= attempts.len(), "{}", context());
    // Whole answers, to the token.
    if outcome.status == OutcomeStatus::Completed
        && let Some(answer) = attempts.last()
        && answer.usage.basis == UsageBasis::Reported
    {
        let fits = records.iter().any(|record| {
            record.end != RequestEnd::InFlight
                && record.usage.completion_tokens == answer.usage.output_tokens
        });
        assert!(fits, "{}", context());
    }
    // One huge event is one token to the fake.
    let is_huge = matches!(one.ask.script.fault, Some(Fault::HugeChunk { .. }));
    let counted: u64 = records.iter().map(|one| one.usage.completion_tokens).sum();
    let told = outcome.usage.output_tokens;
    // What was cut is guessed where nobody reports it, and a guess at a few words may be off by as many; Anthropic's
    // first event reports a token before there is any.
    let most = match outcome.usage.basis {
        UsageBasis::Estimated => counted + counted / 2 + 4 * attempts.len() as u64,
        UsageBasis::Reported | UsageBasis::Counted => counted,
    };
    assert!(
        is_huge || told <= most,
        "{told} of {counted}: {}",
        context()
    );
    assert!(one.words as u64 <= told || is_huge, "{}", context());
}
