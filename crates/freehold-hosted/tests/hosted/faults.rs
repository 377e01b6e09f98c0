//! Everything that can go wrong with an answer, at its first, second and later chunks.

use freehold_testkit::{Fault, Pace, RequestEnd, Script};
use freehold_types::{Dialect, Error, ErrorKind, ErrorSource, Retry};
use serde_json::Value;

use crate::support::{Bench, PATIENCE, collect, drain, hello, hello_anthropic, text};

const SURFACES: [(&str, Dialect); 2] = [
    ("openai", Dialect::OpenaiChat),
    ("anthropic", Dialect::AnthropicMessages),
];

fn body(dialect: Dialect, stream: bool) -> Value {
    match dialect {
        Dialect::AnthropicMessages => hello_anthropic(stream),
        _ => hello(stream),
    }
}

/// What a fault leaves: how many text tokens came before, and the error.
async fn faulted(row: &str, dialect: Dialect, stream: bool, fault: Fault) -> (usize, Error) {
    let bench = Bench::new(row).await;
    bench.fake.push(Script::tokens(20).with_fault(fault));
    match bench.start(dialect, body(dialect, stream)).await {
        Err(error) => (0, error),
        Ok(mut answer) => {
            let (chunks, error) = drain(&mut answer).await;
            let tokens = crate::support::events(&chunks)
                .filter(|event| matches!(event, freehold_types::Event::PartDelta { .. }))
                .count();
            (tokens, error.expect("the fault must show"))
        }
    }
}

#[tokio::test]
async fn a_good_answer_has_all_its_tokens_and_one_end() {
    for (row, dialect) in SURFACES {
        for stream in [false, true] {
            let bench = Bench::new(row).await;
            let answer = bench.start(dialect, body(dialect, stream)).await.unwrap();
            let chunks = collect(answer).await.unwrap();
            assert_eq!(text(&chunks).trim(), "one two three four", "{row} {stream}");
            let usage = crate::support::response(&chunks).usage.unwrap();
            assert_eq!(usage.output_tokens, 4, "{row} {stream}");
            bench.fake.wait_for_end(RequestEnd::Complete, 1).await;
        }
    }
}

