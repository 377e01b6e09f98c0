//! Statuses, pauses and redirects, end to end; the table itself is tested beside the code.

use std::time::Duration;

use freehold_hosted::MODEL_LOADING;
use freehold_testkit::{Fault, RetryAfter, Script};
use freehold_types::{Dialect, Error, ErrorKind, Retry};

use crate::canned::{Canned, json, typed};
use crate::support::{Bench, call, collect, hello, hello_anthropic, response, settings, text};
use freehold_hosted::HostedBackend;
use freehold_ports::Backend as _;

async fn refused(row: &str, script: Script) -> Error {
    let bench = Bench::new(row).await;
    bench.fake.push(script);
    let (dialect, body) = match row {
        "anthropic" => (Dialect::AnthropicMessages, hello_anthropic(true)),
        _ => (Dialect::OpenaiChat, hello(true)),
    };
    bench.start(dialect, body).await.err().expect("a refusal")
}

#[tokio::test]
async fn statuses_keep_their_meaning_in_both_dialects() {
    for row in ["openai", "anthropic"] {
        for (status, kind) in [
            (400, ErrorKind::InvalidRequest),
            (401, ErrorKind::UpstreamAuth),
            (404, ErrorKind::NotFound),
            (413, ErrorKind::TooLarge),
            (429, ErrorKind::RateLimited),
            (500, ErrorKind::Unavailable),
            (504, ErrorKind::Timeout),
            (529, ErrorKind::Overloaded),
        ] {
            let error = refused(row, Script::status(status)).await;
            assert_eq!(error.kind, kind, "{row} {status}: {error:?}");
            assert_eq!(error.upstream_status, Some(status));
        }
    }
}

#[tokio::test]
async fn pauses_are_told_in_every_form() {
    let with = |retry_after| {
        Script::fault(Fault::Status {
            status: 429,
            retry_after: Some(retry_after),
            body: None,
        })
    };
    let error = refused("openai", with(RetryAfter::Seconds(7))).await;
    assert_eq!(error.retry, Retry::After(Duration::from_secs(7)));
    let error = refused("openai", with(RetryAfter::DateSeconds(30))).await;
    let Retry::After(pause) = error.retry else {
        panic!("{error:?}");
    };
    assert!((28..=31).contains(&pause.as_secs()), "{pause:?}");
    let error = refused("openai", with(RetryAfter::Raw("whenever".to_owned()))).await;
    assert_eq!(error.retry, Retry::Soon);
    let mut millis = with(RetryAfter::Seconds(7));
    millis
        .headers
        .insert("retry-after-ms".to_owned(), "120".to_owned());
    let error = refused("openai", millis).await;
    assert_eq!(error.retry, Retry::After(Duration::from_millis(120)));
    let mut never = with(RetryAfter::Seconds(7));
    never
        .headers
        .insert("x-should-retry".to_owned(), "false".to_owned());
    assert_eq!(refused("openai", never).await.retry, Retry::Elsewhere);
}

#[tokio::test]
async fn a_loading_model_is_waited_for() {
    let body = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    let script = Script::fault(Fault::Status {
        status: 503,
        retry_after: None,
        body: Some(body.to_owned()),
    });
    let error = refused("llama-cpp", script.clone()).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.retry, Retry::Soon);
    assert_eq!(error.code.as_deref(), Some(MODEL_LOADING));
    // Only servers that are known to say so.
    assert_ne!(
        refused("openai", script).await.code.as_deref(),
        Some(MODEL_LOADING)
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let bench = Bench::new("openai").await;
        let mut script = Script::fault(Fault::Status {
            status,
            retry_after: None,
            body: None,
        });
        let elsewhere = format!("{}/v1/chat/completions", bench.fake.url());
        script.headers.insert("location".to_owned(), elsewhere);
        bench.fake.push(script);
        let error = bench.chat(hello(true)).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::BadUpstream);
        assert_eq!(error.code.as_deref(), Some("redirect"));
        assert_eq!(error.retry, Retry::Elsewhere);
        assert_eq!(bench.fake.requests().len(), 1, "{status} was followed");
    }
}

const WHOLE: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m",
    "choices":[{"index":0,"message":{"role":"assistant","content":"all at once"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}}"#;

async fn canned(
    answer: http::Response<http_body_util::Full<bytes::Bytes>>,
) -> (Canned, HostedBackend) {
    let server = Canned::start([("/v1/chat/completions", answer)], None).await;
    let backend = HostedBackend::new(settings("openai", &server.url())).unwrap();
    (server, backend)
}

#[tokio::test]
async fn a_stream_that_comes_whole_is_taken_apart() {
    let (_server, backend) = canned(json(WHOLE)).await;
    let answer = backend
        .start(call(&backend, "m", Dialect::OpenaiChat, hello(true)))
        .await
        .unwrap();
    let chunks = collect(answer).await.unwrap();
    assert_eq!(text(&chunks), "all at once");
    assert_eq!(response(&chunks).usage.unwrap().output_tokens, 3);
    // The bytes are no stream, so a streaming client must not get them.
    assert!(chunks.iter().all(|chunk| chunk.raw.is_none()));
}

#[tokio::test]
async fn content_that_nobody_can_mean_is_refused() {
    let mut zipped = json(WHOLE);
    zipped
        .headers_mut()
        .insert("content-encoding", http::HeaderValue::from_static("gzip"));
    for (answer, stream) in [
        (zipped, false),
        (typed("text/event-stream", "data: [DONE]\n\n"), false),
        (typed("text/plain", "hello"), true),
        (typed("text/html; charset=utf-8", "<html>"), true),
        (json("[1, 2"), false),
        (json("{}"), true),
        (json("null"), false),
    ] {
        let (_server, backend) = canned(answer).await;
        let start = backend.start(call(&backend, "m", Dialect::OpenaiChat, hello(stream)));
        let Err(error) = start.await else {
            panic!("taken for an answer");
        };
        assert_eq!(error.kind, ErrorKind::BadUpstream, "{error:?}");
    }
}

#[tokio::test]
async fn an_endless_error_body_is_not_read() {
    let body = Box::leak("x".repeat(1024 * 1024).into_boxed_str());
    let mut answer = json(body);
    *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    let (_server, backend) = canned(answer).await;
    let start = backend.start(call(&backend, "m", Dialect::OpenaiChat, hello(true)));
    let error = start.await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.upstream_body.is_none_or(|(_, body)| body.is_empty()));
}
