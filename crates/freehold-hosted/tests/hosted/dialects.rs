//! What goes over the wire: unchanged where client and upstream speak alike, translated elsewhere.

use std::sync::Arc;

use freehold_policy::{Claim, Labels, MaskMethod, Masked, Rules, decide};
use freehold_ports::{Backend as _, Call, Timeouts};
use freehold_types::{Dialect, ErrorKind, Perimeter, Request, RequestId, Sensitivity, Site};
use serde_json::json;

use crate::support::{
    Bench, call_deployment, collect, hello, hello_anthropic, response, shown, text,
};

#[tokio::test]
async fn a_body_passes_unchanged_but_for_the_model() {
    let bench = Bench::new("openai").await;
    let body = r#"{ "messages" : [ {"role":"user","content":"caf\u00e9 \n one"} ],
        "x_unknown": {"b": 1.50, "a": [1e2, null]}, "model" :  "my/route"  , "max_tokens": 3, "temperature": 0.10 }"#;
    let request = freehold_wire::decode_request(
        Dialect::OpenaiChat,
        bytes::Bytes::from_static(body.as_bytes()),
        &freehold_wire::Limits::default(),
    )
    .unwrap();
    let mut call = bench.call(Dialect::OpenaiChat, hello(false));
    call.request = Arc::new(request);
    let chunks = collect(bench.backend.start(call).await.unwrap())
        .await
        .unwrap();

    let sent = bench.fake.requests().remove(0).body;
    let expected = body.replace("\"my/route\"", "\"gpt-4o\"");
    assert_eq!(std::str::from_utf8(&sent).unwrap(), expected);
    // And the answer comes with the very bytes of the upstream.
    let raw = shown(&chunks);
    assert!(raw.contains("\"chat.completion\""), "{raw}");
    assert_eq!(chunks.len(), 1);
}

#[tokio::test]
async fn a_stream_passes_unchanged_without_the_usage_nobody_asked_for() {
    let bench = Bench::new("openai").await;
    let plain = bench.answer(hello(true)).await.unwrap();
    let mut asking = hello(true);
    asking["stream_options"] = json!({"include_usage": true});
    let asked = bench.answer(asking).await.unwrap();

    let requests = bench.fake.requests();
    for request in &requests {
        assert_eq!(
            request.json().unwrap()["stream_options"]["include_usage"],
            true
        );
    }
    assert!(plain.iter().any(|chunk| chunk.hidden));
    assert!(!shown(&plain).contains("\"prompt_tokens\""));
    assert!(!asked.iter().any(|chunk| chunk.hidden));
    assert!(shown(&asked).contains("\"prompt_tokens\""));
    for chunks in [plain, asked] {
        assert!(shown(&chunks).ends_with("data: [DONE]\n\n"));
        assert_eq!(response(&chunks).usage.unwrap().output_tokens, 4);
    }
}

#[tokio::test]
async fn each_client_reaches_each_vendor() {
    for (row, spoken) in [
        ("openai", Dialect::OpenaiChat),
        ("anthropic", Dialect::AnthropicMessages),
        ("vllm", Dialect::OpenaiChat),
    ] {
        for client in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            for stream in [false, true] {
                let bench = Bench::new(row).await;
                let body = match client {
                    Dialect::AnthropicMessages => hello_anthropic(stream),
                    _ => hello(stream),
                };
                let answer = bench.start(client, body).await.unwrap();
                let chunks = collect(answer).await.unwrap();
                assert_eq!(text(&chunks).trim(), "one two three four");
                let dialects = chunks.iter().filter_map(|chunk| chunk.raw.as_ref());
                assert!(dialects.clone().all(|(dialect, _)| *dialect == spoken));
                let path = bench.fake.requests().remove(0).path;
                let expected = format!("/v1{}", freehold_wire::path(spoken));
                assert_eq!(path, expected, "{row} {client}");
            }
        }
    }
}

#[tokio::test]
async fn a_raw_completion_goes_to_its_own_path() {
    let bench = Bench::new("vllm").await;
    let body = json!({"model": "route", "prompt": "one two three"});
    let answer = bench
        .start(Dialect::OpenaiCompletions, body.clone())
        .await
        .unwrap();
    collect(answer).await.unwrap();
    assert_eq!(bench.fake.requests().remove(0).path, "/v1/completions");

    // What cannot be expressed is refused without asking the upstream.
    let bench = Bench::new("anthropic").await;
    let error = bench
        .start(Dialect::OpenaiCompletions, body)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(bench.fake.requests().is_empty());
}

