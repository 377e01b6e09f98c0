//! Looking at servers, and what the catalogue makes of their models.

use std::time::Duration;

use freehold_hosted::HostedBackend;
use freehold_ports::Backend as _;
use freehold_types::{Capability, Dialect, ErrorKind, Perimeter, PriceBasis};

use crate::canned::{Canned, json};
use crate::support::{Bench, catalogue, settings};

#[tokio::test]
async fn a_probe_names_the_models() {
    for row in ["openai", "anthropic"] {
        let bench = Bench::new(row).await;
        let probe = bench.backend.probe().await.unwrap();
        assert!(
            probe.models.iter().any(|model| model == "gpt-4o"),
            "{probe:?}"
        );
    }
}

#[tokio::test]
async fn a_probe_tells_a_wrong_key() {
    let fake = freehold_testkit::FakeUpstream::builder()
        .key("another-key")
        .start()
        .await
        .unwrap();
    let backend = HostedBackend::new(settings("openai", &format!("{}/v1", fake.url()))).unwrap();
    let error = backend.probe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UpstreamAuth);
}

#[tokio::test]
async fn a_probe_does_not_wait_long() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut settings = settings("vllm", &url);
    settings.probe_timeout = Duration::from_secs(5);
    let backend = HostedBackend::new(settings).unwrap();
    let mut probe = backend.probe();
    let accepted = tokio::select! {
        _ = &mut probe => panic!("nobody answers"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    tokio::time::pause();
    let error = probe.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    drop(accepted);
}

async fn discovered(
    row: &str,
    answers: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Vec<freehold_types::Deployment> {
    let answers = answers.into_iter().map(|(path, body)| (path, json(body)));
    let server = Canned::start(answers, None).await;
    let backend = HostedBackend::new(settings(row, &server.url())).unwrap();
    backend.discover(catalogue()).await.unwrap()
}

#[tokio::test]
async fn vllm_tells_model_and_window() {
    let models = r#"{"object":"list","data":[{"id":"Qwen/Qwen3-8B","max_model_len":40960}]}"#;
    let found = discovered("vllm", [("/v1/models", models)]).await;
    let [deployment] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(deployment.id.as_str(), "vllm/Qwen/Qwen3-8B");
    assert_eq!(deployment.context_window_tokens, Some(40_960));
    assert_eq!(deployment.site.perimeter, Perimeter::Inside);
    assert_eq!(deployment.price, PriceBasis::Unknown);
    assert_eq!(
        deployment.dialects,
        [Dialect::OpenaiChat, Dialect::OpenaiCompletions]
    );
    // The family's name tells more than the row: better than the usual, and it thinks.
    assert_eq!(deployment.quality, 0.6);
    assert!(deployment.capabilities.contains(&Capability::Reasoning));
    assert!(deployment.capabilities.contains(&Capability::Tools));
}

#[tokio::test]
async fn ollama_lists_its_own_way() {
    let models = r#"{"models":[{"name":"llama3.2:3b"},{"name":"odd\nname"},{"no":"name"}]}"#;
    let found = discovered("ollama", [("/api/tags", models)]).await;
    let names: Vec<_> = found.iter().map(|found| found.model.as_str()).collect();
    assert_eq!(names, ["llama3.2:3b"]);
    assert_eq!(found[0].context_window_tokens, None);
}

#[tokio::test]
async fn llama_cpp_tells_its_window_apart() {
    let models = r#"{"data":[{"id":"m.gguf","meta":{"n_ctx_train":131072}}]}"#;
    let props = r#"{"default_generation_settings":{"n_ctx":8192}}"#;
    let found = discovered("llama-cpp", [("/v1/models", models), ("/props", props)]).await;
    assert_eq!(found[0].context_window_tokens, Some(8192));
    // A server that does not tell is used all the same.
    let found = discovered("llama-cpp", [("/v1/models", models)]).await;
    assert_eq!(found[0].context_window_tokens, None);
}

#[tokio::test]
async fn together_lists_a_bare_array() {
    let models = r#"[{"id":"moonshotai/Kimi-K3","context_length":1000},{"id":"x/y"}]"#;
    let found = discovered("together", [("/v1/models", models)]).await;
    assert_eq!(found.len(), 2);
    // What the server says of itself counts more than the catalogue.
    assert_eq!(found[0].context_window_tokens, Some(1000));
    assert_eq!(found[0].quality, 0.93);
    assert_eq!(
        found[1].price,
        PriceBasis::Listed {
            provider: "together".to_owned(),
            model: "x/y".to_owned()
        }
    );
}

#[tokio::test]
async fn a_listing_of_another_shape_is_a_bad_upstream() {
    for body in ["{}", "[]", r#"{"data":{}}"#, "not json"] {
        let server = Canned::start([("/v1/models", json(body))], None).await;
        let backend = HostedBackend::new(settings("openai", &server.url())).unwrap();
        let error = backend.probe().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream, "{body}");
    }
}

#[tokio::test]
async fn a_base_url_without_its_version_is_hinted_at() {
    let server = Canned::start([("/v1/models", json("{}"))], None).await;
    let url = format!("http://{}", server.authority);
    let backend = HostedBackend::new(settings("vllm", &url)).unwrap();
    let error = backend.probe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("version"), "{}", error.message);
}
