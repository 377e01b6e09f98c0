//! What one event of a stream costs, read and written, and what a request costs: the wire's part
//! of the gateway's overhead. `cargo bench -p freehold-wire`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freehold_types::{Dialect, Event};
use freehold_wire::{
    AnswerContext, EncodeOptions, Limits, Quirks, StreamDecoder, StreamEncoder, decode_request,
    encode_request,
};
use serde_json::json;

const EVENTS: u32 = 1_000;

fn context() -> AnswerContext {
    AnswerContext {
        id: "chatcmpl-123".to_owned(),
        model: "auto".to_owned(),
        created_s: 1_700_000_000,
        include_usage: true,
    }
}

/// The events of a long answer of short texts.
fn events() -> Vec<Event> {
    let delta = Event::PartDelta {
        choice: 0,
        part: 0,
        delta: freehold_types::Delta::Text {
            text: " token".to_owned(),
            logprobs: Vec::new(),
        },
    };
    let mut events = vec![
        Event::Start {
            id: "chatcmpl-123".to_owned(),
            model: "gpt-4o-mini-2024-07-18".to_owned(),
            created_s: Some(1_700_000_000),
            extra: json!({"system_fingerprint": "fp_44709d6fcb", "service_tier": "default"})
                .as_object()
                .cloned()
                .unwrap_or_default(),
        },
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: freehold_types::PartKind::Text,
        },
    ];
    events.extend((0..EVENTS).map(|_| delta.clone()));
    events.extend([
        Event::PartEnd { choice: 0, part: 0 },
        Event::Finish {
            choice: 0,
            reason: freehold_types::FinishReason::Stop,
            stop_sequence: None,
        },
        Event::End,
    ]);
    events
}

fn write(dialect: Dialect, events: &[Event]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(dialect, context());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

fn streams(criterion: &mut Criterion) {
    let events = events();
    let mut group = criterion.benchmark_group("stream event");
    group.throughput(Throughput::Elements(u64::from(EVENTS)));
    for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
        let bytes = write(dialect, &events);
        // As a connection delivers them: a few events at a time.
        group.bench_function(format!("read {dialect}"), |bencher| {
            bencher.iter(|| {
                let mut decoder = StreamDecoder::new(dialect, false);
                let mut frames = Vec::new();
                for piece in bytes.chunks(512) {
                    let _ = decoder.push(black_box(piece), &mut frames);
                    frames.clear();
                }
            });
        });
        group.bench_function(format!("write {dialect}"), |bencher| {
            bencher.iter(|| write(dialect, black_box(&events)));
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let messages: Vec<_> = (0..40)
        .map(|index| {
            let role = if index % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": text})
        })
        .collect();
    let body = json!({"model": "auto", "messages": messages, "temperature": 0.2, "stream": true});
    let body = Bytes::from(body.to_string());
    let quirks = Quirks::default();
    let options = EncodeOptions {
        model: "gpt-4o",
        request_usage: true,
        quirks: &quirks,
    };
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| decode_request(Dialect::OpenaiChat, black_box(body.clone()), &limits));
    });
    if let Ok(request) = decode_request(Dialect::OpenaiChat, body.clone(), &limits) {
        group.bench_function("pass through", |bencher| {
            bencher.iter(|| encode_request(Dialect::OpenaiChat, black_box(&request), &options));
        });
        group.bench_function("translate", |bencher| {
            bencher
                .iter(|| encode_request(Dialect::AnthropicMessages, black_box(&request), &options));
        });
    }
    group.finish();
}

criterion_group!(benches, streams, requests);
criterion_main!(benches);
