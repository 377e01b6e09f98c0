//! An answer begins with its first content: until then, another deployment can take over.

use std::time::Duration;

use freehold_ports::Chunk;
use freehold_route::{RouteSettings, RouteTimeouts};
use freehold_types::{Dialect, Error, ErrorKind, Event, OutcomeStatus, Usage, UsageBasis};

use crate::support::{Bench, Reply, chunk, closing, good, opening, read, reported, retries, token};

/// A comment or a ping: bytes without a meaning.
fn ping() -> Chunk {
    Chunk {
        raw: Some((Dialect::OpenaiChat, ": ping\n\n".into())),
        ..Chunk::default()
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::BadUpstream, "cut")
}

/// What upstreams open an answer with, in many ways.
fn openings() -> Vec<Vec<Chunk>> {
    let usage = chunk([Event::Usage(Usage {
        output_tokens: 1,
        ..reported()
    })]);
    vec![
        vec![opening()],
        vec![ping()],
        vec![opening(), token("")],
        vec![opening(), usage, ping(), ping()],
        vec![ping(), ping(), ping(), ping(), ping(), ping(), opening()],
    ]
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_dies_before_its_first_content_falls_back() {
    for opening in openings() {
        for dies in [Some(Err(cut())), None] {
            let bench = Bench::new(retries(0));
            let items = opening.iter().cloned().map(Ok).chain(dies).collect();
            bench.one.push(Reply::Streams(Duration::ZERO, items));
            let answer = bench.serve(true).await.unwrap();
            assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
            assert_eq!(answer.head.attempts, 2);
            let (chunks, errors) = read(answer).await;
            assert_eq!((chunks, errors.len()), (3, 0), "only the second answer");
            let outcome = bench.outcome().await;
            assert_eq!(outcome.status, OutcomeStatus::Completed);
            assert_eq!(outcome.attempts.len(), 2);
            assert_eq!(outcome.attempts[0].first_token_us, None);
        }
    }
}

/// The upstream read the prompt before it died, and will want it paid.
#[tokio::test(start_paused = true)]
async fn what_an_answer_without_content_used_is_recorded() {
    let bench = Bench::new(retries(0));
    let usage = Usage {
        output_tokens: 0,
        ..reported()
    };
    let items = vec![Ok(opening()), Ok(chunk([Event::Usage(usage)])), Err(cut())];
    bench.one.push(Reply::Streams(Duration::ZERO, items));
    let (_, errors) = read(bench.serve(true).await.unwrap()).await;
    assert!(errors.is_empty());
    let outcome = bench.outcome().await;
    let dead = &outcome.attempts[0];
    assert_eq!(dead.usage.input_tokens, reported().input_tokens);
    assert_eq!(dead.usage.output_tokens, 0);
    assert_eq!(dead.usage.basis, UsageBasis::Estimated);
    assert_eq!(
        outcome.usage.input_tokens,
        2 * reported().input_tokens,
        "both are paid"
    );
}

#[tokio::test(start_paused = true)]
async fn a_race_is_won_by_content() {
    let settings = RouteSettings {
        hedge_after_ms: Some(100),
        ..retries(0)
    };
    let bench = Bench::new(settings);
    bench.one.push(Reply::Hangs(vec![opening()]));
    bench.two.push(good(Duration::from_millis(50)));
    let answer = bench.serve(true).await.unwrap();
    assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
    let (chunks, errors) = read(answer).await;
    assert_eq!((chunks, errors.len()), (3, 0));
    bench.outcome().await;
}

/// Eight chunks are held back; the ninth begins the answer, whatever it holds.
#[tokio::test(start_paused = true)]
async fn no_more_than_eight_chunks_are_held_back() {
    for (pings, held) in [(8, true), (9, false)] {
        let bench = Bench::new(retries(0));
        let items = (0..pings).map(|_| Ok(ping())).chain([Err(cut())]).collect();
        bench.one.push(Reply::Streams(Duration::ZERO, items));
        let answer = bench.serve(true).await.unwrap();
        let name = answer.head.deployment.clone().unwrap();
        let (chunks, errors) = read(answer).await;
        let outcome = bench.outcome().await;
        if held {
            assert_eq!(name.as_str(), "two/m");
            assert_eq!((chunks, errors.len()), (3, 0));
        } else {
            assert_eq!(name.as_str(), "one/m");
            assert_eq!((chunks, errors.len()), (9, 1));
            assert_eq!(outcome.status, OutcomeStatus::Failed);
            assert_eq!(outcome.timing.first_token_us, None);
            assert!(bench.two.calls().is_empty());
        }
    }
}

/// A client is not kept waiting for longer than the first byte may take.
#[tokio::test(start_paused = true)]
async fn chunks_are_held_back_no_longer_than_the_first_byte_may_take() {
    let settings = RouteSettings {
        timeouts: RouteTimeouts {
            first_byte_ms: Some(5_000),
            ..RouteTimeouts::default()
        },
        ..retries(0)
    };
    let bench = Bench::new(settings);
    let pause = Duration::from_secs(3);
    let chunks = vec![opening(), token("late"), closing(Some(reported()))];
    bench.one.push(Reply::Trickles(pause, chunks));
    let before = bench.elapsed();
    let answer = bench.serve(true).await.unwrap();
    assert_eq!(bench.elapsed() - before, Duration::from_secs(5));
    let (chunks, errors) = read(answer).await;
    assert_eq!((chunks, errors.len()), (3, 0));
    let outcome = bench.outcome().await;
    // The time to the first token is that of the content, not that of what opened the answer.
    assert_eq!(outcome.timing.first_token_us, Some(6_000_000));
    assert_eq!(outcome.attempts[0].first_token_us, Some(6_000_000));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_the_first_content() {
    let bench = Bench::new(retries(0));
    let pause = Duration::from_secs(2);
    let chunks = vec![opening(), token(""), token("hello"), closing(None)];
    bench.one.push(Reply::Trickles(pause, chunks));
    let answer = bench.serve(true).await.unwrap();
    assert_eq!(bench.elapsed(), Duration::from_secs(6));
    let (chunks, errors) = read(answer).await;
    assert_eq!((chunks, errors.len()), (4, 0));
    let outcome = bench.outcome().await;
    assert_eq!(outcome.timing.first_token_us, Some(6_000_000));
    assert_eq!(outcome.timing.total_us, 8_000_000);
}

/// An answer that ends without having said anything is an answer.
#[tokio::test(start_paused = true)]
async fn an_answer_may_be_empty() {
    for stream in [false, true] {
        let bench = Bench::new(retries(0));
        let items = vec![Ok(opening()), Ok(closing(Some(reported())))];
        bench.one.push(Reply::Streams(Duration::ZERO, items));
        bench.serve(stream).await.unwrap();
        let outcome = bench.outcome().await;
        assert_eq!(outcome.attempts.len(), 1);
        assert_eq!(outcome.timing.first_token_us, None);
    }
}
