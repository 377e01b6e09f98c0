//! OpenAI chat completions.

pub(crate) mod chunk;
pub(crate) mod chunk_head;
mod decode_message;
pub(crate) mod decode_request;
pub(crate) mod decode_response;
pub(crate) mod decode_stream;
mod encode_message;
pub(crate) mod encode_request;
pub(crate) mod encode_response;
pub(crate) mod encode_stream;
pub(crate) mod usage;
