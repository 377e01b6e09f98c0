//! What clients get wrong, and what they are told: never a panic, always the field.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use freehold_types::{Dialect, Error, ErrorKind};
use freehold_wire::{Limits, decode_count_tokens, decode_request, encode_error};
use serde_json::{Value, json};

const CHAT: Dialect = Dialect::OpenaiChat;
const MESSAGES: Dialect = Dialect::AnthropicMessages;
const COMPLETIONS: Dialect = Dialect::OpenaiCompletions;

fn decode(dialect: Dialect, body: impl Into<Bytes>) -> Result<(), Error> {
    decode_request(dialect, body.into(), &Limits::default()).map(|_| ())
}

fn refused(dialect: Dialect, body: impl Into<Bytes>) -> Error {
    decode(dialect, body).expect_err("the body is bad")
}

/// A request that is good but for these fields.
fn with(dialect: Dialect, fields: &Value) -> String {
    let mut body = match dialect {
        Dialect::OpenaiChat => {
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}]})
        }
        Dialect::AnthropicMessages => {
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]})
        }
        Dialect::OpenaiCompletions => json!({"model": "m", "prompt": "x"}),
    };
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string()
}

#[track_caller]
fn check(dialect: Dialect, fields: Value, param: &str) {
    let error = refused(dialect, with(dialect, &fields));
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{error:?}");
    assert_eq!(error.param.as_deref(), Some(param), "{error:?}");
    assert!(error.message.contains(param), "{error:?}");
}

fn user(content: Value) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}

#[test]
fn broken_json() {
    for (body, code) in [
        (&b""[..], "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]x", "invalid_json"),
        (b"{\"model\":\"m\",}", "invalid_json"),
        (b"{\"model\":NaN}", "invalid_json"),
        (b"{\"model\":1e999}", "invalid_json"),
        (b"{\"model\":\"\\ud800\"}", "invalid_json"),
        (b"{\"model\":\"m\"} {\"model\":\"n\"}", "invalid_json"),
        (b"{\"model\":\"\xff\xfe\"}", "invalid_utf8"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
    ] {
        for dialect in [CHAT, MESSAGES, COMPLETIONS] {
            let error = refused(dialect, Bytes::copy_from_slice(body));
            assert_eq!(error.kind, ErrorKind::InvalidRequest, "{error:?}");
            assert_eq!(error.code.as_deref(), Some(code), "{error:?}");
        }
    }
}

#[test]
fn duplicate_keys_are_refused_wherever_they_stand() {
    for (body, param) in [
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (
            r#"{"model":"a","messages":[{"role":"user","content":"x"},{"role":"user","role":"system"}]}"#,
            "messages[1].role",
        ),
        (
            r#"{"model":"a","tools":[{"function":{"parameters":{"a":{"b":1,"b":2}}}}]}"#,
            "tools[0].function.parameters.a.b",
        ),
    ] {
        for dialect in [CHAT, MESSAGES, COMPLETIONS] {
            let error = refused(dialect, body);
            assert_eq!(error.code.as_deref(), Some("duplicate_key"), "{error:?}");
            assert_eq!(error.param.as_deref(), Some(param), "{error:?}");
        }
    }
}

#[test]
fn depth_is_bounded() {
    for depth in [200, 100_000] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let error = refused(CHAT, body);
        assert_eq!(error.code.as_deref(), Some("json_too_deep"), "{error:?}");
    }
    let shallow = Limits {
        depth: 4,
        ..Limits::default()
    };
    let body = |inner: &str| {
        Bytes::from(format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":{inner}}}"#
        ))
    };
    assert!(decode_request(CHAT, body("[[[1]]]"), &shallow).is_ok());
    let error = decode_request(CHAT, body("[[[[1]]]]"), &shallow).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("json_too_deep"));
    assert_eq!(error.param.as_deref(), Some("x[0][0][0]"));
}

#[test]
fn size_is_bounded() {
    let limits = Limits {
        body_bytes: 10,
        ..Limits::default()
    };
    let error =
        decode_request(CHAT, Bytes::from_static(b"{\"model\":\"m\"}"), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn roots_that_are_no_object() {
    for body in ["[]", "null", "\"x\"", "1"] {
        let error = refused(CHAT, body);
        assert!(error.message.contains("must be an object"), "{error:?}");
    }
}

#[test]
fn chat_fields_of_the_wrong_type_or_range() {
    for (fields, param) in [
        (json!({"model": null}), "model"),
        (json!({"model": 7}), "model"),
        (json!({"model": ""}), "model"),
        (json!({"model": "a\u{0}b"}), "model"),
        (json!({"model": "a\r\nx: y"}), "model"),
        (json!({"model": "x".repeat(257)}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": ["x"]}), "messages[0]"),
        (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "wizard", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages[0].tool_call_id",
        ),
        (user(json!(7)), "messages[0].content"),
        (user(json!([{"text": "x"}])), "messages[0].content[0].type"),
        (
            user(json!([{"type": "text"}])),
            "messages[0].content[0].text",
        ),
        (user(json!(["x"])), "messages[0].content[0]"),
        (
            user(json!([{"type": "image_url", "image_url": {"url": 7}}])),
            "messages[0].content[0].image_url.url",
        ),
        (
            user(json!([{"type": "input_audio", "input_audio": {"data": "x"}}])),
            "messages[0].content[0].input_audio.format",
        ),
        (
            user(json!([{"type": "file", "file": {}}])),
            "messages[0].content[0].file.file_data",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {}}]}]}),
            "messages[0].tool_calls[0].function.name",
        ),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (
            json!({"max_completion_tokens": 99_999_999_999_u64}),
            "max_completion_tokens",
        ),
        (
            json!({"max_completion_tokens": 1e300}),
            "max_completion_tokens",
        ),
        (
            json!({"max_tokens": 5, "max_completion_tokens": 6}),
            "max_tokens",
        ),
        (json!({"n": 0}), "n"),
        (json!({"n": 129}), "n"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 1.1}), "top_p"),
        (json!({"stop": 7}), "stop"),
        (json!({"stop": ["a", 7]}), "stop[1]"),
        (json!({"stop": ["a", ""]}), "stop[1]"),
        (json!({"stop": vec!["x"; 65]}), "stop"),
        (json!({"seed": 1.5}), "seed"),
        (json!({"stream": "yes"}), "stream"),
        (
            json!({"stream_options": {"include_usage": 1}}),
            "stream_options.include_usage",
        ),
        (
            json!({"tools": [{"type": "function", "function": {}}]}),
            "tools[0].function.name",
        ),
        (
            json!({"tools": [{"function": {"name": "f"}}]}),
            "tools[0].type",
        ),
        (json!({"tools": [7]}), "tools[0]"),
        (json!({"tool_choice": "maybe"}), "tool_choice"),
        (
            json!({"tool_choice": {"type": "function"}}),
            "tool_choice.function.name",
        ),
        (
            json!({"response_format": {"type": "yaml"}}),
            "response_format.type",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
            "response_format.json_schema.name",
        ),
        (json!({"logit_bias": []}), "logit_bias"),
        (json!({"reasoning_effort": 3}), "reasoning_effort"),
    ] {
        check(CHAT, fields, param);
    }
}

