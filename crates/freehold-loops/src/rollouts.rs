//! The loop of rollouts: hears, mirrors, scores, keeps, judges, moves.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use freehold_pipeline::{Mirrored, Moves, Pipeline, StatusOf, Watched, Watcher};
use freehold_ports::Clock;
use freehold_proof::Score;
use freehold_proof::rollout::{Guard, Seen, Stage, Step, next};
use freehold_store::Rollouts;
use freehold_types::RolloutPart;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answers::{Both, Compared, compare};
use crate::judge::{Asking, Judge};
use crate::local::{Done, Local, arm, millis, nanos};
use crate::record::{By, Record};

/// How often rollouts are judged, and what was seen is written.
const TICK: Duration = Duration::from_millis(500);
/// Longer than this no mirrored request is waited for.
const MIRROR_MAX: Duration = Duration::from_secs(600);
/// At the end, mirrored requests that are under way have so long.
const END_MAX: Duration = Duration::from_secs(2);

/// Describes the loop's metrics to whoever records them.
pub fn describe_metrics() {
    metrics::describe_counter!(
        "freehold_mirrored_requests_total",
        "Requests of flows on the move that were chosen to be answered by both sides, by result: scored or skipped"
    );
    metrics::describe_counter!(
        "freehold_rollouts_called_back_total",
        "Rollouts that a guard or scores called back"
    );
    metrics::describe_counter!(
        "freehold_feedback_texts_total",
        "Comments and edited answers that came with feedback, by result: stored, or why they are not"
    );
}

/// Hears of requests of flows on the move. Cheap to clone.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

/// What requests' tasks and the loop share.
struct Shared {
    locals: Mutex<HashMap<String, Local>>,
    runner: OnceLock<Runner>,
    tasks: TaskTracker,
}

/// What mirroring needs. There once the gateway runs.
#[derive(Clone)]
struct Runner {
    pipeline: Arc<Pipeline>,
    clock: Arc<dyn Clock>,
    status_of: StatusOf,
}

impl Default for Watch {
    fn default() -> Self {
        Self(Arc::new(Shared {
            locals: Mutex::default(),
            runner: OnceLock::new(),
            tasks: TaskTracker::new(),
        }))
    }
}

impl Watcher for Watch {
    fn saw(&self, seen: Watched) {
        let mut locals = self.0.locals.lock();
        let Some(local) = locals.get_mut(&seen.step.rollout) else {
            return;
        };
        if seen.step.period != local.period() {
            return;
        }
        local.count(&seen);
        let runner = self.0.runner.get().filter(|_| seen.mirrored);
        let Some(runner) = runner else {
            return local.watch(&seen);
        };
        if !local.admit(&seen) {
            local.watch(&seen);
            metrics::counter!("freehold_mirrored_requests_total", "result" => "skipped")
                .increment(1);
            return;
        }
        let mirroring = Mirroring {
            shared: Arc::clone(&self.0),
            runner: runner.clone(),
            order: Arc::clone(&local.order),
            scorer: Arc::clone(&local.scorer),
            judge: local.judge.clone(),
            places: Arc::clone(&local.places),
        };
        self.0.tasks.spawn(mirroring.run(seen));
    }
}

impl Watch {
    /// A user scores an answer of a flow on the move.
    pub(crate) fn rated(&self, part: &RolloutPart, score: Score) {
        let mut locals = self.0.locals.lock();
        let Some(local) = locals.get_mut(&part.rollout) else {
            return;
        };
        if part.period != local.period() || local.order.guards.feedback.is_none() {
            return;
        }
        let arm = arm(part.side);
        let seen = Seen::from([(Guard::Feedback, score)]);
        local.own.watch(arm, &seen, &local.earlier);
        local.is_dirty = true;
    }
}

/// Has the other side answer one request, and scores both.
struct Mirroring {
    shared: Arc<Shared>,
    runner: Runner,
    order: Arc<freehold_proof::rollout::Order>,
    scorer: Arc<freehold_proof::scorers::Scorer>,
    judge: Option<Arc<Judge>>,
    places: Arc<tokio::sync::Semaphore>,
}

impl Mirroring {
    async fn run(self, seen: Watched) {
        let done = {
            // Nobody closes it: an error cannot be.
            let _place = self.places.acquire().await;
            match tokio::time::timeout(MIRROR_MAX, self.mirror(&seen)).await {
                Ok(done) => done,
                Err(_) => Done::unscored("the other side took too long", None),
            }
        };
        let result = if done.compared.pair.is_ok() {
            "scored"
        } else {
            "skipped"
        };
        metrics::counter!("freehold_mirrored_requests_total", "result" => result).increment(1);
        let now = self.runner.clock.unix_ms();
        if let Some(local) = self.shared.locals.lock().get_mut(&seen.step.rollout) {
            local.settle(&seen, done, now);
        }
    }

