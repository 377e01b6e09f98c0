//! The ways to hand a script to the fake, and the control endpoints and binary for other languages.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use crate::support::{chat, client, get, payloads, post, read_all, soon, with};
use freehold_testkit::{FakeUpstream, Script, unreachable_url};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn models_and_messages_carry_scripts() {
    let fake = FakeUpstream::start().await.unwrap();
    let status = async |model: &str, text: &str| {
        let body = with(chat(text), "model", json!(model));
        post(&fake, CHAT, &body).await.unwrap().status().as_u16()
    };
    assert_eq!(status("fake-429", "hi").await, 429);
    assert_eq!(status("vendor/fake-503", "hi").await, 503);
    assert_eq!(status("fake-small", "hi").await, 200);
    assert_eq!(status("m", "hi [[fake:529]]").await, 529);
    assert_eq!(
        status(
            "m",
            "hi [[fake:{\"fault\":{\"kind\":\"status\",\"status\":500}}]]"
        )
        .await,
        500
    );
    assert_eq!(status("m", "hi [[fake:no-such-thing]]").await, 400);
    let limited = post(
        &fake,
        CHAT,
        &with(chat("hi"), "model", json!("fake-429+retry-after-3")),
    )
    .await
    .unwrap();
    assert_eq!(limited.headers()["retry-after"], "3");
    let body = with(
        with(chat("a"), "model", json!("fake-tokens-4+end-3")),
        "stream",
        json!(true),
    );
    let (bytes, _) = read_all(post(&fake, CHAT, &body).await.unwrap()).await;
    assert_eq!(payloads(&bytes).len(), 3);
}

#[tokio::test]
async fn queued_scripts_wait_for_their_model() {
    let fake = FakeUpstream::start().await.unwrap();
    fake.push(Script::status(500).for_model("b"));
    fake.push(Script::text("scripted"));
    let first: Value = post(&fake, CHAT, &with(chat("x"), "model", json!("a")))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(first["choices"][0]["message"]["content"], "scripted");
    assert_eq!(fake.scripts_left(), 1);
    assert_eq!(
        post(&fake, CHAT, &with(chat("x"), "model", json!("b")))
            .await
            .unwrap()
            .status(),
        500
    );
    assert_eq!(fake.scripts_left(), 0);
}

#[tokio::test]
async fn headers_carry_scripts_without_taking_from_the_queue() {
    let fake = FakeUpstream::start().await.unwrap();
    fake.push(Script::status(500));
    let request = client()
        .build()
        .unwrap()
        .post(format!("{}{CHAT}", fake.url()))
        .json(&chat("x"));
    let answer = request
        .header("x-fake-script", r#"{"tokens": 3}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(
        answer.json::<Value>().await.unwrap()["usage"]["completion_tokens"],
        3
    );
    assert_eq!(fake.scripts_left(), 1);
}

#[tokio::test]
async fn the_control_endpoints_do_what_the_handle_does() {
    let fake = FakeUpstream::start().await.unwrap();
    let client = client().build().unwrap();
    let url = |path: &str| format!("{}{path}", fake.url());
    let script = json!([{ "tokens": 9, "gates": [4] }]);
    let queued = client
        .post(url("/__script"))
        .json(&script)
        .send()
        .await
        .unwrap();
    assert_eq!(
        queued.json::<Value>().await.unwrap(),
        json!({ "queued": 1 })
    );
    let refused = client
        .post(url("/__script"))
        .json(&json!({ "tokenz": 9 }))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 400);

    let response = post(&fake, CHAT, &with(chat("hi"), "stream", json!(true)))
        .await
        .unwrap();
    let log: Value = soon(client.get(url("/__wait?for=waiting")).send())
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(log["requests"][0]["tokens_sent"], 3);
    client.post(url("/__release")).send().await.unwrap();
    assert!(soon(read_all(response)).await.1);
    let log: Value = soon(client.get(url("/__wait?for=complete")).send())
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(log["totals"]["usage"]["completion_tokens"], 9);
    assert_eq!(log["requests"][0]["surface"], "open_ai_chat");
    assert!(log["requests"][0]["body_base64"].is_string());
    client.post(url("/__reset")).send().await.unwrap();
    let log: Value = client
        .get(url("/__log"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(log["requests"], json!([]));
}

#[tokio::test]
async fn the_binary_serves_until_its_input_closes() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold-fake-upstream"));
    command
        .args(["--until-stdin-closes", "--model", "m"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let models: Value = get(format!("{}/v1/models", url.trim()))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(models["data"][0]["id"], "m");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn only_loopback_and_dead_urls_are_dead() {
    let builder = FakeUpstream::builder().address("0.0.0.0:0".parse().unwrap());
    assert!(builder.start().await.is_err());
    assert!(
        get(unreachable_url().unwrap())
            .await
            .unwrap_err()
            .is_connect()
    );
    let fake = FakeUpstream::start().await.unwrap();
    let url = fake.url();
    assert_eq!(fake.totals().requests, 0);
    drop(fake);
    // The socket closes when the task is dropped, at the next turn of the runtime.
    while get(format!("{url}/health")).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
