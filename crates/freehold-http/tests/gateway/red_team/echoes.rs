//! Upstreams that say what they were told: keys and prompts in errors, codes and headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_testkit::{Fault, Script};
use serde_json::{Value, json};

use crate::canary::{Kind, Watch};
use crate::siege::{Attack, Siege};
use crate::support::{KEY, Surface, UPSTREAM_KEY};

fn status(status: u16, body: &Value) -> Script {
    Script::fault(Fault::Status {
        status,
        retry_after: None,
        body: Some(body.to_string()),
    })
}

/// Errors that hold a text wherever one can stand, in both vendors' shapes.
fn errors(text: &str) -> Vec<Script> {
    let everywhere =
        json!({"type": text, "message": format!("we got {text}"), "param": text, "code": text});
    let mut scripts: Vec<Script> = [400, 401, 429, 500]
        .into_iter()
        .flat_map(|code| {
            [
                status(code, &json!({"error": everywhere})),
                status(
                    code,
                    &json!({"type": "error", "error": everywhere, "request_id": text}),
                ),
                status(code, &json!({"detail": [text], "message": text})),
                status(code, &json!(text)),
            ]
        })
        .collect();
    scripts.push(Script {
        headers: [
            "x-request-id",
            "request-id",
            "x-debug",
            "set-cookie",
            "openai-organization",
        ]
        .map(|name| (name.to_owned(), text.to_owned()))
        .into(),
        ..Script::default()
    });
    scripts
}

/// Answers that hold it, whole and in streams.
fn answers(text: &str) -> Vec<Script> {
    let mut at_last = Script::text("one two three four five six");
    at_last.fault = Some(Fault::ErrorEvent {
        at: 3,
        error_type: Some(text.to_owned()),
    });
    vec![
        Script::text(text),
        Script::text(format!("one two three {text} four")),
        Script::tool_call("pay", json!({"key": text})),
        at_last,
    ]
}

#[tokio::test]
async fn an_upstream_that_echoes_the_gateways_key_is_not_repeated() {
    let keys = [
        format!("Bearer {UPSTREAM_KEY}"),
        STANDARD.encode(UPSTREAM_KEY),
    ];
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut watch = Watch::default();
            watch.add(UPSTREAM_KEY);
            let encoded = keys
                .iter()
                .flat_map(|key| errors(key).into_iter().step_by(5));
            let scripts = errors(UPSTREAM_KEY).into_iter().chain(encoded);
            let scripts = scripts.chain(answers(UPSTREAM_KEY));
            for script in scripts {
                // A breaker that opens would hide the next.
                let mut siege = Siege::start().await;
                let canary = siege.canary(Kind::Card);
                surface.first(&siege.bench).push(script.clone());
                siege.bench.beta.push(script.clone());
                let mut body = surface.body(surface.route(), stream, "one two");
                body["tools"] = match surface {
                    Surface::Chat => {
                        json!([{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}])
                    }
                    _ => json!([{"name": "pay", "input_schema": {"type": "object"}}]),
                };
                let (seen, _) = siege.attack(&canary, Attack::new(surface, &body)).await;
                let told = format!("{:?} {}", seen.headers, seen.text);
                assert_eq!(watch.finds(told.as_bytes()), None, "{script:?}: {seen:?}");
                siege.lift_watching(&[UPSTREAM_KEY, KEY]).await;
            }
        }
    }
}

/// An inside server that was told everything may quote it in its errors. They are the client's to
/// read, and nobody else's.
#[tokio::test]
async fn an_upstream_that_echoes_the_prompt_is_not_recorded() {
    for surface in Surface::BOTH {
        for kind in [Kind::Token, Kind::Card] {
            for place in 0..errors("").len() {
                let mut siege = Siege::start().await;
                let canary = siege.canary(kind);
                let script = errors(&canary.value).swap_remove(place);
                siege.bench.house.push(script.clone());
                let body = surface.body("home", place % 2 == 0, &canary.sentence());
                let (_, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!(out, 0, "{script:?}");
                siege.lift().await;
            }
        }
    }
}

/// A model's name in an answer is text of the upstream's.
#[tokio::test]
async fn an_upstream_that_hides_the_prompt_in_its_answer_is_not_recorded() {
    let mut siege = Siege::start().await;
    for field in [
        "model",
        "id",
        "system_fingerprint",
        "object",
        "service_tier",
    ] {
        let canary = siege.canary(Kind::Token);
        let mut answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "qwen",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        });
        answer[field] = json!(canary.value);
        siege.bench.house.push(status(200, &answer));
        let body = Surface::Chat.body("home", false, &canary.sentence());
        let (seen, out) = siege
            .attack(&canary, Attack::new(Surface::Chat, &body))
            .await;
        assert_eq!((seen.status, out), (200, 0), "{seen:?}");
    }
    siege.lift().await;
}
