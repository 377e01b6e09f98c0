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

/// What an upstream says of its usage: whole, and in a stream.
fn told_usages(dialect: Dialect, usage: &str) -> [Option<freehold_types::Usage>; 2] {
    let (body, stream) = match dialect {
        Dialect::AnthropicMessages => (
            format!(
                r#"{{"type":"message","role":"assistant","id":"m","model":"x","content":[],"stop_reason":"end_turn","usage":{usage}}}"#
            ),
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\",\"model\":\"x\"}}}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{usage}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
            ),
        ),
        _ => (
            format!(
                r#"{{"choices":[{{"index":0,"message":{{"content":"hi"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
            ),
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"hi\"}},\"finish_reason\":\"stop\"}}]}}\n\ndata: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
            ),
        ),
    };
    let whole = freehold_wire::decode_response(dialect, body.as_bytes()).unwrap();
    let mut decoder = freehold_wire::StreamDecoder::new(dialect, false);
    let mut frames = Vec::new();
    decoder.push(stream.as_bytes(), &mut frames).unwrap();
    decoder.finish(&mut frames).unwrap();
    let events: Vec<_> = frames.into_iter().flat_map(|frame| frame.events).collect();
    assert_eq!(events.last(), Some(&freehold_types::Event::End), "{usage}");
    let streamed = events.into_iter().rev().find_map(|event| match event {
        freehold_types::Event::Usage(usage) => Some(usage),
        _ => None,
    });
    [whole.usage, streamed]
}

/// Nothing that an upstream writes in the place of its usage ends the answer, becomes a negative
/// count, or passes for a count that it is not.
#[test]
fn impossible_usage_is_doubted_and_never_ends_an_answer() {
    use freehold_types::UsageBasis;
    use freehold_types::usage::UsageDoubt as D;
    let chat = |prompt: &str, completion: &str| {
        format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}"#)
    };
    let messages = |input: &str, output: &str| {
        format!(r#"{{"input_tokens":{input},"output_tokens":{output}}}"#)
    };
    for (count, doubt) in [
        ("-1", D::Negative),
        ("-9223372036854775808", D::Negative),
        ("-1e300", D::Negative),
        ("1000000000001", D::TooLarge),
        ("18446744073709551615", D::TooLarge),
        ("99999999999999999999999", D::TooLarge),
        ("\"12\"", D::NotANumber),
        ("\"many\"", D::NotANumber),
        ("true", D::NotANumber),
        ("[7]", D::NotANumber),
        ("{\"n\":7}", D::NotANumber),
    ] {
        for (dialect, usage) in [
            (Dialect::OpenaiChat, chat("7", count)),
            (Dialect::AnthropicMessages, messages("7", count)),
        ] {
            for told in told_usages(dialect, &usage) {
                let told = told.unwrap();
                assert_eq!((told.input_tokens, told.output_tokens), (7, 0), "{usage}");
                assert_eq!(told.doubt, Some(doubt), "{usage}");
                assert_eq!(told.basis, UsageBasis::Estimated, "{usage}");
            }
        }
    }
    // The usage as a whole is something else.
    for usage in ["\"none\"", "5", "[]", "[1,2]", "true"] {
        for told in told_usages(Dialect::OpenaiChat, usage) {
            let told = told.unwrap();
            assert_eq!(
                (told.total_tokens(), told.doubt),
                (0, Some(D::NotANumber)),
                "{usage}"
            );
            assert_eq!(told.basis, UsageBasis::Estimated);
        }
    }
    // A wrong part does not spoil the wholes.
    let part =
        r#"{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-5}}"#;
    for told in told_usages(Dialect::OpenaiChat, part) {
        let told = told.unwrap();
        assert_eq!(
            (told.cached_input_tokens, told.doubt),
            (0, Some(D::Negative))
        );
        assert_eq!(
            (told.total_tokens(), told.basis),
            (10, UsageBasis::Reported)
        );
    }
    for details in ["\"x\"", "[]", "7"] {
        let odd = format!(
            r#"{{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{details}}}"#
        );
        for told in told_usages(Dialect::OpenaiChat, &odd) {
            assert_eq!(told.unwrap().total_tokens(), 10);
        }
    }
}

/// Saying nothing is not saying zero.
#[test]
fn missing_usage_is_missing_and_half_of_one_is_no_report() {
    use freehold_types::UsageBasis;
    for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
        for usage in ["null", "{}", r#"{"total_tokens":9}"#, r#"{"other":1}"#] {
            assert_eq!(told_usages(dialect, usage), [None, None], "{usage}");
        }
    }
    let half = told_usages(Dialect::OpenaiChat, r#"{"prompt_tokens":9}"#);
    for told in half {
        let told = told.unwrap();
        assert_eq!((told.input_tokens, told.basis), (9, UsageBasis::Estimated));
    }
    // The total tells the other half.
    let total = r#"{"prompt_tokens":9,"total_tokens":11}"#;
    for told in told_usages(Dialect::OpenaiChat, total) {
        let told = told.unwrap();
        assert_eq!((told.output_tokens, told.basis), (2, UsageBasis::Reported));
    }
    for told in told_usages(Dialect::AnthropicMessages, r#"{"output_tokens":5}"#) {
        assert_eq!(told.unwrap().basis, UsageBasis::Estimated);
    }
}

/// A charge is believed when somebody can have charged it.
#[test]
fn absurd_charges_are_not_believed() {
    use freehold_types::usage::UsageDoubt;
    for (cost, nanos, doubt) in [
        ("0.0001", Some(100_000), None),
        ("0", Some(0), None),
        ("null", None, None),
        ("\"free\"", None, None),
        ("-3", None, Some(UsageDoubt::AbsurdCost)),
        ("1e12", None, Some(UsageDoubt::AbsurdCost)),
        (r#"{"total_cost":0.5}"#, Some(500_000_000), None),
    ] {
        let usage = format!(r#"{{"prompt_tokens":7,"completion_tokens":3,"cost":{cost}}}"#);
        for told in told_usages(Dialect::OpenaiChat, &usage) {
            let told = told.unwrap();
            let charged = told.reported_cost.map(freehold_types::NanoUsd::nanos);
            assert_eq!((charged, told.doubt), (nanos, doubt), "{cost}");
        }
    }
}

/// What is hidden in the total is billed once, whichever part of it was left out.
#[test]
fn a_total_tells_what_was_left_out() {
    for (usage, input, output, reasoning) in [
        // Thoughts, told apart or not.
        (
            r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":17}"#,
            5,
            12,
            10,
        ),
        (
            r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":17,"completion_tokens_details":{"reasoning_tokens":10}}"#,
            5,
            12,
            10,
        ),
        // Reasoning that is part of the answer's tokens, as it should be.
        (
            r#"{"prompt_tokens":5,"completion_tokens":12,"total_tokens":17,"completion_tokens_details":{"reasoning_tokens":10}}"#,
            5,
            12,
            10,
        ),
        // Cached tokens beside the prompt's.
        (
            r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":100}}"#,
            105,
            2,
            0,
        ),
        // A total that is too small is nobody's business.
        (
            r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":1}"#,
            5,
            2,
            0,
        ),
    ] {
        for told in told_usages(Dialect::OpenaiChat, usage) {
            let told = told.unwrap();
            assert_eq!(told.input_tokens, input, "{usage}");
            assert_eq!(
                (told.output_tokens, told.reasoning_tokens),
                (output, reasoning),
                "{usage}"
            );
        }
    }
}
