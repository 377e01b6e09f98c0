//! Properties that hold for every input: translation keeps the meaning, cuts in the byte stream
//! change nothing, garbage panics nowhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use freehold_types::answer::Choice;
use freehold_types::request::{
    Extra, MediaSource, Message, Part, Request, ResponseFormat, Role, Sampling, Tool, ToolChoice,
};
use freehold_types::{Dialect, Event, FinishReason, Response, Usage, UsageBasis};
use freehold_wire::{
    AnswerContext, EncodeOptions, Frame, Limits, Quirks, StreamDecoder, StreamEncoder,
    decode_count_tokens, decode_error, decode_request, decode_response, encode_request,
    encode_response,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const PAIR: [Dialect; 2] = [Dialect::OpenaiChat, Dialect::AnthropicMessages];
const ALL: [Dialect; 3] = [
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
    Dialect::OpenaiCompletions,
];

// --- What both dialects can say ---

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        "\\PC{1,12}",
        Just("line\nbreak \u{2028} \"quoted\" \\ \u{0}".to_owned()),
        Just("data: [DONE]\n\nevent: x".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,16}"
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), leaf()), 0..4)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
}

fn leaf() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    plain.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(Value::from)
    })
}

fn picture() -> impl Strategy<Value = Part> {
    let source = prop_oneof![
        Just(MediaSource::Url("https://example.com/a.png".to_owned())),
        "[A-Za-z0-9+/]{4,8}".prop_map(|data| MediaSource::Base64 {
            media_type: "image/png".to_owned(),
            data,
        }),
    ];
    source.prop_map(|source| Part::Image {
        source,
        detail: None,
        extra: Extra::new(),
    })
}

fn document() -> impl Strategy<Value = Part> {
    name().prop_map(|name| Part::File {
        source: MediaSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data: "JVBERi0xLjQK".to_owned(),
        },
        name: Some(name),
        extra: Extra::new(),
    })
}

fn user_part() -> impl Strategy<Value = Part> {
    prop_oneof![4 => text().prop_map(Part::text), 1 => picture(), 1 => document()]
}

fn call() -> impl Strategy<Value = (String, String, Value)> {
    (name(), name(), object())
}

/// A user's turn, the model's answer with calls, and the calls' results.
fn round() -> impl Strategy<Value = Vec<Message>> {
    (
        prop::collection::vec(user_part(), 1..4),
        prop::collection::vec(text(), 0..2),
        prop::collection::vec((call(), prop::collection::vec(text(), 0..3)), 0..3),
    )
        .prop_map(|(user, said, calls)| {
            let message = |role, parts| Message {
                role,
                parts,
                name: None,
                extra: Extra::new(),
            };
            let mut messages = vec![message(Role::User, user)];
            let mut answer: Vec<Part> = said.into_iter().map(Part::text).collect();
            for ((id, name, input), _) in &calls {
                answer.push(Part::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: input.to_string(),
                    extra: Extra::new(),
                });
            }
            if !answer.is_empty() {
                messages.push(message(Role::Assistant, answer));
            }
            for ((id, ..), result) in calls {
                let part = Part::ToolResult {
                    call_id: id,
                    parts: result.into_iter().map(Part::text).collect(),
                    is_error: false,
                    extra: Extra::new(),
                };
                messages.push(message(Role::Tool, vec![part]));
            }
            messages
        })
}

fn tools() -> impl Strategy<Value = (Vec<Tool>, Option<ToolChoice>, Option<bool>)> {
    let tool =
        (name(), prop::option::of(text()), object()).prop_map(|(name, description, properties)| {
            Tool::Function {
                name,
                description,
                parameters: Some(json!({"type": "object", "properties": properties})),
                strict: None,
                extra: Extra::new(),
            }
        });
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        name().prop_map(ToolChoice::Function),
    ];
    (
        prop::collection::vec(tool, 1..3),
        prop::option::of(choice),
        prop::option::of(any::<bool>()),
    )
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (
        1_u64..100_000,
        prop::option::of(0.0..=1.0_f64),
        prop::option::of(0.0..=1.0_f64),
        prop::collection::vec(text(), 0..3),
    )
        .prop_map(|(max, temperature, top_p, stop)| Sampling {
            max_output_tokens: Some(max),
            temperature,
            top_p,
            stop,
            ..Sampling::default()
        })
}

