//! `GET /v1/models` in the dialects' shapes.

use bytes::Bytes;
use freehold_types::Dialect;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A model that a client may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelEntry {
    /// What the client writes in `model`.
    pub id: String,
    /// When it was made known, in Unix seconds; 0 when unknown.
    pub created_s: u64,
    /// Whose it is.
    pub owned_by: String,
    /// Its name for people.
    pub display_name: String,
    /// Tokens of prompt and answer together.
    pub context_window_tokens: Option<u32>,
}

/// Writes the list of models.
pub fn encode_models(dialect: Dialect, models: &[ModelEntry]) -> Bytes {
    let data: Vec<Value> = models.iter().map(|model| entry(dialect, model)).collect();
    let list = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
            json!({"object": "list", "data": data})
        }
        Dialect::AnthropicMessages => json!({
            "data": data,
            "has_more": false,
            "first_id": models.first().map(|model| &model.id),
            "last_id": models.last().map(|model| &model.id),
        }),
    };
    list.to_string().into()
}

/// Writes one model.
pub fn encode_model(dialect: Dialect, model: &ModelEntry) -> Bytes {
    entry(dialect, model).to_string().into()
}

fn entry(dialect: Dialect, model: &ModelEntry) -> Value {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
            let mut entry = json!({
                "id": model.id,
                "object": "model",
                "created": model.created_s,
                "owned_by": model.owned_by,
            });
            if let Some(tokens) = model.context_window_tokens {
                // vLLM's word, which several clients read.
                entry["max_model_len"] = tokens.into();
            }
            entry
        }
        Dialect::AnthropicMessages => json!({
            "type": "model",
            "id": model.id,
            "display_name": model.display_name,
            "created_at": rfc3339(model.created_s),
            "lifecycle": "active",
            "max_input_tokens": model.context_window_tokens,
        }),
    }
}

/// A time far outside the calendar is shown as the epoch.
fn rfc3339(unix_s: u64) -> String {
    i64::try_from(unix_s)
        .ok()
        .and_then(|unix_s| OffsetDateTime::from_unix_timestamp(unix_s).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
