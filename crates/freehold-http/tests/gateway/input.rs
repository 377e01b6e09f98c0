//! Requests that cannot be served: each gets an error body in its own dialect.

use freehold_types::OutcomeStatus;
use serde_json::json;

use crate::support::{BODY_BYTES_MAX, Bench, KEY, SPENT_KEY, Seen, Surface, seen};

async fn raw(bench: &Bench, surface: Surface, body: Vec<u8>) -> Seen {
    let request = bench
        .http
        .post(format!("{}{}", bench.url, surface.path()))
        .bearer_auth(KEY)
        .header("content-type", "application/json")
        .body(body);
    seen(request).await
}

#[tokio::test]
async fn bad_bodies_are_refused_in_the_clients_dialect() {
    let deep = format!(
        r#"{{"model":"single","max_tokens":5,"messages":[],"x":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let wrong = json!({"model": 7, "max_tokens": 5, "messages": "no"});
    let many = vec![b' '; BODY_BYTES_MAX + 1];
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let bodies = [
            (b"{\"model\": \"single\",".to_vec(), 400),
            (b"".to_vec(), 400),
            (b"[]".to_vec(), 400),
            (wrong.to_string().into_bytes(), 400),
            (b"{\"model\":\"\xff\xfe\"}".to_vec(), 400),
            (deep.clone().into_bytes(), 400),
            (many.clone(), 413),
        ];
        let count = bodies.len();
        for (body, status) in bodies {
            let refused = raw(&bench, surface, body).await;
            assert_eq!(refused.status, status, "{refused:?}");
            surface.error_type(&refused);
            assert!(refused.headers.contains_key("x-request-id"));
        }
        for outcome in bench.outcomes(count).await {
            assert_eq!(outcome.status, OutcomeStatus::Refused);
            assert_eq!(outcome.key.as_str(), "app");
            assert!(outcome.http_status == 400 || outcome.http_status == 413);
        }
        assert!(bench.alpha.requests().is_empty());
    }
}

/// Whose request it was is known before its body is read.
#[tokio::test]
async fn what_does_not_pass_the_door_counts_for_its_team_and_flow() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let refused = seen(bench.post_as(SPENT_KEY, surface, &json!([]))).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let outcome = &bench.outcomes(1).await[0];
        assert_eq!(outcome.key.as_str(), "spent");
        assert_eq!(outcome.team.as_ref().unwrap().as_str(), "acme/search");
        assert_eq!(outcome.flow.as_ref().unwrap().as_str(), "support");
    }
}

/// A body of unknown length is cut off at the limit.
#[tokio::test]
async fn a_chunked_body_is_bounded_too() {
    let bench = Bench::start().await;
    let piece = vec![b' '; BODY_BYTES_MAX / 4];
    let pieces = (0..8).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let request = bench
        .http
        .post(format!("{}/v1/messages", bench.url))
        .bearer_auth(KEY)
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(
            pieces,
        )));
    let refused = seen(request).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    Surface::Messages.error_type(&refused);
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let body = surface.body("single", false, "hi");
        let request = bench
            .post(surface, &body)
            .header("content-encoding", "gzip");
        let refused = seen(request).await;
        assert_eq!(refused.status, 415, "{refused:?}");
        surface.error_type(&refused);
        assert!(refused.text.contains("content-encoding") || refused.text.contains("compressed"));
    }
}

#[tokio::test]
async fn unknown_models_are_not_found() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let refused = bench
            .ask(surface, &surface.body("pairr", false, "hi"))
            .await;
        assert_eq!(refused.status, 404, "{refused:?}");
        surface.error_type(&refused);
        assert!(refused.text.contains("pair"), "{refused:?}");
        let outcome = &bench.outcomes(1).await[0];
        assert_eq!(outcome.status, OutcomeStatus::Refused);
        assert_eq!(outcome.http_status, 404);
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_say_so() {
    let bench = Bench::start().await;
    let url = |path: &str| format!("{}{path}", bench.url);
    let unknown = seen(bench.http.post(url("/v1/embeddings"))).await;
    assert_eq!(unknown.status, 404);
    Surface::Chat.error_type(&unknown);
    let version = |request: reqwest::RequestBuilder| request.header("anthropic-version", "x");
    let unknown = seen(version(bench.http.post(url("/v1/complete")))).await;
    assert_eq!(unknown.status, 404);
    Surface::Messages.error_type(&unknown);

    let wrong = seen(bench.http.get(url("/v1/chat/completions"))).await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.header("allow"), "POST");
    Surface::Chat.error_type(&wrong);
    // The path already says which dialect its clients speak.
    let wrong = seen(bench.http.get(url("/v1/messages"))).await;
    assert_eq!(wrong.status, 405);
    Surface::Messages.error_type(&wrong);
    assert!(bench.ledger.outcomes().is_empty());
}
