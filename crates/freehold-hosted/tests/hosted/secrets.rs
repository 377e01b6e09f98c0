//! The key goes to the upstream and nowhere else.

use freehold_hosted::HostedBackend;
use freehold_ports::Backend as _;
use freehold_testkit::{Fault, Script};
use freehold_types::{Dialect, ErrorKind};

use crate::canned::{Canned, json, typed};
use crate::support::{Bench, KEY, call, drain, hello, hello_anthropic, settings};

#[tokio::test]
async fn the_key_is_sent_as_the_row_says() {
    let bench = Bench::new("openai").await;
    bench.answer(hello(false)).await.unwrap();
    let request = &bench.fake.requests()[0];
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(request.header("x-api-key"), None);

    let bench = Bench::new("anthropic").await;
    let call = bench.start(Dialect::AnthropicMessages, hello_anthropic(false));
    drop(call.await.unwrap());
    let request = &bench.fake.requests()[0];
    assert_eq!(request.header("x-api-key"), Some(KEY));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
}

#[tokio::test]
async fn an_echo_of_the_key_in_an_error_is_scrubbed() {
    for status in [400, 401, 403, 404, 422, 429, 500, 503] {
        for quoted in [KEY, &KEY[..16], &KEY[6..]] {
            let body = format!(
                r#"{{"error":{{"message":"bad header: Bearer {quoted}","type":"t","param":"{quoted}","code":"{quoted}"}}}}"#
            );
            let bench = Bench::new("openai").await;
            bench.fake.push(Script::fault(Fault::Status {
                status,
                retry_after: None,
                body: Some(body),
            }));
            let error = bench.chat(hello(true)).await.err().unwrap();
            let shown = format!("{error:?} {error}");
            assert!(!shown.contains(quoted), "{status}: {shown}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_refusal_of_the_key_is_passed_on() {
    for status in [401, 403] {
        let masked = format!("{}****{}", &KEY[..7], &KEY[KEY.len() - 4..]);
        let bench = Bench::new("openai").await;
        bench.fake.push(Script::fault(Fault::Status {
            status,
            retry_after: None,
            body: Some(format!(
                r#"{{"error":{{"message":"Incorrect API key provided: {masked}"}}}}"#
            )),
        }));
        let error = bench.chat(hello(true)).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::UpstreamAuth);
        assert_eq!(error.upstream_body, None);
        let shown = format!("{error:?}");
        assert!(!shown.contains(&KEY[..7]), "{shown}");
        assert!(!shown.contains("****"), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_that_holds_the_key_is_withheld() {
    let answers = [
        (
            false,
            "application/json",
            format!(
                r#"{{"id":"c","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{KEY}"}},"finish_reason":"stop"}}]}}"#
            ),
        ),
        (
            true,
            "text/event-stream",
            format!(
                "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{KEY}\"}}}}]}}\n\ndata: [DONE]\n\n"
            ),
        ),
        (true, "text/event-stream", format!(": {KEY}\n\n")),
        (
            true,
            "text/event-stream",
            format!("data: {{\"error\":{{\"message\":\"key {KEY}\"}}}}\n\n"),
        ),
    ];
    for (stream, content_type, body) in answers {
        let body = Box::leak(body.into_boxed_str());
        let server =
            Canned::start([("/v1/chat/completions", typed(content_type, body))], None).await;
        let backend = HostedBackend::new(settings("openai", &server.url())).unwrap();
        let start = backend.start(call(&backend, "m", Dialect::OpenaiChat, hello(stream)));
        let (chunks, error) = match start.await {
            Err(error) => (Vec::new(), Some(error)),
            Ok(mut answer) => drain(&mut answer).await,
        };
        let error = error.unwrap();
        let shown = format!("{chunks:?} {error:?}");
        assert!(!shown.contains(KEY), "{shown}");
    }
}

#[tokio::test]
async fn a_listing_that_holds_the_key_is_withheld() {
    let body = Box::leak(format!(r#"{{"data":[{{"id":"{KEY}"}}]}}"#).into_boxed_str());
    let server = Canned::start([("/v1/models", json(body))], None).await;
    let backend = HostedBackend::new(settings("openai", &server.url())).unwrap();
    let error = backend.probe().await.unwrap_err();
    assert!(!format!("{error:?}").contains(KEY));
}

#[test]
fn the_key_is_in_no_debug_text() {
    let settings = settings("openai", "http://127.0.0.1:1/v1");
    assert!(!format!("{settings:?}").contains(KEY));
    let backend = HostedBackend::new(settings).unwrap();
    assert!(!format!("{backend:?}").contains(KEY));
}

#[test]
fn a_key_that_no_header_can_hold_is_refused_without_being_shown() {
    let mut settings = settings("openai", "http://127.0.0.1:1/v1");
    settings.key = Some(secrecy::SecretString::from("two\nlines-of-key"));
    let error = HostedBackend::new(settings).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("lines-of-key"));
}
