//! Canned bytes: requests that the load generator sends, answers that the mock upstream gives.

use bytes::Bytes;
use serde_json::{Value, json};

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// Chat completions.
    Openai,
    /// Messages.
    Anthropic,
}

impl Dialect {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Openai => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }
}

/// A chat request of the usual small size.
pub(crate) fn request(dialect: Dialect, model: &str, stream: bool, prompt_bytes: usize) -> Bytes {
    let sentence = "Explain in one sentence why the sky is blue and the sea is often green. ";
    let prompt: String = sentence.chars().cycle().take(prompt_bytes).collect();
    let system = "You are a helpful assistant.";
    let user = json!({ "role": "user", "content": prompt });
    let mut body = match dialect {
        Dialect::Openai => {
            json!({ "model": model, "messages": [{ "role": "system", "content": system }, user], "max_tokens": 128 })
        }
        Dialect::Anthropic => {
            json!({ "model": model, "max_tokens": 128, "system": system, "messages": [user] })
        }
    };
    if stream {
        body["stream"] = json!(true);
    }
    body.to_string().into()
}

/// The answers of one dialect, ready to send.
pub(crate) struct Canned {
    /// Of a request that is not streamed.
    pub(crate) body: Bytes,
    /// What comes at the first token: the opening events and the first token.
    pub(crate) first: Bytes,
    /// One later token.
    pub(crate) token: Bytes,
    /// The closing events without and with usage (OpenAI sends it only when asked).
    pub(crate) close: Bytes,
    pub(crate) close_with_usage: Bytes,
    /// SSE events in `first`, and in each kind of close.
    pub(crate) first_events: u64,
    pub(crate) close_events: u64,
}

impl Canned {
    /// Answers of so many tokens, and the tokens that their usage tells.
    pub(crate) fn new(dialect: Dialect, tokens: usize, told: usize) -> Self {
        match dialect {
            Dialect::Openai => openai(tokens, told),
            Dialect::Anthropic => anthropic(tokens, told),
        }
    }
}

const PROMPT_TOKENS: usize = 24;

/// Dimensions of the vector that an embedding has.
const DIMENSIONS: usize = 256;

/// The answer to a request for one embedding.
pub(crate) fn embedding() -> Bytes {
    let vector = vec![0.062_5; DIMENSIONS];
    let body = json!({ "object": "list", "model": "mock",
        "data": [{ "object": "embedding", "index": 0, "embedding": vector }],
        "usage": { "prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS } });
    body.to_string().into()
}

fn openai(tokens: usize, told: usize) -> Canned {
    let text = "word ".repeat(tokens);
    let usage = json!({
        "prompt_tokens": PROMPT_TOKENS, "completion_tokens": told, "total_tokens": PROMPT_TOKENS + told,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
    });
    let head = |object: &str| {
        json!({ "id": "chatcmpl-mock0001", "object": object, "created": 1_760_000_000, "model": "mock",
            "service_tier": "default", "system_fingerprint": "fp_mock" })
    };
    let mut body = head("chat.completion");
    body["choices"] = json!([{ "index": 0, "logprobs": null, "finish_reason": "stop",
        "message": { "role": "assistant", "content": text.trim_end(), "refusal": null, "annotations": [] } }]);
    body["usage"] = usage.clone();
    let chunk = |delta: Value, finish: Value| {
        let mut chunk = head("chat.completion.chunk");
        chunk["choices"] =
            json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        format!("data: {chunk}\n\n")
    };
    let token = chunk(json!({ "content": "word " }), Value::Null);
    let open = chunk(
        json!({ "role": "assistant", "content": "", "refusal": null }),
        Value::Null,
    );
    let finish = chunk(json!({}), json!("stop"));
    let mut last = head("chat.completion.chunk");
    last["choices"] = json!([]);
    last["usage"] = usage;
    Canned {
        body: body.to_string().into(),
        first: format!("{open}{token}").into(),
        token: token.into(),
        close: format!("{finish}data: [DONE]\n\n").into(),
        close_with_usage: format!("{finish}data: {last}\n\ndata: [DONE]\n\n").into(),
        first_events: 2,
        close_events: 2,
    }
}

fn anthropic(tokens: usize, told: usize) -> Canned {
    let text = "word ".repeat(tokens);
    let usage = |output: usize| {
        json!({ "input_tokens": PROMPT_TOKENS, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output, "service_tier": "standard" })
    };
    let message = |content: Value, reason: Value, output: usize| {
        json!({ "id": "msg_mock0001", "type": "message", "role": "assistant", "model": "mock", "content": content,
            "stop_reason": reason, "stop_sequence": null, "usage": usage(output) })
    };
    let event = |data: Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().unwrap_or_default()
        )
    };
    let token = event(json!({ "type": "content_block_delta", "index": 0,
        "delta": { "type": "text_delta", "text": "word " } }));
    let first = [
        event(json!({ "type": "message_start", "message": message(json!([]), Value::Null, 1) })),
        event(
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        event(json!({ "type": "ping" })),
        token.clone(),
    ];
    let close = Bytes::from(
        [
            event(json!({ "type": "content_block_stop", "index": 0 })),
            event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                "usage": { "output_tokens": told } })),
            event(json!({ "type": "message_stop" })),
        ]
        .concat(),
    );
    Canned {
        body: message(
            json!([{ "type": "text", "text": text.trim_end() }]),
            json!("end_turn"),
            told,
        )
        .to_string()
        .into(),
        first: first.concat().into(),
        token: token.into(),
        close: close.clone(),
        close_with_usage: close,
        first_events: 4,
        close_events: 3,
    }
}
