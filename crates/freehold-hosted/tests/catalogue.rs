//! The catalogue that comes with the adapter.

use std::collections::BTreeSet;

use freehold_hosted::{AuthScheme, Catalogue};
use freehold_types::{Capability, Dialect, Perimeter, PriceBasis};
use genai_prices::{PriceRequest, Usage, UsageKey};
use secrecy::ExposeSecret as _;

fn builtin() -> Catalogue {
    Catalogue::builtin().expect("the catalogue is read by every test")
}

#[test]
fn everybody_is_in_it() {
    let catalogue = builtin();
    let ids: Vec<_> = catalogue.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "openai",
            "anthropic",
            "mistral",
            "deepseek",
            "huggingface",
            "groq",
            "together",
            "openrouter",
            "vllm",
            "tgi",
            "ollama",
            "llama-cpp",
            "lm-studio",
        ]
    );
}

#[test]
fn hosted_rows_need_a_key_and_https_and_servers_neither() {
    for row in builtin().rows {
        let outside = row.perimeter == Perimeter::Outside;
        assert_eq!(row.base_url.starts_with("https://"), outside, "{}", row.id);
        assert_eq!(row.auth.required, outside, "{}", row.id);
        assert!(
            !row.auth.env.is_empty() && row.auth.scheme != AuthScheme::None,
            "{}",
            row.id
        );
        assert_eq!(row.models.is_empty(), !outside, "{}", row.id);
        assert_eq!(row.site().perimeter, row.perimeter);
    }
}

#[test]
fn servers_have_their_usual_ports() {
    let catalogue = builtin();
    let port = |id: &str| catalogue.row(id).unwrap().default_port();
    assert_eq!(port("vllm"), Some(8000));
    assert_eq!(port("ollama"), Some(11434));
    assert_eq!(port("llama-cpp"), Some(8080));
    assert_eq!(port("lm-studio"), Some(1234));
    assert_eq!(port("openai"), Some(443));
}

#[test]
fn every_known_model_is_usable_and_has_a_price() {
    let usage = Usage::from([
        (UsageKey::INPUT_TOKENS, 1_000.0),
        (UsageKey::OUTPUT_TOKENS, 1_000.0),
    ]);
    for row in builtin().rows {
        let deployments = row.deployments(&row.id.as_str().into(), &row.site());
        assert_eq!(deployments.len(), row.models.len());
        let ids: BTreeSet<_> = deployments
            .iter()
            .map(|deployment| &deployment.id)
            .collect();
        assert_eq!(
            ids.len(),
            deployments.len(),
            "{} lists a model twice",
            row.id
        );
        for deployment in &deployments {
            assert!(!deployment.dialects.is_empty(), "{}", deployment.id);
            assert!(deployment.tokens_per_second > 0.0 && deployment.first_token_ms > 0);
            let PriceBasis::Listed { provider, model } = &deployment.price else {
                panic!("{} has no price", deployment.id);
            };
            let request = PriceRequest::new(model, &usage).with_provider_id(provider);
            let price = genai_prices::calculate(&request)
                .unwrap_or_else(|error| panic!("{}: {error}", deployment.id));
            assert!(price.total_price > 0.0, "{}", deployment.id);
        }
    }
}

#[test]
fn models_are_asked_only_in_dialects_they_can_answer() {
    let catalogue = builtin();
    let row = catalogue.row("openai").unwrap();
    let deployments = row.deployments(&"mine".into(), &row.site());
    let dialects = |model: &str| {
        let found = deployments
            .iter()
            .find(|deployment| deployment.model == model);
        found.unwrap().dialects.clone()
    };
    assert_eq!(dialects("gpt-4o"), [Dialect::OpenaiChat]);
    assert_eq!(
        dialects("gpt-3.5-turbo-instruct"),
        [Dialect::OpenaiCompletions]
    );
    assert!(
        deployments
            .iter()
            .all(|deployment| deployment.id.as_str().starts_with("mine/"))
    );
}

#[test]
fn an_unlisted_model_takes_its_family_then_its_row() {
    let catalogue = builtin();
    let row = catalogue.row("vllm").unwrap();
    let deployment = |model: &str| catalogue.deployment(row, &"vllm".into(), &row.site(), model);
    assert_eq!(
        deployment("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B").quality,
        0.6
    );
    assert_eq!(deployment("deepseek-ai/DeepSeek-R1").quality, 0.82);
    assert_eq!(deployment("acme/private-7").quality, row.defaults.quality);
    assert!(
        deployment("acme/private-7")
            .capabilities
            .contains(&Capability::Chat)
    );
    // Known models come as they are listed, whoever asks.
    let openai = catalogue.row("openai").unwrap();
    let known = catalogue.deployment(openai, &"openai".into(), &openai.site(), "gpt-4o");
    assert_eq!(known.context_window_tokens, Some(128_000));
}

#[test]
fn vendors_appear_with_their_keys() {
    let catalogue = builtin();
    let lookup = |name: &str| match name {
        "ANTHROPIC_API_KEY" => Some(" sk-ant-1 \n".to_owned()),
        "OPENAI_API_KEY" => Some("  ".to_owned()),
        // A server's key says nothing about where the server is.
        "VLLM_API_KEY" => Some("k".to_owned()),
        _ => None,
    };
    let found: Vec<_> = catalogue
        .rows_with_keys(lookup)
        .map(|(row, key)| (row.id.clone(), key.expose_secret().to_owned()))
        .collect();
    assert_eq!(found, [("anthropic".to_owned(), "sk-ant-1".to_owned())]);
}

#[test]
fn mistakes_are_named() {
    let row = |extra: &str| {
        format!(
            "rows:\n  - id: x\n    name: X\n    base_url: http://127.0.0.1:1/v1\n    perimeter: inside\n    \
             dialects: [{{ dialect: openai-chat }}]\n    listing: {{ path: models }}\n    \
             defaults: {{ capabilities: [chat], quality: 0.5, tokens_per_second: 1, first_token_ms: 1 }}\n{extra}"
        )
    };
    Catalogue::parse(&row("")).unwrap();
    for (yaml, needle) in [
        (row("    colour: red\n"), "colour"),
        (row("").replace("openai-chat", "esperanto"), "esperanto"),
        (row("").replace("quality: 0.5", "quality: 7"), "quality"),
        (
            row("").replace("http://127.0.0.1:1/v1", "nowhere"),
            "base URL",
        ),
        (
            row("").replace("path: models", "path: 'http://other.example/m'"),
            "another server",
        ),
        (row("    headers: { host: x }\n"), "host"),
        (
            row("    auth: { scheme: none, required: true }\n"),
            "auth scheme",
        ),
        (
            format!("{}{}", row(""), row("").trim_start_matches("rows:\n")),
            "two rows",
        ),
    ] {
        let error = Catalogue::parse(&yaml).unwrap_err().to_string();
        assert!(error.contains(needle), "{needle}: {error}");
    }
}
