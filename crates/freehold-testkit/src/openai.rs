//! Writes answers as OpenAI does: chat completions and legacy completions, streamed and not.

use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Finish, Step},
    player::Reply,
    record::UsageCount,
    request::Surface,
};

const FINGERPRINT: &str = "fp_fake000001";

/// The SSE bytes of one step; empty where this surface has nothing to say.
pub(crate) fn event(reply: &Reply, step: &Step) -> Vec<u8> {
    let mut bytes = Vec::new();
    if reply.surface == Surface::OpenAiCompletions {
        if let Step::Text(token) = step {
            for index in 0..reply.choices {
                data(&mut bytes, &completion_chunk(reply, index, token, None));
            }
        }
    } else if let Some((delta, token)) = delta(reply, step) {
        for index in 0..reply.choices {
            let logprobs = token
                .filter(|_| reply.logprobs)
                .map(|token| logprobs(&[token]));
            data(
                &mut bytes,
                &chat_chunk(reply, index, &delta, logprobs, None),
            );
        }
    }
    if *step == Step::Close {
        close(reply, &mut bytes);
    }
    bytes
}

fn close(reply: &Reply, bytes: &mut Vec<u8>) {
    let finish = finish_reason(&reply.finish);
    for index in 0..reply.choices {
        if reply.surface == Surface::OpenAiCompletions {
            data(bytes, &completion_chunk(reply, index, "", Some(&finish)));
        } else {
            data(
                bytes,
                &chat_chunk(reply, index, &json!({}), None, Some(&finish)),
            );
        }
    }
    if let Some(usage) = reply.reported.filter(|_| reply.include_usage) {
        let mut chunk = head(reply, true);
        chunk.insert("choices".into(), json!([]));
        chunk.insert("usage".into(), usage_body(usage));
        data(bytes, &Value::Object(chunk));
    }
    if !reply.without_end {
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// The body of an answer that is not streamed.
pub(crate) fn body(reply: &Reply, answer: &Answer) -> Value {
    let finish = finish_reason(&reply.finish);
    let choices = (0..reply.choices).map(|index| {
        if reply.surface == Surface::OpenAiCompletions {
            let text = text_of(answer);
            json!({ "text": text, "index": index, "logprobs": null, "finish_reason": finish })
        } else {
            let tokens: Vec<&str> = texts(answer).collect();
            let logprobs = reply.logprobs.then(|| logprobs(&tokens));
            json!({ "index": index, "message": message(reply, answer), "logprobs": logprobs,
                "finish_reason": finish })
        }
    });
    let choices = choices.collect::<Value>();
    let mut body = head(reply, false);
    body.insert("choices".into(), choices);
    if let Some(usage) = reply.reported {
        body.insert("usage".into(), usage_body(usage));
    }
    Value::Object(body)
}

fn texts(answer: &Answer) -> impl Iterator<Item = &str> {
    answer.steps.iter().filter_map(|step| match step {
        Step::Text(token) => Some(token.as_str()),
        _ => None,
    })
}

fn text_of(answer: &Answer) -> String {
    texts(answer).collect()
}

fn message(reply: &Reply, answer: &Answer) -> Value {
    let (mut thinking, mut refusal, mut calls) =
        (String::new(), None::<String>, Vec::<Value>::new());
    for step in &answer.steps {
        match step {
            Step::Thinking(token) => thinking.push_str(token),
            Step::Refusal(token) => refusal.get_or_insert_default().push_str(token),
            Step::ToolOpen { id, name, .. } => {
                calls.push(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "" } }));
            }
            Step::ToolArguments { index, fragment } => {
                let arguments = &mut calls[*index]["function"]["arguments"];
                *arguments = json!(format!(
                    "{}{fragment}",
                    arguments.as_str().unwrap_or_default()
                ));
            }
            Step::Open | Step::Text(_) | Step::Close => {}
        }
    }
    let text = text_of(answer);
    let content = if text.is_empty() && (refusal.is_some() || !calls.is_empty()) {
        Value::Null
    } else {
        json!(text)
    };
    let mut message = Map::new();
    message.insert("role".into(), json!("assistant"));
    message.insert("content".into(), content);
    if !thinking.is_empty() {
        message.insert(reply.thinking_field.clone(), json!(thinking));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), json!(calls));
    }
    message.insert("refusal".into(), json!(refusal));
    message.insert("annotations".into(), json!([]));
    Value::Object(message)
}

