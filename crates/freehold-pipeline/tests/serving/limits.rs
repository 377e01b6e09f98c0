//! Limits and budgets on the way of a request: reserved before anybody is called, settled however it
//! ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use freehold_pipeline::{Answer, AnswerBody, Failure, Pipeline};
use freehold_policy::Claim;
use freehold_ports::{
    Account, Bound, Budget, LedgerError, Limits, Meter, Period, Scope, Slot, UnderWay,
};
use freehold_route::RouteSettings;
use freehold_store::meter::{History as _, LocalMeter, PeriodStart};
use freehold_types::outcome::CostGap;
use freehold_types::{ErrorKind, NanoUsd, Outcome, OutcomeStatus, RequestId, Retry};
use parking_lot::Mutex;

use futures_util::FutureExt as _;

use super::support::*;

fn nanos(nanos: i64) -> NanoUsd {
    NanoUsd::from_nanos(nanos)
}

/// A bench whose key is limited, the meter, and the account.
struct Limited {
    bench: Bench,
    meter: Arc<LocalMeter>,
    account: Arc<Account>,
}

impl Limited {
    fn new(limits: Limits) -> Self {
        let bound = Bound {
            scope: Scope::Key("app".into()),
            limits: Arc::new(limits),
        };
        let mut bench = Bench::new(RouteSettings {
            retries: 0,
            ..RouteSettings::default()
        });
        let meter = Arc::new(LocalMeter::new(Arc::clone(&bench.clock) as Arc<_>));
        for budget in &bound.limits.budgets {
            let period = PeriodStart::holding(budget.period, 1_700_000_000_000);
            let told = meter.restore(bound.scope.clone(), period, NanoUsd::ZERO);
            told.now_or_never().unwrap().unwrap();
        }
        bench.meter(Arc::clone(&meter) as Arc<dyn Meter>);
        let account = Account {
            bounds: vec![bound],
            ..Account::of_key("app")
        };
        Self {
            bench,
            meter,
            account: Arc::new(account),
        }
    }

    /// A budget of so much, of whose past nothing is known but that there was none.
    fn budget(hard: i64) -> Self {
        let budget = Budget {
            period: Period::Day,
            hard: Some(nanos(hard)),
            soft: None,
        };
        Self::new(Limits {
            budgets: vec![budget],
            ..Limits::default()
        })
    }

    /// Asks `two`, which is paid by token, for at most ten tokens.
    async fn serve(&self, stream: bool) -> Result<Answer, Failure> {
        let mut admission = self.bench.admission(Claim::None, stream);
        admission.account = Arc::clone(&self.account);
        admission.request.model = "two/m".to_owned();
        admission.request.sampling.max_output_tokens = Some(10);
        admission.id = RequestId::at(self.bench.pipeline_time());
        self.bench.pipeline.serve(admission, |_| 599).await
    }

    fn standing(&self) -> (i64, i64) {
        let today = PeriodStart::holding(Period::Day, self.bench.pipeline_time());
        let asked = [(Scope::Key("app".into()), today)];
        let standings = self.meter.standings(&asked).now_or_never().unwrap();
        let standings = standings.unwrap();
        let found = standings.first();
        found.map_or((0, 0), |found| {
            (found.spent.nanos(), found.reserved.nanos())
        })
    }
}

/// 27 bytes of text and 28 tokens for the template, at a dollar per million, twice as the upstream may be asked again;
/// ten tokens at two.
const RESERVED: i64 = 2 * (27 + 28) * 1_000 + 10 * 2_000;
/// What the upstream reports: 11 tokens in, 7 out.
const USED: i64 = 11 * 1_000 + 7 * 2_000;

