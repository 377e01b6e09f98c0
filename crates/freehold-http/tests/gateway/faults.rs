//! Every fault, at the first, second and later chunks, on all surfaces, streamed and not.

use freehold_testkit::{Fault, RequestEnd, Script};
use freehold_types::{ErrorKind, ErrorSource, Outcome, OutcomeStatus};

use crate::support::{Bench, Surface, soon};

const TOKENS: usize = 30;
const WORDS: &str = "one two three four";

fn faults(stream: bool) -> Vec<Fault> {
    // A whole answer has two chunks, its halves.
    let places: &[usize] = if stream { &[0, 1, 5, 20] } else { &[0, 1] };
    let mut faults = vec![
        Script::rate_limited(7).fault.unwrap(),
        Script::status(500).fault.unwrap(),
        Script::status(529).fault.unwrap(),
        Fault::ResetBeforeHeaders,
        Fault::CloseBeforeHeaders,
        Fault::TruncatedBody,
        Fault::WrongContentType,
    ];
    for &at in places {
        faults.extend([
            Fault::Reset { at },
            Fault::Close { at },
            Fault::End { at },
            Fault::HalfChunk { at, clean: false },
            Fault::HalfChunk { at, clean: true },
            Fault::MalformedSse { at },
            Fault::MalformedJson { at },
            Fault::ErrorEvent {
                at,
                error_type: None,
            },
        ]);
    }
    faults
}

/// Whether a fault leaves the client without any content: chunk 0 only opens an answer.
fn comes_before_content(fault: &Fault) -> bool {
    match fault {
        Fault::Reset { at }
        | Fault::Close { at }
        | Fault::End { at }
        | Fault::HalfChunk { at, .. }
        | Fault::MalformedSse { at }
        | Fault::MalformedJson { at }
        | Fault::ErrorEvent { at, .. } => *at <= 1,
        _ => false,
    }
}

/// One fault: one clean end, one outcome, and another deployment only before the first content.
async fn check(surface: Surface, stream: bool, fault: Fault) {
    let context = format!("{surface:?} stream={stream} {fault:?}");
    let unseen = comes_before_content(&fault);
    let bench = Bench::start().await;
    let first = surface.first(&bench);
    first.push(Script::tokens(TOKENS).with_fault(fault));
    let seen = bench
        .ask(surface, &surface.body(surface.route(), stream, WORDS))
        .await;
    assert_eq!(seen.status, 200, "{context}: {seen:?}");
    let (text, failed) = if stream {
        surface.stream(&seen.text)
    } else {
        (surface.text(&seen.json()), false)
    };
    let outcomes = bench.outcomes(1).await;
    let outcome = &outcomes[0];
    let context = format!("{context}: {seen:?} {outcome:?}");
    assert_eq!(outcome.http_status, 200, "{context}");
    assert_eq!(outcome.streamed, stream, "{context}");
    assert_eq!(outcome.id.to_string(), seen.header("x-request-id"));
    assert_eq!(first.requests().len(), 1, "{context}");
    if failed {
        assert!(stream && !unseen, "{context}");
        check_cut(&bench, outcome, &context);
        return;
    }
    let faulty = first.requests()[0].end == RequestEnd::Faulted || outcome.attempts.len() == 2;
    check_completed(&bench, outcome, faulty, &context);
    if faulty {
        assert_eq!(text.trim(), WORDS, "{context}");
        assert_eq!(seen.header("x-freehold-deployment"), surface.second());
    }
}

/// The client had content of the first answer, so nobody else may go on with it.
fn check_cut(bench: &Bench, outcome: &Outcome, context: &str) {
    assert_eq!(outcome.status, OutcomeStatus::Failed, "{context}");
    assert_eq!(outcome.attempts.len(), 1, "{context}");
    assert!(bench.beta.requests().is_empty(), "{context}");
    let error = outcome.error.as_ref().unwrap();
    assert_eq!(error.side, ErrorSource::Upstream, "{context}");
    assert!(outcome.attempts[0].error.is_some(), "{context}");
}

/// The first upstream answered, or failed unseen and `beta` did.
fn check_completed(bench: &Bench, outcome: &Outcome, faulty: bool, context: &str) {
    assert_eq!(outcome.status, OutcomeStatus::Completed, "{context}");
    assert!(outcome.error.is_none(), "{context}");
    assert_eq!(outcome.attempts.len(), 1 + usize::from(faulty), "{context}");
    assert_eq!(bench.beta.requests().len(), usize::from(faulty));
    if faulty {
        assert!(outcome.attempts[0].error.is_some(), "{context}");
        assert_eq!(outcome.attempts[1].usage.output_tokens, 4, "{context}");
    }
}

#[tokio::test]
async fn a_streamed_chat_ends_once_whatever_happens() {
    for fault in faults(true) {
        check(Surface::Chat, true, fault).await;
    }
}

#[tokio::test]
async fn a_whole_chat_ends_once_whatever_happens() {
    for fault in faults(false) {
        check(Surface::Chat, false, fault).await;
    }
}

#[tokio::test]
async fn a_streamed_message_ends_once_whatever_happens() {
    for fault in faults(true) {
        check(Surface::Messages, true, fault).await;
    }
}

