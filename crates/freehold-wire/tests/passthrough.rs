//! A request of the target's own dialect: what changes in its bytes, and what does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use freehold_types::Dialect;
use freehold_wire::{
    EncodeOptions, Encoded, Limits, MaxTokensField, Quirks, decode_request, encode_request,
};
use serde_json::Value;

const CHAT: Dialect = Dialect::OpenaiChat;

fn encode(dialect: Dialect, body: &str, request_usage: bool, quirks: &Quirks) -> Encoded {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = decode_request(dialect, body, &Limits::default()).unwrap();
    let options = EncodeOptions {
        model: "new \"model\"",
        request_usage,
        quirks,
    };
    encode_request(dialect, &request, &options).unwrap()
}

#[track_caller]
fn check(body: &str, request_usage: bool, quirks: &Quirks, expected: &str) {
    let encoded = encode(CHAT, body, request_usage, quirks);
    assert_eq!(encoded.body, expected);
    // Whatever was cut out or put in, it is still JSON.
    serde_json::from_slice::<Value>(&encoded.body).unwrap();
}

#[test]
fn only_the_model_changes() {
    let plain = Quirks::default();
    for body in [
        r#"{"model":"old","messages":[{"role":"user","content":"x"}]}"#,
        "{ \"messages\" : [ {\"role\":\"user\",\"content\":\"\\u00e9 \\\" } \"} ] ,\n \"model\"\t:\"old\" , \"z\":-0.0e5, \"big\":123456789012345678901234567890 }",
        r#"{"nested":{"model":"decoy"},"m\u006fdel":"old","messages":[{"role":"user","content":"\"model\":\"decoy\""}]}"#,
    ] {
        let expected = body.replace("\"old\"", r#""new \"model\"""#);
        check(body, true, &plain, &expected);
    }
}

#[test]
fn a_stream_is_asked_for_its_usage_once() {
    let plain = Quirks::default();
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    let model = r#""model":"new \"model\"""#;
    for (options, expected) in [
        ("", r#""stream_options":{"include_usage":true},"#),
        (
            r#""stream_options":null,"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
        (
            r#""stream_options":{ },"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
        (
            r#""stream_options":{"include_usage":false},"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
        (
            r#""stream_options":{"x":{"include_usage":false}},"#,
            r#""stream_options":{"include_usage":true,"x":{"include_usage":false}},"#,
        ),
    ] {
        let body = format!(r#"{{{options}"stream":true,"model":"old",{messages}}}"#);
        let expected = format!(r#"{{{expected}"stream":true,{model},{messages}}}"#);
        check(&body, true, &plain, &expected);
        assert!(encode(CHAT, &body, true, &plain).usage_was_added);
    }
    for body in [
        format!(
            r#"{{"stream":true,"stream_options":{{"include_usage":true}},"model":"old",{messages}}}"#
        ),
        format!(r#"{{"stream":false,"model":"old",{messages}}}"#),
        format!(r#"{{"model":"old",{messages}}}"#),
    ] {
        check(
            &body,
            true,
            &plain,
            &body.replace("\"old\"", r#""new \"model\"""#),
        );
        assert!(!encode(CHAT, &body, true, &plain).usage_was_added);
    }
    let unable = Quirks {
        stream_usage: false,
        ..Quirks::default()
    };
    let body = format!(r#"{{"stream":true,"model":"old",{messages}}}"#);
    check(
        &body,
        true,
        &unable,
        &body.replace("\"old\"", r#""new \"model\"""#),
    );
}

#[test]
fn quirks_cost_as_little_as_possible() {
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    let model = r#""model":"new \"model\"""#;
    let old_words = Quirks {
        max_tokens_field: MaxTokensField::MaxTokens,
        ..Quirks::default()
    };
    check(
        &format!(r#"{{"max_completion_tokens" : 5,"model":"old",{messages}}}"#),
        false,
        &old_words,
        &format!(r#"{{"max_tokens" : 5,{model},{messages}}}"#),
    );
    check(
        &format!(r#"{{"max_completion_tokens":5,"model":"old","max_tokens":5,{messages}}}"#),
        false,
        &old_words,
        &format!(r#"{{{model},"max_tokens":5,{messages}}}"#),
    );
    let dropping = |fields: &[&str]| Quirks {
        drop_fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        ..Quirks::default()
    };
    for (fields, expected) in [
        (
            &["a"][..],
            format!(r#"{{ "b":2 ,{model},"c":3,{messages},"d":4}}"#),
        ),
        (
            &["a", "b"],
            format!(r#"{{ {model},"c":3,{messages},"d":4}}"#),
        ),
        (
            &["b", "c"],
            format!(r#"{{ "a":1 ,{model},{messages},"d":4}}"#),
        ),
        (
            &["a", "c", "d"],
            format!(r#"{{ "b":2 ,{model},{messages}}}"#),
        ),
        (
            &["a", "b", "c", "d", "model"],
            format!(r#"{{ {model},{messages}}}"#),
        ),
    ] {
        let body = format!(r#"{{ "a":1, "b":2 ,"model":"old","c":3,{messages},"d":4}}"#);
        let encoded = encode(CHAT, &body, false, &dropping(fields));
        let trimmed = String::from_utf8(encoded.body.to_vec()).unwrap();
        assert_eq!(trimmed, expected);
        let left_out: Vec<&str> = fields.iter().copied().filter(|f| *f != "model").collect();
        assert_eq!(encoded.left_out, left_out);
    }
}

#[test]
fn a_role_the_server_does_not_know_is_renamed() {
    let quirks = Quirks {
        developer_role: false,
        ..Quirks::default()
    };
    let body = r#"{"model":"old","messages":[{"role":"developer","content":"x"}],"z":{"y":[1]}}"#;
    let sent: Value = serde_json::from_slice(&encode(CHAT, body, false, &quirks).body).unwrap();
    assert_eq!(sent["messages"][0]["role"], "system");
    assert_eq!(sent["z"], serde_json::json!({"y": [1]}));
}

#[test]
fn messages_pass_through_too() {
    let body = r#"{"model":"old","max_tokens":1,"messages":[{"role":"user","content":[{"type":"new_block","x":1}]}],"betas":["b"]}"#;
    let encoded = encode(Dialect::AnthropicMessages, body, true, &Quirks::default());
    assert_eq!(encoded.body, body.replace("\"old\"", r#""new \"model\"""#));
}
