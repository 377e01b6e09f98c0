//! How streams begin and end: exactly one terminal event, bounded frames, nothing after the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use freehold_types::{Delta, Dialect, Error, ErrorKind, Event, FinishReason, PartKind};
use freehold_wire::{AnswerContext, Frame, StreamDecoder, StreamEncoder};

const CHAT: Dialect = Dialect::OpenaiChat;
const MESSAGES: Dialect = Dialect::AnthropicMessages;
const ALL: [Dialect; 3] = [CHAT, MESSAGES, Dialect::OpenaiCompletions];

const CHUNK: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
const LAST: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn events(frames: &[Frame]) -> Vec<Event> {
    frames
        .iter()
        .flat_map(|frame| frame.events.to_vec())
        .collect()
}

#[test]
fn a_missing_done_is_made_good() {
    let mut decoder = StreamDecoder::new(CHAT, false);
    let mut frames = Vec::new();
    decoder.push(CHUNK.as_bytes(), &mut frames).unwrap();
    decoder.push(LAST.as_bytes(), &mut frames).unwrap();
    assert!(!events(&frames).contains(&Event::End));
    decoder.finish(&mut frames).unwrap();
    decoder.finish(&mut frames).unwrap();
    assert_eq!(events(&frames).last(), Some(&Event::End));
    assert_eq!(frames.last().unwrap().raw, "data: [DONE]\n\n");
}

#[test]
fn an_end_without_a_blank_line_counts() {
    let mut decoder = StreamDecoder::new(CHAT, false);
    let mut frames = Vec::new();
    let text = format!("{CHUNK}{LAST}data: [DONE]");
    decoder.push(text.as_bytes(), &mut frames).unwrap();
    decoder.finish(&mut frames).unwrap();
    assert_eq!(events(&frames).last(), Some(&Event::End));
    // A client that gets the raw bytes must see a whole event.
    assert_eq!(frames.last().unwrap().raw, "data: [DONE]\n\n");
}

#[test]
fn what_is_cut_is_an_error() {
    for text in [
        "",
        CHUNK,
        &CHUNK[..40],
        "data: {\"choices\":[]}\n\n",
        ": ping\n\n",
    ] {
        let mut decoder = StreamDecoder::new(CHAT, false);
        let mut frames = Vec::new();
        decoder.push(text.as_bytes(), &mut frames).unwrap();
        let error = decoder.finish(&mut frames).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream);
        assert_eq!(error.code.as_deref(), Some("stream_cut_short"));
        assert!(decoder.finish(&mut frames).is_err());
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut decoder = StreamDecoder::new(CHAT, false);
    let mut frames = Vec::new();
    let text = format!("{LAST}data: [DONE]\n\ndata: nonsense\n\n");
    decoder.push(text.as_bytes(), &mut frames).unwrap();
    decoder.push(CHUNK.as_bytes(), &mut frames).unwrap();
    decoder.finish(&mut frames).unwrap();
    assert_eq!(frames.len(), 2);
}

#[test]
fn a_failure_is_final() {
    for (text, kind) in [
        ("data: {nonsense\n\n", ErrorKind::BadUpstream),
        ("data: [1]\n\n", ErrorKind::BadUpstream),
        (
            "data: {\"choices\":[{\"index\":128,\"delta\":{}}]}\n\n",
            ErrorKind::BadUpstream,
        ),
        (
            "data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n",
            ErrorKind::RateLimited,
        ),
        (
            "event: error\ndata: {\"error\":\"boom\"}\n\n",
            ErrorKind::Unavailable,
        ),
    ] {
        let mut decoder = StreamDecoder::new(CHAT, false);
        let mut frames = Vec::new();
        let text = format!("{CHUNK}{text}");
        let error = decoder.push(text.as_bytes(), &mut frames).unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert_eq!(frames.len(), 1, "what came before is kept");
        assert!(decoder.push(LAST.as_bytes(), &mut frames).is_err());
        assert!(decoder.finish(&mut frames).is_err());
        assert_eq!(frames.len(), 1);
    }
}

#[test]
fn an_endless_event_is_refused() {
    let mut decoder = StreamDecoder::new(MESSAGES, false);
    let mut frames = Vec::new();
    let piece = vec![b'x'; 1024 * 1024];
    let error = (0..64).find_map(|_| decoder.push(&piece, &mut frames).err());
    assert_eq!(error.unwrap().kind, ErrorKind::BadUpstream);
}

