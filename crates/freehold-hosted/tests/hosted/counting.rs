//! Counting tokens where the server can.

use freehold_hosted::HostedBackend;
use freehold_ports::Backend as _;
use freehold_types::{Dialect, ErrorKind};
use serde_json::{Value, json};

use crate::canned::{Canned, json as answer};
use crate::support::{Bench, call, hello, hello_anthropic, settings};

#[tokio::test]
async fn anthropic_counts_itself() {
    let bench = Bench::new("anthropic").await;
    let call = bench.call(Dialect::AnthropicMessages, hello_anthropic(false));
    let count = bench.backend.count_tokens(call).await.unwrap();
    assert_eq!(count, Some(4));
    let request = bench.fake.requests().remove(0);
    assert_eq!(request.path, "/v1/messages/count_tokens");
    let body = request.json().unwrap();
    assert_eq!(body["model"], "gpt-4o");
    assert_eq!(body.get("max_tokens"), None);
}

#[tokio::test]
async fn who_cannot_count_is_not_asked() {
    let bench = Bench::new("openai").await;
    let call = bench.call(Dialect::OpenaiChat, hello(false));
    assert_eq!(bench.backend.count_tokens(call).await.unwrap(), None);
    assert!(bench.fake.requests().is_empty());
}

async fn counted(
    row: &str,
    answers: impl IntoIterator<Item = (&'static str, &'static str)>,
    body: Value,
) -> (Result<Option<u64>, freehold_types::Error>, Vec<Value>) {
    let answers = answers.into_iter().map(|(path, body)| (path, answer(body)));
    let server = Canned::start(answers, None).await;
    let backend = HostedBackend::new(settings(row, &server.url())).unwrap();
    let count = backend
        .count_tokens(call(&backend, "m", Dialect::OpenaiChat, body))
        .await;
    let seen = server.log.seen.lock().unwrap();
    let bodies = seen
        .iter()
        .map(|seen| serde_json::from_slice(&seen.body).unwrap());
    (count, bodies.collect())
}

#[tokio::test]
async fn vllm_and_tgi_tokenize_the_conversation() {
    let mut body = hello(false);
    body["temperature"] = json!(0.5);
    let vllm = [("/tokenize", r#"{"count": 17, "max_model_len": 4096}"#)];
    let (count, sent) = counted("vllm", vllm, body.clone()).await;
    assert_eq!(count.unwrap(), Some(17));
    assert_eq!(sent[0]["model"], "m");
    assert_eq!(sent[0]["messages"][0]["content"], "one two three four");
    assert_eq!(sent[0].get("temperature"), None);

    let tgi = [(
        "/chat_tokenize",
        r#"{"tokenize_response": [{"id":1},{"id":2},{"id":3}]}"#,
    )];
    assert_eq!(counted("tgi", tgi, body).await.0.unwrap(), Some(3));
}

#[tokio::test]
async fn llama_cpp_applies_its_template_first() {
    let answers = [
        ("/apply-template", r#"{"prompt": "<user>one two"}"#),
        ("/tokenize", r#"{"tokens": [1, 2, 3, 4, 5]}"#),
    ];
    let (count, sent) = counted("llama-cpp", answers, hello(false)).await;
    assert_eq!(count.unwrap(), Some(5));
    assert_eq!(sent[1]["content"], "<user>one two");
}

#[tokio::test]
async fn a_server_without_the_path_is_no_failure() {
    assert_eq!(counted("vllm", [], hello(false)).await.0.unwrap(), None);
    assert_eq!(
        counted("llama-cpp", [], hello(false)).await.0.unwrap(),
        None
    );
}

#[tokio::test]
async fn nonsense_is_an_error_and_pictures_are_not_counted() {
    let (count, _) = counted(
        "vllm",
        [("/tokenize", r#"{"count": "many"}"#)],
        hello(false),
    )
    .await;
    assert_eq!(count.unwrap_err().kind, ErrorKind::BadUpstream);

    let mut body = hello(false);
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]);
    let (count, sent) = counted("vllm", [("/tokenize", r#"{"count": 3}"#)], body).await;
    assert_eq!(count.unwrap(), None);
    assert!(sent.is_empty());
}
