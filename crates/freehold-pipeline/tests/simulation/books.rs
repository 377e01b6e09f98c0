//! Where a request leaves its marks: ledger, accounts, the journal of what is under way, the tracer. Each fails as the
//! dice say, and knows what it was told how often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use freehold_ports::{
    BoxFuture, Ended, Ledger, LedgerError, Meter, Reservation, ReserveError, Slot, Standing,
    Tracer, UnderWay, Used,
};
use freehold_store::meter::LocalMeter;
use freehold_types::{NanoUsd, Outcome, RequestId, Trace as Place, TraceParent};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::dice::Dice;
use super::world::Trace;

/// The ledger, which cannot write at times.
pub(crate) struct Books {
    pub(crate) dice: Dice,
    pub(crate) trace: Arc<Trace>,
    /// It cannot write from here to there.
    pub(crate) away: Option<(Instant, Instant)>,
    /// Every outcome that it was handed, and whether it was kept.
    pub(crate) handed: Mutex<Vec<(Outcome, bool)>>,
}

impl Books {
    fn is_away(&self) -> bool {
        let now = Instant::now();
        self.away.is_some_and(|(from, to)| from <= now && now < to)
    }
}

impl Ledger for Books {
    fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        let kept = !self.is_away() && !self.dice.mishap(200);
        let decision = outcome.decision.iter();
        for record in decision.flat_map(|decision| &decision.candidates) {
            let (deployment, rank) = (&record.deployment, record.rank);
            let reason = &record.reason;
            self.trace
                .note(format_args!("  {rank:?} {deployment}: {reason}"));
        }
        let text = serde_json::to_string(&Outcome {
            decision: None,
            ..outcome.clone()
        });
        let text = text.unwrap();
        self.trace.note(format_args!("recorded ({kept}): {text}"));
        self.handed.lock().push((outcome.clone(), kept));
        if kept {
            Ok(())
        } else {
            Err(LedgerError::Io("scripted".to_owned()))
        }
    }

    fn ready(&self) -> Result<(), LedgerError> {
        if self.is_away() {
            return Err(LedgerError::Io("scripted".to_owned()));
        }
        Ok(())
    }
}

/// What is reserved and settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved {
    pub(crate) cost: NanoUsd,
    pub(crate) settled: Vec<Used>,
}

/// Accounts that answer late, or not at all.
pub(crate) struct SlowMeter {
    pub(crate) inner: LocalMeter,
    pub(crate) dice: Dice,
    pub(crate) trace: Arc<Trace>,
    /// What it has taken.
    pub(crate) taken: Mutex<BTreeMap<RequestId, Reserved>>,
    /// Settlements of what it has not taken.
    pub(crate) stray: AtomicU32,
    pub(crate) refused: AtomicU32,
}

impl Meter for SlowMeter {
    fn reserve<'a>(
        &'a self,
        reservation: &'a Reservation,
    ) -> BoxFuture<'a, Result<Standing, ReserveError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.dice.pause_ms() / 10)).await;
            if self.dice.mishap(15) {
                return Err(ReserveError::Unreachable("scripted".to_owned()));
            }
            assert!(!self.dice.mishap(60), "scripted: accounts");
            let reserved = self.inner.reserve(reservation).await;
            self.trace.note(format_args!(
                "reserve {} for {}: {}",
                reservation.cost,
                reservation.id,
                reserved.is_ok()
            ));
            match &reserved {
                Ok(_) => {
                    let cost = reservation.cost;
                    let settled = vec![];
                    let reserved = Reserved { cost, settled };
                    self.taken.lock().insert(reservation.id, reserved);
                }
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            reserved
        })
    }

    fn settle(&self, reservation: Reservation, used: Used) {
        match self.taken.lock().get_mut(&reservation.id) {
            Some(reserved) => reserved.settled.push(used),
            None => {
                self.stray.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.inner.settle(reservation, used);
    }
}

/// Remembers what is under way, or cannot.
pub(crate) struct Journal {
    pub(crate) dice: Dice,
    pub(crate) next: AtomicU32,
    /// Which request has which slot.
    pub(crate) open: Mutex<BTreeMap<u32, RequestId>>,
    /// Slots that were given back twice, or never given.
    pub(crate) stray: AtomicU32,
}

impl UnderWay for Journal {
    fn begin(&self, provisional: &Outcome) -> Result<Slot, LedgerError> {
        if self.dice.mishap(50) {
            return Err(LedgerError::Io("scripted".to_owned()));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(number, provisional.id);
        Ok(Slot::new(number))
    }

    fn end(&self, slot: Slot) {
        if self.open.lock().remove(&slot.number()).is_none() {
            self.stray.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Is told of every request once.
#[derive(Default)]
pub(crate) struct Spans {
    pub(crate) begun: Mutex<BTreeSet<RequestId>>,
    pub(crate) ended: Mutex<Vec<RequestId>>,
}

impl Tracer for Spans {
    fn begin(&self, request: RequestId, caller: Option<TraceParent>) -> Option<Place> {
        self.begun.lock().insert(request);
        Some(Place::of(request, caller))
    }

    fn ended(&self, ended: Ended) {
        self.ended.lock().push(ended.outcome.id);
    }
}