/// The delta of a step, and the token for logprobs.
fn delta<'s>(reply: &Reply, step: &'s Step) -> Option<(Value, Option<&'s str>)> {
    Some(match step {
        Step::Open => (
            json!({ "role": "assistant", "content": "", "refusal": null }),
            None,
        ),
        Step::Text(token) => (json!({ "content": token }), Some(token)),
        Step::Refusal(token) => (json!({ "refusal": token }), None),
        Step::Thinking(token) => (
            Value::Object(Map::from_iter([(
                reply.thinking_field.clone(),
                json!(token),
            )])),
            None,
        ),
        Step::ToolOpen { index, id, name } => {
            let function = json!({ "name": name, "arguments": "" });
            (
                json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }),
                None,
            )
        }
        Step::ToolArguments { index, fragment } => (
            json!({ "tool_calls": [{ "index": index, "function": { "arguments": fragment } }] }),
            None,
        ),
        Step::Close => return None,
    })
}

fn chat_chunk(
    reply: &Reply,
    index: usize,
    delta: &Value,
    logprobs: Option<Value>,
    finish: Option<&str>,
) -> Value {
    let mut chunk = head(reply, true);
    chunk.insert(
        "choices".into(),
        json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }]),
    );
    with_null_usage(reply, chunk)
}

fn completion_chunk(reply: &Reply, index: usize, text: &str, finish: Option<&str>) -> Value {
    let mut chunk = head(reply, true);
    chunk.insert(
        "choices".into(),
        json!([{ "text": text, "index": index, "logprobs": null, "finish_reason": finish }]),
    );
    with_null_usage(reply, chunk)
}

/// With `include_usage`, every chunk but the last says `"usage": null`.
fn with_null_usage(reply: &Reply, mut chunk: Map<String, Value>) -> Value {
    if reply.include_usage && reply.reported.is_some() {
        chunk.insert("usage".into(), Value::Null);
    }
    Value::Object(chunk)
}

fn head(reply: &Reply, chunk: bool) -> Map<String, Value> {
    let chat = reply.surface == Surface::OpenAiChat;
    let object = match (chat, chunk) {
        (true, true) => "chat.completion.chunk",
        (true, false) => "chat.completion",
        (false, _) => "text_completion",
    };
    let prefix = if chat { "chatcmpl" } else { "cmpl" };
    let mut head = Map::new();
    head.insert(
        "id".into(),
        json!(format!("{prefix}-fake{:08x}", reply.serial)),
    );
    head.insert("object".into(), json!(object));
    head.insert("created".into(), json!(reply.created_s));
    head.insert("model".into(), json!(reply.model));
    if chat {
        head.insert("service_tier".into(), json!("default"));
    }
    head.insert("system_fingerprint".into(), json!(FINGERPRINT));
    head
}

fn finish_reason(finish: &Finish) -> String {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Refusal => "stop".to_owned(),
        Finish::Length => "length".to_owned(),
        Finish::Tools => "tool_calls".to_owned(),
        Finish::Scripted(reason) => reason.clone(),
    }
}

fn logprobs(tokens: &[&str]) -> Value {
    let content = tokens.iter().map(|token| {
        json!({ "token": token, "logprob": -0.125, "bytes": token.as_bytes(), "top_logprobs": [] })
    });
    json!({ "content": content.collect::<Value>(), "refusal": null })
}

fn usage_body(usage: UsageCount) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

fn data(bytes: &mut Vec<u8>, chunk: &Value) {
    bytes.extend_from_slice(b"data: ");
    bytes.extend_from_slice(chunk.to_string().as_bytes());
    bytes.extend_from_slice(b"\n\n");
}
