//! Connections are kept and shared, within bounds.

use freehold_hosted::{HostedBackend, SettingsError};
use freehold_ports::Backend as _;
use freehold_testkit::{RequestEnd, Script};
use freehold_types::{Dialect, ErrorKind, Perimeter, Retry};
use futures_util::StreamExt as _;

use crate::support::{Bench, PATIENCE, collect, hello, settings};

#[tokio::test]
async fn answers_in_turn_share_a_connection() {
    let bench = Bench::new("openai").await;
    for round in 0..12 {
        // Whole, streamed, refused: each leaves the connection usable.
        match round % 3 {
            0 => drop(bench.answer(hello(false)).await.unwrap()),
            1 => drop(bench.answer(hello(true)).await.unwrap()),
            _ => {
                bench.fake.push(Script::status(429));
                bench.answer(hello(true)).await.unwrap_err();
            }
        }
    }
    assert_eq!(bench.fake.requests().len(), 12);
    // A connection is back in the pool a moment after its answer's end, and a request that comes
    // within that moment opens a second one.
    let connections = bench.fake.totals().connections;
    assert!(connections <= 3, "{connections} connections for 12 answers");
}

/// A reader that stops at the last event, and never polls for what follows, keeps the connection too.
#[tokio::test]
async fn an_answer_dropped_at_its_end_leaves_its_connection() {
    let bench = Bench::new("openai").await;
    for _ in 0..4 {
        let mut answer = bench.chat(hello(true)).await.unwrap();
        loop {
            let chunk = answer.next().await.unwrap().unwrap();
            if chunk.events.last() == Some(&freehold_types::Event::End) {
                break;
            }
        }
        drop(answer);
        bench.fake.wait_for_end(RequestEnd::Complete, 1).await;
        // The rest is read by a task of its own.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let connections = bench.fake.totals().connections;
    assert!(connections <= 2, "{connections} connections for 4 answers");
}

#[tokio::test]
async fn http2_in_the_clear_shares_one_connection() {
    let bench = Bench::with("openai", |settings| settings.http2_prior_knowledge = true).await;
    // The first answer establishes the connection.
    bench.answer(hello(false)).await.unwrap();
    let answers = (0..20).map(|_| bench.answer(hello(true)));
    for answer in futures_util::future::join_all(answers).await {
        answer.unwrap();
    }
    let requests = bench.fake.requests();
    assert!(requests.iter().all(|request| request.version == "HTTP/2.0"));
    assert_eq!(bench.fake.totals().connections, 1);
}

#[tokio::test]
async fn more_than_the_bound_is_refused_at_once() {
    let bench = Bench::with("openai", |settings| settings.limits.in_flight = 2).await;
    bench.fake.push(Script::tokens(3).with_gate(2));
    bench.fake.push(Script::tokens(3).with_gated_headers());
    let first = bench.chat(hello(true)).await.unwrap();
    let mut second = bench
        .backend
        .start(bench.call(Dialect::OpenaiChat, hello(true)));
    tokio::select! {
        _ = &mut second => panic!("its headers wait at a gate"),
        () = bench.fake.wait_for_waiting(2) => (),
    }
    let refusal = bench.answer(hello(true)).await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Overloaded);
    assert_eq!(refusal.retry, Retry::Soon);
    assert_eq!(bench.fake.requests().len(), 2);

    bench.fake.release_all();
    collect(first).await.unwrap();
    collect(second.await.unwrap()).await.unwrap();
    bench.answer(hello(true)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_answer_gives_its_place_back() {
    let bench = Bench::with("openai", |settings| settings.limits.in_flight = 1).await;
    for _ in 0..3 {
        bench.fake.push(Script::tokens(3).with_gate(2));
        let mut answer = bench.chat(hello(true)).await.unwrap();
        answer.next().await.unwrap().unwrap();
        drop(answer);
    }
    tokio::time::timeout(PATIENCE, bench.fake.wait_for_abort(3))
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let url = freehold_testkit::unreachable_url().unwrap();
    let backend = HostedBackend::new(settings("openai", &format!("{url}/v1"))).unwrap();
    let error = backend.probe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.retry, Retry::Soon);
    assert_eq!(error.code.as_deref(), Some("connection_refused"));
    assert!(!error.message.contains("127.0.0.1"), "{}", error.message);
}

#[tokio::test]
async fn a_name_nobody_has_is_unavailable() {
    // `.invalid` is reserved never to resolve.
    let backend = HostedBackend::new(settings("vllm", "http://freehold.invalid:8000/v1")).unwrap();
    let error = backend.probe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.code.as_deref(), Some("dns_failure"), "{error:?}");
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    for url in [
        "",
        "api.openai.com/v1",
        "ftp://api.openai.com",
        "http://user:secret@127.0.0.1/v1",
        "http://127.0.0.1/v1?key=1",
        "http://127.0.0.1/v1#x",
    ] {
        let error = HostedBackend::new(settings("openai", url)).unwrap_err();
        assert!(
            matches!(error, SettingsError::BaseUrl { .. }),
            "{url}: {error}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_key_does_not_cross_the_internet_in_the_clear() {
    let error = HostedBackend::new(settings("openai", "http://api.openai.com/v1")).unwrap_err();
    assert!(
        matches!(error, SettingsError::PlaintextKey { .. }),
        "{error}"
    );
    // Within the owner's perimeter that is the owner's business.
    HostedBackend::new(settings("vllm", "http://gpu-7.lan:8000/v1")).unwrap();
    let mut inside = settings("openai", "http://gpu-7.lan:8000/v1");
    inside.site.perimeter = Perimeter::Inside;
    HostedBackend::new(inside).unwrap();
}

#[test]
fn a_needed_key_is_missed_at_once() {
    let mut settings = settings("openai", "http://127.0.0.1:1/v1");
    settings.key = None;
    let error = HostedBackend::new(settings).unwrap_err();
    assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
}

#[test]
fn no_path_of_a_row_leads_to_another_server() {
    for path in [
        "https://evil.example/v1/chat",
        "//evil.example/chat",
        "http://127.0.0.1:2/x",
    ] {
        let mut row = crate::support::row("vllm");
        row.dialects[0].path = Some(path.to_owned());
        let mut settings = settings("vllm", "http://127.0.0.1:1/v1");
        settings.row = std::sync::Arc::new(row);
        let error = HostedBackend::new(settings).unwrap_err();
        assert!(
            matches!(error, SettingsError::Path { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn headers_of_the_connection_cannot_be_set_by_a_row() {
    for name in [
        "Host",
        "transfer-encoding",
        "Authorization",
        "connection",
        "bad name",
    ] {
        let mut row = crate::support::row("vllm");
        row.headers.insert(name.to_owned(), "x".to_owned());
        let mut settings = settings("vllm", "http://127.0.0.1:1/v1");
        settings.row = std::sync::Arc::new(row);
        let error = HostedBackend::new(settings).unwrap_err();
        assert!(
            matches!(error, SettingsError::Header { .. }),
            "{name}: {error}"
        );
    }
}