#[tokio::test]
async fn a_whole_message_ends_once_whatever_happens() {
    for fault in faults(false) {
        check(Surface::Messages, false, fault).await;
    }
}

#[tokio::test]
async fn a_streamed_completion_ends_once_whatever_happens() {
    for fault in faults(true) {
        check(Surface::Completions, true, fault).await;
    }
}

#[tokio::test]
async fn a_whole_completion_ends_once_whatever_happens() {
    for fault in faults(false) {
        check(Surface::Completions, false, fault).await;
    }
}

/// An upstream that falls silent: before its first content another takes over, later the answer is
/// cut, and in both cases the upstream is let go.
async fn check_stall(surface: Surface, stream: bool, fault: Fault, unseen: bool) {
    let context = format!("{surface:?} stream={stream} {fault:?}");
    let bench = Bench::start().await;
    let first = surface.first(&bench);
    first.push(Script::tokens(TOKENS).with_fault(fault));
    let body = surface.body(&format!("hasty-{}", surface.route()), stream, WORDS);
    let seen = bench.ask(surface, &body).await;
    assert_eq!(seen.status, 200, "{context}: {seen:?}");
    soon(first.wait_for_abort(1)).await;
    let outcome = &bench.outcomes(1).await[0];
    let context = format!("{context}: {seen:?} {outcome:?}");
    let stalled = outcome.attempts[0].error.as_ref().expect(&context);
    assert_eq!(stalled.kind, ErrorKind::Timeout, "{context}");
    if unseen {
        let (text, failed) = if stream {
            surface.stream(&seen.text)
        } else {
            (surface.text(&seen.json()), false)
        };
        assert!(!failed, "{context}");
        assert_eq!(text.trim(), WORDS, "{context}");
        check_completed(&bench, outcome, true, &context);
    } else {
        assert!(surface.stream(&seen.text).1, "{context}");
        check_cut(&bench, outcome, &context);
    }
}

#[tokio::test]
async fn an_upstream_that_falls_silent_is_left() {
    let mut checks = tokio::task::JoinSet::new();
    for surface in Surface::ALL {
        checks.spawn(check_stall(surface, true, Fault::StallHeaders, true));
        checks.spawn(check_stall(surface, false, Fault::StallHeaders, true));
        checks.spawn(check_stall(surface, false, Fault::Stall { at: 1 }, true));
        for (at, unseen) in [(0, true), (1, true), (5, false)] {
            checks.spawn(check_stall(surface, true, Fault::Stall { at }, unseen));
        }
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

/// A stream that is cut after its first chunk shows what came, then one error.
#[tokio::test]
async fn what_came_before_the_cut_stays() {
    for surface in Surface::ALL {
        let bench = Bench::start().await;
        let first = surface.first(&bench);
        first.push(Script::text("a b c d e f g h").with_fault(Fault::Close { at: 4 }));
        let body = surface.body(surface.route(), true, WORDS);
        let seen = bench.ask(surface, &body).await;
        let (text, failed) = surface.stream(&seen.text);
        assert!(failed, "{seen:?}");
        assert_eq!(text.trim(), "a b c");
        let outcome = &bench.outcomes(1).await[0];
        assert_eq!(outcome.status, OutcomeStatus::Failed);
        assert_eq!(outcome.usage.output_tokens, 3);
        assert_eq!(outcome.http_status, 200);
    }
}

/// When nobody answers, the client gets the last upstream's status in its own dialect.
#[tokio::test]
async fn an_error_of_all_upstreams_is_one_error_body() {
    for surface in Surface::ALL {
        for stream in [false, true] {
            let bench = Bench::start().await;
            let first = surface.first(&bench);
            first.push(Script::status(500));
            bench.beta.push(Script::rate_limited(7));
            let body = surface.body(surface.route(), stream, WORDS);
            let seen = bench.ask(surface, &body).await;
            assert_eq!(seen.status, 429, "{seen:?}");
            assert_eq!(seen.header("retry-after"), "7");
            assert_eq!(seen.header("content-type"), "application/json");
            assert_eq!(seen.header("x-freehold-attempts"), "2");
            surface.error_type(&seen);
            let outcome = &bench.outcomes(1).await[0];
            assert_eq!(outcome.status, OutcomeStatus::Failed);
            assert_eq!(outcome.http_status, 429);
            assert_eq!(outcome.attempts.len(), 2);
            let error = outcome.error.as_ref().unwrap();
            assert_eq!(error.kind, ErrorKind::RateLimited);
            assert_eq!(outcome.usage.output_tokens, 0);
        }
    }
}

/// A request that the upstream calls wrong is wrong everywhere: nobody else is asked.
#[tokio::test]
async fn the_upstreams_bad_request_is_the_clients() {
    for surface in Surface::ALL {
        let bench = Bench::start().await;
        let first = surface.first(&bench);
        first.push(Script::status(400));
        let body = surface.body(surface.route(), true, WORDS);
        let seen = bench.ask(surface, &body).await;
        assert_eq!(seen.status, 400, "{seen:?}");
        assert_eq!(surface.error_type(&seen), "invalid_request_error");
        assert!(bench.beta.requests().is_empty());
        assert_eq!(bench.outcomes(1).await[0].http_status, 400);
    }
}
