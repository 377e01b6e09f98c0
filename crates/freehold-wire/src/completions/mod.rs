//! OpenAI's legacy completions. They share their stream's shape with chat; a raw prompt and a
//! conversation do not translate into each other.

pub(crate) mod answer;
pub(crate) mod encode_stream;
pub(crate) mod logprobs;
pub(crate) mod request;