#[tokio::test(start_paused = true)]
async fn a_hundred_at_once_reach_an_upstream_no_more_often_than_the_budget_allows() {
    let limited = Arc::new(Limited::budget(10 * RESERVED + 1));
    for _ in 0..100 {
        limited.bench.two.push(good(Duration::from_secs(1)));
    }
    let asking = (0..100).map(|_| limited.serve(false));
    let served = futures_util::future::join_all(asking).await;
    assert_eq!(limited.bench.two.calls().len(), 10);
    assert_eq!(served.iter().filter(|served| served.is_ok()).count(), 10);
    for failure in served.iter().filter_map(|served| served.as_ref().err()) {
        assert_eq!(failure.error.kind, ErrorKind::RateLimited);
        assert_eq!(failure.error.code.as_deref(), Some("insufficient_quota"));
        // Others are under way, and may leave something.
        assert_eq!(failure.error.retry, Retry::After(Duration::from_secs(1)));
    }
    assert_eq!(limited.standing(), (10 * USED, 0));
    let outcomes = limited.bench.ledger.outcomes();
    let spent: i64 = outcomes
        .iter()
        .filter_map(|outcome| Some(outcome.cost?.nanos()))
        .sum();
    assert_eq!(spent, 10 * USED);
    let refused = outcomes
        .iter()
        .filter(|outcome| outcome.status == OutcomeStatus::Refused);
    assert_eq!(refused.count(), 90);
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_is_settled_however_a_request_ends() {
    for stream in [false, true] {
        // It fails.
        let limited = Limited::budget(2 * RESERVED);
        limited.bench.two.push(fails(ErrorKind::ContentFiltered));
        limited.serve(stream).await.unwrap_err();
        assert_eq!(limited.standing(), (0, 0), "{stream}");
        // The client leaves.
        let chunks = vec![opening(), token("one"), token("two")];
        limited.bench.two.push(Reply::Hangs(chunks));
        let leaving = tokio::time::timeout(Duration::from_secs(5), limited.serve(stream)).await;
        assert_eq!(leaving.is_ok(), stream);
        if stream {
            assert_eq!(limited.standing().1, RESERVED);
        }
        if let Ok(Ok(answer)) = leaving {
            let AnswerBody::Stream(mut chunks) = answer.body else {
                panic!("not a stream");
            };
            chunks.recv().await.unwrap().unwrap();
        }
        let outcomes = limited.bench.ledger.wait_for(2).await;
        let cost = outcomes[1].cost.unwrap().nanos();
        assert_eq!(outcomes[1].status, OutcomeStatus::Cancelled);
        assert!(cost > 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(limited.standing(), (cost, 0), "{stream}");
        // The upstream panics.
        limited.bench.two.push(Reply::Breaks(vec![opening()]));
        let _ = limited.serve(false).await.map(|_| ()).unwrap_err();
        assert_eq!(limited.standing().1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_leaves_nothing_reserved() {
    for reading in 0.. {
        let limited = Limited::budget(2 * RESERVED);
        limited.bench.two.push(good(Duration::from_secs(1)));
        let mut admission = limited.bench.admission(Claim::None, false);
        admission.account = Arc::clone(&limited.account);
        admission.request.model = "two/m".to_owned();
        admission.request.sampling.max_output_tokens = Some(10);
        limited.bench.clock.panic_at(reading);
        let pipeline: &Arc<Pipeline> = &limited.bench.pipeline;
        let _ = pipeline.serve(admission, |_| 599).await;
        let blown = limited.bench.clock.disarm();
        let outcome = limited.bench.outcome().await;
        assert_eq!(limited.meter.held(), 0, "{reading}");
        let cost = outcome.cost.map_or(0, NanoUsd::nanos);
        assert_eq!(limited.standing(), (cost, 0), "{reading}");
        if !blown {
            assert!(reading > 3, "the clock is read {reading} times");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_admits_nothing_whose_price_nobody_knows() {
    let limited = Limited::budget(1_000_000_000);
    limited.bench.unknown_price();
    let failure = limited.serve(false).await.unwrap_err();
    assert_eq!(failure.error.code.as_deref(), Some("price_unknown"));
    assert!(limited.bench.two.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn limits_that_nobody_counts_admit_nothing() {
    let mut limited = Limited::budget(1_000_000_000);
    limited.bench = Bench::new(RouteSettings::default());
    let failure = limited.serve(false).await.unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Internal);
    assert!(limited.bench.two.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn answers_tell_how_the_limits_stand() {
    let limited = Limited::new(Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(1_000),
        concurrent: Some(1),
        ..Limits::default()
    });
    limited.bench.two.push(good(Duration::from_secs(1)));
    let answer = limited.serve(false).await.unwrap();
    let requests = answer.head.standing.unwrap().requests.unwrap();
    assert_eq!((requests.limit, requests.remaining), (2, 1));
    // While one is under way, another is one too many.
    limited.bench.two.push(good(Duration::from_secs(1)));
    let (one, other) = tokio::join!(limited.serve(false), limited.serve(false));
    assert!(one.is_ok());
    let refused = other.unwrap_err();
    assert!(
        refused.error.message.contains("at the same time"),
        "{}",
        refused.error
    );
    let failure = limited.serve(false).await.unwrap_err();
    assert!(failure.error.message.contains("2 requests per minute"));
    let standing = failure.head.standing.unwrap();
    assert_eq!(standing.requests.unwrap().remaining, 0);
    // 11 and 7 tokens of each of the two: what was reserved beyond that is free again.
    assert_eq!(standing.tokens.unwrap().remaining, 1_000 - 2 * 18);
    let Retry::After(wait) = failure.error.retry else {
        panic!("{:?}", failure.error.retry);
    };
    tokio::time::sleep(wait).await;
    limited.bench.two.push(good(Duration::from_secs(1)));
    limited.serve(false).await.unwrap();
}

/// Remembers what is under way in memory, or fails.
#[derive(Default)]
struct Remembered {
    begun: Mutex<Vec<Outcome>>,
    ended: AtomicU32,
    full: bool,
}

impl UnderWay for Remembered {
    fn begin(&self, provisional: &Outcome) -> Result<Slot, LedgerError> {
        if self.full {
            return Err(LedgerError::Io("no space left".to_owned()));
        }
        let mut begun = self.begun.lock();
        begun.push(provisional.clone());
        Ok(Slot::new(u32::try_from(begun.len()).unwrap()))
    }

    fn end(&self, slot: Slot) {
        self.ended.fetch_add(slot.number(), Ordering::Relaxed);
    }
}

/// A budget for two requests, a journal, and an answer that takes a second.
fn remembering() -> (Limited, Arc<Remembered>) {
    let mut limited = Limited::budget(2 * RESERVED);
    let journal = Arc::new(Remembered::default());
    limited.bench.journal(
        Arc::clone(&journal) as Arc<_>,
        Arc::clone(&limited.meter) as Arc<_>,
    );
    limited.bench.two.push(good(Duration::from_secs(1)));
    (limited, journal)
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_remembered_until_it_is_recorded() {
    let (limited, journal) = remembering();
    let (_, begun) = tokio::join!(limited.serve(false), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(journal.ended.load(Ordering::Relaxed), 0);
        journal.begun.lock()[0].clone()
    });
    assert_eq!(journal.ended.load(Ordering::Relaxed), 1);
    let outcome = limited.bench.ledger.outcomes().remove(0);
    assert_eq!((begun.id, &begun.key), (outcome.id, &outcome.key));
    assert_eq!(begun.status, OutcomeStatus::Failed);
    assert_eq!(begun.usage.output_tokens, 10);
    let cost = begun.attempts[0].cost.unwrap();
    assert_eq!(cost.gap, Some(CostGap::Interrupted));
    assert!(begun.cost.unwrap().nanos() >= USED);
    // What is refused before it is sent is not remembered.
    limited.bench.two.push(good(Duration::from_secs(1)));
    let mut admission = limited.bench.admission(Claim::None, false);
    admission.request.model = "nothing".to_owned();
    let refused = limited.bench.pipeline.serve(admission, |_| 599).await;
    assert!(refused.is_err());
    assert_eq!(journal.begun.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_remembered_is_not_sent() {
    let mut limited = Limited::budget(2 * RESERVED);
    let journal = Arc::new(Remembered {
        full: true,
        ..Remembered::default()
    });
    limited
        .bench
        .journal(journal, Arc::clone(&limited.meter) as Arc<_>);
    let failure = limited.serve(false).await.unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Unavailable);
    assert!(limited.bench.two.calls().is_empty());
    assert_eq!(limited.standing(), (0, 0));
}

/// The ledger is the last to know: what it could not take is found again at the next start.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_stays_remembered() {
    let (limited, journal) = remembering();
    let (served, ()) = tokio::join!(limited.serve(false), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        limited.bench.ledger.fail_with(Some("the disk is full"));
    });
    served.unwrap();
    assert_eq!(journal.begun.lock().len(), 1);
    assert_eq!(journal.ended.load(Ordering::Relaxed), 0);
    // The accounts know what it has used all the same.
    assert_eq!(limited.standing(), (USED, 0));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_what_is_short() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let limited = Limited::budget(RESERVED - 1);
    for _ in 0..2 {
        limited.serve(false).await.unwrap_err();
    }
    limited.bench.unknown_price();
    limited.serve(false).await.unwrap_err();
    let crowded = Limited::new(Limits {
        concurrent: Some(0),
        ..Limits::default()
    });
    crowded.serve(false).await.unwrap_err();
    let text = recorder.handle().render();
    for line in [
        r#"freehold_limit_refusals_total{reason="budget",scope="key"} 2"#,
        r#"freehold_limit_refusals_total{reason="price_unknown",scope="none"} 1"#,
        r#"freehold_limit_refusals_total{reason="concurrent",scope="key"} 1"#,
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
}
