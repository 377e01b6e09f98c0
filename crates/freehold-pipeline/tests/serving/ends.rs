//! Retries, hedges, fallback, cost, and clients that leave.

use std::time::Duration;

use freehold_pipeline::AnswerBody;
use freehold_policy::Claim;
use freehold_route::RouteSettings;
use freehold_types::outcome::CostBasis;
use freehold_types::{Error, ErrorKind, NanoUsd, OutcomeStatus, Retry, Sensitivity, UsageBasis};

use crate::support::{
    Bench, HOUR_NANOS, Reply, closing, fails, good, opening, read, reported, retries, token,
};

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time() {
    let bench = Bench::new(retries(2));
    bench.one.push(fails(ErrorKind::Overloaded));
    bench.one.push(fails(ErrorKind::Unavailable));
    bench.serve(false).await.unwrap();
    assert_eq!(bench.one.calls(), [0, 250, 750]);
    assert!(bench.two.calls().is_empty());
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Completed);
    assert_eq!(outcome.attempts.len(), 3);
    assert!(outcome.attempts[0].error.is_some());
    assert!(outcome.attempts[2].error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_is_heeded_and_a_long_one_means_elsewhere() {
    let limited = |seconds| {
        let after = Retry::After(Duration::from_secs(seconds));
        Reply::Fails(Error::new(ErrorKind::RateLimited, "slow down").with_retry(after))
    };
    let bench = Bench::new(retries(1));
    bench.one.push(limited(2));
    bench.serve(false).await.unwrap();
    assert_eq!(bench.one.calls(), [0, 2_000]);
    assert!(bench.two.calls().is_empty());

    let bench = Bench::new(retries(1));
    bench.one.push(limited(3));
    bench.serve(false).await.unwrap();
    assert_eq!(bench.one.calls(), [0]);
    assert_eq!(bench.two.calls(), [0]);
    // While it pauses, nobody asks it.
    bench.serve(false).await.unwrap();
    assert_eq!(bench.one.calls(), [0]);
    assert_eq!(bench.two.calls(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_takes_the_faster_and_records_the_loser() {
    let settings = RouteSettings {
        hedge_after_ms: Some(100),
        ..retries(0)
    };
    let bench = Bench::new(settings);
    bench.one.push(good(Duration::from_secs(10)));
    bench.two.push(good(Duration::from_millis(50)));
    let answer = bench.serve(true).await.unwrap();
    assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
    let (chunks, errors) = read(answer).await;
    assert_eq!((chunks, errors.len()), (3, 0));
    assert_eq!(bench.one.calls(), [0]);
    assert_eq!(bench.two.calls(), [100]);
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Completed);
    assert_eq!(outcome.attempts.len(), 2);
    let loser = outcome.attempts[0].error.as_ref().unwrap();
    assert_eq!(loser.kind, ErrorKind::Cancelled);
    assert_eq!(outcome.attempts[0].duration_us, 150_000);
    assert!(outcome.attempts[1].error.is_none());
    assert_eq!(outcome.timing.total_us, 150_000);
}

#[tokio::test(start_paused = true)]
async fn fallback_keeps_the_order_and_the_last_error_counts() {
    let bench = Bench::new(retries(0));
    bench.one.push(fails(ErrorKind::BadUpstream));
    bench.two.push(fails(ErrorKind::Timeout));
    let failure = bench.serve(true).await.unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Timeout);
    assert_eq!(failure.head.attempts, 2);
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.http_status, 599);
    let order: Vec<_> = outcome
        .attempts
        .iter()
        .map(|attempt| attempt.deployment.as_str())
        .collect();
    assert_eq!(order, ["one/m", "two/m"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_can_mend_ends_at_once() {
    let bench = Bench::new(retries(3));
    bench.one.push(fails(ErrorKind::InvalidRequest));
    bench.serve(false).await.unwrap_err();
    assert_eq!(bench.one.calls(), [0]);
    assert!(bench.two.calls().is_empty());
    bench.outcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_keeps_failing_is_left_alone_for_a_while() {
    let bench = Bench::new(retries(0));
    for _ in 0..5 {
        bench.one.push(fails(ErrorKind::BadUpstream));
        bench.serve(false).await.unwrap();
    }
    assert_eq!(bench.one.calls().len(), 5);
    bench.serve(false).await.unwrap();
    assert_eq!(bench.one.calls().len(), 5, "the breaker is open");
    assert_eq!(bench.two.calls().len(), 6);

    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.serve(false).await.unwrap();
    bench.serve(false).await.unwrap();
    assert!(bench.one.calls().len() > 5, "it is tried again");
    assert_eq!(bench.ledger.outcomes().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_policy_denies_is_never_called() {
    let bench = Bench::new(retries(1));
    bench.one.push(fails(ErrorKind::Unavailable));
    bench.one.push(fails(ErrorKind::Unavailable));
    let failure = bench
        .serve_claimed(Claim::Label(Sensitivity::Confidential), false)
        .await
        .unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Unavailable);
    assert_eq!(bench.one.calls().len(), 2);
    assert!(bench.two.calls().is_empty());
    let outcome = bench.outcome().await;
    assert_eq!(outcome.sensitivity, Sensitivity::Confidential);
    let denied = &outcome.decision.unwrap().inputs.candidates[1].denied;
    assert!(denied.is_some());
}

#[tokio::test(start_paused = true)]
async fn work_that_could_not_be_accounted_for_is_not_begun() {
    let bench = Bench::new(retries(0));
    bench.ledger.fail_with(Some("the disk is full"));
    let failure = bench.serve(false).await.unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Unavailable);
    assert!(bench.one.calls().is_empty());
    assert!(bench.pipeline.ready().is_err());
    bench.ledger.fail_with(None);
    bench.serve(false).await.unwrap();
    assert_eq!(bench.ledger.outcomes().len(), 1);
}

/// An hour at one dollar: 36 s of work cost a cent, and the idle time before them is shared.
#[tokio::test(start_paused = true)]
async fn an_owned_machine_costs_its_hours() {
    let bench = Bench::new(retries(0));
    bench.one.push(good(Duration::from_secs(36)));
    let answer = bench.serve(false).await.unwrap();
    let cost = bench.outcome().await.attempts[0].cost.unwrap();
    assert_eq!(cost.basis, CostBasis::Hours);
    assert_eq!(cost.idle_share, NanoUsd::ZERO);
    assert_eq!(cost.total.nanos(), 36 * HOUR_NANOS / 3_600);
    assert_eq!(answer.head.cost, Some(cost.total));

    bench.one.push(good(Duration::from_secs(36)));
    bench.serve(false).await.unwrap();
    let outcomes = bench.ledger.outcomes();
    let cost = outcomes[1].attempts[0].cost.unwrap();
    assert!(cost.idle_share > NanoUsd::ZERO, "an hour went by idle");
}

#[tokio::test(start_paused = true)]
async fn reported_usage_counts_and_what_is_missing_is_estimated() {
    let bench = Bench::new(retries(0));
    bench.serve(false).await.unwrap();
    let silent = [opening(), token("hello there, everybody"), closing(None)];
    let silent = silent.into_iter().map(Ok).collect();
    bench.one.push(Reply::Streams(Duration::ZERO, silent));
    bench.serve(false).await.unwrap();
    let outcomes = bench.ledger.outcomes();
    assert_eq!(outcomes[0].usage, reported());
    let estimated = outcomes[1].usage;
    assert_eq!(estimated.basis, UsageBasis::Estimated);
    assert!(estimated.input_tokens > 0 && estimated.output_tokens > 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_just_stops_ends_in_one_error() {
    let bench = Bench::new(retries(1));
    let cut = vec![Ok(opening()), Ok(token("one")), Ok(token(" two"))];
    bench.one.push(Reply::Streams(Duration::ZERO, cut));
    let (chunks, errors) = read(bench.serve(true).await.unwrap()).await;
    assert_eq!(chunks, 3);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, ErrorKind::BadUpstream);
    assert!(bench.two.calls().is_empty());
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.http_status, 200);
    assert_eq!(outcome.attempts.len(), 1);
    assert!(outcome.usage.output_tokens > 0);
}

/// An answer without a single chunk has shown its client nothing, so another deployment takes over.
#[tokio::test(start_paused = true)]
async fn an_empty_stream_falls_back() {
    let bench = Bench::new(retries(0));
    bench.one.push(Reply::Streams(Duration::ZERO, vec![]));
    let (chunks, errors) = read(bench.serve(true).await.unwrap()).await;
    assert_eq!((chunks, errors.len()), (3, 0));
    let outcome = bench.outcome().await;
    assert_eq!(outcome.attempts.len(), 2);
    assert_eq!(outcome.status, OutcomeStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_recorded_and_nothing_stays_in_flight() {
    for stream in [false, true] {
        let bench = Bench::new(retries(0));
        bench.one.push(Reply::Hangs(vec![opening(), token("one")]));
        let served = tokio::time::timeout(Duration::from_secs(5), bench.serve(stream)).await;
        assert_eq!(served.is_ok(), stream);
        if let Ok(answer) = served {
            let AnswerBody::Stream(mut chunks) = answer.unwrap().body else {
                panic!("not a stream");
            };
            for _ in 0..2 {
                chunks.recv().await.unwrap().unwrap();
            }
        }
        let outcome = bench.outcome().await;
        assert_eq!(outcome.status, OutcomeStatus::Cancelled, "{stream}");
        assert_eq!(outcome.attempts.len(), 1);
        assert!(outcome.usage.output_tokens > 0, "{stream}");
        bench.serve(false).await.unwrap();
        let outcomes = bench.ledger.outcomes();
        let decision = outcomes[1].decision.as_ref().unwrap();
        assert_eq!(decision.inputs.candidates[0].in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_attempts_race_settles_them_all() {
    let settings = RouteSettings {
        hedge_after_ms: Some(100),
        ..retries(0)
    };
    let bench = Bench::new(settings);
    bench.one.push(Reply::Hangs(vec![]));
    bench.two.push(Reply::Hangs(vec![]));
    let served = tokio::time::timeout(Duration::from_secs(5), bench.serve(true)).await;
    assert!(served.is_err());
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    assert_eq!(outcome.attempts.len(), 2);
    for attempt in &outcome.attempts {
        let error = attempt.error.as_ref().unwrap();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(attempt.usage.input_tokens > 0);
        assert!(attempt.cost.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_pipeline_takes_nothing_and_finishes_what_it_has() {
    let bench = Bench::new(retries(0));
    bench.one.push(good(Duration::from_secs(5)));
    let under_way = bench.serve(false);
    let drained = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.pipeline.drain();
        bench.serve(false).await.unwrap_err()
    };
    let (answer, refused) = tokio::join!(under_way, drained);
    answer.unwrap();
    assert_eq!(refused.error.kind, ErrorKind::Unavailable);
    let statuses: Vec<_> = bench.ledger.outcomes().iter().map(|o| o.status).collect();
    assert_eq!(statuses, [OutcomeStatus::Refused, OutcomeStatus::Completed]);
}

/// Servers that keep connections for two requests close many at once, when many ask.
#[tokio::test(start_paused = true)]
async fn connections_that_were_closed_meanwhile_open_no_breaker() {
    let stale = || {
        let error = Error::new(ErrorKind::Unavailable, "it closed the connection");
        Reply::Fails(error.with_code(Error::CONNECTION_STALE))
    };
    let bench = Bench::new(retries(0));
    for _ in 0..10 {
        let began = tokio::time::Instant::now();
        (0..2).for_each(|_| bench.one.push(stale()));
        let answer = bench.serve(true).await.unwrap();
        assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "one/m");
        assert_eq!(answer.head.attempts, 3, "each is told");
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody is waited for");
        read(answer).await;
    }
    // Not for ever: then it is an error like others, and another deployment answers.
    (0..3).for_each(|_| bench.one.push(stale()));
    let answer = bench.serve(true).await.unwrap();
    assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
    read(answer).await;
}
