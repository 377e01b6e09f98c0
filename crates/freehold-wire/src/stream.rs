//! Streams, both ways: bytes of an upstream into canonical events, canonical events into bytes of
//! a client.

use bytes::Bytes;
use freehold_types::{Dialect, Error, ErrorKind, Event};
use smallvec::SmallVec;

use crate::options::AnswerContext;
use crate::sse::{self, Framer};
use crate::{anthropic, completions, openai_chat};

/// The events of one frame.
pub(crate) type Events = SmallVec<[Event; 1]>;

/// One server-sent event of an upstream, as it came and as it is understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The frame as received, its blank line included: what a client of the same dialect gets.
    pub raw: Bytes,
    /// What it means; empty for comments, pings and the like.
    pub events: SmallVec<[Event; 1]>,
    /// True when the client did not ask for this frame and must not get it.
    pub hidden: bool,
}

/// Upstream bytes into frames and events, incrementally: however the bytes are cut, the frames
/// and events are the same.
#[derive(Debug)]
pub struct StreamDecoder {
    framer: Framer,
    dialect: Dialect,
    inner: Decoder,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

#[derive(Debug)]
enum Decoder {
    Openai(openai_chat::decode_stream::Decoder),
    Anthropic(anthropic::decode_stream::Decoder),
}

impl StreamDecoder {
    /// `hide_usage`: the usage chunk was asked for by us and not by the client (see
    /// [`crate::Encoded::usage_was_added`]).
    pub fn new(dialect: Dialect, hide_usage: bool) -> Self {
        let inner = match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => Decoder::Openai(
                openai_chat::decode_stream::Decoder::new(dialect, hide_usage),
            ),
            Dialect::AnthropicMessages => {
                Decoder::Anthropic(anthropic::decode_stream::Decoder::default())
            }
        };
        Self {
            framer: Framer::default(),
            dialect,
            inner,
            state: State::Open,
        }
    }

    /// Takes more bytes and appends the frames they complete.
    ///
    /// # Errors
    /// What the upstream reported inside its stream, or `BadUpstream` when the bytes are no
    /// stream of the dialect. Frames before the failure are appended. Nothing may be pushed
    /// afterwards. Bytes after the end of the answer are ignored.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> Result<(), Error> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(()),
            State::Failed => return Err(failed_before()),
        }
        self.framer.push(bytes);
        let result = self.drain(out);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn drain(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        while self.state == State::Open {
            let Some(raw) = self.framer.next_frame()? else {
                return Ok(());
            };
            self.frame(raw, out)?;
        }
        Ok(())
    }

    fn frame(&mut self, raw: Bytes, out: &mut Vec<Frame>) -> Result<(), Error> {
        let mut events = Events::new();
        let mut hidden = false;
        let message = sse::read(&raw);
        if let Some(data) = message.data {
            match &mut self.inner {
                Decoder::Openai(decoder) => {
                    hidden = decoder.decode(&data, &mut events)?;
                    self.note_end(&events);
                }
                Decoder::Anthropic(decoder) => {
                    decoder.decode(message.event, &data, &mut events)?;
                    self.note_end(&events);
                }
            }
        }
        out.push(Frame {
            raw,
            events,
            hidden,
        });
        Ok(())
    }

    fn note_end(&mut self, events: &Events) {
        if matches!(events.last(), Some(Event::End)) {
            self.state = State::Ended;
        }
    }

    /// The upstream closed its stream.
    ///
    /// # Errors
    /// `BadUpstream` unless the answer is complete. An OpenAI stream whose choices have finished
    /// may lack `[DONE]`: a frame with it is appended.
    pub fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        match self.state {
            State::Ended => return Ok(()),
            State::Failed => return Err(failed_before()),
            State::Open => {}
        }
        if let Some(rest) = self.framer.rest() {
            // What cannot be read was cut off, which is the better thing to say.
            if let Err(error) = self.frame(rest, out) {
                self.state = State::Failed;
                let reported = error.upstream_body.is_some();
                return Err(if reported { error } else { cut_short() });
            }
        }
        if self.state == State::Ended {
            return Ok(());
        }
        if let Decoder::Openai(decoder) = &self.inner
            && decoder.is_finished()
        {
            let mut events = Events::new();
            openai_chat::decode_stream::Decoder::end(&mut events);
            self.state = State::Ended;
            out.push(Frame {
                raw: Bytes::from_static(b"data: [DONE]\n\n"),
                events,
                hidden: false,
            });
            return Ok(());
        }
        self.state = State::Failed;
        Err(cut_short())
    }

    /// The dialect that is read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}

fn cut_short() -> Error {
    Error::new(
        ErrorKind::BadUpstream,
        "the upstream closed its stream before the answer was complete",
    )
    .with_code("stream_cut_short")
}

fn failed_before() -> Error {
    Error::new(
        ErrorKind::BadUpstream,
        "the upstream's stream had already failed",
    )
}

/// Canonical events into bytes for a client. One encoder per answer.
#[derive(Debug)]
pub struct StreamEncoder {
    inner: Encoder,
    /// Set by the one terminal event; nothing follows it.
    ended: bool,
}

#[derive(Debug)]
enum Encoder {
    Chat(openai_chat::encode_stream::Encoder),
    Completions(completions::encode_stream::Encoder),
    Anthropic(anthropic::encode_stream::Encoder),
}

impl StreamEncoder {
    /// An encoder for one answer.
    pub fn new(dialect: Dialect, context: AnswerContext) -> Self {
        let inner = match dialect {
            Dialect::OpenaiChat => Encoder::Chat(openai_chat::encode_stream::Encoder::new(context)),
            Dialect::OpenaiCompletions => {
                Encoder::Completions(completions::encode_stream::Encoder::new(context))
            }
            Dialect::AnthropicMessages => {
                Encoder::Anthropic(anthropic::encode_stream::Encoder::new(context))
            }
        };
        Self {
            inner,
            ended: false,
        }
    }

    /// Appends the bytes of an event, often none. `End` appends the dialect's own end. Nothing is
    /// appended after `End` or an error.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = matches!(event, Event::End);
        match &mut self.inner {
            Encoder::Chat(encoder) => encoder.push(event, out),
            Encoder::Completions(encoder) => encoder.push(event, out),
            Encoder::Anthropic(encoder) => encoder.push(event, out),
        }
    }

    /// Appends the dialect's terminal error event, for failures after the first byte.
    pub fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = true;
        let (dialect, event) = match &self.inner {
            Encoder::Chat(_) => (Dialect::OpenaiChat, None),
            Encoder::Completions(_) => (Dialect::OpenaiCompletions, None),
            Encoder::Anthropic(_) => (Dialect::AnthropicMessages, Some("error")),
        };
        let body = crate::error_body::error_value(dialect, None, error, None);
        sse::write(out, event, &body);
    }
}