#[tokio::test]
async fn requests_carry_what_they_should_and_nothing_more() {
    let bench = Bench::new("openai").await;
    let mut call = bench.call(Dialect::OpenaiChat, hello(true));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    call.traceparent = freehold_types::TraceParent::parse(trace);
    let id = call.id.to_string();
    collect(bench.backend.start(call).await.unwrap())
        .await
        .unwrap();
    let request = bench.fake.requests().remove(0);
    let mut names: Vec<_> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "traceparent",
            "user-agent",
            "x-request-id",
        ]
    );
    assert_eq!(request.header("x-request-id"), Some(id.as_str()));
    assert_eq!(request.header("traceparent"), Some(trace));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .starts_with("freehold/")
    );
}

/// A passage to one place cannot be used at another, even one of the same name.
#[tokio::test]
async fn a_call_for_another_place_is_not_sent() {
    let bench = Bench::new("openai").await;
    let permit = decide(
        &Rules::open(),
        &Labels {
            default: Sensitivity::Public,
            route: None,
            key: None,
            claim: Claim::None,
            scan: &freehold_guard::Scan::default(),
        },
        [],
    )
    .unwrap();
    let honest = bench.call(Dialect::OpenaiChat, hello(false));
    for change in [
        (|deployment: &mut freehold_types::Deployment| {
            deployment.site = Site::inside();
            assert_eq!(deployment.site.perimeter, Perimeter::Inside);
        }) as fn(&mut freehold_types::Deployment),
        |deployment| deployment.backend = "other".into(),
    ] {
        let mut deployment = (*honest.deployment).clone();
        change(&mut deployment);
        let passage = permit.passage(&deployment).unwrap();
        let call = Call::new(
            passage,
            Arc::new(deployment),
            Arc::clone(&honest.request),
            Timeouts::default(),
            RequestId::at(1),
        )
        .unwrap();
        let error = bench.backend.start(call).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Internal);
    }
    assert!(bench.fake.requests().is_empty());
}

/// The client's own bytes would tell what masking replaced.
#[tokio::test]
async fn a_masked_request_holds_nothing_of_what_it_came_with() {
    let bench = Bench::new("openai").await;
    let honest = bench.call(Dialect::OpenaiChat, hello(false));
    let permit = decide(
        &Rules::open(),
        &Labels {
            default: Sensitivity::Internal,
            route: None,
            key: None,
            claim: Claim::None,
            scan: &freehold_guard::Scan::default(),
        },
        [],
    )
    .unwrap();
    let receipt = Masked::of([("email_address".into(), MaskMethod::Pseudonym)]);
    let call = |request: Arc<Request>| {
        let passage = permit.passage_masked(&honest.deployment, &receipt).unwrap();
        let deployment = Arc::clone(&honest.deployment);
        Call::new(
            passage,
            deployment,
            request,
            Timeouts::default(),
            RequestId::at(1),
        )
    };
    assert!(honest.request.raw.is_some());
    let error = call(Arc::clone(&honest.request)).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Internal);
    let masked = Request {
        raw: None,
        ..(*honest.request).clone()
    };
    assert!(call(Arc::new(masked)).is_ok());
}

/// Older Claude models take a budget of thinking tokens, newer ones an effort.
#[tokio::test]
async fn a_model_may_differ_from_its_row() {
    let bench = Bench::new("anthropic").await;
    let mut body = hello(false);
    body["reasoning_effort"] = json!("low");
    for (model, kind) in [
        ("claude-haiku-4-5", "enabled"),
        ("claude-haiku-5-5", "adaptive"),
    ] {
        let row = bench.backend.row();
        let deployments = row.deployments(bench.backend.id(), bench.backend.site());
        let deployment = deployments
            .into_iter()
            .find(|known| known.model == model)
            .unwrap();
        let call = call_deployment(deployment, Dialect::OpenaiChat, body.clone());
        drop(bench.backend.start(call).await);
        let sent = bench.fake.requests().pop().unwrap().json().unwrap();
        assert_eq!(sent["model"], model);
        assert_eq!(sent["thinking"]["type"], kind, "{sent}");
    }
}
