//! Events that are like the one before but for their text are read by likeness: they must mean what they mean when
//! they are read by themselves.

use freehold_types::Dialect;
use freehold_wire::{Frame, StreamDecoder};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One event of a stream, in this order of likelihood.
fn event(dialect: Dialect) -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        8 => "[a-z ]{0,6}",
        1 => Just("quote \" and \\ and \n".to_owned()),
        1 => Just("\", \"index\": 1, \"x\": \"".to_owned()),
        1 => "\\PC{0,4}",
    ];
    let index = prop_oneof![4 => Just(0_u64), 1 => 0_u64..3];
    (text, index, 0_u8..16).prop_map(move |(text, index, kind)| match dialect {
        Dialect::AnthropicMessages => anthropic(&text, index, kind),
        _ => openai(dialect, &text, index, kind),
    })
}

fn openai(dialect: Dialect, text: &str, index: u64, kind: u8) -> Value {
    let mut choice = json!({"index": index, "finish_reason": null});
    match (dialect, kind) {
        (Dialect::OpenaiCompletions, _) => choice["text"] = text.into(),
        (_, 0) => choice["delta"] = json!({"refusal": text}),
        (_, 1) => choice["delta"] = json!({"reasoning_content": text}),
        (_, 2) => {
            let call = json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": text}});
            choice["delta"] = json!({"tool_calls": [call]});
        }
        (_, 3) => {
            choice["delta"] = json!({});
            choice["finish_reason"] = "stop".into();
        }
        (_, 4) => choice["delta"] = json!({"content": text, "reasoning": text}),
        _ => choice["delta"] = json!({"content": text}),
    }
    let mut chunk = json!({"id": "1", "model": "m", "choices": [choice]});
    if kind == 5 {
        chunk["usage"] = json!({"prompt_tokens": 1, "completion_tokens": text.len()});
    }
    if kind == 6 {
        chunk["choices"] = json!([chunk["choices"][0], chunk["choices"][0]]);
    }
    chunk
}

fn anthropic(text: &str, index: u64, kind: u8) -> Value {
    match kind {
        0 => json!({"type": "content_block_stop", "index": index}),
        1 | 2 => {
            let block = json!({"type": "text", "text": ""});
            json!({"type": "content_block_start", "index": index, "content_block": block})
        }
        3 => json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "thinking_delta", "thinking": text}}),
        4 => json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": text.len()}}),
        _ => json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "text_delta", "text": text}}),
    }
}

/// What is read of the events: with a space more after each than after the one before, none is like another.
fn read(dialect: Dialect, events: &[Value], different: bool) -> (Vec<Value>, bool) {
    let mut decoder = StreamDecoder::new(dialect, false);
    let mut frames: Vec<Frame> = vec![];
    let mut failed = false;
    for (number, event) in events.iter().enumerate() {
        let text = event.to_string();
        let body = text.strip_suffix('}').expect("an object");
        let spaces = " ".repeat(if different { number } else { 0 });
        let bytes = format!("data: {body}{spaces}}}\n\n");
        if decoder.push(bytes.as_bytes(), &mut frames).is_err() {
            failed = true;
            break;
        }
    }
    let means = |frame: &Frame| json!([format!("{:?}", frame.events), frame.hidden]);
    (frames.iter().map(means).collect(), failed)
}

proptest! {
    #[test]
    fn likeness_changes_nothing(
        (dialect, events) in prop_oneof![
            Just(Dialect::OpenaiChat),
            Just(Dialect::OpenaiCompletions),
            Just(Dialect::AnthropicMessages),
        ]
        .prop_flat_map(|dialect| {
            (Just(dialect), prop::collection::vec(event(dialect), 1..40))
        })
    ) {
        prop_assert_eq!(read(dialect, &events, false), read(dialect, &events, true));
    }
}