/// Chunk `at` fails, so tokens 1 to `at` - 1 came before it.
#[tokio::test]
async fn a_stream_that_is_cut_fails_once_with_what_came_before() {
    for (row, dialect) in SURFACES {
        for at in [0, 1, 2, 20] {
            let cuts = [
                Fault::Reset { at },
                Fault::Close { at },
                Fault::End { at },
                Fault::HalfChunk { at, clean: false },
                Fault::HalfChunk { at, clean: true },
            ];
            for fault in cuts {
                // A reset overtakes bytes that are still in flight: then fewer tokens arrive.
                let may_lose = matches!(fault, Fault::Reset { .. });
                let (tokens, error) = faulted(row, dialect, true, fault.clone()).await;
                let context = format!("{row} {fault:?}: {error:?}");
                let sent = at.saturating_sub(1);
                assert!(
                    tokens == sent || (may_lose && tokens < sent),
                    "{tokens} {context}"
                );
                let before_the_head = error.kind == ErrorKind::Unavailable && at == 0 && may_lose;
                assert!(
                    error.kind == ErrorKind::BadUpstream || before_the_head,
                    "{context}"
                );
                assert_eq!(error.source_side, ErrorSource::Upstream, "{context}");
                assert_eq!(error.retry, Retry::Soon, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_garbled_fails_and_its_connection_is_closed() {
    for (row, dialect) in SURFACES {
        for at in [0, 1, 5] {
            for fault in [Fault::MalformedJson { at }, Fault::MalformedSse { at }] {
                let (tokens, error) = faulted(row, dialect, true, fault.clone()).await;
                assert_eq!(tokens, at.saturating_sub(1), "{row} {fault:?}");
                assert_eq!(error.kind, ErrorKind::BadUpstream, "{row} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_keeps_its_kind() {
    for (row, dialect) in SURFACES {
        for at in [0, 1, 5] {
            for (error_type, kind) in [
                ("overloaded_error", ErrorKind::Overloaded),
                ("rate_limit_error", ErrorKind::RateLimited),
                ("authentication_error", ErrorKind::UpstreamAuth),
            ] {
                let fault = Fault::ErrorEvent {
                    at,
                    error_type: Some(error_type.to_owned()),
                };
                let (tokens, error) = faulted(row, dialect, true, fault).await;
                assert_eq!(tokens, at.saturating_sub(1), "{row} {error_type}");
                assert_eq!(error.kind, kind, "{row} {error_type}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    for (row, dialect) in SURFACES {
        let fault = Fault::ErrorEvent {
            at: 0,
            error_type: Some("overloaded_error".to_owned()),
        };
        let (_, error) = faulted(row, dialect, false, fault).await;
        assert_eq!(error.kind, ErrorKind::Overloaded, "{row}: {error:?}");
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_cut_or_garbled_fails_before_anything_is_shown() {
    for (row, dialect) in SURFACES {
        for fault in [
            Fault::TruncatedBody,
            Fault::Reset { at: 1 },
            Fault::Close { at: 0 },
            Fault::End { at: 1 },
            Fault::HalfChunk { at: 1, clean: true },
            Fault::MalformedJson { at: 0 },
            Fault::MalformedSse { at: 0 },
        ] {
            let bench = Bench::new(row).await;
            bench
                .fake
                .push(Script::tokens(20).with_fault(fault.clone()));
            let Err(error) = bench.start(dialect, body(dialect, false)).await else {
                panic!("{row} {fault:?} was taken for an answer");
            };
            assert_eq!(
                error.kind,
                ErrorKind::BadUpstream,
                "{row} {fault:?}: {error:?}"
            );
            assert_eq!(error.source_side, ErrorSource::Upstream);
        }
    }
}

#[tokio::test]
async fn no_answer_at_all_is_unavailable() {
    for (row, dialect) in SURFACES {
        for stream in [false, true] {
            for fault in [Fault::ResetBeforeHeaders, Fault::CloseBeforeHeaders] {
                let (_, error) = faulted(row, dialect, stream, fault.clone()).await;
                assert_eq!(error.kind, ErrorKind::Unavailable, "{row} {fault:?}");
                assert_eq!(error.retry, Retry::Soon);
                assert_eq!(error.code.as_deref(), Some("connection_reset"));
            }
        }
    }
}

/// A server may close a connection that was kept open just when the next request goes out; llama.cpp's closes each after
/// two streams. What a fresh connection does is the server's own doing.
#[tokio::test]
async fn a_kept_connection_that_closes_at_once_tells_nothing_of_its_server() {
    for stream in [false, true] {
        for fault in [Fault::ResetBeforeHeaders, Fault::CloseBeforeHeaders] {
            let bench = Bench::new("openai").await;
            let told = async || {
                bench.fake.push(Script::tokens(3).with_fault(fault.clone()));
                let answer = bench.answer(hello(stream)).await;
                answer.expect_err("it closes").code.unwrap_or_default()
            };
            assert_eq!(told().await, "connection_reset", "{fault:?}: a fresh one");
            bench.answer(hello(stream)).await.unwrap();
            let error = told().await;
            assert_eq!(error, Error::CONNECTION_STALE, "{fault:?}");
            // The one after it is fresh again.
            assert_eq!(told().await, "connection_reset", "{fault:?}");
        }
    }
}

/// One that took its time has read the request, and lost it.
#[tokio::test]
async fn a_kept_connection_that_closes_later_is_a_failure() {
    let bench = Bench::new("openai").await;
    bench.answer(hello(false)).await.unwrap();
    let slow = Script {
        pace: Pace {
            headers_ms: 1_200,
            ..Pace::default()
        },
        ..Script::tokens(3).with_fault(Fault::CloseBeforeHeaders)
    };
    bench.fake.push(slow);
    let error = bench.answer(hello(false)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("connection_reset"));
}

/// OpenAI's marker may be missing when the finish reason was there; Anthropic's may not.
#[tokio::test]
async fn a_missing_end_marker_is_judged_by_the_dialect() {
    let bench = Bench::new("openai").await;
    bench
        .fake
        .push(Script::tokens(3).with_fault(Fault::MissingDone));
    let chunks = bench.answer(hello(true)).await.unwrap();
    assert_eq!(text(&chunks).split_whitespace().count(), 3);

    let (tokens, error) = faulted(
        "anthropic",
        Dialect::AnthropicMessages,
        true,
        Fault::MissingDone,
    )
    .await;
    assert_eq!((tokens, error.kind), (20, ErrorKind::BadUpstream));
}

#[tokio::test]
async fn html_is_no_answer() {
    for (row, dialect) in SURFACES {
        for stream in [false, true] {
            let (_, error) = faulted(row, dialect, stream, Fault::WrongContentType).await;
            assert_eq!(error.kind, ErrorKind::BadUpstream, "{row} {stream}");
            assert_eq!(error.retry, Retry::Elsewhere);
            assert!(error.message.contains("HTML"), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn endless_answers_are_bounded() {
    for stream in [false, true] {
        let bench = Bench::with("openai", |settings| {
            settings.limits.response_bytes = 4_096;
            settings.limits.stream_bytes = 4_096;
        })
        .await;
        bench.fake.push(Script::tokens(10_000));
        let error = bench.answer(hello(stream)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream);
        assert_eq!(error.code.as_deref(), Some("answer_too_large"));
    }
}

#[tokio::test]
async fn dropping_an_answer_stops_the_upstream() {
    for (row, dialect) in SURFACES {
        for http2_prior_knowledge in [false, true] {
            let bench = Bench::with(row, |settings| {
                settings.http2_prior_knowledge = http2_prior_knowledge;
            })
            .await;
            bench
                .fake
                .push(Script::tokens(50).with_fault(Fault::Stall { at: 5 }));
            let mut answer = bench.start(dialect, body(dialect, true)).await.unwrap();
            use futures_util::StreamExt as _;
            answer.next().await.unwrap().unwrap();
            bench.fake.wait_for_waiting(1).await;
            drop(answer);
            let aborted = bench.fake.wait_for_abort(1);
            tokio::time::timeout(PATIENCE, aborted).await.unwrap();
        }
    }
}

#[tokio::test]
async fn dropping_the_start_stops_the_upstream() {
    let bench = Bench::new("openai").await;
    bench.fake.push(Script::fault(Fault::StallHeaders));
    let start = bench.chat(hello(false));
    tokio::select! {
        _ = start => panic!("there are no headers"),
        () = bench.fake.wait_for_waiting(1) => (),
    }
    let aborted = bench.fake.wait_for_abort(1);
    tokio::time::timeout(PATIENCE, aborted).await.unwrap();
}
