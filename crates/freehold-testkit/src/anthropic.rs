//! Writes answers as Anthropic does: messages, streamed and not.

use serde_json::{Value, json};

use crate::{
    answer::{Answer, Finish, Step},
    player::Reply,
    record::UsageCount,
};

const SIGNATURE: &str = "RmFrZVRoaW5raW5nU2lnbmF0dXJl";

/// Which content block is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    Tool(usize),
}

/// Numbers the content blocks of one stream.
#[derive(Default)]
pub(crate) struct Blocks {
    open: Option<Block>,
    next: usize,
}

/// The SSE bytes of one step: opens and closes content blocks as needed.
pub(crate) fn event(reply: &Reply, blocks: &mut Blocks, step: &Step) -> Vec<u8> {
    let mut bytes = Vec::new();
    match step {
        Step::Open => {
            let usage = reply.reported.map(|usage| {
                usage_body(
                    UsageCount {
                        completion_tokens: 1,
                        ..usage
                    },
                    true,
                )
            });
            let message = message(reply, &json!([]), Value::Null, Value::Null, usage);
            emit(
                &mut bytes,
                "message_start",
                &json!({ "type": "message_start", "message": message }),
            );
            emit(&mut bytes, "ping", &json!({ "type": "ping" }));
        }
        Step::Thinking(token) => {
            let start = json!({ "type": "thinking", "thinking": "", "signature": "" });
            switch(&mut bytes, blocks, Block::Thinking, &start);
            delta(
                &mut bytes,
                blocks,
                &json!({ "type": "thinking_delta", "thinking": token }),
            );
        }
        Step::Text(token) | Step::Refusal(token) => {
            switch(
                &mut bytes,
                blocks,
                Block::Text,
                &json!({ "type": "text", "text": "" }),
            );
            delta(
                &mut bytes,
                blocks,
                &json!({ "type": "text_delta", "text": token }),
            );
        }
        Step::ToolOpen { index, id, name } => {
            let start = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
            switch(&mut bytes, blocks, Block::Tool(*index), &start);
            delta(
                &mut bytes,
                blocks,
                &json!({ "type": "input_json_delta", "partial_json": "" }),
            );
        }
        Step::ToolArguments { fragment, .. } => {
            delta(
                &mut bytes,
                blocks,
                &json!({ "type": "input_json_delta", "partial_json": fragment }),
            );
        }
        Step::Close => close(reply, blocks, &mut bytes),
    }
    bytes
}

fn close(reply: &Reply, blocks: &mut Blocks, bytes: &mut Vec<u8>) {
    stop_block(bytes, blocks);
    let (reason, sequence) = stop_reason(&reply.finish);
    let mut event = json!({
        "type": "message_delta",
        "delta": { "stop_reason": reason, "stop_sequence": sequence },
    });
    if let Some(usage) = reply.reported {
        event["usage"] = usage_body(usage, false);
    }
    emit(bytes, "message_delta", &event);
    if !reply.without_end {
        emit(bytes, "message_stop", &json!({ "type": "message_stop" }));
    }
}

/// The body of an answer that is not streamed.
pub(crate) fn body(reply: &Reply, answer: &Answer) -> Value {
    let (mut thinking, mut text, mut calls) = (String::new(), String::new(), Vec::new());
    for step in &answer.steps {
        match step {
            Step::Thinking(token) => thinking.push_str(token),
            Step::Text(token) | Step::Refusal(token) => text.push_str(token),
            Step::ToolOpen { id, name, .. } => calls.push((id, name, String::new())),
            Step::ToolArguments { index, fragment } => calls[*index].2.push_str(fragment),
            Step::Open | Step::Close => {}
        }
    }
    let mut content = Vec::new();
    if !thinking.is_empty() {
        content.push(json!({ "type": "thinking", "thinking": thinking, "signature": SIGNATURE }));
    }
    if !text.is_empty() {
        content.push(json!({ "type": "text", "text": text }));
    }
    for (id, name, arguments) in calls {
        // A real vendor never sends arguments that are not JSON; a scripted raw text stays visible as a string.
        let input = serde_json::from_str::<Value>(&arguments).unwrap_or(Value::String(arguments));
        content.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
    }
    let (reason, sequence) = stop_reason(&reply.finish);
    let usage = reply.reported.map(|usage| usage_body(usage, true));
    message(
        reply,
        &json!(content),
        json!(reason),
        json!(sequence),
        usage,
    )
}

fn message(
    reply: &Reply,
    content: &Value,
    reason: Value,
    sequence: Value,
    usage: Option<Value>,
) -> Value {
    let mut message = json!({
        "id": format!("msg_01fake{:08x}", reply.serial),
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
    });
    if let Some(usage) = usage {
        message["usage"] = usage;
    }
    message
}

/// Anthropic's input tokens leave out what was read from or written to the cache.
fn usage_body(usage: UsageCount, full: bool) -> Value {
    let fresh = usage
        .prompt_tokens
        .saturating_sub(usage.cached_tokens + usage.cache_write_tokens);
    let mut body = json!({
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    });
    if full {
        body["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        });
        body["service_tier"] = json!("standard");
    }
    body
}

fn stop_reason(finish: &Finish) -> (String, Option<String>) {
    match finish {
        Finish::Stop => ("end_turn".to_owned(), None),
        Finish::Length => ("max_tokens".to_owned(), None),
        Finish::StopSequence(stop) => ("stop_sequence".to_owned(), Some(stop.clone())),
        Finish::Tools => ("tool_use".to_owned(), None),
        Finish::Refusal => ("refusal".to_owned(), None),
        Finish::Scripted(reason) => (reason.clone(), None),
    }
}

fn switch(bytes: &mut Vec<u8>, blocks: &mut Blocks, block: Block, start: &Value) {
    if blocks.open == Some(block) {
        return;
    }
    stop_block(bytes, blocks);
    blocks.open = Some(block);
    let event =
        json!({ "type": "content_block_start", "index": blocks.next, "content_block": start });
    emit(bytes, "content_block_start", &event);
}

fn stop_block(bytes: &mut Vec<u8>, blocks: &mut Blocks) {
    let Some(block) = blocks.open.take() else {
        return;
    };
    if block == Block::Thinking {
        delta(
            bytes,
            blocks,
            &json!({ "type": "signature_delta", "signature": SIGNATURE }),
        );
    }
    emit(
        bytes,
        "content_block_stop",
        &json!({ "type": "content_block_stop", "index": blocks.next }),
    );
    blocks.next += 1;
}

fn delta(bytes: &mut Vec<u8>, blocks: &Blocks, delta: &Value) {
    let event = json!({ "type": "content_block_delta", "index": blocks.next, "delta": delta });
    emit(bytes, "content_block_delta", &event);
}

/// One SSE event in Anthropic's style.
pub(crate) fn emit(bytes: &mut Vec<u8>, name: &str, data: &Value) {
    bytes.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}
