//! Dialects in both directions, without I/O: OpenAI chat completions, OpenAI's legacy completions
//! and Anthropic messages.
//!
//! In: bytes of clients and upstreams. Out: the canonical [`Request`], [`Response`] and
//! [`Event`](freehold_types::Event)s of `freehold-types`, and back.
//!
//! What it promises:
//! - A request of the target's own dialect passes through byte by byte but for the model's name
//!   (and what the upstream's [`Quirks`] ask for), as long as [`Request::raw`] is there.
//! - A field that the target's dialect has no word for is [`Error::unsupported`], named by its
//!   path, unless it says nothing (`n: 1`) or is a *hint*: something that changes cost, speed or
//!   bookkeeping but not what the model is asked (`cache_control`, `prompt_cache_key`, `detail`,
//!   `metadata`, earlier reasoning that only its own vendor takes back). Hints are left out and
//!   named in [`Encoded::left_out`].
//! - Top-level fields that no dialect here knows are passed on where they stood; the upstream is
//!   the judge of them.
//! - However the bytes of a stream are cut, its frames and events are the same.
//! - No input makes it panic, and nothing it reads is unbounded.
//!
//! It never does I/O, never fetches an address, never knows a vendor by name (a vendor is data:
//! [`Quirks`]) and never decides where a request goes.

mod anthropic;
mod body;
mod completions;
mod error_body;
mod fields;
mod form;
mod json;
mod media;
mod members;
mod models;
mod openai_chat;
mod options;
mod sse;
mod stream;
mod told;
mod translate;
mod validate;

use bytes::Bytes;
use freehold_types::request::Request;
use freehold_types::{Dialect, Error, Response};

pub use anthropic::count_tokens::{
    decode_count_tokens, decode_count_tokens_response, encode_count_tokens,
    encode_count_tokens_request,
};
pub use error_body::{decode_error, encode_error};
pub use json::Limits;
pub use models::{ModelEntry, encode_model, encode_models};
pub use options::{
    AnswerContext, EncodeOptions, Encoded, MaxTokensField, Quirks, ReasoningField, ThinkingStyle,
};
pub use stream::{Frame, StreamDecoder, StreamEncoder};

/// Reads a client's request.
///
/// # Errors
/// `InvalidRequest` naming the field (wrong type, out of range, duplicate key, too deep, not
/// UTF-8, not JSON), or `TooLarge`.
pub fn decode_request(dialect: Dialect, body: Bytes, limits: &Limits) -> Result<Request, Error> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_request::decode_request(body, limits),
        Dialect::OpenaiCompletions => completions::request::decode_request(body, limits),
        Dialect::AnthropicMessages => anthropic::decode_request::decode_request(body, limits),
    }
}

/// Writes a request for an upstream.
///
/// # Errors
/// `Unsupported` naming the client's field that the target's dialect cannot express.
pub fn encode_request(
    target: Dialect,
    request: &Request,
    options: &EncodeOptions<'_>,
) -> Result<Encoded, Error> {
    match target {
        Dialect::OpenaiChat => openai_chat::encode_request::encode_request(request, options),
        Dialect::OpenaiCompletions => completions::request::encode_request(request, options),
        Dialect::AnthropicMessages => anthropic::encode_request::encode_request(request, options),
    }
}

/// The path, below the base URL that ends in `/v1`, at which an upstream serves the dialect.
pub const fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "/chat/completions",
        Dialect::OpenaiCompletions => "/completions",
        Dialect::AnthropicMessages => "/messages",
    }
}

/// Reads an upstream's whole answer.
///
/// # Errors
/// What the upstream reported in the body, or `BadUpstream` when the body is no answer.
pub fn decode_response(dialect: Dialect, body: &[u8]) -> Result<Response, Error> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_response::decode_response(body),
        Dialect::OpenaiCompletions => completions::answer::decode_response(body),
        Dialect::AnthropicMessages => anthropic::decode_response::decode_response(body),
    }
}

/// Writes a whole answer for a client.
pub fn encode_response(dialect: Dialect, response: &Response, context: &AnswerContext) -> Bytes {
    let body = match dialect {
        Dialect::OpenaiChat => openai_chat::encode_response::encode_response(response, context),
        Dialect::OpenaiCompletions => completions::answer::encode_response(response, context),
        Dialect::AnthropicMessages => {
            anthropic::encode_response::encode_response(response, context)
        }
    };
    body.to_string().into()
}
