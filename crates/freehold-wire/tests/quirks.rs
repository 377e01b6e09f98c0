//! Upstreams that depart from their dialect, counting, and lists of models.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use freehold_types::{Dialect, Error, ErrorKind};
use freehold_wire::{
    EncodeOptions, Encoded, Limits, MaxTokensField, ModelEntry, Quirks, ReasoningField,
    ThinkingStyle, decode_count_tokens, decode_count_tokens_response, decode_request,
    encode_count_tokens, encode_count_tokens_request, encode_model, encode_models, encode_request,
};
use serde_json::{Value, json};

const CHAT: Dialect = Dialect::OpenaiChat;
const MESSAGES: Dialect = Dialect::AnthropicMessages;

fn translate(
    from: Dialect,
    body: &Value,
    to: Dialect,
    quirks: &Quirks,
) -> Result<(Value, Encoded), Error> {
    let body = Bytes::from(body.to_string());
    let request = decode_request(from, body, &Limits::default()).unwrap();
    let options = EncodeOptions {
        model: "m",
        request_usage: false,
        quirks,
    };
    let encoded = encode_request(to, &request, &options)?;
    Ok((serde_json::from_slice(&encoded.body).unwrap(), encoded))
}

fn hello(fields: &Value) -> Value {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn effort_becomes_a_budget_for_older_models() {
    let quirks = Quirks {
        thinking: ThinkingStyle::Budget,
        default_max_tokens: 1_000,
        ..Quirks::default()
    };
    for (fields, thinking, max_tokens) in [
        (
            json!({"reasoning_effort": "medium"}),
            json!({"type": "enabled", "budget_tokens": 8_192}),
            9_192,
        ),
        (
            json!({"reasoning_effort": "high", "max_tokens": 2_000}),
            json!({"type": "enabled", "budget_tokens": 1_999}),
            2_000,
        ),
        (
            json!({"reasoning_effort": "none"}),
            json!({"type": "disabled"}),
            1_000,
        ),
    ] {
        let (sent, encoded) = translate(CHAT, &hello(&fields), MESSAGES, &quirks).unwrap();
        assert_eq!(sent["thinking"], thinking);
        assert_eq!(sent["max_tokens"], max_tokens);
        assert_eq!(encoded.left_out, Vec::<String>::new());
    }
    // No room to think in: said, not silently dropped.
    let fields = json!({"reasoning_effort": "high", "max_tokens": 100});
    let (sent, encoded) = translate(CHAT, &hello(&fields), MESSAGES, &quirks).unwrap();
    assert_eq!(sent.get("thinking"), None);
    assert_eq!(encoded.left_out, ["reasoning_effort"]);
}

#[test]
fn a_budget_becomes_an_effort() {
    for (budget, effort) in [(1_024, "low"), (8_000, "medium"), (30_000, "high")] {
        let thinking = json!({"type": "enabled", "budget_tokens": budget});
        let body = hello(&json!({"max_tokens": 40_000, "thinking": thinking}));
        let (sent, _) = translate(MESSAGES, &body, CHAT, &Quirks::default()).unwrap();
        assert_eq!(sent["reasoning_effort"], effort);
    }
}

#[test]
fn earlier_reasoning_goes_where_the_server_takes_it() {
    let body = json!({
        "model": "auto",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": "Hello"},
            ]},
            {"role": "user", "content": "Bye"},
        ],
    });
    for (reasoning_field, key) in [
        (ReasoningField::ReasoningContent, "reasoning_content"),
        (ReasoningField::Reasoning, "reasoning"),
    ] {
        let quirks = Quirks {
            reasoning_field,
            ..Quirks::default()
        };
        let (sent, encoded) = translate(MESSAGES, &body, CHAT, &quirks).unwrap();
        let expected = json!({"role": "assistant", "content": "Hello", key: "Hm."});
        assert_eq!(sent["messages"][1], expected);
        assert!(encoded.left_out.is_empty());
    }
    let (_, encoded) = translate(MESSAGES, &body, CHAT, &Quirks::default()).unwrap();
    assert_eq!(encoded.left_out, ["messages[1].content[0]"]);
}

#[test]
fn what_a_server_knows_and_does_not() {
    let quirks = Quirks {
        extended_sampling: true,
        max_tokens_field: MaxTokensField::MaxTokens,
        drop_fields: vec!["user".to_owned(), "model".to_owned()],
        ..Quirks::default()
    };
    let fields = json!({"max_tokens": 9, "top_k": 40, "metadata": {"user_id": "u"}});
    let (sent, encoded) = translate(MESSAGES, &hello(&fields), CHAT, &quirks).unwrap();
    assert_eq!(
        sent,
        json!({
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "top_k": 40,
            "max_tokens": 9,
        })
    );
    assert_eq!(encoded.left_out, ["user"]);
}