fn request() -> impl Strategy<Value = Request> {
    let system = prop::collection::vec(text(), 0..3);
    (
        prop::sample::select(PAIR.to_vec()),
        system,
        prop::collection::vec(round(), 1..4),
        prop::option::of(tools()),
        sampling(),
        prop::option::of(object()),
        any::<bool>(),
        prop::option::of(text()),
    )
        .prop_map(
            |(dialect, system, rounds, tools, sampling, schema, stream, user)| {
                let mut messages = Vec::new();
                if !system.is_empty() {
                    messages.push(Message {
                        role: Role::System,
                        parts: system.into_iter().map(Part::text).collect(),
                        name: None,
                        extra: Extra::new(),
                    });
                }
                messages.extend(rounds.into_iter().flatten());
                let (tools, tool_choice, parallel_tool_calls) = tools.unwrap_or_default();
                Request {
                    dialect,
                    model: "m".to_owned(),
                    messages,
                    prompt: None,
                    tools,
                    tool_choice,
                    parallel_tool_calls,
                    response_format: match schema {
                        Some(schema) => ResponseFormat::JsonSchema {
                            name: "response".to_owned(),
                            description: None,
                            schema,
                            strict: None,
                        },
                        None => ResponseFormat::Text,
                    },
                    sampling,
                    reasoning: None,
                    stream,
                    include_usage: false,
                    user,
                    metadata: Extra::new(),
                    extra: Extra::new(),
                    raw: None,
                }
            },
        )
}

/// What a request asks for, apart from how a dialect arranges it.
fn meaning(request: &Request) -> Value {
    let mut said = Vec::new();
    for message in &request.messages {
        for part in &message.parts {
            let speaker = match (message.role, part) {
                (_, Part::ToolResult { .. }) => "tool",
                (Role::Developer | Role::System, _) => "system",
                (Role::Assistant, _) => "assistant",
                (Role::User | Role::Tool, _) => "user",
            };
            said.push(json!([speaker, part_meaning(part)]));
        }
    }
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| json!(format!("{tool:?}")))
        .collect();
    let calls_off = request.tool_choice == Some(ToolChoice::None);
    let schema = match &request.response_format {
        ResponseFormat::JsonSchema { schema, .. } => Some(schema),
        _ => None,
    };
    json!({
        "said": said,
        "tools": tools,
        // With tools, `auto` is the default.
        "choice": format!("{:?}", request.tool_choice.as_ref().unwrap_or(&ToolChoice::Auto)),
        // Parallel calls are the default, and without calls they say nothing.
        "parallel": request.parallel_tool_calls.unwrap_or(true) || calls_off,
        "schema": schema,
        "sampling": format!("{:?}", request.sampling),
        "stream": request.stream,
        "user": request.user,
    })
}

fn part_meaning(part: &Part) -> Value {
    match part {
        Part::ToolCall {
            id,
            name,
            arguments,
            ..
        } => json!([id, name, serde_json::from_str::<Value>(arguments).unwrap()]),
        Part::ToolResult {
            call_id,
            parts,
            is_error,
            ..
        } => {
            let texts: Vec<Value> = parts
                .iter()
                .filter(|part| **part != Part::text(""))
                .map(part_meaning)
                .collect();
            json!([call_id, texts, is_error])
        }
        other => json!(format!("{other:?}")),
    }
}

// --- Answers ---

