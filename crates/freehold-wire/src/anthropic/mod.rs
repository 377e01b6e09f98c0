//! Anthropic messages.

pub(crate) mod count_tokens;
mod decode_content;
pub(crate) mod decode_request;
pub(crate) mod decode_response;
pub(crate) mod decode_stream;
mod encode_content;
pub(crate) mod encode_request;
pub(crate) mod encode_response;
pub(crate) mod encode_stream;
mod reasoning;
mod stop;
mod usage;
