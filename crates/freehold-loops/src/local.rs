//! What this gateway knows of a rollout that goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_pipeline::{Change, Move, Watched};
use freehold_proof::Score;
use freehold_proof::rollout::{Arm, Evidence, Guard, Order};
use freehold_proof::scorers::Scorer;
use freehold_proof::scorers::judge::Verdicts;
use freehold_store::PairRow;
use freehold_types::{FlowName, RolloutSide};
use tokio::sync::Semaphore;

use crate::answers::{Compared, served, signals, work};
use crate::judge::Judge;
use crate::record::{PairBody, Record, means};

/// Rows that wait for a database that is away; further ones are counted as skipped.
const ROWS_WAITING_MAX: usize = 10_000;

/// What this gateway knows of one rollout.
pub(crate) struct Local {
    pub(crate) record: Record,
    pub(crate) order: Arc<Order>,
    pub(crate) scorer: Arc<Scorer>,
    /// The model that scores, where one does.
    pub(crate) judge: Option<Arc<Judge>>,
    /// What this gateway has seen in the period under way.
    pub(crate) own: Evidence,
    /// What others have seen in it.
    pub(crate) others: Evidence,
    /// The incumbent's means of earlier periods.
    pub(crate) earlier: BTreeMap<Guard, Score>,
    /// What mirroring has cost before this period and elsewhere, in nano-dollars.
    pub(crate) spent_elsewhere: u64,
    /// Rows that are not in the database yet.
    pub(crate) rows: Vec<PairRow>,
    /// Whether something is not in the database yet.
    pub(crate) is_dirty: bool,
    /// Called back, whatever the database says so far.
    pub(crate) halted: Option<String>,
    /// Mirrored requests that wait or are under way.
    pub(crate) waiting: u32,
    pub(crate) places: Arc<Semaphore>,
}

/// What became of a request that was sampled.
pub(crate) struct Done {
    pub(crate) compared: Compared,
    pub(crate) mirrored_ms: Option<u64>,
    pub(crate) cost_nano_usd: Option<u64>,
    /// What a judge of pairs said.
    pub(crate) verdicts: Option<Verdicts>,
}

impl Done {
    /// What was compared, and nothing more.
    pub(crate) fn of(compared: Compared) -> Self {
        Self {
            compared,
            mirrored_ms: None,
            cost_nano_usd: None,
            verdicts: None,
        }
    }

    /// It has no score.
    pub(crate) fn unscored(reason: crate::answers::Skipped, cost_nano_usd: Option<u64>) -> Self {
        Self {
            cost_nano_usd,
            ..Self::of(Compared {
                signals: None,
                pair: Err(reason),
            })
        }
    }
}

impl Local {
    /// `None` when its scorer cannot be made: the order was checked by another version.
    pub(crate) fn new(record: Record) -> Option<Self> {
        let order = Arc::new(record.rollout.order.clone());
        let scorer = Scorer::new(order.scorer.0.clone()).ok()?;
        let judge = Judge::of(&order.scorer.0).map(Arc::new);
        Some(Self {
            places: Arc::new(Semaphore::new(order.mirror.concurrency as usize)),
            order,
            scorer: Arc::new(scorer),
            judge,
            record,
            own: Evidence::default(),
            others: Evidence::default(),
            earlier: BTreeMap::new(),
            spent_elsewhere: 0,
            rows: Vec::new(),
            is_dirty: false,
            halted: None,
            waiting: 0,
        })
    }

    pub(crate) fn period(&self) -> u64 {
        self.record.rollout.state.period
    }

    /// Takes over what the database says now. A new period begins with nothing.
    pub(crate) fn take(&mut self, record: Record) {
        if record.rollout.state.period != self.period() {
            self.own = Evidence::default();
            self.rows.clear();
            self.is_dirty = false;
        }
        self.record = record;
    }

    /// What all gateways have seen in the period under way.
    pub(crate) fn seen(&self) -> Evidence {
        let mut all = self.own.clone();
        all.merge(&self.others);
        all
    }

    /// Takes over what the database knows of evidence.
    pub(crate) fn know(&mut self, rows: &[(u64, String, String)], source: &str) {
        let (others, before) = crate::record::added_up(rows, self.period(), Some(source));
        self.spent_elsewhere = before.mirror_nano_usd + others.mirror_nano_usd;
        // Only when nobody is left to compare with: an earlier mean knows nothing of the present.
        let share = self.record.rollout.state.stage.share(&self.order);
        self.earlier = if share >= 1.0 {
            means(&before)
        } else {
            BTreeMap::new()
        };
        self.others = others;
    }

