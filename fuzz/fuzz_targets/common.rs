//! What the targets share. Each target uses a part of it.
#![expect(
    dead_code,
    reason = "each target is a crate of its own and uses a part"
)]

use bytes::Bytes;
use freehold_types::{Dialect, Event, Response};
use freehold_wire::{
    AnswerContext, EncodeOptions, Frame, Limits, Quirks, StreamDecoder, StreamEncoder,
    decode_request, decode_response, encode_error, encode_request, encode_response,
};

/// Every dialect.
pub const DIALECTS: [Dialect; 3] = [
    Dialect::OpenaiChat,
    Dialect::AnthropicMessages,
    Dialect::OpenaiCompletions,
];

fn context() -> AnswerContext {
    AnswerContext {
        id: "answer".to_owned(),
        model: "model".to_owned(),
        created_s: 1,
        include_usage: true,
    }
}

/// What is read can be written for every target, and what is written can be read again.
pub fn request(dialect: Dialect, bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let mut request = match decode_request(dialect, body, &Limits::default()) {
        Ok(request) => request,
        Err(error) => {
            encode_error(dialect, 400, &error, "req_1");
            return;
        }
    };
    let quirks = Quirks::default();
    let options = EncodeOptions {
        model: "other",
        request_usage: true,
        quirks: &quirks,
    };
    let passed = encode_request(dialect, &request, &options).expect("its own dialect takes it");
    let again = decode_request(dialect, passed.body, &Limits::default())
        .expect("only the model's name was changed");
    assert_eq!(again.messages, request.messages);
    request.raw = None;
    for target in DIALECTS {
        if let Ok(encoded) = encode_request(target, &request, &options) {
            decode_request(target, encoded.body, &Limits::default())
                .expect("what we send is what we would take");
        }
    }
}

/// Whatever is read can be written in every dialect.
pub fn response(dialect: Dialect, bytes: &[u8]) {
    let Ok(response) = decode_response(dialect, bytes) else {
        return;
    };
    for target in DIALECTS {
        let body = encode_response(target, &response, &context());
        decode_response(target, &body).expect("what was written can be read");
    }
    Response::from_events(response.into_events());
}

fn read(dialect: Dialect, bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<String>) {
    let mut decoder = StreamDecoder::new(dialect, true);
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        if let Err(error) = decoder.push(piece, &mut frames) {
            return (frames, Some(format!("{error:?}")));
        }
    }
    let failure = decoder.finish(&mut frames).err();
    (frames, failure.map(|error| format!("{error:?}")))
}

/// However the bytes are cut, the frames are the same; the events can be written in every dialect,
/// and what is written is a whole stream.
pub fn stream(dialect: Dialect, bytes: &[u8]) {
    let whole = read(dialect, bytes, bytes.len());
    for piece in [1, 2, 3, 7, bytes.len() / 2] {
        assert_eq!(read(dialect, bytes, piece), whole);
    }
    let frames = whole.0.into_iter();
    let events: Vec<Event> = frames.flat_map(|frame| frame.events).collect();
    for target in DIALECTS {
        let mut encoder = StreamEncoder::new(target, context());
        let mut out = Vec::new();
        for event in &events {
            encoder.push(event, &mut out);
        }
        let (_, failure) = read(target, &out, out.len());
        assert!(
            !events.contains(&Event::End) || failure.is_none(),
            "{failure:?}"
        );
    }
    Response::from_events(events);
}