#[test]
fn only_a_usage_chunk_that_was_not_asked_for_is_hidden() {
    let usage = "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}";
    let alone = format!("data: {{\"choices\":[],{usage}}}\n\n");
    let along = LAST.replace("]}\n", &format!("],{usage}}}\n"));
    for (hide, text, hidden) in [
        (true, &alone, true),
        (false, &alone, false),
        (true, &along, false),
    ] {
        let mut decoder = StreamDecoder::new(CHAT, hide);
        let mut frames = Vec::new();
        decoder.push(CHUNK.as_bytes(), &mut frames).unwrap();
        decoder.push(text.as_bytes(), &mut frames).unwrap();
        let last = frames.last().unwrap();
        assert_eq!(last.hidden, hidden);
        assert!(
            last.events
                .iter()
                .any(|event| matches!(event, Event::Usage(_)))
        );
    }
}

fn encode(dialect: Dialect, steps: impl FnOnce(&mut StreamEncoder, &mut Vec<u8>)) -> String {
    let context = AnswerContext {
        id: "a".to_owned(),
        model: "m".to_owned(),
        created_s: 1,
        include_usage: false,
    };
    let mut encoder = StreamEncoder::new(dialect, context);
    let mut out = Vec::new();
    steps(&mut encoder, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(choice: u32) -> [Event; 2] {
    let kind = PartKind::Text;
    let start = Event::PartStart {
        choice,
        part: 0,
        kind,
    };
    let delta = Delta::Text {
        text: "Hi".to_owned(),
        logprobs: Vec::new(),
    };
    let delta = Event::PartDelta {
        choice,
        part: 0,
        delta,
    };
    [start, delta]
}

#[test]
fn exactly_one_terminal_event_is_written() {
    for dialect in ALL {
        let (done, error) = match dialect {
            MESSAGES => (
                "event: message_stop",
                "event: error\ndata: {\"type\":\"error\"",
            ),
            _ => ("data: [DONE]", "data: {\"error\":"),
        };
        let failure = Error::new(ErrorKind::BadUpstream, "it broke");
        let ended = encode(dialect, |encoder, out| {
            text(0).iter().for_each(|event| encoder.push(event, out));
            encoder.push(&Event::End, out);
            encoder.push(&Event::End, out);
            encoder.error(&failure, out);
            text(0).iter().for_each(|event| encoder.push(event, out));
        });
        assert_eq!(ended.matches(done).count(), 1, "{ended}");
        assert!(!ended.contains(error), "{ended}");
        assert_eq!(ended.matches("Hi").count(), 1, "{ended}");
        let failed = encode(dialect, |encoder, out| {
            text(0).iter().for_each(|event| encoder.push(event, out));
            encoder.error(&failure, out);
            encoder.error(&failure, out);
            encoder.push(&Event::End, out);
        });
        assert_eq!(failed.matches(error).count(), 1, "{failed}");
        assert!(!failed.contains(done), "{failed}");
        assert!(failed.contains("it broke"), "{failed}");
    }
}

#[test]
fn nothing_is_written_before_there_is_something_to_say() {
    // So that another deployment can still be tried when the upstream fails right after its start.
    for dialect in ALL {
        let written = encode(dialect, |encoder, out| {
            let start = Event::Start {
                id: "x".to_owned(),
                model: "y".to_owned(),
                created_s: None,
                extra: serde_json::Map::new(),
            };
            encoder.push(&start, out);
            encoder.push(&Event::Usage(freehold_types::Usage::default()), out);
        });
        assert_eq!(written, "");
    }
}

#[test]
fn an_answer_without_content_is_still_an_answer() {
    for dialect in ALL {
        let written = encode(dialect, |encoder, out| {
            let finish = Event::Finish {
                choice: 0,
                reason: FinishReason::Stop,
                stop_sequence: None,
            };
            encoder.push(&finish, out);
            encoder.push(&Event::End, out);
        });
        let mut decoder = StreamDecoder::new(dialect, false);
        let mut frames = Vec::new();
        decoder.push(written.as_bytes(), &mut frames).unwrap();
        decoder.finish(&mut frames).unwrap();
        let finished = |event: &Event| matches!(event, Event::Finish { .. });
        assert!(events(&frames).iter().any(finished), "{written}");
    }
}
