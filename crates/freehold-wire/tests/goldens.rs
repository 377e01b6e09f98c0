//! Every fixture under `tests/golden`, translated into every dialect. The snapshots beside this
//! file are the expected answers; `cargo insta review` shows what a change does to them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use freehold_types::{Dialect, Error, Event, Response};
use freehold_wire::{
    AnswerContext, EncodeOptions, Frame, Limits, Quirks, StreamDecoder, StreamEncoder,
    decode_error, decode_request, decode_response, encode_error, encode_request, encode_response,
};
use serde_json::Value;

const DIALECTS: [Dialect; 3] = [
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
    Dialect::OpenaiCompletions,
];

/// Calls with every fixture of a kind, and keeps what it returns as the fixture's snapshot.
fn each(kind: &str, render: impl Fn(Dialect, &[u8]) -> String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for dialect in DIALECTS {
        let folder = root.join(dialect.as_str()).join(kind);
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = render(dialect, &fs::read(&path).unwrap());
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(root.join(dialect.as_str()).join("expected").join(kind));
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(stem, text));
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} fixtures of {kind} were found");
}

fn show_error(error: &Error) -> String {
    let param = error.param.as_deref().unwrap_or("-");
    let code = error.code.as_deref().unwrap_or("-");
    let (kind, retry, side) = (error.kind, error.retry, error.source_side);
    format!(
        "{kind:?} {side:?} {retry:?} param={param} code={code}\n{}\n",
        error.message
    )
}

