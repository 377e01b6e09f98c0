//! Clients that leave.

use freehold_testkit::Script;
use freehold_types::{OutcomeStatus, UsageBasis};

use crate::support::{Bench, KEY, Surface, client, soon};

const NUMBERS: &str = "one two three four five six seven eight nine ten";

/// Requests that a deployment was serving when the last one was decided.
fn in_flight(outcome: &freehold_types::Outcome) -> u32 {
    let decision = outcome.decision.as_ref().unwrap();
    decision.inputs.candidates[0].in_flight
}

async fn send(bench: &Bench, surface: Surface, route: &str, stream: bool) -> reqwest::Response {
    let request = client()
        .post(format!("{}{}", bench.url, surface.path()))
        .bearer_auth(KEY)
        .json(&surface.body(route, stream, NUMBERS));
    soon(request.send()).await.unwrap()
}

/// The slot is free and nothing is in flight, seen by the next request.
async fn next_is_served(bench: &Bench, surface: Surface, route: &str) {
    let seen = bench
        .ask(surface, &surface.body(route, false, NUMBERS))
        .await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let outcomes = bench.outcomes(2).await;
    assert_eq!(outcomes[1].status, OutcomeStatus::Completed);
    assert_eq!(in_flight(&outcomes[1]), 0);
}

/// Killed at chunk 5, before any upstream has reported its usage: the ledger has what the upstream
/// counted, on every way through the gateway.
#[tokio::test]
async fn a_client_that_leaves_a_stream_stops_the_upstream() {
    for (surface, route) in [
        // A known tokenizer; none; none, and the prompt's tokens reported at the beginning.
        (Surface::Chat, "single"),
        (Surface::Chat, "inside"),
        (Surface::Chat, "claude"),
        (Surface::Messages, "single"),
        (Surface::Messages, "inside"),
        (Surface::Messages, "claude"),
        (Surface::Completions, "legacy"),
    ] {
        let bench = Bench::start().await;
        let upstream = match route {
            "claude" => &bench.claude,
            "inside" => &bench.house,
            _ => &bench.alpha,
        };
        upstream.push(Script::tokens(50).with_gate(6));
        let response = send(&bench, surface, route, true).await;
        soon(upstream.wait_for_waiting(1)).await;
        surface.read_tokens(response, 5).await;

        soon(upstream.wait_for_abort(1)).await;
        let outcome = bench.outcomes(1).await.remove(0);
        let context = format!("{surface:?} {route}: {outcome:?}");
        assert_eq!(outcome.status, OutcomeStatus::Cancelled, "{context}");
        assert_eq!(outcome.http_status, 200);
        assert!(outcome.streamed);
        assert_eq!(outcome.attempts.len(), 1);
        assert!(outcome.attempts[0].error.is_none());
        let counted = upstream.requests()[0].usage;
        assert_eq!(counted.completion_tokens, 5);
        assert_eq!(outcome.usage.output_tokens, 5, "{context}");
        if route == "claude" {
            assert_eq!(outcome.usage.input_tokens, counted.prompt_tokens);
        }
        assert!(outcome.usage.input_tokens > 0);
        assert_eq!(outcome.usage.basis, UsageBasis::Estimated);
        assert!(outcome.cost.unwrap().nanos() > 0);
        next_is_served(&bench, surface, route).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_stops_the_upstream() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let bench = Bench::start().await;
            bench.alpha.push(Script::default().with_gated_headers());
            let waiting = async {
                soon(bench.alpha.wait_for_waiting(1)).await;
            };
            tokio::select! {
                response = send(&bench, surface, "single", stream) => panic!("{response:?}"),
                () = waiting => {}
            }
            soon(bench.alpha.wait_for_abort(1)).await;
            let outcome = bench.outcomes(1).await.remove(0);
            assert_eq!(outcome.status, OutcomeStatus::Cancelled);
            assert_eq!(outcome.http_status, 499);
            assert_eq!(outcome.attempts.len(), 1);
            assert!(outcome.usage.input_tokens > 0);
            assert_eq!(outcome.usage.output_tokens, 0);
            next_is_served(&bench, surface, "single").await;
        }
    }
}

/// The upstream has begun its body, and the client of a whole answer goes.
#[tokio::test]
async fn a_client_that_leaves_a_half_read_body_is_cancelled() {
    let bench = Bench::start().await;
    bench.alpha.push(Script::default().with_gate(1));
    tokio::select! {
        response = send(&bench, Surface::Chat, "single", false) => panic!("{response:?}"),
        () = bench.alpha.wait_for_waiting(1) => {}
    }
    soon(bench.alpha.wait_for_abort(1)).await;
    let outcome = bench.outcomes(1).await.remove(0);
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    next_is_served(&bench, Surface::Chat, "single").await;
}
