//! OpenAI chat completions: the canonical answer into a response body.

use freehold_types::answer::Choice;
use freehold_types::request::Part;
use freehold_types::{FinishReason, Response, TokenLogprob};
use serde_json::{Map, Value, json};

use super::chunk::finish_word;
use super::encode_message::thinking_block;
use super::usage::encode_usage;
use crate::options::AnswerContext;

pub(crate) fn encode_response(response: &Response, context: &AnswerContext) -> Value {
    let choices = (0_u32..).zip(&response.choices);
    let choices: Vec<Value> = choices
        .map(|(index, choice)| encode_choice(index, choice))
        .collect();
    let mut body = Map::new();
    body.insert("id".to_owned(), context.shown_id(&response.id).into());
    body.insert("object".to_owned(), "chat.completion".into());
    body.insert("created".to_owned(), context.created_s.into());
    body.insert(
        "model".to_owned(),
        context.shown_model(&response.model).into(),
    );
    body.insert("choices".to_owned(), choices.into());
    if let Some(usage) = &response.usage {
        body.insert("usage".to_owned(), encode_usage(usage));
    }
    for (key, value) in &response.extra {
        body.entry(key).or_insert_with(|| value.clone());
    }
    body.into()
}

fn encode_choice(index: u32, choice: &Choice) -> Value {
    let mut text: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut thoughts = String::new();
    let mut blocks = Vec::new();
    let mut signed = false;
    let mut calls = Vec::new();
    for part in &choice.parts {
        match part {
            Part::Text { text: more, .. } => text.get_or_insert_default().push_str(more),
            Part::Refusal { text: more } => refusal.get_or_insert_default().push_str(more),
            Part::Thinking {
                text, signature, ..
            } => {
                thoughts.push_str(text);
                signed |= signature.is_some();
                blocks.extend(thinking_block(part));
            }
            Part::RedactedThinking { .. } => {
                signed = true;
                blocks.extend(thinking_block(part));
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                ..
            } => {
                // Clients parse what they get.
                let arguments = if arguments.is_empty() {
                    "{}"
                } else {
                    arguments
                };
                let function = json!({"name": name, "arguments": arguments});
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            // A custom tool's call; other parts that only their own dialect knows have no place.
            Part::Unknown { value, .. } if value.get("custom").is_some() => {
                calls.push(value.clone());
            }
            _ => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), text.into());
    message.insert("refusal".to_owned(), refusal.into());
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), thoughts.into());
    }
    if signed {
        message.insert("thinking_blocks".to_owned(), blocks.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    for (key, value) in &choice.extra {
        message.entry(key).or_insert_with(|| value.clone());
    }
    let logprobs = (!choice.logprobs.is_empty()).then(|| encode_logprobs(&choice.logprobs));
    // An answer that was cut short has no reason; `length` is the only word for "there is more".
    let finish = choice.finish.as_ref().unwrap_or(&FinishReason::Length);
    json!({
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": finish_word(finish),
    })
}

/// `choices[].logprobs`.
pub(crate) fn encode_logprobs(logprobs: &[TokenLogprob]) -> Value {
    let content: Vec<Value> = logprobs.iter().map(encode_logprob).collect();
    json!({"content": content, "refusal": null})
}

fn encode_logprob(logprob: &TokenLogprob) -> Value {
    let top = logprob
        .top
        .iter()
        .map(|top| json!({"token": top.token, "logprob": top.logprob, "bytes": top.bytes}));
    json!({
        "token": logprob.token,
        "logprob": logprob.logprob,
        "bytes": logprob.bytes,
        "top_logprobs": Value::from_iter(top),
    })
}
