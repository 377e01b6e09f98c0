//! What the gateway says about an answer, and what it passes on.

use freehold_testkit::{Fault, Script};
use freehold_types::OutcomeStatus;
use serde_json::{Value, json};

use crate::support::{Bench, KEY, NARROW_KEY, Surface, seen};

#[tokio::test]
async fn every_answer_says_where_it_came_from() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let bench = Bench::start().await;
            let seen = bench
                .ask(surface, &surface.body("single", stream, "one two"))
                .await;
            assert_eq!(seen.status, 200, "{seen:?}");
            assert_eq!(seen.header("x-freehold-deployment"), "alpha/gpt-4.1");
            assert!(seen.header("x-freehold-decision").contains("ordered"));
            assert_eq!(seen.header("x-freehold-attempts"), "1");
            let overhead: f64 = seen.header("x-freehold-overhead-ms").parse().unwrap();
            assert!(overhead > 0.0);
            assert_eq!(seen.header("x-request-id"), seen.header("request-id"));
            assert_eq!(seen.headers.contains_key("x-freehold-cost"), !stream);
            let outcome = &bench.outcomes(1).await[0];
            assert_eq!(outcome.status, OutcomeStatus::Completed);
            assert_eq!(outcome.usage.output_tokens, 2);
            let cost = outcome.cost.unwrap();
            assert!(cost.nanos() > 0);
            if stream {
                // Nobody knew when the headers went out: it comes right before the end.
                let comment = format!(": x-freehold-cost {cost}");
                let frames: Vec<_> = seen.text.split_terminator("\n\n").collect();
                let place = frames.iter().position(|frame| *frame == comment);
                let place = place.unwrap_or_else(|| panic!("{seen:?}"));
                assert!(place > 1, "{seen:?}");
                let (text, failed) = surface.stream(&seen.text);
                assert_eq!((text.as_str(), failed), ("one two", false));
            } else {
                assert_eq!(seen.header("x-freehold-cost"), cost.to_string());
            }
        }
    }
}

#[tokio::test]
async fn an_owned_machine_costs_its_time() {
    let bench = Bench::start().await;
    let seen = bench
        .ask(Surface::Chat, &Surface::Chat.body("inside", false, "hi"))
        .await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let outcome = &bench.outcomes(1).await[0];
    let cost = outcome.attempts[0].cost.unwrap();
    assert!(cost.total.nanos() > 0, "{outcome:?}");
}

/// A client of the upstream's dialect gets, and is sent, the very bytes, but for the model.
#[tokio::test]
async fn the_same_dialect_passes_through_unchanged() {
    let bench = Bench::start().await;
    let sent = r#"{ "messages" : [ {"content":"one  two","role":"user","x_odd":[1e3,1.50]} ],
        "x_vendor": {"deep": null}, "model" : "single", "temperature":0.70 }"#;
    let request = bench
        .http
        .post(format!("{}/v1/chat/completions", bench.url))
        .bearer_auth(KEY)
        .header("content-type", "application/json")
        .body(sent);
    let seen = seen(request).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let received = bench.alpha.requests()[0].body.clone();
    let expected = sent.replace(r#""single""#, r#""gpt-4.1""#);
    assert_eq!(std::str::from_utf8(&received).unwrap(), expected);
    assert_eq!(seen.json()["system_fingerprint"], "fp_fake000001");
}

/// What a client is told its request cost is what all attempts cost.
#[tokio::test]
async fn the_cost_of_a_fallback_is_told_too() {
    for stream in [false, true] {
        let bench = Bench::start().await;
        // Dies when the prompt has been read: that is billed.
        bench
            .alpha
            .push(Script::default().with_fault(Fault::Close { at: 1 }));
        let body = Surface::Chat.body("pair", stream, "one two");
        let seen = bench.ask(Surface::Chat, &body).await;
        let outcome = &bench.outcomes(1).await[0];
        assert_eq!(outcome.attempts.len(), 2);
        let cost = outcome.cost.unwrap().to_string();
        if stream {
            assert!(outcome.attempts[0].cost.unwrap().total.nanos() > 0);
            assert!(seen.text.contains(&format!(": x-freehold-cost {cost}\n\n")));
        } else {
            assert_eq!(seen.header("x-freehold-cost"), cost);
        }
    }
}

/// Betas belong to the dialect: they go on to upstreams that speak it, and to no other.
#[tokio::test]
async fn anthropic_betas_are_handed_on_within_the_dialect() {
    let bench = Bench::start().await;
    for (route, upstream, expected) in [
        ("claude", &bench.claude, Some("files-api-2025-04-14,other")),
        ("single", &bench.alpha, None),
    ] {
        let body = Surface::Messages.body(route, false, "hi");
        let request = bench
            .post(Surface::Messages, &body)
            .header("anthropic-beta", "files-api-2025-04-14, other, no name");
        let seen = seen(request).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert_eq!(upstream.requests()[0].header("anthropic-beta"), expected);
    }
}