#[test]
fn message_fields_of_the_wrong_type_or_range() {
    for (fields, param) in [
        (json!({"model": null}), "model"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 10_000_001}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (json!({"system": 7}), "system"),
        (
            json!({"system": [{"type": "text", "text": 7}]}),
            "system[0].text",
        ),
        (
            user(json!([{"type": "image"}])),
            "messages[0].content[0].source",
        ),
        (
            user(json!([{"type": "image", "source": {"type": "base64", "data": "x"}}])),
            "messages[0].content[0].source.media_type",
        ),
        (
            user(json!([{"type": "tool_result", "content": "x"}])),
            "messages[0].content[0].tool_use_id",
        ),
        (
            user(
                json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}]),
            ),
            "messages[0].content[0].content[0].text",
        ),
        (
            user(json!([{"type": "tool_use", "id": "t", "name": "f", "input": []}])),
            "messages[0].content[0].input",
        ),
        (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
        (json!({"tools": [{"input_schema": {}}]}), "tools[0].name"),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice.name"),
        (json!({"tool_choice": "auto"}), "tool_choice"),
        (
            json!({"thinking": {"type": "enabled"}}),
            "thinking.budget_tokens",
        ),
        (
            json!({"output_config": {"format": {"type": "xml"}}}),
            "output_config.format.type",
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema"}}}),
            "output_config.format.schema",
        ),
        (json!({"metadata": {"user_id": 7}}), "metadata.user_id"),
        (
            json!({"stop_sequences": "x".repeat(4097)}),
            "stop_sequences[0]",
        ),
    ] {
        check(MESSAGES, fields, param);
    }
}

#[test]
fn completion_fields_of_the_wrong_type_or_range() {
    for (fields, param) in [
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": 7}), "prompt"),
        (json!({"prompt": ["a", 1]}), "prompt[1]"),
        (json!({"prompt": [1, -1]}), "prompt[1]"),
        (json!({"prompt": [[1], []]}), "prompt[1]"),
        (json!({"logprobs": 6}), "logprobs"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"max_tokens": -1}), "max_tokens"),
    ] {
        check(COMPLETIONS, fields, param);
    }
}

#[test]
fn counting_needs_no_bound_but_messages() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#);
    assert!(decode_count_tokens(body, &Limits::default()).is_ok());
    let body = Bytes::from_static(br#"{"model":"m"}"#);
    let error = decode_count_tokens(body, &Limits::default()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
}

#[test]
fn errors_reach_both_dialects_with_the_field() {
    let error = refused(CHAT, with(CHAT, &json!({"n": 0})));
    let openai: Value = serde_json::from_slice(&encode_error(CHAT, 400, &error, "req_1")).unwrap();
    assert_eq!(
        openai,
        json!({"error": {
            "message": "`n` must be between 1 and 128",
            "type": "invalid_request_error",
            "param": "n",
            "code": "out_of_range",
        }})
    );
    let anthropic: Value =
        serde_json::from_slice(&encode_error(MESSAGES, 400, &error, "req_1")).unwrap();
    assert_eq!(
        anthropic,
        json!({
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "`n` must be between 1 and 128"},
            "request_id": "req_1",
        })
    );
}

#[test]
fn names_in_errors_are_tame() {
    let key = format!("a\u{1b}[31m{}", "x".repeat(500));
    let body = format!("{{\"model\":\"m\",{0}:1,{0}:2}}", Value::from(key));
    let error = refused(CHAT, body);
    assert!(!error.message.contains('\u{1b}'), "{error:?}");
    assert!(error.message.len() < 200, "{error:?}");
}

#[test]
fn lenient_where_vendors_differ() {
    for fields in [
        json!({"temperature": null, "stop": null, "tools": null, "n": null, "stream": null}),
        json!({"top_k": -1}),
        json!({"max_tokens": 100.0}),
        json!({"temperature": 3}),
        json!({"frequency_penalty": -3}),
        json!({"reasoning_effort": "extreme"}),
        json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]}),
        json!({"messages": [{"role": "assistant", "content": null}]}),
    ] {
        decode(CHAT, with(CHAT, &fields)).unwrap_or_else(|error| panic!("{error:?} {fields}"));
    }
}
