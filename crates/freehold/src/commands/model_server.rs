//! Servers of models as commands are told of them: an address, the variable that holds the key, and how they are
//! reached.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::usage::printable;

/// More of an error's text is not shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// What requests are sent with. It goes where it is told and nowhere else.
pub(super) fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("cannot set up an HTTP client")
}

/// What a refusal's body says.
pub(super) fn message(body: &Value) -> String {
    let message = body["error"]["message"].as_str();
    let message = printable(message.or(body["message"].as_str()).unwrap_or_default());
    message.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// The address of chat completions, from any of the forms in which people write a server's address.
pub(super) fn endpoint(url: &str) -> Result<url::Url> {
    endpoint_of(url, "chat/completions")
}

/// The same of embeddings.
pub(super) fn embeddings_endpoint(url: &str) -> Result<url::Url> {
    endpoint_of(url, "embeddings")
}

fn endpoint_of(url: &str, path: &str) -> Result<url::Url> {
    let mut base = url.trim().trim_end_matches('/');
    for end in ["/chat/completions", "/embeddings", "/v1"] {
        base = base.strip_suffix(end).unwrap_or(base);
    }
    let parsed: url::Url = format!("{base}/v1/{path}")
        .parse()
        .with_context(|| format!("`{url}` is no address; write it as http://127.0.0.1:8000"))?;
    ensure!(
        matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some(),
        "`{url}` is no http address; write it as http://127.0.0.1:8000"
    );
    if !parsed.username().is_empty() || parsed.password().is_some() {
        bail!(
            "the address has a password in it; put the key into a variable and name it with --key-env"
        );
    }
    Ok(parsed)
}

/// The key that a variable holds; none when no variable is named.
pub(super) fn key(variable: Option<&str>) -> Result<Option<String>> {
    let Some(name) = variable else {
        return Ok(None);
    };
    let key = std::env::var(name);
    Ok(Some(key.with_context(|| {
        format!("--key-env: the variable {name} is not set")
    })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_any_form_are_the_same() {
        for url in [
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "http://127.0.0.1:8000/v1",
            " http://127.0.0.1:8000/v1/chat/completions/",
        ] {
            let told = endpoint(url).unwrap().to_string();
            assert_eq!(told, "http://127.0.0.1:8000/v1/chat/completions");
        }
        let told = endpoint("https://h/models/a/v1").unwrap().to_string();
        assert_eq!(told, "https://h/models/a/v1/chat/completions");
        let told = embeddings_endpoint("http://h/v1/chat/completions").unwrap();
        assert_eq!(told.to_string(), "http://h/v1/embeddings");
        for url in ["", "127.0.0.1:8000", "ftp://h", "http://u:p@h"] {
            assert!(endpoint(url).is_err(), "{url}");
        }
    }
}