    async fn mirror(&self, seen: &Watched) -> Done {
        let Runner {
            pipeline,
            status_of,
            ..
        } = &self.runner;
        let other = pipeline.mirror(seen, *status_of).await;
        let cost = other.cost.map(nanos);
        // Who stops the gateway has not found the other side wanting.
        if other.answer.is_err() && pipeline.ready().is_err() {
            return Done::unscored("the gateway was stopping", cost);
        }
        let mirrored_ms = Some(millis(other.total));
        let Some(judge) = &self.judge else {
            return Done {
                mirrored_ms,
                cost_nano_usd: cost,
                ..Done::of(self.score(seen, other).await)
            };
        };
        let both = match Both::of(&self.order, seen, &other) {
            Ok(both) => both,
            Err(reason) => return Done::unscored(reason, cost),
        };
        let asking = Asking {
            pipeline,
            status_of: *status_of,
            seen,
            cost_nano_usd: cost,
        };
        let judged = judge.judge(&both, asking).await;
        Done {
            mirrored_ms,
            cost_nano_usd: judged.cost_nano_usd,
            verdicts: judged.verdicts,
            ..Done::of(Compared {
                signals: Some(both.signals),
                pair: judged.pair,
            })
        }
    }

    async fn score(&self, seen: &Watched, other: Mirrored) -> Compared {
        let (order, scorer) = (Arc::clone(&self.order), Arc::clone(&self.scorer));
        let of = seen.clone();
        // Scorers are quick, but for long texts and odd schemas; one that panics must not take the loop.
        let compared = tokio::task::spawn_blocking(move || compare(&order, &scorer, &of, &other));
        compared.await.unwrap_or(Compared {
            signals: None,
            pair: Err("the scorer failed"),
        })
    }
}

