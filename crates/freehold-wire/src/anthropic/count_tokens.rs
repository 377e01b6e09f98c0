//! `POST /v1/messages/count_tokens`.

use bytes::Bytes;
use freehold_types::Error;
use freehold_types::request::Request;
use serde_json::{Value, json};

use super::decode_request::decode_any;
use super::encode_request::{DIALECT, build};
use crate::error_body::{error_in_answer, garbled};
use crate::json::Limits;
use crate::options::{EncodeOptions, Quirks};
use crate::translate::{Splice, Translation};

/// Fields of a message request that counting refuses.
const ONLY_FOR_ANSWERS: [&str; 9] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
];

/// Reads a count request: a message request that need not have `max_tokens`.
///
/// # Errors
/// As for [`crate::decode_request`].
pub fn decode_count_tokens(body: Bytes, limits: &Limits) -> Result<Request, Error> {
    decode_any(body, limits)
}

/// Writes the count for a client.
pub fn encode_count_tokens(input_tokens: u64) -> Bytes {
    json!({"input_tokens": input_tokens}).to_string().into()
}

/// Reads an upstream's count, in tokens.
///
/// # Errors
/// `BadUpstream` when the body is no count.
pub fn decode_count_tokens_response(body: &[u8]) -> Result<u64, Error> {
    let value: Value = serde_json::from_slice(body).map_err(|_| garbled("it is not JSON"))?;
    if value.get("error").is_some_and(|error| !error.is_null()) {
        return Err(error_in_answer(DIALECT, &value, body));
    }
    let count = value.get("input_tokens").and_then(Value::as_u64);
    count.ok_or_else(|| garbled("it has no `input_tokens`"))
}

/// Writes a count request for an Anthropic upstream, from any request.
///
/// # Errors
/// `Unsupported` when the request cannot be expressed in Anthropic's dialect.
pub fn encode_count_tokens_request(request: &Request, model: &str) -> Result<Bytes, Error> {
    if let Some(raw) = request.raw.as_ref().filter(|_| request.dialect == DIALECT) {
        let mut splice = Splice::new(raw, model)?;
        splice.remove(&ONLY_FOR_ANSWERS.map(str::to_owned));
        return Ok(splice.apply());
    }
    let options = EncodeOptions {
        model,
        request_usage: false,
        quirks: &Quirks::default(),
    };
    let mut translation = Translation::new(request, DIALECT);
    let mut body = build(request, &options, &mut translation)?;
    for key in ONLY_FOR_ANSWERS {
        body.shift_remove(key);
    }
    Ok(Value::Object(body).to_string().into())
}
