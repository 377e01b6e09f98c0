//! The plainest way through: a chat request and its answers, both dialects.

use bytes::Bytes;
use freehold_types::{Dialect, Event, Response};
use freehold_wire::{
    AnswerContext, EncodeOptions, Limits, Quirks, StreamDecoder, StreamEncoder, decode_request,
    encode_request,
};
use serde_json::{Value, json};

fn options<'a>(model: &'a str, quirks: &'a Quirks) -> EncodeOptions<'a> {
    EncodeOptions {
        model,
        request_usage: true,
        quirks,
    }
}

#[test]
fn same_dialect_changes_only_the_model() {
    let body = r#"{ "messages":[{"role":"user","content":"h\u00e9"}],"model" : "auto", "x":1e3 }"#;
    let request =
        decode_request(Dialect::OpenaiChat, Bytes::from(body), &Limits::default()).unwrap();
    let quirks = Quirks::default();
    let encoded =
        encode_request(Dialect::OpenaiChat, &request, &options("gpt-x", &quirks)).unwrap();
    assert_eq!(encoded.body, body.replace("\"auto\"", "\"gpt-x\""));
    assert!(!encoded.usage_was_added);
}

#[test]
fn openai_request_becomes_anthropic() {
    let body = json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 10,
    });
    let body = Bytes::from(body.to_string());
    let request = decode_request(Dialect::OpenaiChat, body, &Limits::default()).unwrap();
    let quirks = Quirks::default();
    let encoded = encode_request(
        Dialect::AnthropicMessages,
        &request,
        &options("claude", &quirks),
    )
    .unwrap();
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        sent,
        json!({
            "model": "claude",
            "max_tokens": 10,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hi"}],
        })
    );
}

#[test]
fn anthropic_stream_becomes_openai() {
    let stream = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        "\n\nevent: content_block_stop\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n\nevent: message_delta\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let mut decoder = StreamDecoder::new(Dialect::AnthropicMessages, false);
    let mut frames = Vec::new();
    decoder.push(stream.as_bytes(), &mut frames).unwrap();
    decoder.finish(&mut frames).unwrap();
    let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
    assert_eq!(raw, stream.as_bytes());
    let events: Vec<Event> = frames.into_iter().flat_map(|frame| frame.events).collect();
    let response = Response::from_events(events.clone());
    assert_eq!(response.usage.unwrap().input_tokens, 7);
    assert_eq!(response.usage.unwrap().output_tokens, 2);
    let context = AnswerContext {
        id: "chatcmpl-1".into(),
        model: "auto".into(),
        created_s: 1,
        include_usage: true,
    };
    let mut encoder = StreamEncoder::new(Dialect::OpenaiChat, context);
    let mut out = Vec::new();
    for event in &events {
        encoder.push(event, &mut out);
    }
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#""delta":{"content":"Hello"}"#), "{out}");
    assert!(out.contains(r#""prompt_tokens":7"#), "{out}");
    assert!(out.ends_with("data: [DONE]\n\n"), "{out}");
}