fn answer() -> impl Strategy<Value = Response> {
    let usage = (
        0_u64..1000,
        0_u64..1000,
        0_u64..1000,
        0_u64..1000,
        0_u64..1000,
    )
        .prop_map(|(fresh, cached, written, output, reasoning)| Usage {
            input_tokens: fresh + cached + written,
            cached_input_tokens: cached,
            cache_write_tokens: written,
            output_tokens: output + reasoning,
            reasoning_tokens: reasoning,
            basis: UsageBasis::Reported,
            ..Usage::default()
        });
    let finish = prop::sample::select(vec![
        FinishReason::Stop,
        FinishReason::Length,
        FinishReason::ToolCalls,
    ]);
    (
        prop::option::of(text()),
        prop::option::of(text()),
        prop::collection::vec(call(), 0..3),
        finish,
        usage,
    )
        .prop_map(|(thought, said, calls, finish, usage)| {
            let mut parts = Vec::new();
            parts.extend(thought.map(|text| Part::Thinking {
                text,
                signature: None,
                extra: Extra::new(),
            }));
            parts.extend(said.map(Part::text));
            parts.extend(calls.into_iter().map(|(id, name, input)| Part::ToolCall {
                id,
                name,
                arguments: input.to_string(),
                extra: Extra::new(),
            }));
            Response {
                id: "id".to_owned(),
                model: "model".to_owned(),
                created_s: None,
                choices: vec![Choice {
                    parts,
                    finish: Some(finish),
                    ..Choice::default()
                }],
                usage: Some(usage),
                extra: Extra::new(),
            }
        })
}

/// Deltas cut in two, and parts of one choice interleaved where the grammar allows it.
fn shuffle(events: Vec<Event>) -> Vec<Event> {
    let mut calls = Vec::new();
    let mut ends = Vec::new();
    let mut shuffled = Vec::new();
    for event in events {
        match event {
            Event::PartDelta {
                part, ref delta, ..
            } if matches!(delta, freehold_types::Delta::Arguments(_)) => {
                calls.push((part, event));
            }
            Event::PartEnd { part, .. } if calls.iter().any(|(call, _)| *call == part) => {
                ends.push(event);
            }
            Event::Finish { .. } => {
                // All starts came first; now the arguments, the last call's first.
                shuffled.extend(calls.drain(..).rev().map(|(_, event)| event));
                shuffled.append(&mut ends);
                shuffled.push(event);
            }
            other => shuffled.push(other),
        }
    }
    shuffled
}

fn answer_meaning(response: &Response) -> Value {
    let choice = &response.choices[0];
    let parts: Vec<Value> = choice.parts.iter().map(part_meaning).collect();
    json!([
        parts,
        format!("{:?}", choice.finish),
        format!("{:?}", response.usage)
    ])
}

fn context() -> AnswerContext {
    AnswerContext {
        id: "answer".to_owned(),
        model: "m".to_owned(),
        created_s: 1,
        include_usage: true,
    }
}

fn write_stream(dialect: Dialect, events: &[Event]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(dialect, context());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

/// Frames and the failure, if any, as text.
fn read_stream(dialect: Dialect, pieces: &[&[u8]]) -> (Vec<Frame>, Option<String>) {
    let mut decoder = StreamDecoder::new(dialect, true);
    let mut frames = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.push(piece, &mut frames) {
            return (frames, Some(format!("{error:?}")));
        }
    }
    let failure = decoder.finish(&mut frames).err();
    (frames, failure.map(|error| format!("{error:?}")))
}

fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn fixtures(kind: &str) -> Vec<(Dialect, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut fixtures = Vec::new();
    for dialect in ALL {
        let Ok(entries) = fs::read_dir(root.join(dialect.as_str()).join(kind)) else {
            continue;
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        fixtures.extend(paths.iter().map(|path| (dialect, fs::read(path).unwrap())));
    }
    assert!(!fixtures.is_empty());
    fixtures
}

/// A fixture with some bytes changed, removed or doubled.
fn mutated(kind: &str) -> impl Strategy<Value = (Dialect, Vec<u8>)> + use<> {
    let change = (any::<prop::sample::Index>(), 0_u8..4, any::<u8>());
    (
        prop::sample::select(fixtures(kind)),
        prop::collection::vec(change, 1..6),
    )
        .prop_map(|((dialect, mut bytes), changes)| {
            for (index, what, byte) in changes {
                if bytes.is_empty() {
                    break;
                }
                let index = index.index(bytes.len());
                match what {
                    0 => bytes[index] = byte,
                    1 => bytes[index] = b"{}[]\",:0\n\r\\"[usize::from(byte) % 11],
                    2 => bytes.truncate(index),
                    _ => bytes.extend_from_within(index..),
                }
            }
            (dialect, bytes)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_keep_their_meaning(request in request()) {
        for target in PAIR {
            let quirks = Quirks::default();
            let options = EncodeOptions { model: "m", request_usage: false, quirks: &quirks };
            let encoded = encode_request(target, &request, &options).unwrap();
            prop_assert!(encoded.left_out.is_empty(), "{:?}", encoded.left_out);
            let again = decode_request(target, encoded.body, &Limits::default()).unwrap();
            prop_assert_eq!(meaning(&again), meaning(&request), "{}", target);
        }
    }

    #[test]
    fn answers_keep_their_meaning(answer in answer()) {
        for target in PAIR {
            let body = encode_response(target, &answer, &context());
            let again = decode_response(target, &body).unwrap();
            prop_assert_eq!(answer_meaning(&again), answer_meaning(&answer), "{}", target);
        }
    }

    #[test]
    fn streams_keep_their_meaning(answer in answer()) {
        for events in [answer.clone().into_events(), shuffle(answer.clone().into_events())] {
            for target in PAIR {
                let bytes = write_stream(target, &events);
                let (frames, failure) = read_stream(target, &[&bytes]);
                prop_assert_eq!(failure, None);
                let events = frames.into_iter().flat_map(|frame| frame.events);
                let again = Response::from_events(events);
                prop_assert_eq!(answer_meaning(&again), answer_meaning(&answer), "{}", target);
            }
        }
    }

    #[test]
    fn cuts_change_nothing(
        (dialect, bytes) in prop::sample::select(fixtures("streams")),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        newline in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace('\n', newline);
        let whole = read_stream(dialect, &[text.as_bytes()]);
        let pieces = cut(text.as_bytes(), &cuts);
        prop_assert_eq!(read_stream(dialect, &pieces), whole);
    }

    #[test]
    fn cuts_change_nothing_in_garbage(
        (dialect, bytes) in mutated("streams"),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = read_stream(dialect, &[&bytes]);
        prop_assert_eq!(read_stream(dialect, &cut(&bytes, &cuts)), whole);
    }

    #[test]
    fn what_was_read_can_be_written((dialect, bytes) in mutated("streams")) {
        let (frames, _) = read_stream(dialect, &[&bytes]);
        let events: Vec<Event> = frames.into_iter().flat_map(|frame| frame.events).collect();
        for target in PAIR {
            let written = write_stream(target, &events);
            let (_, failure) = read_stream(target, &[&written]);
            let ended = events.contains(&Event::End);
            prop_assert!(!ended || failure.is_none(), "{failure:?}");
        }
    }

    #[test]
    fn garbage_requests_panic_nowhere((dialect, bytes) in mutated("requests")) {
        let body = Bytes::from(bytes);
        let _ = decode_count_tokens(body.clone(), &Limits::default());
        let Ok(request) = decode_request(dialect, body, &Limits::default()) else {
            return Ok(());
        };
        let quirks = Quirks::default();
        let options = EncodeOptions { model: "m", request_usage: true, quirks: &quirks };
        for target in ALL {
            for raw in [request.raw.clone(), None] {
                let mut request = request.clone();
                request.raw = raw;
                if let Ok(encoded) = encode_request(target, &request, &options) {
                    decode_request(target, encoded.body, &Limits::default()).unwrap();
                }
            }
        }
    }

    #[test]
    fn garbage_answers_panic_nowhere((dialect, bytes) in mutated("responses"), status in 100_u16..600) {
        if let Ok(response) = decode_response(dialect, &bytes) {
            for target in ALL {
                encode_response(target, &response, &context());
            }
        }
        decode_error(dialect, status, None, bytes.into());
    }
}