    /// What requests are to know of it; `None` when it is called back.
    pub(crate) fn step(&self) -> Option<Move> {
        if self.halted.is_some() {
            return None;
        }
        let stage = self.record.rollout.state.stage;
        let candidate = &self.order.candidate;
        Some(Move {
            rollout: self.record.id.clone(),
            period: self.period(),
            flow: FlowName::from(self.order.flow.as_str()),
            incumbent: self.order.incumbent.clone(),
            candidate: Change {
                model: candidate.model.clone(),
                system: candidate.system.clone(),
                temperature: candidate.temperature,
            },
            share: stage.share(&self.order),
            mirror_share: stage.mirror_share(&self.order),
        })
    }

    /// Counts a client's request.
    pub(crate) fn count(&mut self, seen: &Watched) {
        if served(seen).is_none() {
            return;
        }
        let cost = seen.cost.map_or(0, nanos);
        match seen.side {
            RolloutSide::Incumbent => {
                self.own.incumbent_requests += 1;
                self.own.incumbent_nano_usd += cost;
            }
            RolloutSide::Candidate => {
                self.own.candidate_requests += 1;
                self.own.candidate_nano_usd += cost;
            }
        }
        self.is_dirty = true;
    }

    /// Guards look at a request that one side answered. Of those that both did they look at the pair only: nothing may
    /// count twice.
    pub(crate) fn watch(&mut self, seen: &Watched) {
        let Some(side) = served(seen) else {
            return;
        };
        let mut signals = signals(&self.order, &seen.request, side);
        signals.extend(work(&self.order, seen));
        self.own.watch(arm(seen.side), &signals, &self.earlier);
        self.is_dirty = true;
    }

    /// Whether there is a place for a sampled request; counts it when there is none.
    pub(crate) fn admit(&mut self, seen: &Watched) -> bool {
        self.own.sampled += 1;
        self.is_dirty = true;
        let spent = self
            .spent_elsewhere
            .saturating_add(self.own.mirror_nano_usd);
        let is_spent = spent as f64 >= self.order.mirror.usd_max * 1e9;
        let reason = if served(seen).is_none() {
            "the client left"
        } else if is_spent {
            "the budget is spent"
        } else if self.waiting >= self.order.mirror.queue + self.order.mirror.concurrency {
            "the queue is full"
        } else {
            self.waiting += 1;
            return true;
        };
        // No row: a flood of them would be one of rows.
        self.own.skip(reason);
        false
    }

    /// A sampled request has its end.
    pub(crate) fn settle(&mut self, seen: &Watched, done: Done, now_unix_ms: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        if seen.step.period != self.period() {
            // It belongs to a period that is judged already.
            return;
        }
        self.is_dirty = true;
        if let Some(verdicts) = done.verdicts {
            self.own.judge.add(verdicts);
        }
        match done.cost_nano_usd {
            Some(cost) => self.own.mirror_nano_usd += cost,
            None => self.own.mirror_cost_unknown += 1,
        }
        match &done.compared.signals {
            Some((incumbent, candidate)) => {
                self.own.watch_pair(incumbent, candidate);
                // Only the side that serves the conversation has to do with how its agent works.
                let work = work(&self.order, seen);
                self.own.watch(arm(seen.side), &work, &self.earlier);
            }
            None => self.watch(seen),
        }
        let mut row = PairBody {
            served: seen.side,
            stratum: None,
            incumbent: None,
            candidate: None,
            skipped: None,
            served_ms: millis(seen.total),
            mirrored_ms: done.mirrored_ms,
        };
        if self.rows.len() >= ROWS_WAITING_MAX {
            return self.own.skip("the database is away");
        }
        match done.compared.pair {
            Ok(pair) => {
                self.own.pair(&pair.stratum, pair.incumbent, pair.candidate);
                row.stratum = Some(pair.stratum);
                row.incumbent = Some(pair.incumbent.get());
                row.candidate = Some(pair.candidate.get());
            }
            Err(reason) => {
                self.own.skip(reason);
                row.skipped = Some(reason.to_owned());
            }
        }
        self.rows.push(PairRow {
            request: seen.id.to_string(),
            period: seen.step.period,
            at_unix_ms: now_unix_ms,
            body: serde_json::to_string(&row).unwrap_or_default(),
        });
    }
}

/// Whose score it is.
pub(crate) const fn arm(side: RolloutSide) -> Arm {
    match side {
        RolloutSide::Incumbent => Arm::Incumbent,
        RolloutSide::Candidate => Arm::Candidate,
    }
}

pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Costs are never negative.
pub(crate) fn nanos(cost: freehold_types::NanoUsd) -> u64 {
    u64::try_from(cost.nanos()).unwrap_or(0)
}
