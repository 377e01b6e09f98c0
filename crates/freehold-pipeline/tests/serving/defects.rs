//! Defects: a panic anywhere on the way of a request ends it like any other error.

use std::sync::Arc;
use std::time::Duration;

use freehold_pipeline::AnswerBody;
use freehold_policy::Claim;
use freehold_types::{ErrorKind, ErrorSource, OutcomeStatus, UsageBasis};

use crate::support::{Bench, Reply, good, opening, read, retries, token};

/// Nothing of an earlier request is in flight, as the next one sees it.
async fn nothing_in_flight(bench: &Bench, known: usize) {
    let answer = bench.serve(false).await.unwrap();
    assert!(matches!(answer.body, AnswerBody::Whole(_)));
    let outcomes = bench.ledger.wait_for(known + 1).await;
    assert_eq!(outcomes.len(), known + 1);
    let decision = outcomes[known].decision.as_ref().unwrap();
    assert!(
        decision
            .inputs
            .candidates
            .iter()
            .all(|candidate| candidate.in_flight == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_before_its_answer_is_one_that_failed() {
    for reply in [
        Reply::Panics,
        Reply::Breaks(vec![]),
        Reply::Breaks(vec![opening()]),
    ] {
        for stream in [false, true] {
            let bench = Bench::new(retries(0));
            bench.one.push(reply.clone());
            let answer = bench.serve(stream).await.unwrap();
            assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
            if stream {
                assert_eq!(read(answer).await.0, 3);
            }
            let outcome = bench.outcome().await;
            assert_eq!(outcome.status, OutcomeStatus::Completed);
            let failed = outcome.attempts[0].error.as_ref().unwrap();
            assert_eq!(failed.kind, ErrorKind::Internal);
            nothing_in_flight(&bench, 1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_is_cut_once_and_its_usage_known() {
    let bench = Bench::new(retries(1));
    let said = vec![opening(), token("hello there"), token(" everybody")];
    bench.one.push(Reply::Breaks(said));
    let (chunks, errors) = read(bench.serve(true).await.unwrap()).await;
    assert_eq!(chunks, 3);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, ErrorKind::Internal);
    assert!(!errors[0].message.contains("a defect in the stream"));
    assert!(bench.two.calls().is_empty());
    let outcome = bench.outcome().await;
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.http_status, 200);
    let error = outcome.error.as_ref().unwrap();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert_eq!(error.side, ErrorSource::Internal);
    assert!(outcome.usage.input_tokens > 0);
    assert!(outcome.usage.output_tokens > 0);
    assert_eq!(outcome.usage.basis, UsageBasis::Estimated);
    nothing_in_flight(&bench, 1).await;
}

/// The clock is read all along the way, so that a clock which panics shows what becomes of a panic
/// at any place of it.
#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_ends_a_request_once() {
    for stream in [false, true] {
        let mut panics = 0;
        for reading in 0.. {
            let bench = Bench::new(retries(0));
            bench.one.push(good(Duration::from_secs(1)));
            let admission = bench.admission(Claim::None, stream);
            bench.clock.panic_at(reading);
            let served = Arc::clone(&bench.pipeline).serve(admission, |_| 599).await;
            let errors = match served {
                Ok(answer) if stream => read(answer).await.1,
                Ok(_) => vec![],
                Err(failure) => vec![failure.error],
            };
            if !bench.clock.disarm() {
                assert!(errors.is_empty());
                break;
            }
            panics += 1;
            let context = format!("stream={stream} reading={reading} {errors:?}");
            let outcome = bench.outcome().await;
            match errors.as_slice() {
                // The attempt failed unseen, and another took its place.
                [] => assert_eq!(outcome.status, OutcomeStatus::Completed, "{context}"),
                [error] => {
                    assert_eq!(error.kind, ErrorKind::Internal, "{context}");
                    assert_ne!(outcome.status, OutcomeStatus::Completed, "{context}");
                    let recorded = outcome.error.as_ref().unwrap();
                    assert_eq!(recorded.kind, ErrorKind::Internal, "{context}");
                }
                _ => panic!("{context}"),
            }
            nothing_in_flight(&bench, 1).await;
        }
        assert!(panics > 5, "the clock is read {panics} times");
    }
}
