//! HTTP/2, and what becomes of connections when the gateway stops.

use std::time::Duration;

use freehold_testkit::Script;
use freehold_types::{ErrorKind, OutcomeStatus};
use reqwest::Version;
use tokio::net::TcpStream;

use crate::support::{Bench, KEY, Surface, soon};

const WORDS: &str = "one two three four five";

/// A client of HTTP/2 without TLS, which has to know that the gateway speaks it.
fn http2_client() -> reqwest::Client {
    reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap()
}

fn post(
    client: &reqwest::Client,
    bench: &Bench,
    surface: Surface,
    stream: bool,
) -> reqwest::RequestBuilder {
    client
        .post(format!("{}{}", bench.url, surface.path()))
        .bearer_auth(KEY)
        .json(&surface.body(surface.route(), stream, WORDS))
}

#[tokio::test]
async fn http2_clients_are_served() {
    let bench = Bench::start().await;
    let client = http2_client();
    for (number, surface) in Surface::ALL.into_iter().enumerate() {
        let response = soon(post(&client, &bench, surface, false).send())
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.status(), 200);
        let text = soon(response.text()).await.unwrap();
        let answer = serde_json::from_str(&text).unwrap();
        assert_eq!(surface.text(&answer).trim(), WORDS);

        let response = soon(post(&client, &bench, surface, true).send())
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let text = soon(response.text()).await.unwrap();
        let (text, failed) = surface.stream(&text);
        assert!(!failed);
        assert_eq!(text.trim(), WORDS);
        let outcomes = bench.outcomes(2 * (number + 1)).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.status == OutcomeStatus::Completed)
        );
    }
}

/// One stream of a connection that stops reading or goes leaves the others alone.
#[tokio::test]
async fn an_http2_stream_that_is_reset_is_one_client_that_left() {
    let bench = Bench::start().await;
    let client = http2_client();
    let surface = Surface::Messages;
    bench.claude.push(Script::tokens(50).with_gate(6));
    let response = soon(post(&client, &bench, surface, true).send())
        .await
        .unwrap();
    soon(bench.claude.wait_for_waiting(1)).await;
    surface.read_tokens(response, 5).await;
    soon(bench.claude.wait_for_abort(1)).await;
    let outcome = bench.outcomes(1).await.remove(0);
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    let response = soon(post(&client, &bench, surface, true).send())
        .await
        .unwrap();
    assert!(!surface.stream(&soon(response.text()).await.unwrap()).1);
}

/// Begins an answer that the upstream holds back after its second token; what came of it.
async fn begin(
    bench: &Bench,
    client: &reqwest::Client,
    surface: Surface,
) -> (reqwest::Response, String) {
    let upstream = surface.first(bench);
    upstream.push(Script::default().with_gate(3));
    let mut response = soon(post(client, bench, surface, true).send())
        .await
        .unwrap();
    soon(upstream.wait_for_waiting(1)).await;
    let seen = surface.read_some(&mut response, 2).await;
    (response, seen)
}

/// No connection is taken any more once this returns.
async fn listener_is_closed(bench: &Bench) {
    let address = bench.url.trim_start_matches("http://");
    while soon(TcpStream::connect(address)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_under_way_finish_after_a_stop() {
    for client in [crate::support::client(), http2_client()] {
        for surface in Surface::ALL {
            let mut bench = Bench::start().await;
            let (response, mut body) = begin(&bench, &client, surface).await;
            let stopped = bench.stop();
            listener_is_closed(&bench).await;
            assert!(!stopped.is_finished());
            surface.first(&bench).release_all();
            body.push_str(&soon(response.text()).await.unwrap());
            let (text, failed) = surface.stream(&body);
            assert!(!failed, "{body}");
            assert_eq!(text.trim(), WORDS);
            assert_eq!(soon(stopped).await.unwrap(), 0);
            let outcomes = bench.outcomes(1).await;
            assert_eq!(outcomes[0].status, OutcomeStatus::Completed);
        }
    }
}

#[tokio::test]
async fn answers_that_outlast_the_drain_get_one_clean_end() {
    for client in [crate::support::client(), http2_client()] {
        for surface in Surface::ALL {
            let mut bench = Bench::with_drain(Duration::from_millis(100)).await;
            let (response, mut body) = begin(&bench, &client, surface).await;
            let stopped = bench.stop();
            body.push_str(&soon(response.text()).await.unwrap());
            let (text, failed) = surface.stream(&body);
            assert!(failed, "{body}");
            assert_eq!(text.trim(), "one two");
            assert!(body.contains("shutting down"), "{body}");
            assert_eq!(soon(stopped).await.unwrap(), 1);
            soon(bench.pipeline.idle()).await;
            soon(surface.first(&bench).wait_for_abort(1)).await;
            let outcomes = bench.outcomes(1).await;
            assert_eq!(outcomes[0].status, OutcomeStatus::Failed);
            let error = outcomes[0].error.as_ref().unwrap();
            assert_eq!(error.kind, ErrorKind::Unavailable);
            assert_eq!(outcomes[0].usage.output_tokens, 2);
        }
    }
}

#[tokio::test]
async fn a_whole_answer_that_outlasts_the_drain_is_an_error() {
    for surface in Surface::ALL {
        let mut bench = Bench::with_drain(Duration::from_millis(100)).await;
        let upstream = surface.first(&bench);
        upstream.push(Script::default().with_gated_headers());
        let request = post(&bench.http, &bench, surface, false);
        let asked = tokio::spawn(request.send());
        soon(upstream.wait_for_waiting(1)).await;
        let stopped = bench.stop();
        let response = soon(asked).await.unwrap().unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(soon(stopped).await.unwrap(), 1);
        let outcomes = bench.outcomes(1).await;
        assert_eq!(outcomes[0].http_status, 503);
        assert_eq!(outcomes[0].attempts.len(), 1);
    }
}

/// A client that takes nothing cannot hold the stop up.
#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let mut bench = Bench::with_drain(Duration::from_millis(100)).await;
    // More than every buffer on the way holds.
    bench.alpha.push(Script::tokens(400_000));
    let request = post(&bench.http, &bench, Surface::Chat, true);
    let response = soon(request.send()).await.unwrap();
    assert_eq!(response.status(), 200);
    let stopped = bench.stop();
    assert_eq!(soon(stopped).await.unwrap(), 1);
    soon(bench.pipeline.idle()).await;
    assert_ne!(bench.outcomes(1).await[0].status, OutcomeStatus::Completed);
}