fn pretty(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

fn context() -> AnswerContext {
    AnswerContext {
        id: "answer-1".to_owned(),
        model: "shown-model".to_owned(),
        created_s: 1_700_000_000,
        include_usage: true,
    }
}

#[test]
fn requests() {
    each("requests", |dialect, body| {
        let body = Bytes::copy_from_slice(body);
        let request = decode_request(dialect, body.clone(), &Limits::default()).unwrap();
        let quirks = Quirks::default();
        let options = EncodeOptions {
            model: "target-model",
            request_usage: true,
            quirks: &quirks,
        };
        let mut text = String::new();
        for target in DIALECTS {
            let mut changed = request.clone();
            // The raw bytes would pass through; here the canonical form must carry everything.
            changed.raw = None;
            writeln!(text, "=== {target}").unwrap();
            match encode_request(target, &changed, &options) {
                Ok(encoded) => {
                    if !encoded.left_out.is_empty() {
                        writeln!(text, "left out: {}", encoded.left_out.join(", ")).unwrap();
                    }
                    if encoded.usage_was_added {
                        writeln!(text, "usage was added").unwrap();
                    }
                    text.push_str(&pretty(&encoded.body));
                    reread(target, &encoded.body);
                }
                Err(error) => text.push_str(&show_error(&error)),
            }
        }
        // Same dialect, raw bytes: nothing but the model and the usage chunk changes.
        let passed = encode_request(dialect, &request, &options).unwrap();
        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        expected["model"] = "target-model".into();
        if passed.usage_was_added {
            expected["stream_options"]["include_usage"] = true.into();
        }
        let sent: Value = serde_json::from_slice(&passed.body).unwrap();
        assert_eq!(sent, expected);
        text
    });
}

/// What we send must be something we would take.
fn reread(target: Dialect, body: &Bytes) {
    let read = decode_request(target, body.clone(), &Limits::default());
    read.unwrap_or_else(|error| panic!("{error}: {body:?}"));
}

#[test]
fn responses() {
    each("responses", |dialect, body| {
        let response = match decode_response(dialect, body) {
            Ok(response) => response,
            Err(error) => return show_error(&error),
        };
        let mut text = String::new();
        for target in DIALECTS {
            let body = encode_response(target, &response, &context());
            writeln!(text, "=== {target}\n{}", pretty(&body)).unwrap();
        }
        // The same answer as events says the same, where a stream can say it.
        let again = Response::from_events(response.clone().into_events());
        assert_eq!(again.usage, response.usage);
        assert_eq!(again.choices.len(), response.choices.len());
        text
    });
}

fn read_stream(dialect: Dialect, bytes: &[u8], cut: usize) -> (Vec<Frame>, Option<Error>) {
    let mut decoder = StreamDecoder::new(dialect, true);
    let mut frames = Vec::new();
    for chunk in bytes.chunks(cut) {
        if let Err(error) = decoder.push(chunk, &mut frames) {
            return (frames, Some(error));
        }
    }
    let error = decoder.finish(&mut frames).err();
    (frames, error)
}

#[test]
fn streams() {
    each("streams", |dialect, bytes| {
        let (frames, error) = read_stream(dialect, bytes, bytes.len());
        for cut in [1, 2, 3, 7, 64] {
            let (other, _) = read_stream(dialect, bytes, cut);
            assert_eq!(other, frames, "cut into pieces of {cut}");
        }
        let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        assert!(bytes.starts_with(&raw) || raw.starts_with(bytes));
        let events: Vec<Event> = frames
            .iter()
            .flat_map(|frame| frame.events.to_vec())
            .collect();
        check_grammar(&events, error.is_none());
        let mut text = String::new();
        for (index, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.hidden) {
            writeln!(text, "frame {index} is hidden: {:?}", frame.events).unwrap();
        }
        for target in DIALECTS {
            let mut encoder = StreamEncoder::new(target, context());
            let mut out = Vec::new();
            for event in &events {
                encoder.push(event, &mut out);
            }
            if let Some(error) = &error {
                encoder.error(error, &mut out);
            }
            encoder.push(&Event::End, &mut out);
            writeln!(text, "=== {target}\n{}", String::from_utf8(out).unwrap()).unwrap();
        }
        if let Some(error) = error {
            text.push_str(&show_error(&error));
        }
        text
    });
}

/// The grammar that `freehold_types::answer` promises.
fn check_grammar(events: &[Event], complete: bool) {
    assert!(
        matches!(events.first(), Some(Event::Start { .. })),
        "{events:?}"
    );
    let mut open = Vec::new();
    let mut known = Vec::new();
    for event in &events[1..] {
        match event {
            Event::Start { .. } => panic!("a second start"),
            Event::PartStart { choice, part, .. } => {
                assert!(!known.contains(&(*choice, *part)), "{events:?}");
                known.push((*choice, *part));
                open.push((*choice, *part));
            }
            Event::PartDelta { choice, part, .. } => {
                assert!(open.contains(&(*choice, *part)), "{events:?}");
            }
            Event::PartEnd { choice, part } => {
                let position = open.iter().position(|other| *other == (*choice, *part));
                open.remove(position.expect("ends what was not open"));
            }
            Event::Finish { choice, .. } => {
                assert!(open.iter().all(|(other, _)| other != choice), "{events:?}");
            }
            Event::Usage(_) | Event::Extra { .. } | Event::End => {}
        }
    }
    if complete {
        assert!(open.is_empty());
        assert_eq!(events.last(), Some(&Event::End));
        assert_eq!(
            events.iter().filter(|event| **event == Event::End).count(),
            1
        );
    }
}

#[test]
fn errors() {
    each("errors", |dialect, fixture| {
        let fixture: Value = serde_json::from_slice(fixture).unwrap();
        let status = u16::try_from(fixture["status"].as_u64().unwrap()).unwrap();
        let body = match &fixture["body"] {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let retry_after = fixture["retry_after_s"].as_u64().map(Duration::from_secs);
        let error = decode_error(dialect, status, retry_after, body.into());
        let mut text = show_error(&error);
        for target in DIALECTS {
            let body = encode_error(target, status, &error, "req_1");
            writeln!(text, "=== {target}\n{}", pretty(&body)).unwrap();
        }
        text
    });
}
