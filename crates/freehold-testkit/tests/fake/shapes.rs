//! The fake's answers look like the vendors'.

use crate::support::{chat, client, messages, payloads, post, read_all, with};
use freehold_testkit::{FakeUpstream, ReportedUsage, RequestEnd, Script, UsageScript};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

#[tokio::test]
async fn chat_echoes_and_counts() {
    let fake = FakeUpstream::start().await.unwrap();
    let usage = UsageScript {
        prompt_tokens: Some(50),
        cached_tokens: 20,
        reasoning_tokens: 7,
        ..Default::default()
    };
    fake.push(Script::default().with_usage(usage));
    let response = post(&fake, CHAT, &chat("one two three")).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "req_fake00000000");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        body,
        json!({
            "id": "chatcmpl-fake00000000", "object": "chat.completion", "created": 1_760_000_000_u64,
            "model": "gpt-4o", "service_tier": "default", "system_fingerprint": "fp_fake000001",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": "one two three", "refusal": null, "annotations": [] },
                "logprobs": null, "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60,
                "prompt_tokens_details": { "cached_tokens": 20, "audio_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 7, "audio_tokens": 0,
                    "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
            },
        })
    );
    let record = &fake.requests()[0];
    assert_eq!(
        (record.end, record.status),
        (RequestEnd::Complete, Some(200))
    );
    assert_eq!(
        (record.usage.prompt_tokens, record.usage.completion_tokens),
        (50, 10)
    );
    assert_eq!(record.json().unwrap(), chat("one two three"));
}

#[tokio::test]
async fn chat_streams_one_token_per_chunk_and_usage_on_request() {
    let fake = FakeUpstream::start().await.unwrap();
    for include_usage in [false, true] {
        let body = with(chat("a b c"), "stream", json!(true));
        let body = with(
            body,
            "stream_options",
            json!({ "include_usage": include_usage }),
        );
        let (bytes, clean) = read_all(post(&fake, CHAT, &body).await.unwrap()).await;
        assert!(clean && bytes.ends_with(b"data: [DONE]\n\n"));
        let chunks = payloads(&bytes);
        let texts: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(texts, ["", "a", " b", " c"]);
        assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
        assert_eq!(chunks.len(), if include_usage { 6 } else { 5 });
        assert_eq!(chunks[0].get("usage").is_some(), include_usage);
        if include_usage {
            assert_eq!(chunks[5]["choices"], json!([]));
            assert_eq!(chunks[5]["usage"]["completion_tokens"], 3);
        }
    }
    let record = &fake.requests()[0];
    assert_eq!(
        (
            record.chunks_sent,
            record.tokens_sent,
            record.usage.completion_tokens
        ),
        (5, 3, 3)
    );
}

#[tokio::test]
async fn messages_stream_has_the_vendor_s_events() {
    let fake = FakeUpstream::start().await.unwrap();
    let body = with(messages("hello there"), "stream", json!(true));
    let body = with(
        body,
        "thinking",
        json!({ "type": "enabled", "budget_tokens": 1024 }),
    );
    let usage = UsageScript {
        prompt_tokens: Some(9),
        cached_tokens: 4,
        cache_write_tokens: 2,
        ..Default::default()
    };
    fake.push(
        Script {
            thinking: Some("Hm well".into()),
            ..Script::default()
        }
        .with_usage(usage),
    );
    let (bytes, _) = read_all(post(&fake, MESSAGES, &body).await.unwrap()).await;
    let events = payloads(&bytes);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 3);
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], 4);
    assert_eq!(events[5]["delta"]["type"], "signature_delta");
    assert_eq!(
        events[9]["delta"],
        json!({ "type": "text_delta", "text": " there" })
    );
    assert_eq!(events[11]["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[11]["usage"]["output_tokens"], 4);
    let usage = fake.requests()[0].usage;
    assert_eq!(
        (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens
        ),
        (9, 4, 2)
    );
}

#[tokio::test]
async fn tools_are_called_in_parallel_with_fragmented_arguments() {
    let fake = FakeUpstream::start().await.unwrap();
    let script =
        Script::tool_call("weather", json!({ "city": "Paris" })).with_tool_call("time", json!({}));
    fake.push(script.clone());
    let body = with(chat("hi"), "stream", json!(true));
    let (bytes, _) = read_all(post(&fake, CHAT, &body).await.unwrap()).await;
    let chunks = payloads(&bytes);
    let mut arguments = [String::new(), String::new()];
    for call in chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
    {
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        arguments[index] += call["function"]["arguments"].as_str().unwrap();
    }
    assert_eq!(arguments, [r#"{"city":"Paris"}"#, "{}"]);
    assert!(chunks.len() > 6, "the arguments come in fragments");
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );

    fake.push(script);
    let body: serde_json::Value = post(&fake, MESSAGES, &messages("hi"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(body["content"][0]["input"], json!({ "city": "Paris" }));
    assert_eq!(body["content"][1]["name"], "time");
    assert_eq!(body["stop_reason"], "tool_use");
}

#[tokio::test]
async fn forced_tools_and_schemas_get_fitting_values() {
    let fake = FakeUpstream::start().await.unwrap();
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "kind": { "enum": ["x", "y"] },
            "sizes": { "type": "array", "items": { "$ref": "#/$defs/size" } } },
        "$defs": { "size": { "type": "integer", "minimum": 3 } },
    });
    let fitting = json!({ "name": "word", "kind": "x", "sizes": [3] });
    let tool = json!({ "type": "function", "function": { "name": "save", "parameters": schema } });
    let body = with(
        with(chat("word"), "tools", json!([tool])),
        "tool_choice",
        json!("required"),
    );
    let answer: serde_json::Value = post(&fake, CHAT, &body)
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "save");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(call["arguments"].as_str().unwrap()).unwrap(),
        fitting
    );

    let format = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
    let body = with(chat("word"), "response_format", format);
    let answer: serde_json::Value = post(&fake, CHAT, &body)
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(text).unwrap(),
        fitting
    );
}