#[test]
fn fields_of_the_other_dialect_are_refused() {
    for (from, fields, to, param) in [
        (MESSAGES, json!({"max_tokens": 9, "n": 100}), CHAT, "n"),
        (MESSAGES, json!({"max_tokens": 9, "stop": {}}), CHAT, "stop"),
        (CHAT, json!({"system": "Obey."}), MESSAGES, "system"),
        (CHAT, json!({"mcp_servers": [1]}), MESSAGES, "mcp_servers"),
        (
            MESSAGES,
            json!({"max_tokens": 9, "messages": [{"role": "user", "content": "x", "tool_calls": []}]}),
            CHAT,
            "messages[0].tool_calls",
        ),
    ] {
        let error = translate(from, &hello(&fields), to, &Quirks::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(error.param.as_deref(), Some(param));
    }
    // The two that clients are used to.
    let fields = json!({"thinking": {"type": "adaptive"}, "cache_control": {"type": "ephemeral"}});
    let (sent, _) = translate(CHAT, &hello(&fields), MESSAGES, &Quirks::default()).unwrap();
    assert_eq!(sent["thinking"], fields["thinking"]);
    assert_eq!(sent["cache_control"], fields["cache_control"]);
}

#[test]
fn instructions_alone_are_no_conversation_for_anthropic() {
    let body = json!({"model": "auto", "messages": [{"role": "system", "content": "Be."}]});
    let error = translate(CHAT, &body, MESSAGES, &Quirks::default()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
}

#[test]
fn quirks_are_read_from_data() {
    let row =
        json!({"max_tokens_field": "max_tokens", "thinking": "budget", "stream_usage": false});
    let quirks: Quirks = serde_json::from_value(row).unwrap();
    let expected = Quirks {
        max_tokens_field: MaxTokensField::MaxTokens,
        thinking: ThinkingStyle::Budget,
        stream_usage: false,
        ..Quirks::default()
    };
    assert_eq!(quirks, expected);
    assert!(serde_json::from_value::<Quirks>(json!({"max_token_field": "max_tokens"})).is_err());
}

#[test]
fn counting() {
    let body = r#"{"model":"auto","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"Hi"}],"top_k":3,"new":1}"#;
    let mut request = decode_count_tokens(Bytes::from(body), &Limits::default()).unwrap();
    let sent = encode_count_tokens_request(&request, "m").unwrap();
    assert_eq!(
        sent,
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"new":1}"#
    );
    request.raw = None;
    let sent = encode_count_tokens_request(&request, "m").unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let messages = json!([{"role": "user", "content": "Hi"}]);
    assert_eq!(sent, json!({"model": "m", "messages": messages, "new": 1}));
    assert_eq!(encode_count_tokens(7), r#"{"input_tokens":7}"#);
    assert_eq!(
        decode_count_tokens_response(br#"{"input_tokens":7}"#).unwrap(),
        7
    );
    for garbage in [&b"7"[..], b"{}", b"", b"{\"input_tokens\":-1}"] {
        let error = decode_count_tokens_response(garbage).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream);
    }
    let refused = br#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow."}}"#;
    let error = decode_count_tokens_response(refused).unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
}

#[test]
fn models() {
    let model = ModelEntry {
        id: "local/smol".to_owned(),
        created_s: 1_700_000_000,
        owned_by: "freehold".to_owned(),
        display_name: "Smol".to_owned(),
        context_window_tokens: Some(2_048),
    };
    let read = |body: Bytes| -> Value { serde_json::from_slice(&body).unwrap() };
    let openai = json!({
        "id": "local/smol",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "freehold",
        "max_model_len": 2_048,
    });
    let anthropic = json!({
        "type": "model",
        "id": "local/smol",
        "display_name": "Smol",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": 2_048,
    });
    assert_eq!(read(encode_model(CHAT, &model)), openai);
    assert_eq!(read(encode_model(MESSAGES, &model)), anthropic);
    assert_eq!(
        read(encode_models(CHAT, std::slice::from_ref(&model))),
        json!({"object": "list", "data": [openai]})
    );
    assert_eq!(
        read(encode_models(MESSAGES, &[model])),
        json!({
            "data": [anthropic],
            "has_more": false,
            "first_id": "local/smol",
            "last_id": "local/smol",
        })
    );
    assert_eq!(read(encode_models(MESSAGES, &[]))["first_id"], Value::Null);
}