#[tokio::test]
async fn what_the_upstream_was_not_told_is_named() {
    for stream in [false, true] {
        let bench = Bench::start().await;
        let mut body = Surface::Messages.body("single", stream, "hi");
        body["messages"][0]["content"] = json!([{
            "type": "text",
            "text": "hi",
            "cache_control": {"type": "ephemeral", "x": "secret"},
        }]);
        let told = bench.ask(Surface::Messages, &body).await;
        assert_eq!(told.status, 200, "{told:?}");
        let left_out = told.header("x-freehold-left-out");
        assert_eq!(left_out, "messages[0].content[0].cache_control");
        // The upstream's own dialect has a word for it.
        body["model"] = json!("claude");
        let told = bench.ask(Surface::Messages, &body).await;
        assert!(!told.headers.contains_key("x-freehold-left-out"));
    }
}

/// The client's key stays here, and the backend's key never comes back.
#[tokio::test]
async fn keys_do_not_cross() {
    let bench = Bench::start().await;
    let body = Surface::Chat.body("single", false, "hi");
    let seen = bench.ask(Surface::Chat, &body).await;
    assert!(!format!("{seen:?}").contains("sk-test"));
    let request = &bench.alpha.requests()[0];
    assert!(
        request
            .headers
            .iter()
            .all(|(_, value)| !value.contains(KEY))
    );
}

/// The usage chunk that the gateway asks for does not reach a client that did not.
#[tokio::test]
async fn a_usage_chunk_comes_only_when_asked_for() {
    let bench = Bench::start().await;
    let mut body = Surface::Chat.body("single", true, "one two three");
    let plain = bench.ask(Surface::Chat, &body).await;
    assert!(!plain.text.contains("prompt_tokens"), "{plain:?}");
    body["stream_options"] = json!({"include_usage": true});
    let asked = bench.ask(Surface::Chat, &body).await;
    assert!(asked.text.contains("prompt_tokens"), "{asked:?}");
    for outcome in bench.outcomes(2).await {
        assert_eq!(outcome.usage.output_tokens, 3);
    }
}

#[tokio::test]
async fn models_are_those_the_key_may_name() {
    let bench = Bench::start().await;
    let ids = async |key: &str| -> Vec<String> {
        let request = bench
            .http
            .get(format!("{}/v1/models", bench.url))
            .bearer_auth(key);
        let list = seen(request).await.json();
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(NARROW_KEY).await, ["claude"]);
    let all = ids(KEY).await;
    for name in ["auto", "pair", "house/qwen"] {
        assert!(all.iter().any(|id| id == name), "{all:?}");
    }
    let one = bench
        .http
        .get(format!("{}/v1/models/house/qwen", bench.url))
        .bearer_auth(KEY);
    assert_eq!(seen(one).await.json()["id"], "house/qwen");
    let none = bench
        .http
        .get(format!("{}/v1/models/pair", bench.url))
        .bearer_auth(NARROW_KEY);
    assert_eq!(seen(none).await.status, 404);
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let bench = Bench::start().await;
    let body = json!({"model": "claude", "messages": [{"role": "user", "content": "one two"}]});
    let request = bench
        .http
        .post(format!("{}/v1/messages/count_tokens", bench.url))
        .header("x-api-key", KEY)
        .json(&body);
    let seen = seen(request).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(seen.json()["input_tokens"], 2);
    assert!(bench.ledger.outcomes().is_empty());
}

#[tokio::test]
async fn a_draining_gateway_is_not_ready_and_takes_nothing() {
    let bench = Bench::start().await;
    let get = |path: &str| bench.http.get(format!("{}{path}", bench.url));
    let ready = seen(get("/health/readiness")).await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["deployments"], 6);

    bench.pipeline.drain();
    assert_eq!(seen(get("/health/readiness")).await.status, 503);
    assert_eq!(seen(get("/health/liveliness")).await.status, 200);
    for surface in Surface::BOTH {
        let refused = bench
            .ask(surface, &surface.body("single", true, "hi"))
            .await;
        assert_eq!(refused.status, 503, "{refused:?}");
        surface.error_type(&refused);
    }
    assert!(bench.alpha.requests().is_empty());
}

#[tokio::test]
async fn without_a_ledger_nothing_is_asked() {
    let bench = Bench::start().await;
    bench.ledger.fail_with(Some("the disk is full"));
    let body = Surface::Chat.body("single", true, "hi");
    let refused = bench.ask(Surface::Chat, &body).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(bench.alpha.requests().is_empty());
    let request = bench.http.get(format!("{}/health/readiness", bench.url));
    assert_eq!(seen(request).await.status, 503);
}

/// Answers of tools and odd shapes come through on both surfaces.
#[tokio::test]
async fn a_tool_call_crosses_dialects() {
    let bench = Bench::start().await;
    bench
        .alpha
        .push(Script::tool_call("weather", json!({"city": "Ulm"})));
    let mut body = Surface::Messages.body("single", false, "weather?");
    body["tools"] = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
    let seen = bench.ask(Surface::Messages, &body).await;
    let answer: Value = seen.json();
    let call = answer["content"]
        .as_array()
        .unwrap()
        .iter()
        .find(|part| part["type"] == "tool_use")
        .unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(call["input"], json!({"city": "Ulm"}));
    assert_eq!(answer["stop_reason"], "tool_use");
}