#[tokio::test]
async fn limits_stops_refusals_choices_and_logprobs() {
    let fake = FakeUpstream::start().await.unwrap();
    let send = async |path: &str, body: serde_json::Value| -> serde_json::Value {
        post(&fake, path, &body)
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let limited = send(CHAT, with(chat("a b c"), "max_completion_tokens", json!(2))).await;
    assert_eq!(limited["choices"][0]["message"]["content"], "a b");
    assert_eq!(limited["choices"][0]["finish_reason"], "length");
    let stopped = send(
        MESSAGES,
        with(messages("a b STOP c"), "stop_sequences", json!(["STOP"])),
    )
    .await;
    assert_eq!(stopped["content"][0]["text"], "a b ");
    assert_eq!(
        (&stopped["stop_reason"], &stopped["stop_sequence"]),
        (&json!("stop_sequence"), &json!("STOP"))
    );
    let refused = send(CHAT, chat("[[fake:refusal]] please")).await;
    assert_eq!(
        refused["choices"][0]["message"]["refusal"],
        "I cannot help with that."
    );
    let twice = send(
        CHAT,
        with(with(chat("a b"), "n", json!(2)), "logprobs", json!(true)),
    )
    .await;
    assert_eq!(twice["choices"][1]["message"]["content"], "a b");
    assert_eq!(twice["choices"][1]["logprobs"]["content"][1]["token"], " b");
    assert_eq!(twice["usage"]["completion_tokens"], 4);
    let legacy = send(
        "/v1/completions",
        json!({ "model": "m", "prompt": "say this" }),
    )
    .await;
    assert_eq!(legacy["choices"][0]["text"], "say this");
    assert_eq!(legacy["object"], "text_completion");
    let counted = send(
        "/v1/messages/count_tokens",
        with(messages("a b"), "system", json!("be kind")),
    )
    .await;
    assert_eq!(counted, json!({ "input_tokens": 4 }));
}

#[tokio::test]
async fn usage_can_be_missing_zero_or_wrong() {
    let fake = FakeUpstream::start().await.unwrap();
    let wrong = ReportedUsage::Wrong {
        prompt_tokens: 1,
        completion_tokens: 2,
    };
    for report in [ReportedUsage::Missing, ReportedUsage::Zero, wrong] {
        for path in [CHAT, MESSAGES] {
            fake.push(Script::default().with_usage(UsageScript {
                report: report.clone(),
                ..Default::default()
            }));
            let body = if path == CHAT {
                chat("a b c")
            } else {
                messages("a b c")
            };
            let answer: serde_json::Value = post(&fake, path, &body)
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let output = &answer["usage"][if path == CHAT {
                "completion_tokens"
            } else {
                "output_tokens"
            }];
            let expected = match report {
                ReportedUsage::Zero => json!(0),
                ReportedUsage::Wrong {
                    completion_tokens, ..
                } => json!(completion_tokens),
                _ => json!(null),
            };
            assert_eq!(*output, expected, "{report:?} {path}");
        }
    }
    assert!(
        fake.requests()
            .iter()
            .all(|record| record.usage.completion_tokens == 3),
        "the true count stays"
    );
}

#[tokio::test]
async fn bad_requests_and_keys_get_vendor_errors() {
    let fake = FakeUpstream::builder()
        .key("sk-good")
        .models(["m"])
        .start()
        .await
        .unwrap();
    let client = client().build().unwrap();
    let denied = post(&fake, CHAT, &chat("hi")).await.unwrap();
    assert_eq!(denied.status(), 401);
    let url = |path: &str| format!("{}{path}", fake.url());
    let listed = client
        .get(url("/v1/models"))
        .bearer_auth("sk-good")
        .send()
        .await
        .unwrap();
    assert_eq!(
        listed.json::<serde_json::Value>().await.unwrap()["data"][0]["id"],
        "m"
    );
    let bad = client
        .post(url(MESSAGES))
        .header("x-api-key", "sk-good")
        .json(&messages("x"))
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 400);
    let error = bad.json::<serde_json::Value>().await.unwrap();
    assert_eq!(
        error["error"]["message"],
        "anthropic-version: header is required"
    );
    let body = json!({ "model": "m" });
    let bad = client
        .post(url(CHAT))
        .bearer_auth("sk-good")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(
        bad.json::<serde_json::Value>().await.unwrap()["error"]["param"],
        "messages"
    );
    let bad = client
        .post(url(CHAT))
        .bearer_auth("sk-good")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 400);
}
