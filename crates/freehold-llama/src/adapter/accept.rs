//! Unknown fields: what may be passed over, and what would be a lie to pass over.

use freehold_types::{Error, Extra};
use serde_json::Value;

/// Top-level fields that do not change what is generated.
const HARMLESS_TOP: [&str; 12] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "stream_options",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "prediction",
    "cache_prompt",
    "anthropic_beta",
    "cache_control",
];
/// Fields of messages, parts and tools that do not change what is generated.
const HARMLESS_INNER: [&str; 8] = [
    "cache_control",
    "citations",
    "annotations",
    "reasoning_content",
    "reasoning",
    "id",
    "index",
    "status",
];

/// What the engine reads from the fields that the canonical request does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OwnOptions {
    /// `deterministic`: run alone.
    pub(crate) deterministic: bool,
    /// `chat_template_kwargs`: variables for the template.
    pub(crate) template_variables: Extra,
}

/// Reads the engine's own options and refuses what it cannot honour.
pub(crate) fn top_level(extra: &Extra) -> Result<OwnOptions, Error> {
    let mut own = OwnOptions::default();
    for (key, value) in extra {
        match (key.as_str(), value) {
            ("deterministic", Value::Bool(deterministic)) => own.deterministic = *deterministic,
            ("deterministic", _) => return Err(Error::invalid(key, "must be true or false")),
            ("chat_template_kwargs", Value::Object(variables)) => {
                own.template_variables = variables.clone();
            }
            ("modalities", Value::Array(kinds)) if kinds.iter().all(|kind| kind == "text") => {}
            ("best_of", Value::Number(count)) if count.as_u64() == Some(1) => {}
            ("verbosity", Value::String(level)) if level == "medium" => {}
            (name, value) if HARMLESS_TOP.contains(&name) || says_nothing(value) => {}
            (name, _) => return Err(refuse(name)),
        }
    }
    Ok(own)
}

/// Refuses unknown fields inside the request, at `path`.
pub(crate) fn inner(extra: &Extra, path: &str) -> Result<(), Error> {
    for (key, value) in extra {
        if !HARMLESS_INNER.contains(&key.as_str()) && !says_nothing(value) {
            return Err(refuse(&format!("{path}.{key}")));
        }
    }
    Ok(())
}

/// Whether a value is as good as none.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn refuse(path: &str) -> Error {
    Error::unsupported(path, format!("the embedded engine cannot honour `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn top(value: Value) -> Result<OwnOptions, Error> {
        let Value::Object(extra) = value else {
            panic!("an object")
        };
        top_level(&extra)
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        for (value, name) in [
            (
                json!({"web_search_options": {"a": 1}}),
                "web_search_options",
            ),
            (json!({"echo": true}), "echo"),
            (json!({"best_of": 3}), "best_of"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"deterministic": "yes"}), "deterministic"),
            (json!({"xyz": 1}), "xyz"),
        ] {
            assert_eq!(
                top(value).expect_err("refused").param.as_deref(),
                Some(name)
            );
        }
        let extra = json!({"logprobs": 1});
        let error =
            inner(extra.as_object().expect("an object"), "messages[1]").expect_err("refused");
        assert_eq!(error.param.as_deref(), Some("messages[1].logprobs"));
    }

    #[test]
    fn what_changes_nothing_is_accepted() {
        let own = top(json!({
            "store": true, "service_tier": "auto", "echo": false, "suffix": null, "best_of": 1,
            "modalities": ["text"], "functions": [], "deterministic": true,
            "chat_template_kwargs": {"enable_thinking": false},
        }));
        let own = own.expect("accepted");
        assert!(own.deterministic);
        assert_eq!(own.template_variables["enable_thinking"], false);
    }
}
