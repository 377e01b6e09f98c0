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

async fn send(bench: &Bench, surface: Surface, stream: bool) -> reqwest::Response {
    let request = client()
        .post(format!("{}{}", bench.url, surface.path()))
        .bearer_auth(KEY)
        .json(&surface.body("single", stream, NUMBERS));
    soon(request.send()).await.unwrap()
}

/// The slot is free and nothing is in flight, seen by the next request.
async fn next_is_served(bench: &Bench, surface: Surface) {
    let seen = bench
        .ask(surface, &surface.body("single", false, NUMBERS))
        .await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let outcomes = bench.outcomes(2).await;
    assert_eq!(outcomes[1].status, OutcomeStatus::Completed);
    assert_eq!(in_flight(&outcomes[1]), 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_stops_the_upstream() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        bench.alpha.push(Script::tokens(50).with_gate(6));
        let response = send(&bench, surface, true).await;
        soon(bench.alpha.wait_for_waiting(1)).await;
        surface.read_tokens(response, 5).await;

        soon(bench.alpha.wait_for_abort(1)).await;
        let outcome = bench.outcomes(1).await.remove(0);
        assert_eq!(outcome.status, OutcomeStatus::Cancelled);
        assert_eq!(outcome.http_status, 200);
        assert!(outcome.streamed);
        assert_eq!(outcome.attempts.len(), 1);
        assert!(outcome.attempts[0].error.is_none());
        let sent = bench.alpha.requests()[0].usage.completion_tokens;
        assert_eq!(sent, 5);
        // Nobody reports the usage of a cut stream: an estimate, which five short words can put off
        // by one.
        let estimate = outcome.usage.output_tokens;
        assert!(estimate.abs_diff(sent) <= 1, "{estimate} of {sent}");
        assert!(outcome.usage.input_tokens > 0);
        assert_eq!(outcome.usage.basis, UsageBasis::Estimated);
        assert!(outcome.cost.unwrap().nanos() > 0);
        next_is_served(&bench, surface).await;
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
                response = send(&bench, surface, stream) => panic!("{response:?}"),
                () = waiting => {}
            }
            soon(bench.alpha.wait_for_abort(1)).await;
            let outcome = bench.outcomes(1).await.remove(0);
            assert_eq!(outcome.status, OutcomeStatus::Cancelled);
            assert_eq!(outcome.http_status, 499);
            assert_eq!(outcome.attempts.len(), 1);
            assert!(outcome.usage.input_tokens > 0);
            assert_eq!(outcome.usage.output_tokens, 0);
            next_is_served(&bench, surface).await;
        }
    }
}

/// The upstream has begun its body, and the client of a whole answer goes.
#[tokio::test]
async fn a_client_that_leaves_a_half_read_body_is_cancelled() {
    let bench = Bench::start().await;
    bench.alpha.push(Script::default().with_gate(1));
    tokio::select! {
        response = send(&bench, Surface::Chat, false) => panic!("{response:?}"),
        () = bench.alpha.wait_for_waiting(1) => {}
    }
    soon(bench.alpha.wait_for_abort(1)).await;
    let outcome = bench.outcomes(1).await.remove(0);
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    next_is_served(&bench, Surface::Chat).await;
}