/// The loop.
pub struct RolloutLoop {
    stop: CancellationToken,
    running: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl RolloutLoop {
    /// Starts it: from now on what the database says of rollouts holds, within a second.
    pub fn start(
        watch: &Watch,
        pipeline: &Arc<Pipeline>,
        store: Arc<Rollouts>,
        clock: &Arc<dyn Clock>,
        status_of: StatusOf,
    ) -> Self {
        let shared = Arc::clone(&watch.0);
        let runner = Runner {
            pipeline: Arc::clone(pipeline),
            clock: Arc::clone(clock),
            status_of,
        };
        let _ = shared.runner.set(runner.clone());
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            runner,
            store,
            source: uuid::Uuid::new_v4().simple().to_string(),
            is_away: false,
            published: Vec::new(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(keeper.keep(stop.clone()));
        Self {
            stop,
            running,
            shared,
        }
    }

    /// Writes what was seen for the last time, and ends.
    pub async fn stop(self) {
        self.shared.tasks.close();
        let waited = tokio::time::timeout(END_MAX, self.shared.tasks.wait()).await;
        if waited.is_err() {
            tracing::info!("mirrored requests that were under way are not scored");
        }
        self.stop.cancel();
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the loop of rollouts ended badly");
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    runner: Runner,
    store: Arc<Rollouts>,
    /// This process, among those that write evidence.
    source: String,
    /// Whether the database was away last time: that is told once.
    is_away: bool,
    /// What requests know.
    published: Vec<freehold_pipeline::Move>,
}

impl Keeper {
    async fn keep(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.tick().await,
            }
        }
        let _ = self.write().await;
    }

    async fn tick(&mut self) {
        // What this gateway has seen calls back at once, whether the database is there or not.
        self.halt();
        self.publish();
        let kept = self.synchronise().await;
        match kept {
            Ok(()) if self.is_away => {
                self.is_away = false;
                tracing::info!("the rollouts' database is back");
            }
            Ok(()) => {}
            Err(error) if !self.is_away => {
                self.is_away = true;
                tracing::warn!(
                    %error,
                    "the rollouts' database is away: rollouts stay where they are, and guards go by what this \
                     gateway sees"
                );
            }
            Err(_) => {}
        }
        self.halt();
        self.publish();
    }

    /// Calls back, here and now, what must not go on.
    fn halt(&self) {
        let now = self.runner.clock.unix_ms();
        for local in self.shared.locals.lock().values_mut() {
            if local.halted.is_some() {
                continue;
            }
            let state = local.record.rollout.state;
            if let Step::RollBack { why } = next(&local.order, &state, &local.seen(), now) {
                tracing::error!(rollout = %local.record.id, flow = %local.order.flow, %why, "called back");
                metrics::counter!("freehold_rollouts_called_back_total").increment(1);
                local.halted = Some(why);
            }
        }
    }

    /// Tells requests what moves.
    fn publish(&mut self) {
        let mut moves: Vec<_> = self
            .shared
            .locals
            .lock()
            .values()
            .filter_map(Local::step)
            .collect();
        moves.sort_by(|one, other| one.rollout.cmp(&other.rollout));
        if moves != self.published {
            self.published.clone_from(&moves);
            self.runner.pipeline.use_moves(Moves::new(moves));
        }
    }

    async fn synchronise(&mut self) -> Result<(), freehold_store::StoreError> {
        self.write().await?;
        self.read().await?;
        self.move_on().await
    }

    /// Writes what this gateway has seen.
    async fn write(&self) -> Result<(), freehold_store::StoreError> {
        let dirty: Vec<_> = {
            let mut locals = self.shared.locals.lock();
            let dirty = locals.iter_mut().filter(|(_, local)| local.is_dirty);
            dirty
                .map(|(id, local)| {
                    local.is_dirty = false;
                    let body = serde_json::to_string(&local.own).unwrap_or_default();
                    (id.clone(), local.period(), body, local.rows.clone())
                })
                .collect()
        };
        let mut written = Ok(());
        for (id, period, body, rows) in dirty {
            let place = (id.as_str(), period, self.source.as_str());
            let put = self.store.put_evidence(place, &body, &rows).await;
            if let Some(local) = self.shared.locals.lock().get_mut(&id)
                && local.period() == period
            {
                if put.is_ok() {
                    local.rows.drain(..rows.len().min(local.rows.len()));
                } else {
                    local.is_dirty = true;
                }
            }
            written = written.and(put);
        }
        written
    }

    /// Reads what operators and other gateways did.
    async fn read(&self) -> Result<(), freehold_store::StoreError> {
        let stored = self.store.list(true).await?;
        let mut records = Vec::new();
        for row in stored {
            match Record::try_from(row) {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(%error, "it is left out"),
            }
        }
        self.adopt(&records);
        for record in records {
            let evidence = self.store.evidence(&record.id).await?;
            if let Some(local) = self.shared.locals.lock().get_mut(&record.id) {
                local.know(&evidence, &self.source);
            }
        }
        Ok(())
    }

    /// Takes over what goes on, and lets go of what does not.
    fn adopt(&self, records: &[Record]) {
        let mut locals = self.shared.locals.lock();
        locals.retain(|id, _| records.iter().any(|record| record.id == *id));
        for record in records {
            if let Some(local) = locals.get_mut(&record.id) {
                local.take(record.clone());
            } else if let Some(local) = Local::new(record.clone()) {
                let flow = &record.rollout.order.flow;
                tracing::info!(rollout = %record.id, %flow, "a rollout goes on here");
                locals.insert(record.id.clone(), local);
            } else {
                tracing::error!(rollout = %record.id, "its scorer cannot be made: it is left out");
            }
        }
    }

    /// Takes the steps that follow. Of several gateways one takes it; the others read it.
    async fn move_on(&self) -> Result<(), freehold_store::StoreError> {
        let now = self.runner.clock.unix_ms();
        let steps: Vec<_> = {
            let locals = self.shared.locals.lock();
            let steps = locals.values().filter_map(|local| {
                let rollout = &local.record.rollout;
                let seen = local.seen();
                let step = match &local.halted {
                    Some(why) => Step::RollBack { why: why.clone() },
                    None => next(&local.order, &rollout.state, &seen, now),
                };
                let (to, why) = match step {
                    Step::Wait { .. } | Step::Propose { .. } => return None,
                    Step::Advance { to, why } => (to, why),
                    Step::Renew { why } => (rollout.state.stage, why),
                    Step::RollBack { why } => (Stage::RolledBack, why),
                };
                Some((local.record.clone(), to, why))
            });
            steps.collect()
        };
        for (record, to, why) in steps {
            let mut rollout = record.rollout.clone();
            rollout.come_to(to, By::Loop, why.clone(), now);
            let active = !to.is_over();
            let body = rollout.body();
            let store = &self.store;
            if !store
                .change(&record.id, record.version, active, &body)
                .await?
            {
                continue;
            }
            let (flow, stage) = (&rollout.order.flow, to.told(&rollout.order));
            tracing::warn!(rollout = %record.id, %flow, %stage, %why, "a rollout moved");
            let mut locals = self.shared.locals.lock();
            if !active {
                locals.remove(&record.id);
            } else if let Some(local) = locals.get_mut(&record.id) {
                local.take(Record {
                    version: record.version + 1,
                    active,
                    rollout,
                    ..record
                });
                local.others = freehold_proof::rollout::Evidence::default();
            }
        }
        Ok(())
    }
}
