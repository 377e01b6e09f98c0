//! One schedule: drawn from a seed, played on a clock of its own, and looked at afterwards.

use std::sync::Arc;
use std::time::Duration;

use freehold_policy::Claim;
use tokio::task::JoinSet;

use super::check;
use super::client::{Client, Manner, Seen};
use super::dice::Dice;
use super::world::{FREE, World};

/// Longer than anything lasts that is bounded: a client may sleep for ten minutes, with 30 pieces to go.
const AFTERWARDS: Duration = Duration::from_secs(4 * 60 * 60);

/// What a schedule came to.
pub(crate) struct Played {
    pub(crate) trace: Vec<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) met: Met,
}

/// How often what was met: a simulation that never meets what it is about proves nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) requests: usize,
    pub(crate) attempts: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    pub(crate) refused: usize,
    pub(crate) fallbacks: usize,
    pub(crate) races: usize,
    pub(crate) cut_in_the_middle: usize,
    pub(crate) given_up_unanswered: usize,
    pub(crate) out_of_money: usize,
    pub(crate) unrecorded: usize,
    pub(crate) cooled_down: usize,
    pub(crate) stopped: usize,
}

impl Met {
    fn all(&mut self) -> [&mut usize; 14] {
        [
            &mut self.requests,
            &mut self.attempts,
            &mut self.completed,
            &mut self.failed,
            &mut self.cancelled,
            &mut self.refused,
            &mut self.fallbacks,
            &mut self.races,
            &mut self.cut_in_the_middle,
            &mut self.given_up_unanswered,
            &mut self.out_of_money,
            &mut self.unrecorded,
            &mut self.cooled_down,
            &mut self.stopped,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for (mine, others) in self.all().into_iter().zip(other.all()) {
            *mine += *others;
        }
    }

    pub(crate) fn assert_everything_happened(&self) {
        let mut met = self.clone();
        assert!(met.all().iter().all(|many| **many >= 20), "{self:?}");
    }
}

/// What the operator does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Nothing,
    Reloads,
    Drains,
    Cuts,
}

/// Plays the schedule of a seed.
pub(crate) fn play(seed: u64) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (world, seen, mut violations) = runtime.block_on(played(seed));
    let met = check::met(&world, &seen);
    violations.extend(check::violations(&world, &seen));
    Played {
        trace: world.trace.take(),
        violations,
        met,
    }
}

async fn played(seed: u64) -> (Arc<World>, Vec<Seen>, Vec<String>) {
    let dice = Dice::new(seed);
    let world = Arc::new(World::new(&dice));
    let deployments: Vec<_> = world.setup.deployments().collect();
    let many = usize::try_from(dice.number(1..13)).unwrap();
    let mut clients = JoinSet::new();
    for number in 0..many {
        let client = Client::draw(number, &dice, &deployments);
        clients.spawn(client.live(Arc::clone(&world)));
    }
    let operator = dice.pick(&[
        Operator::Nothing,
        Operator::Nothing,
        Operator::Nothing,
        Operator::Reloads,
        Operator::Reloads,
        Operator::Drains,
        Operator::Cuts,
    ]);
    operate(&world, operator).await;
    let mut violations = vec![];
    let mut seen = vec![];
    let all = async {
        while let Some(client) = clients.join_next().await {
            seen.push(client.unwrap());
        }
    };
    if tokio::time::timeout(AFTERWARDS, all).await.is_err() {
        violations.push("a client waits for ever".to_owned());
    }
    clients.shutdown().await;
    tokio::time::sleep(AFTERWARDS).await;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    if tasks > 0 {
        violations.push(format!("{tasks} tasks are left"));
    }
    dice.calm_down();
    if matches!(operator, Operator::Nothing | Operator::Reloads) {
        seen.extend(recovered(&world, many, &mut violations).await);
    }
    world.pipeline.drain();
    let idle = tokio::time::timeout(AFTERWARDS, world.pipeline.idle());
    if idle.await.is_err() {
        violations.push("the pipeline never comes to rest".to_owned());
    }
    seen.sort_by_key(|seen| seen.client.number);
    (world, seen, violations)
}

async fn operate(world: &World, operator: Operator) {
    let at = Duration::from_millis(world.dice.pause_ms() * 2);
    let redrawn = world.setup.redrawn(&world.dice);
    tokio::time::sleep(at).await;
    match operator {
        Operator::Nothing => {}
        Operator::Reloads => world.reload(&redrawn),
        Operator::Drains => world.pipeline.drain(),
        Operator::Cuts => world.pipeline.cut(),
    }
    world.trace.note(format_args!("the operator: {operator:?}"));
}

/// When everything has calmed down, every deployment serves again, and nothing counts as under way.
async fn recovered(world: &Arc<World>, from: usize, violations: &mut Vec<String>) -> Vec<Seen> {
    let mut all = vec![];
    for number in 0..world.upstreams.len() {
        let client = Client {
            number: from + number,
            comes_ms: 0,
            key: FREE,
            model: format!("calm{number}"),
            stream: number % 2 == 0,
            counts: false,
            claim: Claim::None,
            tokens_max: 30,
            manner: Manner::Patient,
        };
        let seen = client.live(Arc::clone(world)).await;
        if seen.ends != [None] {
            violations.push(format!(
                "{} does not serve again: {seen:?}",
                world.upstreams[number].id
            ));
        }
        all.push(seen);
    }
    all
}
