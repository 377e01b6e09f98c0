//! What the tests of the fake share.

use std::time::Duration;

use freehold_testkit::FakeUpstream;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// A request body for OpenAI chat.
pub(crate) fn chat(text: &str) -> Value {
    json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] })
}

/// A request body for Anthropic messages.
pub(crate) fn messages(text: &str) -> Value {
    json!({ "model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{ "role": "user", "content": text }] })
}

/// `body` with the field set.
pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// A client. Where another crate's features give it TLS, it needs to be told whose, although the fake speaks none.
pub(crate) fn client() -> reqwest::ClientBuilder {
    // An error says that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Gets a URL.
pub(crate) async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    client().build()?.get(url).send().await
}

/// Sends a body to a path.
pub(crate) async fn post(
    fake: &FakeUpstream,
    path: &str,
    body: &Value,
) -> reqwest::Result<reqwest::Response> {
    let client = client().build()?;
    let request = client
        .post(format!("{}{path}", fake.url()))
        .header("anthropic-version", "2023-06-01");
    request.json(body).send().await
}

/// Reads a body until its end; whether it ended cleanly.
pub(crate) async fn read_all(response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

/// The JSON payloads of an SSE body, without `[DONE]`.
pub(crate) fn payloads(body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(body).into_owned();
    let data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).expect("every payload is JSON"))
        .collect()
}

/// Fails instead of hanging when something awaited never comes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it happens within 20 s")
}
